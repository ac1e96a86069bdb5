//! By how much a view was shifted, turned and zoomed against another picture of it.
//!
//! First whether blocks are found where they were ([`in_place`]), which costs next to nothing. Where they are not, the
//! whole pictures are laid over each other at a quarter of the size, turned and zoomed in coarse steps ([`located`]); then each
//! block looks for its own place near by, and a similarity is fitted to the places that agree (RANSAC of Fischler and
//! Bolles, 1981, over all pairs; least squares over those that agree). What agrees with none of it is what moved in the
//! picture itself. Plain code: it works without OpenCV, and what OpenCV offers (phase correlation) knows no turn.

use super::edges::{BLOCK, Block, Edges, SAME};

/// Blocks with texture below which nothing can be said of a view.
pub(super) const LEAST: usize = 12;

/// Blocks that are looked for one by one.
const MOST: usize = 48;

/// Blocks that must agree, their share of those that were found anywhere, and by how many samples they may differ.
const AGREE: usize = 10;
const SHARE: f32 = 0.4;
const WITHIN: f32 = 1.6;

/// Samples that a block may lie from where the whole picture says that it is.
const REACH: i32 = 7;

/// Zooms and degrees that are tried.
const ZOOMS: [f32; 5] = [1.0, 1.15, 0.87, 1.33, 0.75];
const TURNS: [f32; 5] = [0.0, 5.0, -5.0, 10.0, -10.0];

/// How much smaller the pictures are that are laid over each other as a whole.
const COARSE: usize = 4;

/// A place, in samples from the middle of the picture, y down; and a block's place before and now.
type Point = (f32, f32);
type Pair = [Point; 2];

/// What became of a picture's blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Those that have texture.
    pub blocks: usize,
    /// Those of them that are found.
    pub found: usize,
}

impl Places {
    pub(super) fn share(self) -> f32 {
        self.found as f32 / self.blocks.max(1) as f32
    }
}

/// How many blocks of `before` are found in `now` within `reach` samples of their place.
pub(super) fn in_place(before: &Edges, blocks: &[Block], now: &Edges, reach: i32) -> Places {
    let found = blocks.iter().filter(|block| before.found(block, now, reach).2 >= SAME).count();
    Places { blocks: blocks.len(), found }
}

/// A similarity: p ↦ (a + ib)·p + (x, y), in samples from the middle of the picture, y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similarity {
    pub a: f32,
    pub b: f32,
    pub x: f32,
    pub y: f32,
}

impl Similarity {
    fn zoomed_and_turned(zoom: f32, degrees: f32) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self { a: zoom * cos, b: zoom * sin, x: 0.0, y: 0.0 }
    }

    pub(super) fn of(self, (x, y): (f32, f32)) -> (f32, f32) {
        (self.a * x - self.b * y + self.x, self.b * x + self.a * y + self.y)
    }

    fn back(self, (x, y): (f32, f32)) -> (f32, f32) {
        let (x, y, size) = (x - self.x, y - self.y, self.a * self.a + self.b * self.b);
        ((self.a * x + self.b * y) / size, (self.a * y - self.b * x) / size)
    }

    /// First `self`, then `then`.
    fn then(self, then: Self) -> Self {
        let (x, y) = then.of((self.x, self.y));
        Self { a: then.a * self.a - then.b * self.b, b: then.b * self.a + then.a * self.b, x, y }
    }

    pub(super) fn zoom(self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Degrees clockwise, as seen.
    pub(super) fn turn(self) -> f32 {
        self.b.atan2(self.a).to_degrees()
    }

    /// How far the middle or a corner of a picture of `width` × `height` went at most, in shares of its longer side.
    pub(super) fn farthest(self, width: usize, height: usize) -> f32 {
        let (w, h) = (width as f32 / 2.0, height as f32 / 2.0);
        let went = |(x, y): (f32, f32)| {
            let to = self.of((x, y));
            (to.0 - x).hypot(to.1 - y)
        };
        let most = [(0.0, 0.0), (w, h), (-w, h), (w, -h), (-w, -h)].into_iter().map(went).fold(0.0, f32::max);
        most / (2.0 * w.max(h)).max(1.0)
    }
}

/// Where what `before` shows is in `now`, and how many blocks say so; `None` when it is not found.
pub(super) fn located(before: &Edges, now: &Edges) -> Option<(Similarity, Places)> {
    let (small, small_now) = (before.coarse(COARSE), now.coarse(COARSE));
    let (tiny, tiny_now) = (small.coarse(2), small_now.coarse(2));
    let warps = ZOOMS.iter().flat_map(|zoom| TURNS.iter().map(move |turn| (*zoom, *turn)));
    let mut tries: Vec<(f32, Similarity)> = Vec::new();
    for (zoom, turn) in warps {
        let warp = Similarity::zoomed_and_turned(zoom, turn);
        let rough = shifted(&warped(&tiny, warp), &tiny_now);
        let (alike, (x, y)) = near(&warped(&small, warp), &small_now, (2 * rough.0, 2 * rough.1));
        let by = COARSE as f32;
        tries.push((alike, Similarity { x: x as f32 * by, y: y as f32 * by, ..warp }));
        // Nothing but a shift, as a rule.
        if tries.len() == 1
            && alike > 0.35
            && let Some(found) = refined(before, now, tries.first()?.1)
        {
            return Some(found);
        }
    }
    tries.sort_by(|one, other| other.0.total_cmp(&one.0));
    tries.into_iter().take(3).find_map(|(_, rough)| refined(before, now, rough))
}

/// The shift at which `before` is most like `now`.
fn shifted(before: &Edges, now: &Edges) -> (i32, i32) {
    let reach = |size: usize| i32::try_from(size * 2 / 5).unwrap_or(0);
    let (across, down) = (reach(now.width), reach(now.height));
    best(before, now, (-down..=down).flat_map(|y| (-across..=across).map(move |x| (x, y)))).1
}

/// The same, near `at`; and how alike they are then.
fn near(before: &Edges, now: &Edges, at: (i32, i32)) -> (f32, (i32, i32)) {
    best(before, now, (-2..=2).flat_map(|y| (-2..=2).map(move |x| (at.0 + x, at.1 + y))))
}

fn best(before: &Edges, now: &Edges, shifts: impl Iterator<Item = (i32, i32)>) -> (f32, (i32, i32)) {
    let tried = shifts.map(|(x, y)| (before.alike(now, x, y), (x, y)));
    tried.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or((0.0, (0, 0)))
}

fn warped(picture: &Edges, by: Similarity) -> Edges {
    let (w, h) = (picture.width as f32 / 2.0, picture.height as f32 / 2.0);
    picture.warped(|x, y| {
        let (x, y) = by.back((x - w, y - h));
        (x + w, y + h)
    })
}

/// The similarity near `rough` that blocks agree on.
fn refined(before: &Edges, now: &Edges, rough: Similarity) -> Option<(Similarity, Places)> {
    let moved = warped(before, rough);
    let mut blocks = moved.blocks();
    if blocks.len() < LEAST {
        return None;
    }
    blocks.sort_by_key(|block| std::cmp::Reverse(block.spread));
    blocks.truncate(MOST);
    let (w, h, half) = (now.width as f32 / 2.0, now.height as f32 / 2.0, BLOCK as f32 / 2.0);
    let pairs: Vec<Pair> = blocks
        .iter()
        .filter_map(|block| {
            let (right, down, likeness) = moved.found(block, now, REACH);
            let middle = (block.x as f32 + half - w, block.y as f32 + half - h);
            (likeness >= SAME).then_some([middle, (middle.0 + right as f32, middle.1 + down as f32)])
        })
        .collect();
    let (fit, agree) = fitted(&pairs)?;
    let places = Places { blocks: pairs.len(), found: agree };
    (agree >= AGREE && places.share() >= SHARE).then(|| (rough.then(fit), places))
}

/// The similarity that most pairs agree on, and how many.
fn fitted(pairs: &[Pair]) -> Option<(Similarity, usize)> {
    let agreeing = |by: Similarity| {
        pairs.iter().filter(move |[from, to]| {
            let at = by.of(*from);
            (at.0 - to.0).hypot(at.1 - to.1) <= WITHIN
        })
    };
    let mut best: Option<(usize, Similarity)> = None;
    for (n, one) in pairs.iter().enumerate() {
        for other in pairs.iter().skip(n + 1) {
            let Some(by) = through(one, other) else { continue };
            let agree = agreeing(by).count();
            if best.is_none_or(|(most, _)| agree > most) {
                best = Some((agree, by));
            }
        }
    }
    let (_, rough) = best?;
    let kept: Vec<_> = agreeing(rough).copied().collect();
    let fit = least_squares(&kept)?;
    Some((fit, agreeing(fit).count()))
}

/// The similarity through two pairs that lie far enough apart and are no great change.
fn through(one: &Pair, other: &Pair) -> Option<Similarity> {
    let minus = |p: (f32, f32), q: (f32, f32)| (p.0 - q.0, p.1 - q.1);
    let (from, to) = (minus(one[0], other[0]), minus(one[1], other[1]));
    let size = from.0 * from.0 + from.1 * from.1;
    if size < 900.0 {
        return None;
    }
    let (a, b) = ((to.0 * from.0 + to.1 * from.1) / size, (to.1 * from.0 - to.0 * from.1) / size);
    if !(0.8..1.25).contains(&a) || b.abs() > 0.2 {
        return None;
    }
    let at = Similarity { a, b, x: 0.0, y: 0.0 }.of(one[0]);
    Some(Similarity { a, b, x: one[1].0 - at.0, y: one[1].1 - at.1 })
}

fn least_squares(pairs: &[Pair]) -> Option<Similarity> {
    let n = pairs.len() as f32;
    let mean = |of: fn(&Pair) -> Point| {
        let sum = pairs.iter().map(of).fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / n, sum.1 / n)
    };
    let (from, to) = (mean(|p| p[0]), mean(|p| p[1]));
    let (mut size, mut a, mut b) = (0.0, 0.0, 0.0);
    for [p, q] in pairs {
        let ((px, py), (qx, qy)) = ((p.0 - from.0, p.1 - from.1), (q.0 - to.0, q.1 - to.1));
        size += px * px + py * py;
        a += px * qx + py * qy;
        b += px * qy - py * qx;
    }
    if pairs.len() < 2 || size <= 0.0 {
        return None;
    }
    let turn = Similarity { a: a / size, b: b / size, x: 0.0, y: 0.0 };
    let at = turn.of(from);
    Some(Similarity { x: to.0 - at.0, y: to.1 - at.1, ..turn })
}
