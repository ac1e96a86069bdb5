//! What a camera's view is: pictures of it in the lights that there were, and whether it still is that view.
//!
//! A picture of the view is the mean of some seconds in which nothing but traffic moved, 320 samples long, grey, with
//! nothing in it of what masks hide: at that size a plate is a few samples and who passes is averaged away. The first
//! of each kind of light (colour or infrared, bright or dark) stays; others are added as the light changes while the
//! view is known to be the same, and the oldest of those goes. So dusk and dawn are followed and no move of the camera
//! is: a picture is added only where the view was found in its place.
//!
//! A light that comes at once may leave nothing that can be compared (a lamp that lights the other half of a yard). There the view
//! is unknown, which is told as nothing, neither moved nor in its place. A picture of it is taken on trial: against
//! that a move shows while the light lasts, and it becomes one of the view when the view is found in its place again.
//!
//! The pictures can be kept over a restart ([`Kept`]): a camera that was turned while the box was off is noticed.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::Lighting;
use super::edges::{Block, Edges};
use super::register::{self, LEAST, Places, Similarity};
use super::small::Shrink;
use crate::domain::TimeMs;

/// Version of [`Kept`].
const VERSION: u8 = 1;
/// Pictures that are kept of each kind of light.
const OF_A_KIND: usize = 4;
/// Checks in which nothing but traffic moved before a picture is taken; one in which more did takes one off.
const STEADY: u32 = 5;
/// Share of the blocks of the long mean that the short one has in their places when that is so.
const SAME: f32 = 0.5;
/// Share of the blocks that were found which must agree on a move where some of the view seems to be in its place.
const AGREED: f32 = 0.6;
/// Share that is found in its place when the view is surely the same, and when it can be.
const SURE: f32 = 0.5;
const PERHAPS: f32 = 0.3;
/// Share below which nothing of the view is there.
const NOTHING: f32 = 0.12;
/// A shift, turn or zoom of a corner by less than this share of the longer side is none.
const FAR: f32 = 0.015;
/// How often the view is looked for when it is not in its place, at first and after some times.
const SEARCH_EVERY: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));
const SOON: u32 = 6;
/// A picture in another light is added at most so often.
const ADD_EVERY: Duration = Duration::from_mins(1);

/// Where the view is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// It can't be said: nothing is known of it yet, or the picture shows too little.
    Unknown,
    /// Where it was.
    InPlace,
    /// Elsewhere in the picture.
    Moved(Similarity),
    /// Nowhere: another view, or something stands before all of it.
    Nowhere,
}

/// The pictures of a view, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Kept {
    #[n(0)]
    version: u8,
    /// Samples across and down.
    #[n(1)]
    size: (u16, u16),
    #[n(2)]
    pictures: Vec<KeptPicture>,
    /// Usual sharpness by the kind of light.
    #[n(3)]
    sharpness: Vec<Option<f32>>,
    /// Longest stillness in seconds: of noise, and of what moves.
    #[n(4)]
    longest_s: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct KeptPicture {
    #[n(0)]
    lighting: u8,
    /// When it was taken.
    #[n(1)]
    at: TimeMs,
    /// A level a sample, row by row.
    #[cbor(n(2), with = "minicbor::bytes")]
    levels: Vec<u8>,
    /// Taken where nothing told whether it was the view.
    #[n(3)]
    on_trial: Option<bool>,
}

impl Kept {
    /// What is learnt beside the pictures.
    pub(super) fn learnt(&self) -> ([Option<f32>; 4], (Duration, Duration)) {
        let mut sharpness = [None; 4];
        sharpness.iter_mut().zip(&self.sharpness).for_each(|(to, from)| *to = *from);
        (sharpness, (Duration::from_secs(self.longest_s.0), Duration::from_secs(self.longest_s.1)))
    }

    pub(super) fn with_learnt(mut self, sharpness: [Option<f32>; 4], longest: (Duration, Duration)) -> Self {
        (self.sharpness, self.longest_s) = (sharpness.to_vec(), (longest.0.as_secs(), longest.1.as_secs()));
        self
    }

    /// Whether this program understands it and it is whole.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let samples = usize::from(self.size.0) * usize::from(self.size.1);
        self.version == VERSION && samples > 0 && self.pictures.iter().all(|p| p.levels.len() == samples)
    }
}

/// A picture of the view.
#[derive(Debug)]
struct Shown {
    lighting: Lighting,
    at: TimeMs,
    levels: Vec<u8>,
    edges: Edges,
    blocks: Vec<Block>,
    /// Taken in a light in which nothing that is known of the view could be compared: it may show another one.
    on_trial: bool,
}

impl Shown {
    fn of(lighting: Lighting, at: TimeMs, levels: Vec<u8>, grid: &Shrink) -> Self {
        let as_real: Vec<f32> = levels.iter().map(|l| f32::from(*l)).collect();
        let edges = Edges::of(&as_real, &grid.open, grid.width);
        let blocks = edges.blocks();
        Self { lighting, at, levels, edges, blocks, on_trial: false }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pictures: Vec<Shown>,
    /// The kind of light, and for how many checks nothing but traffic has moved.
    steady: (Lighting, u32),
    searched: Option<Duration>,
    searches: u32,
    added: Option<Duration>,
    standing: Option<Standing>,
    /// Pictures changed since they were handed out.
    changed: bool,
    /// Which picture was compared with last.
    compared: usize,
    /// When something was last found out, the view was not in its place.
    elsewhere: bool,
    /// That it was moved is known of a picture on trial alone.
    moved_on_trial: bool,
}

impl Reference {
    /// Of what was kept; nothing of it when it is of another shape.
    pub(super) fn restored(kept: &Kept, grid: &Shrink) -> Self {
        let fits = (usize::from(kept.size.0), usize::from(kept.size.1)) == (grid.width, grid.height) && kept.is_sound();
        let pictures = kept.pictures.iter().filter(|_| fits);
        let shown = |p: &KeptPicture| Shown {
            on_trial: p.on_trial == Some(true),
            ..Shown::of(Lighting::from_index(p.lighting), p.at, p.levels.clone(), grid)
        };
        Self { pictures: pictures.map(shown).collect(), ..Self::default() }
    }

    /// The pictures, when they changed since the last call.
    pub(super) fn take_changed(&mut self, grid: &Shrink) -> Option<Kept> {
        std::mem::take(&mut self.changed).then(|| self.kept(grid))
    }

    pub(super) fn kept(&self, grid: &Shrink) -> Kept {
        let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let picture = |p: &Shown| KeptPicture {
            lighting: p.lighting.byte(),
            at: p.at,
            levels: p.levels.clone(),
            on_trial: p.on_trial.then_some(true),
        };
        Kept {
            version: VERSION,
            size: (size(grid.width), size(grid.height)),
            pictures: self.pictures.iter().map(picture).collect(),
            ..Kept::default()
        }
    }

    /// Places in the stream begin anew; the view stays.
    pub(super) fn begin(&mut self) {
        (self.searched, self.added, self.standing, self.searches) = (None, None, None, 0);
        self.steady.1 = 0;
    }

    /// Whether the view is known in any light.
    pub(super) fn is_known(&self) -> bool {
        !self.pictures.is_empty()
    }

    /// The picture that the view was compared with last, and when it was taken.
    pub(super) fn picture(&self) -> Option<(&[u8], TimeMs)> {
        self.pictures.get(self.compared).or(self.pictures.first()).map(|p| (p.levels.as_slice(), p.at))
    }

    /// Whether what `edges` shows is the view in its place, as far as one look can tell.
    pub(super) fn is_in_place(&self, edges: &Edges) -> bool {
        self.pictures
            .iter()
            .any(|p| p.blocks.len() >= LEAST && register::in_place(&p.edges, &p.blocks, edges, 1).share() >= PERHAPS)
    }

    /// Looks where the view is in the short mean of `means`; the long one, in which traffic is averaged away, is what is
    /// learnt. `may_learn`: nothing else is wrong with it.
    pub(super) fn check(
        &mut self,
        at: Duration,
        means: [&[f32]; 2],
        grid: &Shrink,
        now: (Lighting, TimeMs),
        may_learn: bool,
    ) -> Standing {
        let [short, long] = means;
        let edges = Edges::of(short, &grid.open, grid.width);
        let is_steady = self.look_steady(&edges, &Edges::of(long, &grid.open, grid.width), now.0) && may_learn;
        let standing = match self.stand(at, &edges, &edges.blocks(), now.0) {
            // Out of focus it is the same view all the same.
            Standing::Nowhere | Standing::Unknown if self.is_softly_in_place(short, grid) => Standing::InPlace,
            standing => standing,
        };
        self.standing = Some(standing);
        self.settle(standing);
        let of_kind = self.pictures.iter().filter(|p| p.lighting == now.0).count();
        let first = self.pictures.is_empty();
        let is_found = standing == Standing::InPlace && !self.moved_on_trial;
        // In a light that it was never seen in, the view is learnt where it was found, and on trial where nothing that is
        // known could be compared: a camera that was turned meanwhile is not in its place because the light is new.
        let unseen = of_kind == 0 && (is_found || (standing == Standing::Unknown && !self.elsewhere));
        let best = self.best(&edges, false).map_or(0.0, |(_, places)| places.share());
        let another = is_found && best < SURE && self.added.is_none_or(|then| at.saturating_sub(then) >= ADD_EVERY);
        if is_steady && (first || unseen || another) {
            self.add(long, grid, now, !first && !is_found);
            self.added = Some(at);
            return if first { Standing::InPlace } else { standing };
        }
        standing
    }

    /// What was taken on trial is of the view when that is found in its place, in a light that is known, with nothing
    /// against it in between; and is forgotten when the view turns out to be elsewhere.
    fn settle(&mut self, standing: Standing) {
        let trials = self.pictures.iter().any(|p| p.on_trial) && !self.moved_on_trial;
        match standing {
            Standing::Unknown => return,
            Standing::InPlace => self.elsewhere = false,
            Standing::Moved(_) | Standing::Nowhere => self.elsewhere = true,
        }
        if !trials {
            return;
        }
        if self.elsewhere {
            let before = self.pictures.iter().take(self.compared).filter(|p| p.on_trial).count();
            self.compared = self.compared.saturating_sub(before);
            self.pictures.retain(|p| !p.on_trial);
        } else {
            self.pictures.iter_mut().for_each(|p| p.on_trial = false);
        }
        self.changed = true;
    }

    /// Whether nothing but traffic has moved for some checks.
    fn look_steady(&mut self, short: &Edges, long: &Edges, lighting: Lighting) -> bool {
        let blocks = long.blocks();
        let same = blocks.len() >= LEAST && register::in_place(long, &blocks, short, 1).share() >= SAME;
        let before = if self.steady.0 == lighting { self.steady.1 } else { 0 };
        self.steady = (lighting, if same { before.saturating_add(1) } else { before.saturating_sub(1) });
        self.steady.1 >= STEADY
    }

    /// Whether the view is found anywhere in a picture.
    pub(super) fn is_found(&self, edges: &Edges) -> bool {
        let picture = self.pictures.get(self.compared).or(self.pictures.first());
        picture.is_some_and(|shown| register::located(&shown.edges, edges).is_some())
    }

    /// Whether the view is in its place when both pictures are looked at without their fine edges.
    fn is_softly_in_place(&self, levels: &[f32], grid: &Shrink) -> bool {
        let now = Edges::soft(levels, &grid.open, grid.width);
        let is = |shown: &Shown| {
            let levels: Vec<f32> = shown.levels.iter().map(|l| f32::from(*l)).collect();
            let soft = Edges::soft(&levels, &grid.open, grid.width);
            let blocks = soft.blocks();
            blocks.len() >= LEAST && register::in_place(&soft, &blocks, &now, 1).share() >= SURE
        };
        self.pictures.get(self.compared).or(self.pictures.first()).filter(|shown| !shown.on_trial).is_some_and(is)
    }

    /// The picture of which most is found in its place, among those on trial or the others.
    fn best(&self, edges: &Edges, on_trial: bool) -> Option<(usize, Places)> {
        let of_use = |p: &Shown| p.on_trial == on_trial && p.blocks.len() >= LEAST;
        let known = self.pictures.iter().enumerate().filter(|(_, p)| of_use(p));
        let places = known.map(|(n, p)| (n, register::in_place(&p.edges, &p.blocks, edges, 1)));
        places.max_by(|one, other| one.1.share().total_cmp(&other.1.share()))
    }

    fn stand(&mut self, at: Duration, edges: &Edges, blocks: &[Block], lighting: Lighting) -> Standing {
        let Some((n, places)) = self.best(edges, false) else { return Standing::Unknown };
        if places.share() >= SURE {
            (self.searches, self.compared, self.moved_on_trial) = (0, n, false);
            return Standing::InPlace;
        }
        if blocks.len() < LEAST {
            return if places.share() >= PERHAPS { Standing::InPlace } else { Standing::Unknown };
        }
        let every = if self.searches < SOON { SEARCH_EVERY.0 } else { SEARCH_EVERY.1 };
        if let (Some(then), Some(standing)) = (self.searched, self.standing)
            && at.saturating_sub(then) < every
        {
            return standing;
        }
        self.searched = Some(at);
        self.searches = self.searches.saturating_add(1);
        match self.search(edges, lighting, (n, places)) {
            Standing::Unknown => self.try_trials(edges),
            found => {
                self.moved_on_trial = false;
                found
            }
        }
    }

    /// What pictures on trial say, which is nothing of where the view was before they were taken.
    fn try_trials(&mut self, edges: &Edges) -> Standing {
        let Some((n, places)) = self.best(edges, true) else { return Standing::Unknown };
        let is_in_place = places.share() >= PERHAPS;
        let found = if is_in_place {
            None
        } else {
            self.pictures.get(n).and_then(|shown| register::located(&shown.edges, edges))
        };
        match found {
            Some((by, _)) if by.farthest(edges.width, edges.height) >= FAR => {
                (self.compared, self.moved_on_trial) = (n, true);
                Standing::Moved(by)
            }
            // Back where it was when it was seen to move.
            _ if is_in_place && self.moved_on_trial => Standing::InPlace,
            _ => Standing::Unknown,
        }
    }

    /// Looks for the view everywhere in the picture.
    fn search(&mut self, edges: &Edges, lighting: Lighting, (best, places): (usize, Places)) -> Standing {
        let of_use = |p: &Shown| !p.on_trial && p.lighting == lighting && p.blocks.len() >= LEAST;
        let of_kind = self.pictures.iter().rposition(of_use);
        let mut tried: Vec<usize> = [Some(best), of_kind].into_iter().flatten().collect();
        tried.dedup();
        let found = tried.iter().find_map(|n| Some((*n, register::located(&self.pictures.get(*n)?.edges, edges)?)));
        match found {
            Some((n, (by, _))) if by.farthest(edges.width, edges.height) < FAR => {
                self.compared = n;
                Standing::InPlace
            }
            // What a camera writes into its picture stays in its place wherever it looks.
            Some((n, (by, agreeing))) if places.share() < PERHAPS || agreeing.share() >= AGREED => {
                self.compared = n;
                Standing::Moved(by)
            }
            _ if places.share() >= PERHAPS => Standing::InPlace,
            _ if places.share() < NOTHING && of_kind.is_some() => Standing::Nowhere,
            _ => Standing::Unknown,
        }
    }

    fn add(&mut self, levels: &[f32], grid: &Shrink, (lighting, at): (Lighting, TimeMs), on_trial: bool) {
        if self.pictures.iter().filter(|p| p.lighting == lighting).count() >= OF_A_KIND
            && let Some(oldest) = self.pictures.iter().enumerate().filter(|(_, p)| p.lighting == lighting).nth(1)
        {
            let oldest = oldest.0;
            self.pictures.remove(oldest);
        }
        let levels =
            levels.iter().zip(&grid.open).map(|(level, open)| if *open { rounded(*level) } else { 0 }).collect();
        let shown = Shown { on_trial, ..Shown::of(lighting, at, levels, grid) };
        self.compared = self.pictures.len();
        self.pictures.push(shown);
        self.changed = true;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a level of luma")]
pub(super) fn rounded(level: f32) -> u8 {
    level.clamp(0.0, 255.0).round() as u8
}
