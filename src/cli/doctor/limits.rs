//! What a picture must have to be read: the numbers that the doctor holds a camera against.
//!
//! The width is that of the shipped reader, from the table in `docs/models.md`; the others are estimates that were set so
//! that the causes of the drawn clips in `tests/it/doctor.rs` are named, and not measured apart from those. A reader of
//! one's own may do with less or want more.

use std::time::Duration;

/// Pixels of a plate's width from which nine in ten are read.
pub(super) const WIDTH: f32 = 60.0;

/// Shares of it below which a plate is small: one that was not read, and one that was read all the same.
pub(super) const SMALL: f32 = 0.92;
pub(super) const SMALL_READ: f32 = 0.7;

/// Pixels of its letters' height.
pub(super) const LETTERS: f32 = 8.0;

/// The width of the reader's input that blur is told in: what counts is how much of a letter it covers.
pub(super) const INPUT: f32 = 160.0;

/// Pixels that an edge takes in a sharp picture.
pub(super) const SHARP: f32 = 2.2;

/// What edges may take beyond that, pixels of the reader's input.
pub(super) const SOFT: f32 = 4.5;

/// Smear that a plate may have, pixels of the reader's input.
pub(super) const SMEAR: f32 = 5.0;

/// Luma that the ground of a plate should have, of 255.
pub(super) const GROUND: f32 = 75.0;

/// Contrast of letters and ground, of 255.
pub(super) const CONTRAST: f32 = 40.0;

/// Share of a plate that may be burnt out, and luma of the letters from which they fade with it.
pub(super) const BURNT: f32 = 0.35;
pub(super) const FADED: f32 = 55.0;

/// Degrees of roll or shear.
pub(super) const LEAN: f32 = 14.0;

/// Frames in which a plate is wide enough, a pass.
pub(super) const FRAMES: f32 = 5.0;

/// Standard deviation of noise, of 255, as a share of the contrast of the plates.
pub(super) const NOISE: f32 = 0.12;

/// Share of the frames that may be dropped.
pub(super) const DROPPED: f64 = 0.2;

/// Quantiser of key frames (0 to 51) from which letters go.
pub(super) const QUANTISER: f32 = 38.0;

/// Steps at borders of blocks over those within.
pub(super) const BLOCKS: f32 = 1.6;

/// A scene without plates: its brightest part is darker, more of it is burnt out, its edges are wider.
pub(super) const SCENE_DARK: f32 = 70.0;
pub(super) const SCENE_BURNT: f32 = 0.25;
pub(super) const SCENE_SOFT: f32 = 6.0;

/// Share of the passes that a camera that is well reads.
pub(super) const WELL: f32 = 0.8;

/// Times that shutters are set to, shortest last.
pub(super) const SHUTTERS: [u32; 9] = [50, 100, 200, 250, 500, 1_000, 2_000, 4_000, 8_000];

/// The longest shutter in the usual row that smears a plate of this speed (pixels a second) by at most so many pixels.
pub(super) fn shutter(speed: f32, smear: f32) -> (u32, Duration) {
    // A hair more: 1.5 pixels at 300 a second are 1/200 s.
    let most = f64::from(smear) / f64::from(speed.max(1.0)) * 1.001;
    let fits = |n: &&u32| 1.0 / f64::from(**n) <= most;
    let n = SHUTTERS.iter().find(fits).or(SHUTTERS.last()).copied().unwrap_or(1_000);
    (n, Duration::from_secs_f64(1.0 / f64::from(n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shutter_is_the_longest_usual_one_that_is_short_enough() {
        for (speed, smear, want) in [(10.0, 2.0, 50), (300.0, 1.5, 200), (600.0, 1.5, 500), (1e9, 1.0, 8_000)] {
            assert_eq!(shutter(speed, smear).0, want, "{speed} {smear}");
        }
    }
}
