//! Whether a picture has been the same for longer than its camera ever gives the same.
//!
//! A coder that sees nothing move gives copies, and every key frame codes the scene anew: the pictures of a still scene
//! come round like those of a frozen one. So a block counts as new when it is none of the last few that were at its place;
//! where the camera's noise gets through its coder, every key frame brings new blocks, and a stream that brings none
//! any more is frozen. A burnt-in clock may go on: it is a few blocks. A stream that never showed noise is believed for
//! much longer, and never called frozen before it was seen to move. The longest stillness that ended by itself counts for the
//! future: what was called frozen once and was not, is not called so again after the same time.

use std::time::Duration;

use super::small::PARTS;

/// Samples along a side of a block.
const SIDE: usize = 20;
/// Pictures of a block that are remembered.
const KEPT: usize = 12;
/// Share of the blocks that may be new in a frozen picture: its clock.
const CLOCK: f32 = 0.06;
/// Share that is new when the camera's noise shows, and how often it must have.
const NOISY: f32 = 0.8;
const ALIVE: u32 = 10;
/// A stream that has just begun has new blocks anyway.
const FIRST: Duration = Duration::from_secs(4);
/// Shortest stillness that is frozen: of a camera whose noise shows, and of one whose noise does not.
const STILL: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_mins(30);
/// Times the longest stillness there was.
const TIMES: u32 = 3;
/// Spans of quiet that must have ended by themselves before a longer one is believed to be none.
const ENDED: u32 = 5;
/// Mean change of a block that is no coder's, in parts of a level.
const MOVED: u32 = PARTS as u32;
/// Looks in a row that show it alive again.
const AGAIN: u32 = 3;

/// The longest stillness that ended by itself: of every block's noise, and of what moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Longest {
    pub still: Duration,
    pub quiet: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Frozen {
    columns: usize,
    /// Of each block, the pictures that it had.
    known: Vec<[u64; KEPT]>,
    turn: usize,
    begun: Duration,
    still_since: Duration,
    /// How often most blocks were new.
    noisy: u32,
    /// The picture since which nothing moved.
    quiet: Vec<u16>,
    quiet_since: Duration,
    ended: u32,
    /// Looks in a row with news.
    news: u32,
    is: bool,
    pub longest: Longest,
    /// What it was compared with: the picture at the begin of the stillness.
    pub first: Vec<u16>,
    hashes: Vec<u64>,
}

impl Frozen {
    /// Another stream; what was learnt of the camera stays.
    pub(super) fn begin(&mut self, at: Duration, width: usize, height: usize) {
        let (columns, rows) = (width.div_ceil(SIDE), height.div_ceil(SIDE));
        *self = Self {
            columns,
            known: vec![[0; KEPT]; columns * rows],
            begun: at,
            still_since: at,
            quiet_since: at,
            longest: self.longest,
            is: self.is,
            ..Self::default()
        };
    }

    pub(super) fn is(&self) -> bool {
        self.is
    }

    /// Since when nothing has changed.
    pub(super) fn since(&self) -> Duration {
        self.still_since
    }

    /// Looks at the next picture. The news, if it froze or moves again.
    pub(super) fn step(&mut self, at: Duration, samples: &[u16], width: usize) -> Option<bool> {
        let new = self.new_blocks(samples, width);
        let moved = self.moved_blocks(samples, width);
        if at.saturating_sub(self.begun) < FIRST {
            (self.still_since, self.quiet_since) = (at, at);
            self.quiet.clear();
            return None;
        }
        if new > NOISY {
            self.noisy = self.noisy.saturating_add(1);
        }
        let (lives, moves) = (new > CLOCK, moved > CLOCK);
        self.news = if lives { self.news + 1 } else { 0 };
        let over = self.is && (moves || self.news >= AGAIN);
        if lives && (!self.is || over) {
            self.longest.still = self.longest.still.max(at.saturating_sub(self.still_since));
            self.still_since = at;
            self.first.clear();
            self.first.extend_from_slice(samples);
        }
        if moves {
            self.longest.quiet = self.longest.quiet.max(at.saturating_sub(self.quiet_since));
            self.ended = self.ended.saturating_add(1);
            self.quiet_since = at;
            self.quiet.clear();
        }
        if over {
            self.is = false;
            return Some(false);
        }
        let still = at.saturating_sub(self.still_since) >= STILL.max(self.longest.still * TIMES);
        let quiet = at.saturating_sub(self.quiet_since) >= QUIET.max(self.longest.quiet * TIMES);
        if !self.is && ((still && self.noisy >= ALIVE) || (quiet && still && self.ended >= ENDED)) {
            self.is = true;
            return Some(true);
        }
        None
    }

    /// The share of the blocks that look like none before them.
    fn new_blocks(&mut self, samples: &[u16], width: usize) -> f32 {
        self.hashes.clear();
        self.hashes.resize(self.known.len(), 0xcbf2_9ce4_8422_2325);
        for (y, row) in samples.chunks_exact(width.max(1)).enumerate() {
            let of_row = self.hashes.iter_mut().skip(y / SIDE * self.columns);
            for (hash, part) in of_row.zip(row.chunks(SIDE)) {
                // FNV-1a, a sample at a time.
                *hash = part.iter().fold(*hash, |h, s| (h ^ u64::from(*s)).wrapping_mul(0x0100_0000_01b3));
            }
        }
        let mut new = 0;
        for (known, hash) in self.known.iter_mut().zip(&self.hashes) {
            if known.contains(hash) {
                continue;
            }
            new += 1;
            if let Some(oldest) = known.get_mut(self.turn % KEPT) {
                *oldest = *hash;
            }
        }
        self.turn += 1;
        new as f32 / self.known.len().max(1) as f32
    }

    /// The share of the blocks that changed since nothing moved.
    fn moved_blocks(&mut self, samples: &[u16], width: usize) -> f32 {
        if self.quiet.len() != samples.len() {
            self.quiet.clear();
            self.quiet.extend_from_slice(samples);
            return 0.0;
        }
        let mut sums = vec![(0_u32, 0_u32); self.known.len()];
        let rows = samples.chunks_exact(width.max(1)).zip(self.quiet.chunks_exact(width.max(1)));
        for (y, (now, then)) in rows.enumerate() {
            let of_row = sums.iter_mut().skip(y / SIDE * self.columns);
            for ((sum, count), (now, then)) in of_row.zip(now.chunks(SIDE).zip(then.chunks(SIDE))) {
                *sum += now.iter().zip(then).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                *count += u32::try_from(now.len()).unwrap_or(0);
            }
        }
        let moved = sums.iter().filter(|(sum, count)| *sum > MOVED * count).count();
        moved as f32 / sums.len().max(1) as f32
    }
}
