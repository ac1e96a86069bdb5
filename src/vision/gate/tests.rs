//! Drawn scenes: textured, noisy, with things that move in them. What is judged is in which frames the gate is awake.

use super::*;
use crate::domain::TimeMs;
use crate::domain::frame::{FrameFormat, PixelFormat, Pixels};

const SIZE: (usize, usize) = (320, 180);
const FPS: u64 = 25;

struct Luma(Vec<u8>);

impl Pixels for Luma {
    fn plane(&self, index: usize) -> &[u8] {
        if index == 0 { &self.0 } else { &[] }
    }
}

/// Pixels of a road scene at one instant.
struct Stage {
    size: (usize, usize),
    back: Vec<f32>,
    noise: Vec<Vec<f32>>,
    strength: f32,
}

fn random(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 40) as f32 / (1_u32 << 24) as f32
}

impl Stage {
    /// Blotches of 50 to 200 and noise of this standard deviation.
    fn new(strength: f32) -> Self {
        Self::of(SIZE, strength)
    }

    fn of(size: (usize, usize), strength: f32) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let blotches: Vec<f32> = (0..64).map(|_| 50.0 + 150.0 * random(&mut state)).collect();
        let (w, h) = size;
        let blotch = |x: usize, y: usize| blotches[x * 8 / w + y * 8 / h * 8];
        let back = (0..w * h).map(|i| blotch(i % w, i / w) + (i % w % 13) as f32).collect();
        // Twelve evenly spread numbers sum up to what is nearly normal.
        let mut normal = || (0..12).map(|_| random(&mut state)).sum::<f32>() - 6.0;
        let noise = (0..5).map(|_| (0..SIZE.0 * SIZE.1 + 977).map(|_| normal()).collect()).collect();
        Self { size, back, noise, strength }
    }

    /// Frame `index`; `paint` changes the light of a pixel before noise comes to it.
    fn frame(&self, index: u64, paint: impl Fn(usize, usize, f32) -> f32) -> Frame {
        self.frame_of(index, self.pixels(index, paint))
    }

    fn pixels(&self, index: u64, paint: impl Fn(usize, usize, f32) -> f32) -> Vec<u8> {
        let (w, h) = self.size;
        // Another cut of another sheet each time; laid side by side in a larger picture.
        let sheet = &self.noise[index as usize % 5][(index as usize * 131) % 977..];
        let noise = sheet.iter().cycle();
        let drawn = self.back.iter().zip(noise).enumerate();
        drawn.take(w * h).map(|(i, (b, noise))| (paint(i % w, i / w, *b) + self.strength * noise) as u8).collect()
    }

    fn frame_of(&self, index: u64, pixels: Vec<u8>) -> Frame {
        let (w, h) = self.size;
        let format = FrameFormat {
            width: w as u32,
            height: h as u32,
            pixels: PixelFormat::I420,
            strides: [w, 0, 0],
            full_range: true,
        };
        let pts = Duration::from_millis(index * 1000 / FPS);
        Frame::new(format, TimeMs(0), pts, index, Box::new(Luma(pixels)))
    }

    /// Which of `frames` frames are awake.
    fn play(&self, frames: u64, paint: impl Fn(u64, usize, usize, f32) -> f32) -> Vec<bool> {
        self.play_with(frames, &Spans::of(&[], 320, 180), &[], paint)
    }

    fn play_with(
        &self,
        frames: u64,
        masks: &Spans,
        roi: &[Polygon],
        paint: impl Fn(u64, usize, usize, f32) -> f32,
    ) -> Vec<bool> {
        let mut gate = Gate::default();
        let mut look = |n| {
            let frame = self.frame(n, |x, y, light| paint(n, x, y, light));
            gate.is_awake(&frame, masks, roi, false).unwrap()
        };
        (0..frames).map(&mut look).collect()
    }
}

/// A thing of 24 × 6 pixels, as large as the smallest plate that is read, brighter by `contrast`.
fn plate(at: (f32, f32), contrast: f32) -> impl Fn(usize, usize, f32) -> f32 {
    move |x, y, light| {
        let part =
            |v: usize, from: f32, size: f32| ((v as f32 + 1.0).min(from + size) - (v as f32).max(from)).clamp(0.0, 1.0);
        let sign = if light > 130.0 { -1.0 } else { 1.0 };
        light + sign * contrast * part(x, at.0, 24.0) * part(y, at.1, 6.0)
    }
}

fn share_resting(awake: &[bool]) -> f64 {
    awake.iter().filter(|a| !**a).count() as f64 / awake.len() as f64
}

#[test]
fn a_still_scene_is_rested_by_day_and_in_a_noisy_night() {
    for strength in [0.0, 2.0, 12.0] {
        let awake = Stage::new(strength).play(300, |_, _, _, light| light);
        assert!(awake[..50].iter().all(|a| *a), "it learns the scene");
        let share = share_resting(&awake[60..]);
        assert!(share >= 0.95, "noise {strength}: rests {share}");
        // It looks all the same, every two seconds.
        let gap = awake[60..].split(|a| *a).map(<[bool]>::len).max().unwrap();
        assert!((45..=50).contains(&gap), "longest rest {gap}");
    }
}

#[test]
fn a_scene_that_stays_still_is_looked_at_more_seldom() {
    let awake = Stage::new(2.0).play(1000, |_, _, _, light| light);
    let gaps: Vec<usize> = awake.split(|a| *a).map(<[bool]>::len).filter(|gap| *gap > 0).collect();
    assert!(gaps[..4].iter().all(|gap| *gap <= 50), "at first every two seconds: {gaps:?}");
    let last = gaps[gaps.len() - 2];
    assert!((120..=125).contains(&last), "and then every five: {gaps:?}");
}

#[test]
fn a_picture_that_jumps_with_every_key_frame_is_still_and_a_plate_in_it_wakes() {
    // What a coder makes of plain surfaces: with each key frame, once in two seconds, cells go a few levels up or down.
    let jump = |n: u64, x: usize, y: usize| {
        let cell = (n / 50) << 40 | ((x / 8) as u64) << 20 | (y / 8) as u64;
        let mut mixed = cell.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // By little nearly everywhere, by much in one cell of 400.
        let by = 2.0 * ((mixed >> 40) as f32 / (1_u32 << 24) as f32) - 1.0;
        if (mixed >> 8).is_multiple_of(400) { 6.0 * by.signum() } else { 2.0 * by }
    };
    let still = Stage::new(0.5).play(1000, |n, x, y, light| light + jump(n, x, y));
    assert!(share_resting(&still[300..]) >= 0.9, "rests {}", share_resting(&still[300..]));
    let with = Stage::new(0.5).play(830, |n, x, y, light| {
        let light = light + jump(n, x, y);
        if n < 790 { light } else { plate((100.0 + (n - 790) as f32 * 3.0, 60.0), 40.0)(x, y, light) }
    });
    // Where a cell has just jumped, the first frames may be overlooked.
    assert!(with[794..].iter().all(|a| *a), "{:?}", &with[785..]);
}

/// Lets a plate appear for one frame, `trials` times in as many places, after as many resting frames.
fn first_frames_wake((width, height): (usize, usize), trials: usize, rest: usize) {
    let stage = Stage::of((width, height), 3.0);
    let mut gate = Gate::default();
    let mut late = Vec::new();
    let none = Spans::of(&[], width as u32, height as u32);
    // Five frames of noise that come round: large ones are slow to draw.
    let empty: Vec<Vec<u8>> = (0..5).map(|n| stage.pixels(n, |_, _, light| light)).collect();
    let mut n = 0;
    let mut look = |changed: Option<(f32, f32)>| {
        n += 1;
        let mut pixels = empty[n as usize % 5].clone();
        if let Some((left, top)) = changed {
            let paint = plate((left, top), 40.0);
            for y in top as usize..top as usize + 8 {
                for x in left as usize..left as usize + 26 {
                    let i = y * width + x;
                    pixels[i] = (paint(x, y, stage.back[i]) + f32::from(pixels[i]) - stage.back[i]) as u8;
                }
            }
        }
        gate.is_awake(&stage.frame_of(n, pixels), &none, &[], false).unwrap()
    };
    (0..90).for_each(|_| {
        look(None);
    });
    let mut woken = 0;
    for trial in 0..trials {
        // Rest again, then let it appear somewhere for one frame.
        (0..rest).for_each(|_| {
            look(None);
        });
        let before = look(None);
        let at = ((trial * 47 % (width - 30)) as f32 + 3.3, (trial * 31 % (height - 10)) as f32 + 1.7);
        let shown = look(Some(at));
        if !before {
            woken += 1;
            if !shown {
                late.push(at);
            }
        }
    }
    assert!(woken * 4 >= trials * 3, "it rested before {woken} of {trials}");
    assert!(late.is_empty(), "not awake for a plate at {late:?}, {width}×{height}");
}

#[test]
fn the_first_frame_in_which_a_plate_moves_is_awake() {
    first_frames_wake(SIZE, 12, 60);
}

#[test]
fn the_first_frame_in_which_a_plate_moves_is_awake_in_720p() {
    first_frames_wake((1280, 720), 16, 20);
}

#[test]
fn the_first_frame_in_which_a_plate_moves_is_awake_in_1080p() {
    first_frames_wake((1920, 1080), 16, 20);
}

#[test]
fn what_creeps_wakes_it_again_and_again() {
    // Half a pixel a second: from one frame to the next nothing changes that noise would not.
    let stage = Stage::new(3.0);
    let awake = stage.play(500, |n, x, y, light| plate((201.0 + 0.02 * n as f32, 103.0), 60.0)(x, y, light));
    let still = stage.play(500, |_, x, y, light| plate((201.0, 103.0), 60.0)(x, y, light));
    let wakes = |a: &[bool]| a[60..].iter().filter(|a| **a).count();
    assert!(wakes(&still) <= 12, "{}", wakes(&still));
    assert!(wakes(&awake) >= 60, "{}", wakes(&awake));
}

type Light = fn(f32) -> f32;

#[test]
fn a_step_of_the_light_wakes_it_briefly() {
    let stage = Stage::new(3.0);
    // Brighter; another gamma; the infrared filter: dark is light.
    let changes: [Light; 3] = [|l| l * 1.25 + 8.0, |l| 255.0 * (l / 255.0).powf(0.7), |l| 230.0 - 0.7 * l];
    for (which, change) in changes.into_iter().enumerate() {
        let awake = stage.play(250, |n, _, _, light| if n < 100 { light } else { change(light) });
        assert!(awake[100], "change {which}");
        let share = share_resting(&awake[112..]);
        assert!(share >= 0.93, "change {which}: rests {share}");
    }
}

#[test]
fn a_slow_change_of_the_exposure_is_rested() {
    let stage = Stage::new(3.0);
    let awake = stage.play(400, |n, _, _, light| light * (1.0 + 0.15 * (n as f32 / 400.0)));
    assert!(share_resting(&awake[60..]) >= 0.9, "{}", share_resting(&awake[60..]));
}

#[test]
fn a_thing_that_moves_while_the_light_changes_is_seen() {
    let stage = Stage::new(3.0);
    let awake = stage.play(160, |n, x, y, light| {
        let light = light * (1.0 + 0.0008 * n as f32);
        if n < 120 { light } else { plate((100.0 + 2.0 * (n - 120) as f32, 80.0), 50.0)(x, y, light) }
    });
    assert!(awake[120..].iter().all(|a| *a));
}

#[test]
fn pictures_that_are_coded_anew_every_two_seconds_are_rested() {
    // Each cell of 8 × 8 changes its level by up to two with every key frame and keeps it until the next.
    let stage = Stage::new(0.5);
    let awake = stage.play(500, |n, x, y, light| {
        let mut state = (n / 50 + 1) * 7919 + (x / 8 * 131 + y / 8 * 17 + 1) as u64 * 104_729;
        random(&mut state);
        random(&mut state);
        light + 4.0 * random(&mut state) - 2.0
    });
    assert!(share_resting(&awake[60..]) >= 0.8, "{}", share_resting(&awake[60..]));
}

#[test]
fn nothing_under_a_mask_or_outside_the_region_wakes_it() {
    let stage = Stage::new(2.0);
    let left = Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
    let right = Polygon::new(vec![[0.51, 0.0], [1.0, 0.0], [1.0, 1.0], [0.51, 1.0]]);
    let none = Spans::of(&[], 320, 180);
    let dance = |from: f32| move |n: u64, x, y, light| plate((from + 4.0 * (n % 30) as f32, 90.0), 90.0)(x, y, light);
    let mask = Spans::of(std::slice::from_ref(&left), 320, 180);
    let masked = stage.play_with(150, &mask, &[], dance(5.0));
    assert!(share_resting(&masked[60..]) > 0.95);
    let outside = stage.play_with(150, &none, std::slice::from_ref(&right), dance(5.0));
    assert!(share_resting(&outside[60..]) > 0.95);
    let inside = stage.play_with(150, &mask, &[right], dance(170.0));
    assert!(inside.iter().all(|a| *a));
}

#[test]
fn what_comes_to_stay_is_followed_for_a_while_and_then_rested() {
    let stage = Stage::new(2.0);
    let awake = stage.play(300, |n, x, y, light| {
        let x_at = if n < 100 { -60.0 } else { (n.min(130) - 100) as f32 * 8.0 };
        plate((x_at, 120.0), 80.0)(x, y, light)
    });
    assert!(awake[100..170].iter().all(|a| *a), "passes, stops, and is looked at");
    assert!(share_resting(&awake[240..]) > 0.9, "{}", share_resting(&awake[240..]));
}

#[test]
fn what_sways_for_nothing_is_overlooked_in_the_end_and_a_plate_before_it_is_not() {
    let stage = Stage::new(2.0);
    let sways = |n: u64, x: usize, y: usize, light: f32| {
        let inside = (40..140).contains(&x) && (40..120).contains(&y);
        let phase = (n as f32 * 0.9 + (x / 16) as f32).sin() + (n as f32 * 0.37 + (y / 8) as f32).sin();
        if inside { light + 9.0 * phase } else { light }
    };
    let awake = stage.play(1200, |n, x, y, light| {
        let light = sways(n, x, y, light);
        if n < 1150 { light } else { plate((60.0 + 3.0 * (n - 1150) as f32, 80.0), 90.0)(x, y, light) }
    });
    assert!(awake[50..65].iter().all(|a| *a), "at first it may be anything");
    assert!(share_resting(&awake[600..1150]) > 0.8, "{}", share_resting(&awake[600..1150]));
    assert!(awake[1150..].iter().all(|a| *a));
}

#[test]
fn what_is_found_where_it_moves_is_never_overlooked() {
    let stage = Stage::new(2.0);
    let (mut gate, none) = (Gate::default(), Spans::of(&[], 320, 180));
    for n in 0..700 {
        let at = (200.0 + 6.0 * (n % 5) as f32, 150.0);
        let frame = stage.frame(n, plate(at, 30.0));
        assert!(gate.is_awake(&frame, &none, &[], false).unwrap(), "frame {n}");
        let rect = Rect::new(at.0, at.1, at.0 + 24.0, at.1 + 6.0);
        gate.found(&[Detection { class: Class::Plate, score: 0.9, rect, corners: None }]);
    }
}

#[test]
fn a_stream_that_begins_again_or_changes_its_size_is_learnt_anew() {
    let stage = Stage::new(2.0);
    let (mut gate, none) = (Gate::default(), Spans::of(&[], 320, 180));
    let frames = (0..100).chain(10..20).map(|n| stage.frame(n, |_, _, light| light));
    let awake: Vec<bool> = frames.map(|f| gate.is_awake(&f, &none, &[], false).unwrap()).collect();
    assert!(!awake[99] && awake[100..].iter().all(|a| *a));
    let small = FrameFormat { width: 64, height: 36, pixels: PixelFormat::I420, strides: [64, 0, 0], full_range: true };
    let frame = |bytes| Frame::new(small, TimeMs(0), Duration::from_secs(1), 0, Box::new(Luma(vec![9; bytes])));
    let none = Spans::of(&[], 64, 36);
    assert_eq!(gate.is_awake(&frame(64 * 36), &none, &[], false), Some(true));
    assert_eq!(gate.is_awake(&frame(64 * 20), &none, &[], false), None);
}

#[test]
fn a_clock_burnt_into_the_picture_is_overlooked_in_the_end() {
    let stage = Stage::new(2.0);
    let awake = stage.play(1000, |n, x, y, light| {
        // Five digits of 8 × 12 pixels; the last changes every second, the one before it every ten.
        let digit = |place: u64| (n / FPS / 10_u64.pow(4 - u32::try_from(place).unwrap())) % 10;
        if !(20..60).contains(&x) || !(10..22).contains(&y) {
            return light;
        }
        let (place, within) = (((x - 20) / 8) as u64, ((x - 20) % 8 + (y - 10) * 8) as u64);
        if (within * 7 + digit(place) * 31) % 10 < 4 + digit(place) % 3 { 235.0 } else { 20.0 }
    });
    assert!(awake[60..120].iter().all(|a| *a));
    assert!(share_resting(&awake[600..]) > 0.8, "{}", share_resting(&awake[600..]));
}

/// Streaks of rain: elsewhere in every frame, brighter than what is behind them.
fn streaks(stage: &Stage, n: u64, light_of: impl Fn(usize, usize, f32) -> f32) -> Frame {
    let (w, h) = stage.size;
    let mut state = n * 7919 + 104_729;
    (0..3).for_each(|_| {
        random(&mut state);
    });
    let mut pixels = stage.pixels(n, light_of);
    for _ in 0..60 {
        let (x, y, length) =
            (random(&mut state) * w as f32, random(&mut state) * h as f32, 6.0 + 18.0 * random(&mut state));
        for step in 0..length as usize {
            let at = (y as usize + step) * w + (x as usize).min(w - 2);
            for i in at..at + 2 {
                if let Some(p) = pixels.get_mut(i) {
                    *p = (f32::from(*p) + (235.0 - f32::from(*p)) * 0.5) as u8;
                }
            }
        }
    }
    stage.frame_of(n, pixels)
}

/// Frames of a minute in which it is awake, as a share, and in which of `frames` more in which something passes.
fn minute_and_pass(draw: impl Fn(&Stage, u64, &dyn Fn(usize, usize, f32) -> f32) -> Frame) -> (f64, Vec<bool>) {
    let stage = Stage::new(2.0);
    let (mut gate, none) = (Gate::default(), Spans::of(&[], 320, 180));
    let empty = |_: usize, _: usize, light: f32| light;
    let minute: Vec<bool> =
        (0..60 * FPS).map(|n| gate.is_awake(&draw(&stage, n, &empty), &none, &[], false).unwrap()).collect();
    let pass = (60 * FPS..61 * FPS).map(|n| {
        // A vehicle of 70 × 50 pixels with its plate.
        let left = 4.0 * (n - 60 * FPS) as f32 + 30.0;
        let paint = move |x: usize, y: usize, light: f32| {
            let inside = (left..left + 70.0).contains(&(x as f32)) && (80..130).contains(&y);
            let light = if inside { 60.0 + (y % 20) as f32 } else { light };
            plate((left + 20.0, 115.0), 90.0)(x, y, light)
        };
        gate.is_awake(&draw(&stage, n, &paint), &none, &[], false).unwrap()
    });
    let pass = pass.collect();
    (1.0 - share_resting(&minute), pass)
}

#[test]
fn a_minute_of_rain_is_rested_and_a_vehicle_in_it_wakes_it() {
    let (open, pass) = minute_and_pass(|stage, n, paint| streaks(stage, n, paint));
    assert!(open <= 0.1, "open {open}");
    assert!(pass[3..].iter().all(|a| *a), "{pass:?}");
}

#[test]
fn a_minute_of_flicker_is_rested_and_a_vehicle_in_it_wakes_it() {
    // Mains light that beats with the shutter: all of the picture, by up to a fifth, or a tenth and a chance.
    for (much, hz) in [(0.2, 3.7), (0.1, 8.0)] {
        let (open, pass) = minute_and_pass(move |stage, n, paint| {
            let mut state = n * 31 + 7;
            random(&mut state);
            let chance = 0.3 * (random(&mut state) - 0.5);
            let beat = 1.0 + much * ((n as f32 / FPS as f32 * hz * std::f32::consts::TAU).sin() + chance);
            stage.frame(n, |x, y, light| (paint(x, y, light) - 16.0) * beat + 16.0)
        });
        assert!(open <= 0.1, "flicker of {much}: open {open}");
        assert!(pass[3..].iter().all(|a| *a), "flicker of {much}: {pass:?}");
    }
}

#[test]
fn a_minute_of_a_sign_that_blinks_is_rested_and_a_vehicle_beside_it_wakes_it() {
    let (open, pass) = minute_and_pass(|stage, n, paint| {
        stage.frame(n, |x, y, light| {
            let sign = (200..260).contains(&x) && (20..50).contains(&y) && (x / 6 + y / 6) % 2 == 0;
            if sign && n / 8 % 2 == 0 { 220.0 } else { paint(x, y, light) }
        })
    });
    assert!(open <= 0.13, "open {open}");
    assert!(pass[3..].iter().all(|a| *a), "{pass:?}");
}

#[test]
fn a_minute_of_an_exposure_that_hunts_is_rested() {
    // Up and down by a quarter, each step within half a second, every three seconds.
    let (open, pass) = minute_and_pass(|stage, n, paint| {
        let phase = (n % 75) as f32 / 12.0;
        let much = if n / 75 % 2 == 0 { phase.min(1.0) } else { 1.0 - phase.min(1.0) };
        stage.frame(n, |x, y, light| paint(x, y, light) * (0.85 + 0.25 * much))
    });
    assert!(open <= 0.1, "open {open}");
    assert!(pass[3..].iter().all(|a| *a), "{pass:?}");
}
