//! A view that is drawn: blocks and edges on a road-like ground, with a sensor's noise, and what can go wrong with it.

use super::*;
use crate::domain::frame::OwnedI420;
use crate::domain::{FrameFormat, PixelFormat, Pixels, Polygon};

const SIZE: (usize, usize) = (320, 180);

/// Pixels that a test made.
struct Planes(Vec<u8>, Vec<u8>);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        if index == 0 { &self.0 } else { &self.1 }
    }
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> usize {
        usize::try_from((self.next() >> 11) % n).unwrap()
    }

    fn noise(&mut self) -> f32 {
        let sum: u64 = (0..4).map(|n| (self.next() >> (8 * n)) % 256).sum();
        (sum as f32 - 510.0) / 150.0
    }
}

/// Luma of a place: houses, lines and signs of random shades, larger than the picture so that a camera can turn in it.
struct Place {
    wide: usize,
    luma: Vec<f32>,
}

impl Place {
    fn new(seed: u64) -> Self {
        let (wide, high) = (SIZE.0 * 2, SIZE.1 * 2);
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut luma: Vec<f32> = (0..wide * high).map(|i| 150.0 - 60.0 * (i / wide) as f32 / high as f32).collect();
        for _ in 0..420 {
            let (x, y) = (dice.below(wide as u64), dice.below(high as u64));
            let (w, h, shade) = (4 + dice.below(35), 3 + dice.below(25), 40.0 + dice.below(170) as f32);
            for row in y..(y + h).min(high) {
                luma[row * wide + x..row * wide + (x + w).min(wide)].fill(shade);
            }
        }
        Self { wide, luma }
    }

    /// What a camera sees that was moved by so many pixels, turned and zoomed.
    fn seen(&self, (x, y): (f32, f32), degrees: f32, zoom: f32) -> Vec<f32> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (w, h) = (SIZE.0 as f32 / 2.0, SIZE.1 as f32 / 2.0);
        let at = |px: usize, py: usize| {
            let (dx, dy) = ((px as f32 - w) / zoom, (py as f32 - h) / zoom);
            let (sx, sy) = (cos * dx + sin * dy + 2.0 * w - x, cos * dy - sin * dx + 2.0 * h - y);
            self.luma[sy.clamp(0.0, 2.0 * 2.0 * h - 1.0) as usize * self.wide + sx.clamp(0.0, 4.0 * w - 1.0) as usize]
        };
        (0..SIZE.1).flat_map(|py| (0..SIZE.0).map(move |px| (px, py))).map(|(px, py)| at(px, py)).collect()
    }
}

fn blurred(luma: &[f32], reach: usize) -> Vec<f32> {
    let pass = |from: &[f32], step: usize, count: usize, other: usize, along: usize| {
        let mut to = vec![0.0; from.len()];
        for line in 0..other {
            for n in 0..count {
                let near = n.saturating_sub(reach)..(n + reach + 1).min(count);
                let len = near.len() as f32;
                to[line * along + n * step] = near.map(|m| from[line * along + m * step]).sum::<f32>() / len;
            }
        }
        to
    };
    let across = pass(luma, 1, SIZE.0, SIZE.1, SIZE.0);
    pass(&across, SIZE.0, SIZE.1, SIZE.0, 1)
}

/// A camera: its view, and what it told.
struct Camera {
    view: View,
    mask: Mask,
    dice: Dice,
    at: Duration,
    every: Duration,
    noise: f32,
    /// A sensor's noise, read from another place in every frame.
    sensor: Vec<f32>,
    cuts: Vec<Duration>,
    told: Vec<(Trouble, bool)>,
    whys: Vec<String>,
    pictures: Vec<Vec<u8>>,
    grey: bool,
}

impl Camera {
    fn new(every_ms: u64) -> Self {
        let mut dice = Dice(7);
        let sensor = (0..SIZE.0 * SIZE.1 + 5_000).map(|_| dice.noise()).collect();
        Self {
            view: View::new(None),
            mask: Mask::default(),
            dice,
            at: Duration::from_secs(5),
            every: Duration::from_millis(every_ms),
            noise: 1.0,
            sensor,
            cuts: vec![],
            told: vec![],
            whys: vec![],
            pictures: vec![],
            grey: false,
        }
    }

    fn show_one(&mut self, luma: &[f32]) {
        let noise = self.noise;
        let sensor = &self.sensor[self.dice.below(5_000)..];
        let pixels: Vec<u8> = luma.iter().zip(sensor).map(|(l, n)| (l + noise * n).clamp(16.0, 235.0) as u8).collect();
        let (w, h) = SIZE;
        let strides = [w, w / 2, w / 2];
        let (width, height) = (w as u32, h as u32);
        let format = FrameFormat { width, height, pixels: PixelFormat::I420, strides, full_range: false };
        let chroma = vec![if self.grey { 128 } else { 118 }; w * h / 4];
        let at = TimeMs(1_700_000_000_000 + u64::try_from(self.at.as_millis()).unwrap());
        let frame = Frame::new(format, at, self.at, 0, Box::new(Planes(pixels, chroma)));
        if self.view.step(&frame, &self.mask).unwrap() {
            self.cuts.push(self.at);
        }
        for news in self.view.take_news() {
            self.told.push((news.trouble, news.why.is_some()));
            self.whys.extend(news.why);
            self.pictures.extend(news.picture);
        }
        self.at += self.every;
    }

    fn show(&mut self, luma: &[f32], seconds: f32) {
        let count = (seconds / self.every.as_secs_f32()).ceil() as usize;
        (0..count).for_each(|_| self.show_one(luma));
    }

    fn told(&mut self) -> Vec<(Trouble, bool)> {
        std::mem::take(&mut self.told)
    }
}

/// Frames as they come awake and idle.
const PACES: [u64; 2] = [400, 2_000];

#[test]
fn a_still_view_with_noise_tells_nothing_and_is_learnt() {
    for pace in PACES {
        let mut camera = Camera::new(pace);
        let street = Place::new(1).seen((0.0, 0.0), 0.0, 1.0);
        camera.show(&street, 60.0);
        assert_eq!(camera.told(), [], "{pace}");
        assert!(camera.view.kept().is_some() && camera.cuts.is_empty());
    }
}

#[test]
fn a_camera_that_was_moved_is_told_by_how_much_and_that_it_is_back() {
    let place = Place::new(2);
    let usual = place.seen((0.0, 0.0), 0.0, 1.0);
    let moves: [((f32, f32), f32, f32, &str); 5] = [
        ((32.0, 0.0), 0.0, 1.0, "10 % right"),
        ((-16.0, 18.0), 0.0, 1.0, "5 % left, 10 % down"),
        ((0.0, 0.0), 6.0, 1.0, "turned 6°"),
        ((0.0, 0.0), 0.0, 1.2, "zoomed ×1.2"),
        ((8.0, 0.0), 0.0, 1.0, "3 % right"),
    ];
    for (n, (by, turn, zoom, words)) in moves.into_iter().enumerate() {
        let pace = PACES[n % 2];
        let mut camera = Camera::new(pace);
        camera.show(&usual, 30.0);
        let moved = place.seen(by, turn, zoom);
        camera.show(&moved, 20.0);
        assert_eq!(camera.told().last(), Some(&(Trouble::Moved, true)), "{words}, {pace} ms: {:?}", camera.whys);
        assert!(camera.whys.last().unwrap().contains(words), "{words}: {:?}", camera.whys);
        assert!(camera.view.is_elsewhere());
        camera.show(&usual, 30.0);
        assert_eq!(camera.told().last(), Some(&(Trouble::Moved, false)), "{words}, {pace} ms");
        assert!(!camera.view.is_elsewhere());
    }
}

#[test]
fn what_masks_and_zones_can_bear_is_no_move() {
    let place = Place::new(3);
    let mut camera = Camera::new(400);
    camera.show(&place.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    for n in 0..40 {
        // A mast in the wind.
        camera.show(&place.seen((if n % 2 == 0 { 2.0 } else { -2.0 }, 0.0), 0.0, 1.0), 0.8);
    }
    camera.show(&place.seen((2.0, 2.0), 0.0, 1.0), 30.0);
    assert_eq!(camera.told(), []);
}

#[test]
fn a_hard_cut_is_told_at_once_and_another_view_after_a_minute() {
    for pace in [1_000, 2_000] {
        let mut camera = Camera::new(pace);
        camera.show(&Place::new(4).seen((0.0, 0.0), 0.0, 1.0), 30.0);
        let before = camera.at;
        camera.show(&Place::new(5).seen((0.0, 0.0), 0.0, 1.0), 30.0);
        assert_eq!((camera.told(), camera.cuts.clone()), (vec![(Trouble::Cut, true)], vec![before]), "{pace}");
        assert!(camera.view.is_elsewhere(), "masks may lie wrong from the first frame on");
        camera.show(&Place::new(5).seen((0.0, 0.0), 0.0, 1.0), 60.0);
        assert_eq!(camera.told(), [(Trouble::Cut, false), (Trouble::Moved, true)], "{pace}");
    }
}

#[test]
fn a_black_picture_is_told_and_lamps_at_night_are_not_black() {
    let street = Place::new(6).seen((0.0, 0.0), 0.0, 1.0);
    for pace in PACES {
        let mut camera = Camera::new(pace);
        camera.show(&street, 30.0);
        let covered = vec![18.0; SIZE.0 * SIZE.1];
        camera.show(&covered, 14.0);
        assert_eq!(camera.told(), [(Trouble::Black, true)], "{pace}");
        // Nothing flaps when something shines for a moment.
        camera.show(&street, 4.0);
        camera.show(&covered, 10.0);
        assert_eq!(camera.told(), []);
        camera.show(&street, 20.0);
        assert_eq!(camera.told(), [(Trouble::Black, false)]);
        assert!(camera.cuts.is_empty(), "the view is the same");
    }
    let mut camera = Camera::new(1_000);
    // Dusk: two minutes from day to a night with lamps.
    let lamps = [(60, 50), (150, 45), (240, 55), (280, 150)];
    for second in 0..240 {
        let light = (1.0 - second as f32 / 120.0).max(0.01);
        let mut dark: Vec<f32> = street.iter().map(|l| 16.0 + (l - 16.0) * light).collect();
        for (x, y) in lamps {
            for row in y..y + 6 {
                dark[row * SIZE.0 + x..row * SIZE.0 + x + 6].fill(220.0);
            }
        }
        camera.show(&dark, 1.0);
    }
    assert_eq!(camera.told(), []);
}

#[test]
fn a_frozen_picture_is_told_and_a_still_scene_in_coded_copies_is_not() {
    let street = Place::new(7).seen((0.0, 0.0), 0.0, 1.0);
    let mut camera = Camera::new(400);
    camera.show(&street, 30.0);
    camera.noise = 0.0;
    for second in 0..40_usize {
        let mut clock = street.clone();
        clock[10 * SIZE.0 + 5..10 * SIZE.0 + 20].fill(100.0 + (second % 10) as f32 * 10.0);
        camera.show(&clock, 1.0);
    }
    assert_eq!(camera.told(), [(Trouble::Frozen, true)]);
    camera.noise = 1.0;
    camera.show(&street, 5.0);
    assert_eq!(camera.told(), [(Trouble::Frozen, false)]);

    let mut camera = Camera::new(1_000);
    camera.noise = 0.0;
    for n in 0..180 {
        // Key frames code it a little otherwise each time, in turn; now and then something passes.
        let mut copy = street.clone();
        copy[50 * SIZE.0..51 * SIZE.0].iter_mut().for_each(|l| *l += (n % 2) as f32);
        if n % 30 == 7 {
            (0..40).for_each(|y| copy[(75 + y) * SIZE.0 + 100..(75 + y) * SIZE.0 + 200].fill(60.0));
        }
        camera.show(&copy, 2.0);
    }
    assert_eq!(camera.told(), []);
}

#[test]
fn a_picture_out_of_focus_is_told_and_fog_is_not() {
    let street = Place::new(8).seen((0.0, 0.0), 0.0, 1.0);
    for pace in [1_000, 2_000] {
        let mut camera = Camera::new(pace);
        camera.show(&street, 60.0);
        camera.show(&blurred(&street, 3), 70.0);
        assert_eq!(camera.told(), [(Trouble::Defocused, true)], "{pace}");
        camera.show(&street, 70.0);
        assert_eq!(camera.told(), [(Trouble::Defocused, false)], "{pace}");
    }
    let mut camera = Camera::new(1_000);
    camera.show(&street, 40.0);
    for second in 0..60 {
        let clear = 1.0 - 0.7 * second as f32 / 60.0;
        let fog: Vec<f32> = street.iter().map(|l| 170.0 + (l - 170.0) * clear).collect();
        camera.show(&fog, 1.0);
    }
    assert_eq!(camera.told(), []);
}

#[test]
fn infrared_exposure_headlights_and_a_bus_tell_nothing() {
    let street = Place::new(9).seen((0.0, 0.0), 0.0, 1.0);
    let mut camera = Camera::new(400);
    camera.show(&street, 30.0);
    camera.grey = true;
    let infrared: Vec<f32> = street.iter().map(|l| 30.0 + 0.5 * (l - 16.0)).collect();
    camera.show(&infrared, 90.0);
    camera.grey = false;
    camera.show(&street, 30.0);
    for n in 0..20 {
        let gain = if n % 2 == 0 { 1.3 } else { 0.75 };
        let stepped: Vec<f32> = street.iter().map(|l| l * gain).collect();
        camera.show(&stepped, 2.0);
    }
    for n in 0..60_usize {
        // A bus in ten steps over most of the picture, there for half a minute, and away.
        let mut bus = street.clone();
        let to = (n * 30).min((60 - n) * 30).min(290);
        for row in 10..170 {
            bus[row * SIZE.0..row * SIZE.0 + to].fill(if row % 20 < 10 { 90.0 } else { 140.0 });
        }
        camera.show(&bus, 0.4);
    }
    camera.show(&street, 20.0);
    assert_eq!(camera.told(), []);
    assert!(camera.cuts.is_empty());
}

#[test]
fn a_camera_that_was_turned_while_the_box_was_off_is_noticed() {
    let place = Place::new(10);
    let mut camera = Camera::new(400);
    camera.show(&place.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    let bytes = minicbor::to_vec(camera.view.kept().unwrap()).unwrap();
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    let kept: Kept = minicbor::decode(&bytes).unwrap();
    assert!(kept.is_sound());
    let mut after = Camera::new(400);
    after.view = View::new(Some(kept.clone()));
    after.show(&place.seen((-30.0, 5.0), 0.0, 1.0), 15.0);
    assert_eq!(after.told(), [(Trouble::Moved, true)]);
    let mut same = Camera::new(400);
    same.view = View::new(Some(kept));
    same.show(&place.seen((0.0, 0.0), 0.0, 1.0), 15.0);
    assert_eq!(same.told(), []);
}

/// A place by day, and what a lamp shows of it at night: nothing of the one is like the other.
fn by_day_and_night() -> [Place; 2] {
    [Place::new(20), Place::new(21)]
}

#[test]
fn a_camera_that_was_turned_at_night_is_not_in_its_place_because_a_morning_is_new() {
    let [day, night] = by_day_and_night();
    let mut camera = Camera::new(400);
    camera.grey = true;
    camera.show(&night.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    camera.show(&night.seen((-30.0, 5.0), 0.0, 1.0), 20.0);
    assert_eq!(camera.told(), [(Trouble::Moved, true)]);
    camera.grey = false;
    camera.show(&day.seen((-30.0, 5.0), 0.0, 1.0), 90.0);
    assert_eq!(camera.told(), [], "nobody has seen it in its place");
    assert!(camera.view.is_elsewhere());
    camera.grey = true;
    camera.show(&night.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    assert_eq!(camera.told(), [(Trouble::Moved, false)]);
}

#[test]
fn a_night_that_cannot_be_compared_is_learnt_once_the_view_is_found_again_and_a_move_in_it_is_told() {
    let [day, night] = by_day_and_night();
    let mut camera = Camera::new(400);
    camera.show(&day.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    camera.grey = true;
    camera.show(&night.seen((0.0, 0.0), 0.0, 1.0), 60.0);
    assert_eq!(camera.view.standing, Some(Standing::Unknown));
    camera.show(&night.seen((-30.0, 5.0), 0.0, 1.0), 40.0);
    assert_eq!(camera.told(), [(Trouble::Moved, true)], "against what was taken on trial");
    camera.show(&night.seen((0.0, 0.0), 0.0, 1.0), 60.0);
    assert_eq!(camera.told(), [(Trouble::Moved, false)]);
    camera.grey = false;
    camera.show(&day.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    camera.grey = true;
    camera.show(&night.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    assert_eq!((camera.view.standing, camera.told()), (Some(Standing::InPlace), vec![]), "known by now");
}

#[test]
fn what_was_taken_at_night_of_a_turned_camera_is_forgotten_in_the_morning() {
    let [day, night] = by_day_and_night();
    let mut before = Camera::new(400);
    before.show(&day.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    // Turned while the box was off, which began anew at night.
    let mut camera = Camera::new(400);
    camera.view = View::new(before.view.kept());
    camera.grey = true;
    camera.show(&night.seen((-30.0, 5.0), 0.0, 1.0), 60.0);
    assert_eq!((camera.told(), camera.view.standing), (vec![], Some(Standing::Unknown)));
    let kept: Kept = minicbor::decode(&minicbor::to_vec(camera.view.kept().unwrap()).unwrap()).unwrap();
    camera.view = View::new(Some(kept));
    camera.grey = false;
    camera.show(&day.seen((-30.0, 5.0), 0.0, 1.0), 15.0);
    assert_eq!(camera.told(), [(Trouble::Moved, true)]);
    camera.grey = true;
    camera.show(&night.seen((-30.0, 5.0), 0.0, 1.0), 90.0);
    assert_eq!(camera.told(), [], "it is as moved as it was");
}

#[test]
fn what_a_mask_hides_is_in_no_picture_and_no_reference() {
    let mut camera = Camera::new(400);
    camera.mask = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]])]);
    let white = vec![200.0; SIZE.0 * SIZE.1];
    let mut street = Place::new(11).seen((0.0, 0.0), 0.0, 1.0);
    street.chunks_exact_mut(SIZE.0).zip(white.chunks_exact(SIZE.0)).for_each(|(to, from)| {
        to[..SIZE.0 / 2].copy_from_slice(&from[..SIZE.0 / 2]);
    });
    camera.show(&street, 30.0);
    camera.show(&vec![17.0; SIZE.0 * SIZE.1], 10.0);
    assert_eq!(camera.told(), [(Trouble::Black, true)]);
    let (levels, _) = camera.view.reference.picture().unwrap();
    assert!(levels.chunks_exact(320).all(|row| row[..160].iter().all(|l| *l == 0)));
    let picture = image::load_from_memory(&camera.pictures[0]).unwrap().to_luma8();
    assert_eq!(picture.dimensions(), (640, 180));
    assert!((0..150).all(|x| picture.get_pixel(x, 90).0[0] < 24), "the reference is hidden there");
    assert!((170..310).any(|x| picture.get_pixel(x, 90).0[0] > 60), "and shown elsewhere");
}

#[test]
fn no_picture_of_a_masked_camera_that_looks_elsewhere_shows_what_it_sees() {
    let place = Place::new(12);
    let mut camera = Camera::new(400);
    camera.mask = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [0.3, 0.0], [0.3, 0.3], [0.0, 0.3]])]);
    camera.show(&place.seen((0.0, 0.0), 0.0, 1.0), 30.0);
    let moved = place.seen((32.0, 0.0), 0.0, 1.0);
    camera.show(&moved, 20.0);
    camera.noise = 0.0;
    camera.show(&moved, 40.0);
    camera.noise = 1.0;
    camera.show(&moved, 20.0);
    camera.show(&Place::new(13).seen((0.0, 0.0), 0.0, 1.0), 10.0);
    let wrong: Vec<Trouble> = camera.told().into_iter().filter(|(_, is)| *is).map(|(trouble, _)| trouble).collect();
    assert_eq!(wrong, [Trouble::Moved, Trouble::Frozen, Trouble::Cut]);
    let (levels, _) = camera.view.reference.picture().unwrap();
    for (trouble, picture) in wrong.iter().zip(&camera.pictures) {
        let picture = image::load_from_memory(picture).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (640, 180));
        let right = picture.enumerate_pixels().filter(|(x, ..)| *x > 330);
        assert!(right.map(|(.., level)| level.0[0]).all(|level| level < 24), "{trouble:?}: right");
        let left = picture.enumerate_pixels().filter(|(x, ..)| *x < 310);
        let other = left.filter(|(x, y, level)| level.0[0].abs_diff(levels[(y * 320 + x) as usize]) > 40).count();
        assert!(other < 500, "{trouble:?}: at the left {other} pixels are not of the reference");
    }
}

#[test]
fn frames_that_are_tiny_or_of_changing_sizes_do_no_harm() {
    let mut view = View::new(None);
    for (n, (w, h)) in [(2, 2), (320, 180), (64, 48), (17, 31), (1, 1), (1281, 721), (320, 180)].into_iter().enumerate()
    {
        for k in 0..3_u64 {
            let (format, pixels) = OwnedI420::from_rgb(&vec![(n * 30) as u8; w as usize * h as usize * 3], w, h);
            let at = Duration::from_secs(n as u64 * 10 + k);
            let frame = Frame::new(format, TimeMs(0), at, 0, Box::new(pixels));
            view.step(&frame, &Mask::default()).unwrap();
        }
    }
}
