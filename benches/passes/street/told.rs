//! What was to be read, where and from when on.

use super::Clip;
use super::film::{Film, around};

/// Width from which on a plate can be read, pixels: what `docs/models.md` measures of the shipped reader.
pub const NEEDS_PX: f32 = 45.0;

/// For how long it must stay so: a shorter glimpse does not count, seconds.
pub const HOLDS_S: f32 = 0.2;

/// A pass as it was.
#[derive(Debug, Clone)]
pub struct Truth {
    /// What the plate says.
    pub text: String,
    /// Whose layout it is.
    pub region: &'static str,
    /// When the plate's middle is first in the picture.
    pub begin_s: f32,
    /// When it is last.
    pub end_s: f32,
    /// **Legible**: the first frame in which the plate is wholly in the picture, nothing is before it and it is at least
    /// [`NEEDS_PX`] wide, and from which on that stays so for [`HOLDS_S`] or longer. Smear, noise and coding are not looked
    /// at: a pass that they spoil is legible all the same. `None` when there is no such frame.
    pub legible_from_s: Option<f32>,
    /// Each frame in which the plate's middle is in the picture.
    pub seen: Vec<Seen>,
}

/// A vehicle in a frame; pixels.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which frame.
    pub frame: usize,
    /// Its time, seconds.
    pub at_s: f32,
    /// The plate's corners: top left, top right, bottom right, bottom left.
    pub plate: [(f32, f32); 4],
    /// How wide the plate is.
    pub width: f32,
    /// Something is before it, in part or whole.
    pub hidden: bool,
    /// The whole plate is in the picture.
    pub whole: bool,
    /// The vehicle's box: left, top, right, bottom; it may reach out of the picture.
    pub vehicle: [f32; 4],
}

/// What a clip's passes were, in the clip's order; what a spoilt camera did to them later is not told.
pub fn truth(clip: &Clip) -> Vec<Truth> {
    truth_of(&Film::new(clip))
}

/// The same of a film that is there already.
pub fn truth_of(film: &Film) -> Vec<Truth> {
    let (clip, camera) = (film.clip(), film.camera());
    let (w, h) = (clip.size.0 as f32, clip.size.1 as f32);
    let tell = |mover: &super::film::Mover| {
        let seen: Vec<Seen> = (0..clip.count())
            .filter_map(|frame| {
                let at_s = clip.at(frame);
                let plate = mover.plate(camera, at_s)?;
                let [left, top, right, bottom] = around(&plate);
                let (x, y) = (f32::midpoint(left, right), f32::midpoint(top, bottom));
                let [a, b, c, d] = plate;
                (x > 0.0 && x < w && y > 0.0 && y < h).then_some(())?;
                Some(Seen {
                    frame,
                    at_s,
                    plate,
                    width: f32::midpoint((b.0 - a.0).hypot(b.1 - a.1), (c.0 - d.0).hypot(c.1 - d.1)),
                    hidden: mover.hidden(camera, at_s),
                    whole: left >= 1.0 && top >= 1.0 && right <= w - 1.0 && bottom <= h - 1.0,
                    vehicle: mover.bounds(camera, at_s)?,
                })
            })
            .collect();
        Truth {
            text: mover.vehicle.plate.text.clone(),
            region: mover.vehicle.plate.region,
            begin_s: seen.first().map_or(0.0, |s| s.at_s),
            end_s: seen.last().map_or(0.0, |s| s.at_s),
            legible_from_s: legible(&seen, clip.fps),
            seen,
        }
    };
    film.movers().iter().map(tell).collect()
}

fn legible(seen: &[Seen], fps: u32) -> Option<f32> {
    let holds = (HOLDS_S * fps as f32).ceil() as usize;
    // Half a pixel is the error of the way's two ends.
    let good = |s: &Seen| s.whole && !s.hidden && s.width >= NEEDS_PX - 0.5;
    let runs = seen.windows(holds.max(1)).find(|run| {
        run.iter().all(good) && run.last().map(|s| s.frame) == run.first().map(|s| s.frame + run.len() - 1)
    });
    runs.and_then(|run| run.first()).map(|s| s.at_s)
}
