//! The motion gate: rests on a still scene, wakes with the first frame in which something moves.
//!
//! Looks at the luma of every frame through a grid of small cells ([`cells`]) and holds their means against a
//! background that it keeps ([`scene`]): what creeps is seen as well as what races. It is awake for the frame that moved
//! and for a while after it, the longer the longer it moved: a flicker costs a third of a second, a vehicle that passed
//! a second, one that stopped two. It looks every two seconds anyway, and every five after long stillness.
//!
//! What is under a privacy mask or outside the region of interest never wakes it. What keeps moving where nothing is ever
//! found (leaves, flags) is learnt within seconds and forgotten within minutes. A change of the whole picture, such as a
//! lamp, a step of the exposure or an infrared filter, wakes it briefly; rain, snow and a light that flickers are overlooked
//! within seconds ([`weather`]), and what is clearly larger than their traces still wakes it. Called for every frame by the analyser, on its
//! thread; costs are in `benches/gate.rs`. Left out: shadows of clouds wake it.

mod cells;
mod scene;
mod weather;

use std::time::Duration;

use self::cells::Cells;
use self::scene::Scene;
use super::mask::Spans;
use crate::domain::{Class, Detection, Frame, Polygon, Rect};

/// Awake after a start, while the background is learnt.
const WARM_UP: Duration = Duration::from_secs(2);

/// Awake after what moved for an instant, and at most.
const HOLD: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(1));

/// A look is taken after this long without one; when nothing has moved for longer than the second, after the third.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LONG_CALM: Duration = Duration::from_secs(10);
const LOOK_SELDOM: Duration = Duration::from_secs(5);

/// A longer gap between frames, or a time that goes back, is another stream.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// The gate of one camera.
#[derive(Debug, Default)]
pub struct Gate {
    size: (u32, u32),
    cells: Cells,
    scene: Scene,
    times: Times,
}

/// When it began, moved and looked: places in the stream.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    last: Duration,
    looked: Duration,
    /// When what moves now began to.
    burst: Duration,
    awake_until: Duration,
}

impl Gate {
    /// Whether `frame` is to be analysed. `restless`: the analyser has something under way and wants to see on.
    ///
    /// `masks` and `roi` say what is not watched. `None` when the frame holds less luma than its format says.
    pub fn is_awake(&mut self, frame: &Frame, masks: &Spans, roi: &[Polygon], restless: bool) -> Option<bool> {
        let at = frame.pts;
        let size = (frame.format.width, frame.format.height);
        let gap = at.checked_sub(self.times.last);
        let anew = self.size != size || gap.is_none_or(|gap| gap > LONGEST_GAP);
        if anew {
            self.begin(size, masks, roi);
        }
        self.cells.measure(&frame.luma())?;
        let moved = if anew {
            self.scene.begin(self.cells.means());
            self.times = Times { last: at, looked: at, burst: at, awake_until: at + WARM_UP };
            false
        } else {
            self.scene.update(self.cells.means(), gap.unwrap_or_default().as_secs_f32())
        };
        let times = &mut self.times;
        times.last = at;
        if moved {
            if at > times.awake_until {
                times.burst = at;
            }
            let hold = (at.saturating_sub(times.burst) * 2).clamp(HOLD.0, HOLD.1);
            times.awake_until = times.awake_until.max(at + hold);
        }
        let every = if at.saturating_sub(times.awake_until) > LONG_CALM { LOOK_SELDOM } else { LOOK_EVERY };
        let awake = restless || at <= times.awake_until || at.saturating_sub(times.looked) >= every;
        if awake {
            times.looked = at;
        }
        Some(awake)
    }

    /// Whether nothing has moved for a while, up to the last frame.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.times.last > self.times.awake_until
    }

    /// Says what was found in the frame that was just analysed: what moves there is worth waking for.
    pub fn found<'a>(&mut self, found: impl IntoIterator<Item = &'a Detection>) {
        for Detection { class, rect, .. } in found {
            // A plate stands for its vehicle, which is some four times as wide. A vehicle stands for itself and for the
            // way that it goes until it is looked for again.
            let sides = if *class == Class::Plate { 3.0 } else { 0.5 };
            let around = rect.grown(sides * rect.width().max(rect.height()));
            self.cells.each_in(&around, |cell| self.scene.excuse(cell));
        }
    }

    /// The cells in which something moved in the last frame, pixels.
    pub fn lit(&self) -> impl Iterator<Item = Rect> {
        self.scene.fired().map(|cell| self.cells.rect(cell))
    }

    fn begin(&mut self, size: (u32, u32), masks: &Spans, roi: &[Polygon]) {
        self.size = size;
        self.cells = Cells::of(size.0 as usize, size.1 as usize);
        let inside = Spans::of(roi, size.0, size.1);
        let ((w, h), watch) =
            (self.cells.size(), |x, y, w, h| !masks.meets(x, y, w, h) && (roi.is_empty() || inside.meets(x, y, w, h)));
        let watched = self.cells.corners().map(|(x, y)| watch(x, y, w, h)).collect();
        self.scene = Scene::new(watched, self.cells.columns());
    }
}

#[cfg(test)]
mod tests;
