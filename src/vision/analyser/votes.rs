//! What the looks at one vehicle say together: its class and its colour.
//!
//! A look counts by the detector's score and by how much of the vehicle it shows: pixels up to some hundred across, and
//! half where the frame's edge cuts it. So the best crops of a pass decide, and the many far ones before them hardly
//! count. Frames of one vehicle make the same mistakes together: a class is never surer than its best look. Colours are
//! looked at in a track's best crops only, so that they cost 0.2 ms now and then (`docs/performance.md`) and nothing else.

use super::vehicles::SeenVehicle;
use crate::domain::{Class, Detection, Rect, VehicleColour};
use crate::vision::colour::{self, Scene, Shares};

/// Side of a vehicle (the root of its area) from which more pixels add nothing, and how near to the frame's edge it counts
/// as cut, pixels.
const FULL_SIDE: f32 = 96.0;
const EDGE: f32 = 2.0;

/// What a cut vehicle's look is worth.
const CUT: f32 = 0.5;

/// Logit of the probability that a vehicle's class is right, by the score: fitted on the street stills that `objects-1`'s
/// training set aside, and the most that it may be.
const RIGHT: (f32, f32) = (-3.4, 10.4);
const MOST: f32 = 0.97;

/// A crop's colour is looked at when it is so much better than the best before, or nearly as good and few were.
const BETTER: f32 = 1.15;
const AS_GOOD: f32 = 0.7;
const FEW: u8 = 4;

/// Crops that are worth less than this share of the best say nothing of the colour any more.
const FAR: f32 = 0.5;

/// The votes on one vehicle.
#[derive(Debug)]
pub(super) struct Tally {
    pub track: u32,
    /// By class: the sum of what its looks were worth, and the best probability that one gave it.
    classes: Vec<(Class, f32, f32)>,
    /// Shares of the colours, each times its crop's worth; their sum; and the worth of the best crop and how many were
    /// looked at about as good.
    colours: Shares,
    weight: f32,
    best: f32,
    tries: u8,
    /// Where it was seen first.
    pub first: Rect,
}

/// Probability that the class of a detection of this score is right.
fn probability(score: f32) -> f32 {
    let (at_zero, slope) = RIGHT;
    let odds = (at_zero + slope * score).exp();
    if odds.is_finite() { (odds / (1.0 + odds)).min(MOST) } else { 0.0 }
}

/// What a look at `rect` in a frame of this size is worth, 0..1.
fn worth(score: f32, rect: &Rect, (width, height): (f32, f32)) -> f32 {
    let area = rect.area().max(0.0) / (FULL_SIDE * FULL_SIDE);
    let cut = rect.x1 < EDGE || rect.y1 < EDGE || rect.x2 > width - EDGE || rect.y2 > height - EDGE;
    let score = if score.is_finite() { score.clamp(0.0, 1.0) } else { 0.0 };
    // Never nothing: a vehicle that is only ever seen so has a class all the same.
    (score * area.min(1.0) * if cut { CUT } else { 1.0 }).max(1e-4)
}

impl Tally {
    pub(super) fn new(track: u32, first: Rect) -> Self {
        Self { track, classes: Vec::new(), colours: [0.0; _], weight: 0.0, best: 0.0, tries: 0, first }
    }

    /// Takes in a detection; `rivals` are those of another class at the same place.
    pub(super) fn add<'a>(
        &mut self,
        seen: &Detection,
        rivals: impl Iterator<Item = &'a Detection>,
        scene: &Scene<'_>,
        size: (f32, f32),
    ) {
        let worth = worth(seen.score, &seen.rect, size);
        self.vote(seen.class, worth, probability(seen.score));
        for rival in rivals {
            self.vote(rival.class, worth * rival.score / seen.score.max(rival.score), probability(rival.score));
        }
        if self.wants_colour(worth) && self.class().is_some_and(|(class, _)| colour::has_colour(class)) {
            self.look(worth, scene.shares(&seen.rect));
        }
    }

    fn vote(&mut self, class: Class, worth: f32, probability: f32) {
        match self.classes.iter_mut().find(|c| c.0 == class) {
            Some((_, sum, best)) => (*sum, *best) = (*sum + worth, best.max(probability)),
            None => self.classes.push((class, worth, probability)),
        }
    }

    /// The class with most votes, and the probability that it is right: its share of them times the best look's.
    pub(super) fn class(&self) -> Option<(Class, f32)> {
        let (class, most, probability) = self.classes.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let all: f32 = self.classes.iter().map(|c| c.1).sum();
        Some((class, probability * most / all.max(f32::MIN_POSITIVE)))
    }

    fn wants_colour(&self, worth: f32) -> bool {
        worth >= BETTER * self.best || (self.tries < FEW && worth >= AS_GOOD * self.best)
    }

    fn look(&mut self, worth: f32, shares: Option<Shares>) {
        if worth >= BETTER * self.best {
            self.tries = 0;
        }
        if worth * FAR >= self.best {
            (self.colours, self.weight) = ([0.0; _], 0.0);
        }
        self.best = self.best.max(worth);
        self.tries = self.tries.saturating_add(1);
        let Some(shares) = shares else { return };
        self.weight += worth;
        for (sum, share) in self.colours.iter_mut().zip(shares) {
            *sum += worth * share;
        }
    }

    /// Its colour, where that is sure enough to be told.
    pub(super) fn colour(&self) -> Option<VehicleColour> {
        let weight = self.weight.max(f32::MIN_POSITIVE);
        self.class().filter(|(class, _)| colour::has_colour(*class))?;
        colour::best(&self.colours.map(|sum| sum / weight))
    }

    /// What is known of it after `detection`.
    pub(super) fn seen(&self, detection: &Detection, confirmed: bool) -> Option<SeenVehicle> {
        let (class, confidence) = self.class()?;
        let (track, first, colour) = (self.track, self.first, self.colour());
        Some(SeenVehicle { track, detection: detection.clone(), class, confidence, colour, first, confirmed })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{Colour, Frame, TimeMs};
    use crate::vision::Seen;

    /// A green field with a vehicle of `rgb` at `rect`.
    fn painted(rgb: [u8; 3], rect: &Rect) -> Frame {
        let inside = |x: u32, y: u32| {
            let (x, y) = (f32::from(u16::try_from(x).unwrap()), f32::from(u16::try_from(y).unwrap()));
            (rect.x1..rect.x2).contains(&x) && (rect.y1..rect.y2).contains(&y)
        };
        let pixel = |n: u32| if inside(n % 640, n / 640) { rgb } else { [70, 120, 60] };
        let bytes: Vec<u8> = (0..640 * 360).flat_map(pixel).collect();
        let (format, pixels) = OwnedI420::from_rgb(&bytes, 640, 360);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    fn detection(class: Class, score: f32, rect: Rect) -> Detection {
        Detection { class, score, rect, corners: None }
    }

    fn add(tally: &mut Tally, rgb: [u8; 3], seen: &Detection, rivals: &[Detection]) {
        let frame = painted(rgb, &seen.rect);
        let shown = Seen::unmasked(&frame);
        tally.add(seen, rivals.iter(), &Scene::of(&shown), (640.0, 360.0));
    }

    #[test]
    fn one_good_crop_outweighs_many_far_ones() {
        let (far, near) = (Rect::new(300.0, 100.0, 326.0, 126.0), Rect::new(200.0, 100.0, 400.0, 280.0));
        let mut tally = Tally::new(1, far);
        for _ in 0..8 {
            add(&mut tally, [20, 40, 160], &detection(Class::Truck, 0.7, far), &[]);
        }
        assert_eq!(tally.class().unwrap().0, Class::Truck);
        add(&mut tally, [190, 20, 25], &detection(Class::Car, 0.9, near), &[]);
        let (class, confidence) = tally.class().unwrap();
        assert!(class == Class::Car && (0.5..0.97).contains(&confidence), "{class} {confidence}");
        assert_eq!(tally.colour().unwrap().colour, Colour::Red);
    }

    #[test]
    fn another_class_at_the_same_place_takes_its_share() {
        let rect = Rect::new(200.0, 100.0, 400.0, 280.0);
        let told = |rivals: &[Detection]| {
            let mut tally = Tally::new(1, rect);
            add(&mut tally, [190, 20, 25], &detection(Class::Truck, 0.8, rect), rivals);
            tally.class().unwrap()
        };
        let (class, alone) = told(&[]);
        let (same, doubted) = told(&[detection(Class::Bus, 0.6, rect)]);
        assert_eq!((class, same), (Class::Truck, Class::Truck));
        assert!(alone > 0.95 && (0.5..0.6).contains(&doubted), "{alone} {doubted}");
    }

    #[test]
    fn a_vehicle_that_the_edge_cuts_counts_half_and_no_colour_is_told_of_persons_and_motorbikes() {
        let size = (640.0, 360.0);
        let (whole, cut) = (Rect::new(10.0, 10.0, 200.0, 200.0), Rect::new(0.0, 10.0, 190.0, 200.0));
        assert!((worth(0.8, &whole, size) - 2.0 * worth(0.8, &cut, size)).abs() < 1e-6);
        for class in [Class::Motorbike, Class::Person] {
            let mut tally = Tally::new(1, whole);
            add(&mut tally, [190, 20, 25], &detection(class, 0.9, whole), &[]);
            assert_eq!(tally.colour(), None);
        }
    }
}
