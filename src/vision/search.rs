//! Where in a frame plates are looked for: where something moves, and now and then everywhere.
//!
//! What the motion gate ([`super::gate`]) saw differ from the background is marked on a grid of the detector's own coarsest
//! cells, kept for a moment and grown by a margin; what is marked becomes a few rectangles, which the detector sees in the
//! size that they have in a look at the whole picture. A plate that is parked where nothing moves is looked for with the
//! whole picture, once a second. Without a gate, or with a detector that takes one size of picture only, every look is
//! at all of it. Called by the analyser for each frame that it is awake in; costs microseconds.

use std::time::Duration;

use super::area::Area;
use crate::domain::{Frame, Rect};

/// How long what moved is looked at after it did.
const LINGER: Duration = Duration::from_millis(300);

/// The whole picture is looked at after this long without it.
const WHOLE_EVERY: Duration = Duration::from_secs(1);

/// What is looked at around what moves, tiles: a detector wants to see what a plate is on.
const MARGIN: f32 = 0.6;

/// What a rectangle costs beside its tiles, in tiles.
const EACH: u32 = 1;

/// Share of the whole picture's cost from which all of it is looked at.
const ENOUGH: f32 = 0.8;

/// Most rows of marked tiles, and most rectangles, that are looked at by themselves: with more, something is everywhere.
const MOST_ROWS: usize = 64;
const MOST_PARTS: usize = 6;

/// The tiles that a detector's input is made of, laid over an area of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    area: Area,
    /// Pixels of the input a tile, on each side.
    unit: u32,
    /// Pixels of the frame a tile.
    tile: f32,
    columns: u32,
    rows: u32,
}

/// A rectangle of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    x: u32,
    y: u32,
    columns: u32,
    rows: u32,
}

impl Part {
    fn tiles(&self) -> u32 {
        self.columns * self.rows
    }

    fn cost(&self) -> u32 {
        self.tiles() + EACH
    }

    fn joined(&self, other: &Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.columns).max(other.x + other.columns);
        let bottom = (self.y + self.rows).max(other.y + other.rows);
        Self { x, y, columns: right - x, rows: bottom - y }
    }

    /// Whether they overlap or touch: neither shows the whole of what lies on a border that they share.
    fn touches(&self, other: &Self) -> bool {
        let apart = |a: u32, size: u32, b: u32| b > a + size;
        !(apart(self.x, self.columns, other.x)
            || apart(other.x, other.columns, self.x)
            || apart(self.y, self.rows, other.y)
            || apart(other.y, other.rows, self.y))
    }
}

impl Grid {
    /// The grid of an input of `size` pixels whose sides may be multiples of `unit`, over `area`.
    #[must_use]
    pub fn new(area: Area, size: [u32; 2], unit: u32) -> Option<Self> {
        let ([width, height], (w, h)) = (size.map(|s| s as f32), area.size());
        let scale = (width / w.max(1) as f32).min(height / h.max(1) as f32);
        let tile = unit as f32 / scale;
        let tiles = |side: u32| upward(side as f32 / tile - 0.01).max(1);
        (unit > 0 && tile.is_finite() && tile >= 2.0).then(|| Self {
            area,
            unit,
            tile,
            columns: tiles(w),
            rows: tiles(h),
        })
    }

    /// The area that it lies over.
    #[must_use]
    pub fn area(&self) -> Area {
        self.area
    }

    /// Pixels of the input that a part takes.
    #[must_use]
    pub fn size(&self, part: &Part) -> [u32; 2] {
        [part.columns * self.unit, part.rows * self.unit]
    }

    /// Where a part lies in `frame`: moved inside, where the last tile of a row or column goes beyond the area.
    #[must_use]
    pub fn place(&self, part: &Part, frame: &Frame) -> Option<Area> {
        let all = self.area.rect();
        let side = |from: u32, count: u32, begin: f32, end: f32| {
            let length = (count as f32 * self.tile).min(end - begin);
            let from = (begin + from as f32 * self.tile).min(end - length).max(begin);
            (from, length)
        };
        let (x, width) = side(part.x, part.columns, all.x1, all.x2);
        let (y, height) = side(part.y, part.rows, all.y1, all.y2);
        Area::around(&Rect::new(x, y, x + width, y + height), frame)
    }

    /// Whether a box ends at an edge of the part that is none of the whole area: it may go on behind it.
    #[must_use]
    pub fn is_cut(&self, found: &Rect, place: Area) -> bool {
        let (all, part, near) = (self.area.rect(), place.rect(), self.tile / 32.0);
        (found.x1 < part.x1 + near && part.x1 > all.x1)
            || (found.y1 < part.y1 + near && part.y1 > all.y1)
            || (found.x2 > part.x2 - near && part.x2 < all.x2)
            || (found.y2 > part.y2 - near && part.y2 < all.y2)
    }

    /// The tiles that `rect` meets, grown by `margin` tiles; `None` outside.
    #[must_use]
    pub fn around(&self, rect: &Rect, margin: f32) -> Option<Part> {
        let all = self.area.rect();
        let side = |from: f32, to: f32, begin: f32, count: u32| {
            let first = ((from - begin) / self.tile - margin).max(0.0);
            let end = upward((to - begin) / self.tile + margin).min(count);
            let first = downward(first);
            (first < end).then(|| (first, end - first))
        };
        let (x, columns) = side(rect.x1, rect.x2, all.x1, self.columns)?;
        let (y, rows) = side(rect.y1, rect.y2, all.y1, self.rows)?;
        Some(Part { x, y, columns, rows })
    }
}

/// The whole number at or below, and at or above, a number that is not negative and small.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below 2^16")]
fn downward(v: f32) -> u32 {
    v.max(0.0).floor() as u32
}
fn upward(v: f32) -> u32 {
    downward(v.max(0.0).ceil())
}

/// What one camera remembers of where something moved.
#[derive(Debug, Default)]
pub(super) struct Search {
    grid: Option<Grid>,
    /// When each tile was marked last, row by row.
    marked: Vec<Option<Duration>>,
    whole: Option<Duration>,
}

impl Search {
    /// Remembers what moved in the frame at `at`.
    pub(super) fn mark(&mut self, grid: Grid, at: Duration, moved: impl Iterator<Item = Rect>) {
        if self.grid != Some(grid) {
            self.grid = Some(grid);
            self.marked = vec![None; (grid.columns * grid.rows) as usize];
            self.whole = None;
        }
        for rect in moved {
            let Some(part) = grid.around(&rect, MARGIN) else { continue };
            for y in part.y..part.y + part.rows {
                let first = (y * grid.columns + part.x) as usize;
                let row = self.marked.get_mut(first..first + part.columns as usize);
                row.into_iter().flatten().for_each(|mark| *mark = Some(at));
            }
        }
    }

    /// The parts to look at in the frame at `at`, those around `tracks` among them; `None`: all of it.
    pub(super) fn parts(&mut self, at: Duration, tracks: impl Iterator<Item = Rect>) -> Option<(Grid, Vec<Part>)> {
        let grid = self.grid?;
        let since = |then: Duration| at.checked_sub(then);
        if self.whole.and_then(since).is_none_or(|passed| passed >= WHOLE_EVERY) {
            self.whole = Some(at);
            return None;
        }
        let fresh = |mark: &Option<Duration>| mark.and_then(since).is_some_and(|passed| passed <= LINGER);
        let mut parts: Vec<Part> = tracks.filter_map(|rect| grid.around(&rect, 1.0)).collect();
        for (row, y) in self.marked.chunks_exact(grid.columns.max(1) as usize).zip(0..) {
            let mut x = 0;
            for run in row.chunk_by(|a, b| fresh(a) == fresh(b)) {
                let columns = u32::try_from(run.len()).unwrap_or(0);
                if run.first().is_some_and(fresh) {
                    parts.push(Part { x, y, columns, rows: 1 });
                }
                x += columns;
            }
        }
        let scattered = parts.len() > MOST_ROWS;
        if !scattered {
            merge(&mut parts);
        }
        let (cost, whole) = (parts.iter().map(Part::cost).sum::<u32>(), grid.columns * grid.rows + EACH);
        if parts.is_empty() || parts.len() > MOST_PARTS || cost as f32 > ENOUGH * whole as f32 {
            self.whole = Some(at);
            return None;
        }
        Some((grid, parts))
    }
}

/// Joins parts that touch, and those that cost less together.
fn merge(parts: &mut Vec<Part>) {
    let mut begin = 0;
    while begin < parts.len() {
        let Some(one) = parts.get(begin).copied() else { break };
        let other = parts.iter().enumerate().skip(begin + 1).find_map(|(at, other)| {
            let joined = one.joined(other);
            (one.touches(other) || joined.cost() <= one.cost() + other.cost()).then_some((at, joined))
        });
        match other {
            Some((at, joined)) => {
                parts.swap_remove(at);
                if let Some(slot) = parts.get_mut(begin) {
                    *slot = joined;
                }
                // It may meet by now what it did not before.
                begin = 0;
            }
            None => begin += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TimeMs;
    use crate::domain::frame::OwnedI420;

    fn frame() -> Frame {
        let (format, pixels) = OwnedI420::from_rgb(&[], 1920, 1080);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    fn grid() -> Grid {
        Grid::new(Area::whole(&frame()), [896, 512], 64).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn cell(x: f32, y: f32) -> Rect {
        Rect::new(x, y, x + 16.0, y + 8.0)
    }

    #[test]
    fn the_first_look_is_at_everything_and_so_is_one_a_second() {
        let (grid, mut search) = (grid(), Search::default());
        assert_eq!((grid.columns, grid.rows), (14, 8));
        let whole = (0..50_u64).filter(|n| {
            search.mark(grid, ms(n * 40), [cell(500.0, 500.0)].into_iter());
            search.parts(ms(n * 40), [].into_iter()).is_none()
        });
        assert_eq!(whole.collect::<Vec<_>>(), [0, 25]);
    }

    #[test]
    fn what_moves_far_apart_is_looked_at_apart_and_what_is_near_together() {
        let (grid, mut search) = (grid(), Search::default());
        search.mark(grid, ms(0), [].into_iter());
        assert!(search.parts(ms(0), [].into_iter()).is_none());
        search.mark(grid, ms(40), [cell(100.0, 100.0), cell(260.0, 120.0), cell(1700.0, 900.0)].into_iter());
        let (_, parts) = search.parts(ms(40), [].into_iter()).unwrap();
        assert_eq!(parts.len(), 2, "{parts:?}");
        let areas: Vec<Area> = parts.iter().map(|p| grid.place(p, &frame()).unwrap()).collect();
        let holds = |r: Rect| areas.iter().any(|a| a.rect().contains(r.centre()));
        assert!(holds(cell(100.0, 100.0)) && holds(cell(260.0, 120.0)) && holds(cell(1700.0, 900.0)), "{areas:?}");
        // Long after it moved, the tracks alone are looked at; without any the whole picture is.
        let (_, parts) = search.parts(ms(600), [cell(900.0, 500.0)].into_iter()).unwrap();
        assert!(matches!(parts.as_slice(), [one] if one.tiles() <= 16), "{parts:?}");
        assert!(search.parts(ms(600), [].into_iter()).is_none());
    }

    #[test]
    fn where_nearly_everything_moves_it_is_one_look() {
        let (grid, mut search) = (grid(), Search::default());
        search.mark(grid, ms(0), [].into_iter());
        search.parts(ms(0), [].into_iter());
        search.mark(grid, ms(40), (0..100).map(|n| cell((n % 10) as f32 * 190.0, (n / 10) as f32 * 105.0)));
        assert!(search.parts(ms(40), [].into_iter()).is_none());
    }

    #[test]
    fn what_touches_is_one_part_even_where_it_costs_more() {
        // A long row, and a column that hangs from its end by a corner.
        let row = Part { x: 0, y: 1, columns: 6, rows: 1 };
        let column = Part { x: 6, y: 2, columns: 1, rows: 5 };
        let mut parts = vec![row, column];
        merge(&mut parts);
        assert_eq!(parts, [Part { x: 0, y: 1, columns: 7, rows: 6 }]);
        let mut parts = vec![row, Part { x: 7, ..column }];
        merge(&mut parts);
        assert_eq!(parts.len(), 2, "a tile lies between them");
    }

    #[test]
    fn what_is_scattered_all_over_is_one_look() {
        let (grid, mut search) = (grid(), Search::default());
        search.mark(grid, ms(0), [].into_iter());
        search.parts(ms(0), [].into_iter());
        let tile = |x: u32, y: u32| {
            let at = |n: u32| (n as f32 + 0.5) * grid.tile;
            Rect::new(at(x), at(y), at(x) + 1.0, at(y) + 1.0)
        };
        let eight = (0..4).flat_map(|x| (0..2).map(move |y| (x * 4, 1 + y * 5)));
        let tracks: Vec<Rect> = eight.map(|(x, y)| tile(x, y)).collect();
        assert!(search.parts(ms(40), tracks.iter().take(1).copied()).is_some());
        assert!(search.parts(ms(80), tracks.into_iter()).is_none());
    }

    #[test]
    fn a_box_at_an_inner_edge_is_cut_and_one_at_the_pictures_edge_is_not() {
        let grid = grid();
        let part = grid.around(&cell(10.0, 10.0), 1.0).unwrap();
        let place = grid.place(&part, &frame()).unwrap();
        let inner = place.rect();
        assert!(grid.is_cut(&Rect::new(inner.x2 - 50.0, 50.0, inner.x2 - 1.0, 70.0), place));
        assert!(!grid.is_cut(&Rect::new(0.0, 0.0, 60.0, 20.0), place));
    }

    proptest! {
        #[test]
        fn every_mark_lies_in_a_part_and_no_two_parts_touch(
            marks in proptest::collection::vec((0.0_f32..1900.0, 0.0_f32..1070.0), 1..12),
            width in 320_u32..4000, height in 240_u32..2200,
        ) {
            let (format, pixels) = OwnedI420::from_rgb(&[], width, height);
            let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
            let grid = Grid::new(Area::whole(&frame), [896, 512], 64).unwrap();
            let mut search = Search::default();
            search.mark(grid, ms(0), [].into_iter());
            search.parts(ms(0), [].into_iter());
            let rects: Vec<Rect> = marks.iter().map(|(x, y)| cell(*x, *y)).collect();
            search.mark(grid, ms(40), rects.iter().copied());
            if let Some((_, parts)) = search.parts(ms(40), [].into_iter()) {
                for (n, part) in parts.iter().enumerate() {
                    prop_assert!(parts.iter().skip(n + 1).all(|other| !part.touches(other)), "{:?}", parts);
                    prop_assert!(part.x + part.columns <= grid.columns && part.y + part.rows <= grid.rows);
                }
                let places: Vec<Rect> = parts.iter().map(|p| grid.place(p, &frame).unwrap().rect()).collect();
                for rect in rects.iter().filter(|r| r.x2 < width as f32 && r.y2 < height as f32) {
                    prop_assert!(places.iter().any(|p| p.contains(rect.centre())), "{rect:?} {places:?}");
                }
            }
        }
    }
}
