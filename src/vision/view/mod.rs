//! A camera's health by its picture: hard cuts, and a view that is frozen, black, blinded, out of focus or another.
//!
//! | file | what it says |
//! |---|---|
//! | [`glance`] | every frame: did the picture change at once? |
//! | [`small`] | the picture at 320 samples, how light it is |
//! | [`frozen`] | the same picture for longer than the camera ever gives it |
//! | [`sharp`] | how sharp it is against what is usual |
//! | [`edges`], [`register`] | where a view is in another picture of it |
//! | [`reference`](mod@reference) | what the view is, in the lights that there were |
//! | [`hold`] | nothing is said or taken back for a moment's sake |
//!
//! [`View::step`] gets every frame before the gate rests on it, with the camera's masks: what they hide is in no measure, no
//! reference and no picture. A few times a second it takes a proper look; between those it only glances. What is
//! wrong, and that it is over, comes by [`View::take_news`], each with a picture: the reference at the left, now at the right.
//!
//! Runs on the thread of the camera. Works with a frame every two seconds (idle decoding) as well as with 25 a second. Left
//! out: dirt on the lens, a part of the view that is covered, interlacing, wrong colours.

mod edges;
mod frozen;
mod glance;
mod hold;
mod reference;
mod register;
mod sharp;
mod small;

use std::time::Duration;

use self::edges::Edges;
use self::frozen::{Frozen, Longest};
use self::glance::{Change, Glance};
use self::hold::Hold;
pub use self::reference::Kept;
use self::reference::{Reference, Standing, rounded};
use self::register::{LEAST, Similarity, in_place};
use self::sharp::Sharpness;
use self::small::{Light, PARTS, Shrink};
use super::mask::Mask;
use super::{Error, pictures};
use crate::domain::{Frame, Polygon, TimeMs};

/// Time between two looks, and between two checks of where the view is.
const LOOK_EVERY: Duration = Duration::from_millis(400);
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// A longer gap between frames, or a time that goes back, is another stream.
const LONGEST_GAP: Duration = Duration::from_secs(30);
/// In which times the means of the picture follow, seconds: the short one and the long one.
const MEAN_OF: [f32; 2] = [1.5, 8.0];
/// How long a hard cut is told of, where the view comes back or nothing else is wrong.
const CUT_FOR: Duration = Duration::from_mins(1);
/// Share of the blocks that a hard cut leaves in their places at most, and that must have been in theirs at the look before:
/// where noise is all the texture, nothing is like anything.
const CUT: f32 = 0.15;
const LIKE: f32 = 0.4;
/// The same where the view is the same and what moves in it is all at once elsewhere, between frames as close as that.
const JUMP: f32 = 0.93;
const CLOSE: Duration = Duration::from_millis(200);
const CUT_WORDS: &str = "hard cut: the scene changed at once";
const JUMP_WORDS: &str = "hard cut: what moves in the scene jumped";
/// How long it must be black when it became so at once, when the light went by and by, and light again.
const BLACK: (Duration, Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1), Duration::from_secs(10));
/// From light with texture to black within this time is at once.
const AT_ONCE: Duration = Duration::from_secs(5);
const BLINDED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long the view must be found elsewhere, found nowhere, and found in its place again.
const MOVED: Duration = Duration::from_secs(5);
const NOWHERE: Duration = Duration::from_mins(1);
const BACK: Duration = Duration::from_secs(5);
/// Least spread of a picture that shows anything, levels.
const SHOWS: f32 = 20.0;
/// Mean level below which it is dark.
const DARK: f32 = 40.0;
/// Mean saturation below which a picture is grey, and above which it is in colour.
const GREY: (f32, f32) = (2.0, 3.5);

/// What can be wrong with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The scene changed at once.
    Cut,
    /// The same picture again and again.
    Frozen,
    /// Black: the lens is covered, or there is no light.
    Black,
    /// White.
    Blinded,
    /// Out of focus.
    Defocused,
    /// The camera was moved.
    Moved,
}

/// Something went wrong, or is over.
#[derive(Debug, Clone)]
pub struct News {
    /// What.
    pub trouble: Trouble,
    /// Time of the frame that decided it.
    pub at: TimeMs,
    /// What is wrong, in an installer's words, at most 120 bytes; `None`: it is over.
    pub why: Option<String>,
    /// JPEG: the reference at the left and the frame at the right, without what masks hide.
    pub picture: Option<Vec<u8>>,
}

/// The kind of light: infrared or colour, bright or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lighting {
    grey: bool,
    dark: bool,
}

impl Lighting {
    fn index(self) -> usize {
        usize::from(self.byte())
    }

    fn byte(self) -> u8 {
        u8::from(self.grey) + 2 * u8::from(self.dark)
    }

    fn from_index(index: u8) -> Self {
        Self { grey: index & 1 == 1, dark: index & 2 == 2 }
    }
}

/// Whether masks, zones and lines lie where they were drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The camera was moved, or its view was not found since a hard cut.
    pub is_elsewhere: bool,
    /// UTC of the newest frame in which the view was found in its place; `None`: it was not yet.
    pub in_place: Option<TimeMs>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct View {
    grid: Shrink,
    glance: Glance,
    /// Of another start, until the size of the frames is known.
    kept: Option<Kept>,
    reference: Reference,
    frozen: Frozen,
    sharpness: Sharpness,
    /// Samples of this look and the last one.
    samples: Vec<u16>,
    before: Vec<u16>,
    earlier: Vec<u16>,
    /// The samples before a frame that may have jumped, and its place in the stream.
    aside: Option<(Duration, Vec<u16>)>,
    /// The means of the last seconds, levels: the short one and the long one.
    means: [Vec<f32>; 2],
    times: Times,
    lighting: Lighting,
    black: Hold,
    blinded: Hold,
    moved: Hold,
    nowhere: Hold,
    standing: Option<Standing>,
    /// A hard cut is told of until then.
    cut_until: Option<Duration>,
    /// The view has not been found since a hard cut.
    in_doubt: bool,
    /// UTC of the newest frame in which the view was found in its place.
    in_place: Option<TimeMs>,
    news: Vec<News>,
}

/// Places in the stream.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    last: Option<Duration>,
    looked: Option<Duration>,
    checked: Option<Duration>,
    /// When it showed something in good light.
    lit: Option<Duration>,
}

impl View {
    /// A view of which `kept` is known from another start.
    #[must_use]
    pub fn new(kept: Option<Kept>) -> Self {
        Self { kept, ..Self::default() }
    }

    /// Looks at a frame. True: a hard cut lies between the frame before and this one, and nothing may be joined across it.
    ///
    /// # Errors
    /// What [`Mask::apply`] says, and [`Error::ShortFrame`].
    pub fn step(&mut self, frame: &Frame, mask: &Mask) -> Result<bool, Error> {
        let (at, size) = (frame.pts, (frame.format.width, frame.format.height));
        let gap = self.times.last.map(|last| at.checked_sub(last));
        if self.grid.size != size {
            self.resize(size, mask, at);
        } else if gap.is_none_or(|gap| gap.is_none_or(|gap| gap > LONGEST_GAP)) {
            self.begin(at);
        }
        self.times.last = Some(at);
        let change = self.glance.take(&frame.luma());
        let is_close = gap.flatten().is_some_and(|gap| gap <= CLOSE);
        let jumped = change == Change::Another || (change == Change::Jumped && is_close && self.cut_until.is_none());
        let due = self.times.looked.is_none_or(|then| at.saturating_sub(then) >= LOOK_EVERY);
        if !due && !jumped {
            return Ok(false);
        }
        let short = Error::ShortFrame { index: frame.index, width: size.0, height: size.1 };
        std::mem::swap(&mut self.before, &mut self.earlier);
        std::mem::swap(&mut self.samples, &mut self.before);
        self.grid.take(&frame.luma(), &mut self.samples).ok_or(short)?;
        let since = self.times.looked.replace(at).map(|then| at.saturating_sub(then));
        let cut = jumped && since.is_some() && self.look_for_cut(change, frame, mask)?;
        self.follow(if cut { None } else { since });
        self.look(frame, mask, cut)?;
        Ok(cut)
    }

    /// What is new since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The pictures of the view and what was learnt of it, when they changed since the last call.
    pub fn take_kept(&mut self) -> Option<Kept> {
        self.reference.take_changed(&self.grid).map(|kept| self.with_learnt(kept))
    }

    /// The same, whether they changed or not; `None` when there is nothing to keep.
    #[must_use]
    pub fn kept(&self) -> Option<Kept> {
        self.reference.is_known().then(|| self.with_learnt(self.reference.kept(&self.grid)))
    }

    fn with_learnt(&self, kept: Kept) -> Kept {
        let longest = self.frozen.longest;
        kept.with_learnt(self.sharpness.usual, (longest.still, longest.quiet))
    }

    /// Whether masks and zones may lie wrong: the camera was moved, or its view was not found since a hard cut.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.moved.is() || self.nowhere.is() || self.in_doubt
    }

    /// That, and when the view was found in its place: what was seen since may already be of another.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts { is_elsewhere: self.is_elsewhere(), in_place: self.in_place }
    }

    /// The stream begins anew: nothing is compared across that but the view.
    pub fn begin_stream(&mut self) {
        self.times = Times::default();
    }

    fn resize(&mut self, size: (u32, u32), mask: &Mask, at: Duration) {
        let masks = mask.spans(size.0, size.1);
        let kept = self.kept.take().or_else(|| self.kept());
        let grid = Shrink::of(size, &masks);
        self.glance = Glance::of(size, &masks);
        self.reference = kept.as_ref().map(|kept| Reference::restored(kept, &grid)).unwrap_or_default();
        self.grid = grid;
        if let Some(kept) = &kept {
            let (usual, (still, quiet)) = kept.learnt();
            self.sharpness.usual = usual;
            self.frozen.longest = Longest { still, quiet };
        }
        self.begin(at);
    }

    fn begin(&mut self, at: Duration) {
        self.times = Times::default();
        self.samples.clear();
        self.before.clear();
        self.earlier.clear();
        self.means.iter_mut().for_each(Vec::clear);
        self.glance.begin();
        self.reference.begin();
        self.sharpness.begin();
        self.frozen.begin(at, self.grid.width, self.grid.height);
        [&mut self.black, &mut self.blinded, &mut self.moved, &mut self.nowhere].into_iter().for_each(Hold::begin);
        // What was told of a cut is over with the stream that it was in.
        self.cut_until = self.cut_until.map(|_| at);
    }

    /// Whether the picture is another than at the last look: nothing of that is in its place.
    fn look_for_cut(&mut self, change: Change, frame: &Frame, mask: &Mask) -> Result<bool, Error> {
        let levels = |samples: &[u16]| samples.iter().map(|s| f32::from(*s) / f32::from(PARTS)).collect::<Vec<_>>();
        let edges = |levels: &[f32]| Edges::of(levels, &self.grid.open, self.grid.width);
        // The look at the frame that jumped has taken the place of the one before it.
        let aside =
            self.aside.take().filter(|(at, _)| change == Change::Jumped && frame.pts.saturating_sub(*at) <= CLOSE);
        let before = aside.map_or_else(|| levels(&self.before), |(_, before)| levels(&before));
        let now = levels(&self.samples);
        let (edges_before, edges_now) = (edges(&before), edges(&now));
        let blocks = edges_before.blocks();
        if blocks.len() < LEAST || edges_now.blocks().len() < LEAST {
            return Ok(false);
        }
        let left = in_place(&edges_before, &blocks, &edges_now, 3).share();
        let most = if change == Change::Jumped { JUMP } else { CUT };
        if left > most || self.lighting.grey != grey(frame, self.lighting.grey) {
            self.aside = (change == Change::Another).then(|| (frame.pts, self.before.clone()));
            return Ok(false);
        }
        if change == Change::Another {
            let edges_earlier = edges(&levels(&self.earlier));
            let is_like = self.earlier.len() == self.before.len()
                && in_place(&edges_before, &blocks, &edges_earlier, 3).share() >= LIKE;
            if !is_like {
                return Ok(false);
            }
        }
        let same_view = self.reference.is_in_place(&edges_now);
        let was_elsewhere = self.is_elsewhere();
        // A view that comes back is news of another kind, but nothing is joined across it either.
        let is_moved = change == Change::Another && !same_view && self.reference.is_found(&edges_now);
        self.in_doubt |= is_moved;
        // So is one that lies elsewhere in the picture now: that is told as such, a little later.
        if (!same_view && !is_moved) || change == Change::Jumped {
            self.cut_until = Some(frame.pts + CUT_FOR);
            self.in_doubt |= self.reference.is_known() && !same_view && change == Change::Another;
            let left: Vec<u8> = before.iter().map(|l| rounded(*l)).collect();
            let left = Some(left.as_slice()).filter(|_| !(was_elsewhere && is_masked(mask, frame)));
            let picture = self.pair(left, frame, mask, true)?;
            let why = if change == Change::Jumped { JUMP_WORDS } else { CUT_WORDS }.to_owned();
            self.news.push(News { trouble: Trouble::Cut, at: frame.at, why: Some(why), picture });
        }
        Ok(true)
    }

    /// Takes the samples into the means of the last seconds, `since` after the last.
    fn follow(&mut self, since: Option<Duration>) {
        for (mean, seconds) in self.means.iter_mut().zip(MEAN_OF) {
            let levels = self.samples.iter().map(|s| f32::from(*s) / f32::from(PARTS));
            let Some(since) = since.filter(|_| mean.len() == levels.len()) else {
                mean.clear();
                mean.extend(levels);
                continue;
            };
            let share = 1.0 - (-since.as_secs_f32() / seconds).exp();
            mean.iter_mut().zip(levels).for_each(|(mean, level)| *mean += share * (level - *mean));
        }
    }

    fn look(&mut self, frame: &Frame, mask: &Mask, cut: bool) -> Result<(), Error> {
        let at = frame.pts;
        if cut {
            self.sharpness.begin();
            self.frozen.begin(at, self.grid.width, self.grid.height);
            self.reference.begin();
            (self.times.checked, self.standing) = (None, None);
        }
        let Some(light) = Light::of(&self.samples, &self.grid, frame.format.full_range) else { return Ok(()) };
        self.lighting = Lighting { grey: grey(frame, self.lighting.grey), dark: light.mean < DARK };
        self.look_at_light(frame, mask, light)?;
        let shows = !self.black.is() && !light.is_black() && !light.is_blinded() && light.high - light.low > SHOWS;
        if shows {
            let change = self.frozen.step(at, &self.samples, self.grid.width);
            let still = at.saturating_sub(self.frozen.since()).as_secs();
            let why = || format!("picture frozen: the same for {still} s although frames come");
            let first = change.map(|_| std::mem::take(&mut self.frozen.first));
            let first: Option<Vec<u8>> =
                first.map(|first| first.iter().map(|s| rounded(f32::from(s / PARTS))).collect());
            self.tell(Trouble::Frozen, change, why, first.as_deref(), (frame, mask))?;
        }
        if shows && !self.frozen.is() {
            self.look_for_view(frame, mask)?;
            self.look_at_sharpness(frame, mask)?;
        }
        self.end_cut(at, frame.at);
        Ok(())
    }

    fn look_at_light(&mut self, frame: &Frame, mask: &Mask, light: Light) -> Result<(), Error> {
        let at = frame.pts;
        let is_black = light.is_black();
        if !is_black && light.high - light.low > 1.5 * SHOWS {
            self.times.lit = Some(at);
        }
        let at_once = self.times.lit.is_some_and(|then| at.saturating_sub(then) <= AT_ONCE + BLACK.0);
        let on = if at_once { BLACK.0 } else { BLACK.1 };
        let change = self.black.step(at, Some(is_black), (on, BLACK.2));
        let why = || "picture black: the lens is covered, or there is no light".to_owned();
        self.tell(Trouble::Black, change, why, None, (frame, mask))?;
        let change = self.blinded.step(at, Some(light.is_blinded()), BLINDED);
        let why = || format!("picture blinded: {:.0} % of it is white", light.clipped * 100.0);
        self.tell(Trouble::Blinded, change, why, None, (frame, mask))
    }

    fn look_at_sharpness(&mut self, frame: &Frame, mask: &Mask) -> Result<(), Error> {
        let at = frame.pts;
        let elsewhere = matches!(self.standing, Some(Standing::Moved(_) | Standing::Nowhere)) || self.in_doubt;
        if !self.sharpness.is_due(at) || elsewhere {
            return Ok(());
        }
        let masks = mask.spans(self.grid.size.0, self.grid.size.1);
        let change = self.sharpness.step(at, self.lighting, sharp::measure(&frame.luma(), &masks));
        let share = self.sharpness.share().unwrap_or(0.0) * 100.0;
        let why = || format!("out of focus: {share:.0} % as sharp as this view usually is");
        self.tell(Trouble::Defocused, change, why, None, (frame, mask))
    }

    fn look_for_view(&mut self, frame: &Frame, mask: &Mask) -> Result<(), Error> {
        let at = frame.pts;
        if self.times.checked.is_some_and(|then| at.saturating_sub(then) < CHECK_EVERY) {
            return Ok(());
        }
        self.times.checked = Some(at);
        let may_learn = !self.sharpness.is_unsharp() && !self.blinded.is() && self.cut_until.is_none();
        let now = (self.lighting, frame.at);
        let means = self.means.each_ref().map(Vec::as_slice);
        let standing = self.reference.check(at, means, &self.grid, now, may_learn);
        self.standing = Some(standing);
        let (moved, nowhere) = match standing {
            Standing::Unknown => (None, None),
            Standing::InPlace => (Some(false), Some(false)),
            Standing::Moved(_) => (Some(true), Some(false)),
            Standing::Nowhere => (None, Some(true)),
        };
        if standing == Standing::InPlace {
            (self.in_doubt, self.in_place) = (false, Some(frame.at));
        }
        let was = self.moved.is() || self.nowhere.is();
        let told = self.moved.step(at, moved, (MOVED, BACK));
        let lost = self.nowhere.step(at, nowhere, (NOWHERE, BACK));
        let is = self.moved.is() || self.nowhere.is();
        // Found elsewhere after it was found nowhere is worth telling anew.
        let change = match (was, is) {
            (_, true) if told == Some(true) || lost == Some(true) => Some(true),
            (true, false) => Some(false),
            _ => None,
        };
        let why = || match standing {
            Standing::Moved(by) => moved_by(by, &self.grid),
            _ => "another view than the reference, or something stands before all of it".to_owned(),
        };
        let why = why();
        if change == Some(true) && self.cut_until.take().is_some() {
            self.over(Trouble::Cut, frame.at);
        }
        self.tell(Trouble::Moved, change, || why, None, (frame, mask))
    }

    fn end_cut(&mut self, at: Duration, now: TimeMs) {
        // Where the view was not found since, nothing is as it was, and a masked camera may be stopped: that stays said.
        if self.cut_until.is_some_and(|until| at >= until) && !self.in_doubt {
            self.cut_until = None;
            self.over(Trouble::Cut, now);
        }
    }

    fn over(&mut self, trouble: Trouble, at: TimeMs) {
        self.news.push(News { trouble, at, why: None, picture: None });
    }

    /// Tells of a change, if there is one; `left` is shown beside the frame, the reference where it is absent.
    fn tell(
        &mut self,
        trouble: Trouble,
        change: Option<bool>,
        why: impl FnOnce() -> String,
        left: Option<&[u8]>,
        (frame, mask): (&Frame, &Mask),
    ) -> Result<(), Error> {
        match change {
            Some(true) => {
                let is_elsewhere = self.is_elsewhere();
                let elsewhere = matches!(trouble, Trouble::Cut | Trouble::Moved) || is_elsewhere;
                // What was shown since it looks elsewhere is hidden in the wrong place, too.
                let left = left.filter(|_| !(is_elsewhere && is_masked(mask, frame)));
                let picture = self.pair(left, frame, mask, elsewhere)?;
                self.news.push(News { trouble, at: frame.at, why: Some(why()), picture });
            }
            Some(false) => self.over(trouble, frame.at),
            None => {}
        }
        Ok(())
    }

    /// What was and what is, side by side. `elsewhere`: masks lie wrong in what is, so that a masked camera's is left black.
    fn pair(&self, left: Option<&[u8]>, frame: &Frame, mask: &Mask, elsewhere: bool) -> Result<Option<Vec<u8>>, Error> {
        let left = left.or(self.reference.picture().map(|(levels, _)| levels));
        let all = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])]);
        let shown = if elsewhere && is_masked(mask, frame) { all.apply(frame)? } else { mask.apply(frame)? };
        Ok(pictures::beside(left, self.grid.width, &shown))
    }
}

/// Whether anything of a frame is hidden.
fn is_masked(mask: &Mask, frame: &Frame) -> bool {
    mask.spans(frame.format.width, frame.format.height).share() > 0.0
}

/// Whether a picture has no colours: an infrared one. `was` is what is said of one in between.
fn grey(frame: &Frame, was: bool) -> bool {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for plane in [frame.chroma(1), frame.chroma(2)] {
        for row in (0..plane.height).step_by(8).filter_map(|y| plane.row(y)) {
            let samples = row.iter().step_by(7);
            count += samples.len() as u64;
            sum += samples.map(|s| u64::from(s.abs_diff(128))).sum::<u64>();
        }
    }
    let mean = sum as f32 / count.max(1) as f32;
    if was { mean < GREY.1 } else { mean < GREY.0 }
}

/// By what a view was moved, in words.
fn moved_by(by: Similarity, grid: &Shrink) -> String {
    let share = |samples: f32, of: usize| (samples.abs() / of.max(1) as f32 * 100.0).round();
    let (x, y) = (share(by.x, grid.width), share(by.y, grid.height));
    let mut words = Vec::new();
    if x >= 1.0 {
        words.push(format!("{x:.0} % {}", if by.x > 0.0 { "right" } else { "left" }));
    }
    if y >= 1.0 {
        words.push(format!("{y:.0} % {}", if by.y > 0.0 { "down" } else { "up" }));
    }
    if by.turn().abs() >= 1.0 {
        words.push(format!("turned {:.0}°", by.turn()));
    }
    if (by.zoom() - 1.0).abs() >= 0.02 {
        words.push(format!("zoomed ×{:.2}", by.zoom()));
    }
    if words.is_empty() {
        words.push("a little".to_owned());
    }
    format!("camera moved: its picture lies {}; masks and zones lie wrong", words.join(", "))
}

#[cfg(test)]
mod tests;
