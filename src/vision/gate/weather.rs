//! What moves for nothing all over the picture: rain, snow, insects before an infrared lamp, light that flickers.
//!
//! A vehicle changes cells that hang together, for some frames, in one place. A streak of rain changes a few cells for
//! one frame, and the next one others elsewhere. So cells that differ are put together to heaps, each as strong as its
//! cells are many and have differed on; what comes and goes all over the picture some times a second, without anything being
//! found there, is learnt by its strength, and only what is clearly stronger wakes the gate from then on: a vehicle is
//! so within a few frames. It is unlearnt within seconds of the last of it. In the same way a light that changes again and
//! again stops to be news, and a single change of it does not.

// bounds: every vector has as many items as there are cells, and cells of one picture are below that; the others go by `get`.
#![expect(clippy::indexing_slicing, reason = "kernel loops over cells of one picture")]

/// Frames in a row that a cell counts for at most.
const RUN_MOST: u8 = 4;

/// Cells of a heap that have differed for so many frames in the mean are a thing that moves, not weather.
const STEADY_RUN: f32 = 3.0;

/// While the light flickers, cells of a heap must have differed for so many frames in the mean.
const LASTING_RUN: f64 = 1.5;
/// Seconds between two pictures in which what drives still touches the place where it was.
const CLOSE: f32 = 0.12;

/// Classes of strength, by powers of two.
const CLASSES: usize = 12;

/// Seconds in which what came and went is forgotten; how often it must have come in them, and in how many of the tiles.
const RECENT: f32 = 3.0;
const OFTEN: f32 = 6.0;
const TILES: usize = 8;
const SPREAD: usize = 12;

/// Seconds for which it is still overlooked when it has become rare.
const KEPT: f64 = 15.0;

/// Times its strength from which something wakes the gate all the same, and the most that is asked of anything, in a
/// picture of 7200 cells.
const STRONGER: u32 = 4;
const MOST_ASKED: u32 = 160;
const CELLS: usize = 7200;

/// Changes of the light that come so often within [`RECENT`] are flicker.
const FLICKER: f32 = 4.0;

/// Cells of the last picture that hang together.
#[derive(Debug, Clone, Copy)]
struct Heap {
    /// Where its cells begin in the list of members, and how many there are.
    from: usize,
    count: usize,
    strength: u32,
}

/// What came and went lately, and what is overlooked of it.
#[derive(Debug, Default)]
pub(super) struct Weather {
    columns: usize,
    /// For each cell the last picture in which it differed, for how many in a row, and the one in which it was excused.
    seen: Vec<u32>,
    run: Vec<u8>,
    excused: Vec<u32>,
    picture: u32,
    heaps: Vec<Heap>,
    members: Vec<usize>,
    came: [f32; CLASSES],
    tiles: Vec<f32>,
    /// Strength that is overlooked, and until when.
    overlooked: Option<(u32, f64)>,
    lights: f32,
    flickers_until: f64,
}

impl Weather {
    pub(super) fn new(cells: usize, columns: usize) -> Self {
        let (seen, excused) = (vec![0; cells], vec![0; cells]);
        // From 2 on: no cell differed in the picture before the first.
        Self {
            columns,
            seen,
            run: vec![0; cells],
            excused,
            picture: 2,
            tiles: vec![0.0; TILES * TILES],
            ..Self::default()
        }
    }

    /// Something was found at this cell: what moves there is not for nothing.
    pub(super) fn excuse(&mut self, cell: usize) {
        if let Some(excused) = self.excused.get_mut(cell) {
            *excused = self.picture;
        }
    }

    /// Whether a change of the light is news; `changed` says that there was one. Called once a picture.
    pub(super) fn is_light_news(&mut self, changed: bool, now: f64, dt: f32) -> bool {
        self.lights = self.lights * (-dt / RECENT).exp() + if changed { 1.0 } else { 0.0 };
        if self.lights >= FLICKER {
            self.flickers_until = now + KEPT;
        }
        changed && !self.flickers(now)
    }

    /// Whether the light changes again and again.
    pub(super) fn flickers(&self, now: f64) -> bool {
        now < self.flickers_until
    }

    /// Takes in the cells that differ in a new picture, and says whether one of them is worth waking for, of those that
    /// `counts` holds for more than chance.
    pub(super) fn moves(&mut self, fired: &[usize], now: f64, dt: f32, counts: impl Fn(usize) -> bool) -> bool {
        self.digest(now, dt);
        self.picture = self.picture.wrapping_add(1).max(2);
        self.gather(fired);
        let asked = self.overlooked.filter(|o| now < o.1).map_or(0, |o| {
            let most = MOST_ASKED as usize * self.seen.len() / CELLS;
            o.0.saturating_mul(STRONGER).min(u32::try_from(most).unwrap_or(u32::MAX).max(MOST_ASKED / 2))
        });
        // A beat of the light is over with its picture; what drives is there in the next one too, unless that comes late.
        let strict = dt <= CLOSE && self.flickers(now);
        let lasts = |h: &&Heap| !strict || f64::from(h.strength) >= LASTING_RUN * h.count as f64;
        let strong = self.heaps.iter().filter(|h| h.strength >= asked).filter(lasts);
        strong.flat_map(|h| &self.members[h.from..h.from + h.count]).any(|cell| counts(*cell))
    }

    /// Puts cells that touch each other together.
    fn gather(&mut self, fired: &[usize]) {
        self.heaps.clear();
        self.members.clear();
        let before = self.picture - 1;
        let run_of = |cell: usize| {
            let near = self.around(cell).filter(|c| self.seen[*c] == before).map(|c| self.run[c]);
            near.max().unwrap_or(0).saturating_add(1).min(RUN_MOST)
        };
        let runs: Vec<u8> = fired.iter().map(|cell| run_of(*cell)).collect();
        for (cell, run) in fired.iter().zip(runs) {
            (self.seen[*cell], self.run[*cell]) = (self.picture, run);
        }
        // A cell that is in a heap already is marked by a run of none; it gets its own back with the heap.
        let mut kept: Vec<(usize, u8)> = Vec::with_capacity(fired.len());
        for cell in fired {
            let from = self.members.len();
            let mut strength = 0;
            self.take(*cell, &mut kept, &mut strength);
            let mut next = from;
            while let Some(cell) = self.members.get(next).copied() {
                next += 1;
                let near: Vec<usize> = self.around(cell).collect();
                for c in near {
                    self.take(c, &mut kept, &mut strength);
                }
            }
            if self.members.len() > from {
                self.heaps.push(Heap { from, count: self.members.len() - from, strength });
            }
        }
        for (cell, run) in kept {
            self.run[cell] = run;
        }
    }

    fn take(&mut self, cell: usize, kept: &mut Vec<(usize, u8)>, strength: &mut u32) {
        if self.seen[cell] == self.picture && self.run[cell] > 0 {
            let run = std::mem::take(&mut self.run[cell]);
            kept.push((cell, run));
            *strength += u32::from(run);
            self.members.push(cell);
        }
    }

    /// The cells around one, and itself.
    fn around(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        let (columns, cells) = (self.columns.max(1), self.seen.len());
        let (row, column) = (cell / columns, cell % columns);
        let rows = row.saturating_sub(1)..=row + 1;
        let across = column.saturating_sub(1)..=(column + 1).min(columns - 1);
        rows.flat_map(move |r| across.clone().map(move |c| r * columns + c)).filter(move |c| *c < cells)
    }

    /// Learns from the heaps of the picture before, now that it is known what was found in it.
    fn digest(&mut self, now: f64, dt: f32) {
        let share = (-dt / RECENT).exp();
        self.came.iter_mut().chain(&mut self.tiles).for_each(|v| *v *= share);
        let rows = (self.seen.len() / self.columns.max(1)).max(1);
        let mut classes = [false; CLASSES];
        for heap in &self.heaps {
            let members = &self.members[heap.from..heap.from + heap.count];
            let steady = heap.strength as f32 >= STEADY_RUN * heap.count as f32;
            if steady || members.iter().any(|c| self.excused[*c] == self.picture) {
                continue;
            }
            if let Some(class) = classes.get_mut(heap.strength.max(1).ilog2() as usize) {
                *class = true;
            }
            let Some(cell) = members.first() else { continue };
            let (row, column) = (cell / self.columns.max(1), cell % self.columns.max(1));
            let tile =
                (row * TILES / rows).min(TILES - 1) * TILES + (column * TILES / self.columns.max(1)).min(TILES - 1);
            if let Some(tile) = self.tiles.get_mut(tile) {
                *tile = 1.0;
            }
        }
        for (came, is) in self.came.iter_mut().zip(classes) {
            *came += f32::from(u8::from(is));
        }
        if self.tiles.iter().filter(|t| **t > 0.3).count() < SPREAD {
            return;
        }
        let mut sum = 0.0;
        let often = (0..CLASSES).rev().find(|class| {
            sum += self.came.get(*class).copied().unwrap_or(0.0);
            sum >= OFTEN
        });
        let strength = often.and_then(|class| u32::try_from(class).ok()).map(|class| 2_u32 << class);
        let before = self.overlooked.filter(|o| now < o.1).map_or(0, |o| o.0);
        if let Some(strength) = strength.filter(|s| *s >= before) {
            self.overlooked = Some((strength, now + KEPT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 80;
    const CELLS_IN_ALL: usize = 7200;

    fn square(left: usize, top: usize, side: usize) -> Vec<usize> {
        (0..side * side).map(|i| (top + i / side) * COLUMNS + left + i % side).collect()
    }

    /// Streaks of three cells, a dozen of them, elsewhere in every picture.
    fn rain(n: usize) -> Vec<usize> {
        let mut cells: Vec<usize> = (0..12)
            .flat_map(|k| {
                let at = (n * 7919 + k * 104_729 + n * n * 31) % (CELLS_IN_ALL - 3 * COLUMNS);
                [at, at + COLUMNS, at + 2 * COLUMNS]
            })
            .collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    #[test]
    fn rain_is_overlooked_within_a_second_and_what_is_larger_wakes_within_three_pictures() {
        let mut weather = Weather::new(CELLS_IN_ALL, COLUMNS);
        let mut at = 0.0;
        let mut show = |fired: &[usize]| {
            at += 0.04;
            weather.moves(fired, at, 0.04, |_| true)
        };
        assert!((0..5).all(|n| show(&rain(n))), "at first it may be anything");
        let woken = (5..500).filter(|n| show(&rain(*n))).count();
        assert!(woken < 25, "{woken}");
        let with = |n: usize, side| {
            let mut cells = rain(n);
            cells.extend(square(20 + n % 3, 30, side));
            cells.sort_unstable();
            cells.dedup();
            cells
        };
        assert!(show(&with(600, 12)), "a vehicle at once");
        (601..700).for_each(|n| {
            show(&rain(n));
        });
        let smaller = (700..703).filter(|n| show(&with(*n, 6))).count();
        assert!(smaller >= 1, "and one that is half hidden within three pictures");
        // It stops raining; after a while the smallest thing counts again.
        (0..600).for_each(|_| {
            show(&[]);
        });
        assert!(show(&square(40, 40, 2)));
    }

    #[test]
    fn what_comes_and_goes_in_one_place_alone_is_no_weather() {
        let mut weather = Weather::new(CELLS_IN_ALL, COLUMNS);
        let woken = (0..500_u16).filter(|n| {
            let cells = if n % 2 == 0 { square(10, 10, 2) } else { square(16, 12, 2) };
            weather.moves(&cells, f64::from(*n) * 0.04, 0.04, |_| true)
        });
        assert_eq!(woken.count(), 500);
    }

    #[test]
    fn one_change_of_the_light_is_news_and_flicker_is_not() {
        let mut weather = Weather::new(CELLS_IN_ALL, COLUMNS);
        assert!(weather.is_light_news(true, 0.0, 0.04));
        assert!(weather.is_light_news(true, 10.0, 10.0));
        let news = (0..100_u16).filter(|n| weather.is_light_news(n % 2 == 0, 11.0 + f64::from(*n) * 0.04, 0.04));
        assert!((2..8).contains(&news.count()));
        assert!(weather.is_light_news(true, 60.0, 45.0));
    }
}
