//! The passes of the bar: fixed seeds, hard in every way that the bar names.

use super::super::Rng;
use super::{Clip, Pass, Spoil};

/// Clips of one pass each: plate 45 to 70 pixels wide, hidden for 30 % of the pass by a sign, coded with a factor of 30 to
/// 35; vehicles, speeds (roughly 15 to 60 km/h), lanes, regions and both directions vary. The exposure smears the plate by 3
/// to 6 pixels where it is widest, and by the vehicle's speed in the picture elsewhere (about half as much where the plate
/// is 45 pixels wide).
pub fn bar_passes(count: usize) -> Vec<Clip> {
    (0..count as u64).map(|n| bar_pass(n, false)).collect()
}

/// The same with that smear all the way: at 6 pixels no letter of a plate 45 pixels wide (6 pixels high) is left to be seen,
/// so not all of these can be read by anybody. To tell how far a reader comes.
pub fn smeared_passes(count: usize) -> Vec<Clip> {
    (0..count as u64).map(|n| bar_pass(n, true)).collect()
}

/// The one of this number: those of the bar begin with 0, those from 1000 on are for tuning.
pub fn bar_pass(n: u64, even_blur: bool) -> Clip {
    let mut rng = Rng::new(n, 0xba5);
    let (far, near) = (rng.between(45.0, 51.0), rng.between(60.0, 70.0));
    let away = rng.chance(0.4);
    let lasts_s = rng.between(0.9, 2.2);
    let pass = Pass {
        seed: 6_000_000 + n,
        from_s: 2.2,
        lasts_s,
        plate_px: if away { (near, far) } else { (far, near) },
        hidden: 0.3,
        blur_px: rng.between(3.0, 6.0),
        even_blur,
        stands: false,
        lane: [-1, 0, 1][rng.below(3)],
        away,
        region: None,
    };
    Clip {
        seconds: 2.2 + lasts_s + 1.4,
        seed: 60_000 + n,
        passes: vec![pass],
        spoil: Spoil { noise: rng.between(1.0, 2.5), ..Spoil::default() },
        crf: 30 + rng.below(6) as u32,
        ..Clip::default()
    }
}
