//! One read out of many: reads of one track are fused by position and not by whole strings.
//!
//! Every read brings a lattice, what each of its characters may be. The lattices are laid over each other by an edit
//! alignment (Needleman and Wunsch 1970, with costs from the probabilities of the two columns, and gaps for characters
//! that one of them lacks), and per column the weighted log-probabilities are added: ROVER (Fiscus 1997) with
//! posteriors in the place of votes. So two reads that are each wrong in another place can make a right one. That a read
//! lacks a character says little: posts, passers-by and the crop's edge hide several in a row. Reads of another plate
//! that the tracker took for this one are left out ([`group`]).
//!
//! Frames of one track are no independent witnesses: their weight saturates, so that thirty near-copies of one mistake
//! do not become a certainty. The confidence is a probability, also while only few frames were read: the numbers below
//! were fitted on generated passes (`benches/fuse.rs`; docs/models.md has what they give on passes of another seed). Shapes
//! of plates weigh in once, on the whole, since lattices bring what was seen without them; regions are the mean of what the
//! frames say, since one that is surely wrong must not outweigh the others. The best [`KEPT`] reads are kept and fused
//! afresh when asked, so the order in which frames came does not matter. What one fusion costs, `benches/follow.rs`
//! measures. Called by the analyser.

mod group;
mod same;
mod stacked;

pub use self::group::is_part_of;
pub use self::same::disagreement;
use self::stacked::Stacked;
use super::prior::{Patterns, Weights, region_of};
use crate::domain::{Candidate, Detection, Lattice, PlateRead, PlateText, Position};

/// Reads that a fusion keeps: those of the greatest weight.
pub const KEPT: usize = 16;

/// Most candidates of a fused read.
const MAX_CANDIDATES: usize = 10;

/// 26 letters, 10 digits, and "no character here" as the last.
const SYMBOLS: usize = 37;
const NONE: usize = SYMBOLS - 1;

/// Share of every probability that is spread evenly: no reader is as sure as it says, and one frame alone may be hidden,
/// blurred or cut off in a way that it cannot see.
const DOUBT: f32 = 0.08;

/// Probability that a read misses a character that is there, or makes one up: what a gap costs in the alignment.
const GAP: f32 = 0.03;

/// How probable a read that has no character for a place makes it that there is none.
const ABSENT: f32 = 0.6;

/// Share of that which counts at an end of the plate, where crops and corners cut off.
const ABSENT_AT_END: f32 = 0.4;

/// The most that all frames of a track together may weigh, in units of one good read.
const MOST_WEIGHT: f32 = 3.0;

/// What each further read adds at first, as a share of its weight.
const FURTHER: f32 = 0.3;

/// Power of readability in a read's weight, which is the read's confidence else: beside that, size says little.
const BY_QUALITY: f32 = 0.1;

/// What the least sure read weighs.
const LEAST_WEIGHT: f32 = 1e-4;

/// Texts kept while candidates are put together.
const BEAMS: usize = 32;

/// Alternatives below this are left out of a fused lattice.
const LATTICE_FLOOR: f32 = 0.002;

/// Most alternatives of a position.
const MAX_OPTIONS: usize = 6;

/// Plates of this width and wider are as readable as they get, pixels.
const FULL_WIDTH: f32 = 110.0;

/// How readable the plate of a detection is, 0..1, by its size and score: what its read is to be added with.
#[must_use]
pub fn readability(detection: &Detection) -> f32 {
    let size = (detection.rect.width() / FULL_WIDTH).clamp(0.0, 1.0).powf(1.5);
    let score = if detection.score.is_finite() { detection.score.clamp(0.0, 1.0) } else { 0.0 };
    size * (0.4 + 0.6 * score)
}

/// Probabilities, or logarithms of them, of all symbols in one place.
type Column = [f32; SYMBOLS];

/// What one picture says of one place: probabilities, and their logarithms.
#[derive(Debug, Clone, Copy)]
struct Said {
    probabilities: Column,
    logs: Column,
}

impl Said {
    fn new(probabilities: Column) -> Self {
        Self { probabilities, logs: probabilities.map(f32::ln) }
    }
}

/// One read, ready to be laid over others.
#[derive(Debug, Clone)]
struct Kept {
    weight: f32,
    columns: Vec<Said>,
    region: Option<String>,
    regions: Vec<(String, f32)>,
    text: PlateText,
    confidence: f32,
}

impl Kept {
    /// How much others can be laid over it.
    fn worth(&self) -> f32 {
        self.weight * (self.text.as_str().len() as f32).sqrt()
    }
}

/// The reads of one track.
#[derive(Debug, Clone)]
pub struct Fusion {
    kept: Vec<Kept>,
    frames: u16,
    patterns: Patterns,
    stack: Option<Stacked>,
}

impl Default for Fusion {
    fn default() -> Self {
        Self::by(Patterns::off())
    }
}

impl Fusion {
    /// Nothing read; no shapes weigh in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing read; the shapes of `patterns` weigh in.
    #[must_use]
    pub fn by(patterns: Patterns) -> Self {
        Self { kept: Vec::new(), frames: 0, patterns, stack: None }
    }

    /// How many reads of single frames were added.
    #[must_use]
    pub fn frames(&self) -> u16 {
        self.frames
    }

    /// How many of the kept reads have `text` as their best text; that of many pictures laid over each other counts as two.
    #[must_use]
    pub fn agreeing(&self, text: &PlateText) -> usize {
        self.stack.as_ref().map_or(0, |stack| stack.witnesses(text))
            + self.kept.iter().filter(|k| k.text == *text).count()
    }

    /// Whether one of the kept reads of single frames has `text` as its best text.
    #[must_use]
    pub fn is_of_a_frame(&self, text: &PlateText) -> bool {
        self.kept.iter().any(|k| k.text == *text)
    }

    /// Adds a read; `quality` says how far its picture is to be trusted: 1 for a large, sharp plate, towards 0 for a
    /// hopeless one ([`readability`]). What is no positive number is left out.
    pub fn add(&mut self, read: &PlateRead, quality: f32) {
        if !(quality.is_finite() && quality > 0.0) {
            return;
        }
        self.frames = self.frames.saturating_add(read.frames.max(1));
        self.kept.push(kept(read, quality));
        self.keep_best();
    }

    /// Puts in the read of so many pictures of the plate laid over each other ([`super::stack`]), in the place of the one
    /// before: it knows all that that one knew.
    pub fn put_stack(&mut self, read: &PlateRead, quality: f32, pictures: u16) {
        if quality.is_finite() && quality > 0.0 && pictures > 0 {
            self.stack = Some(Stacked { read: read.clone(), kept: kept(read, quality), pictures });
        }
    }

    /// Takes in the reads of `other`: two tracks were one vehicle.
    pub fn merge(&mut self, other: Self) {
        self.frames = self.frames.saturating_add(other.frames);
        self.kept.extend(other.kept);
        let pictures = |stack: &Option<Stacked>| stack.as_ref().map_or(0, |s| s.pictures);
        if pictures(&other.stack) > pictures(&self.stack) {
            self.stack = other.stack;
        }
        self.keep_best();
    }

    fn keep_best(&mut self) {
        self.kept.sort_by(|a, b| {
            b.weight
                .total_cmp(&a.weight)
                .then_with(|| b.confidence.total_cmp(&a.confidence))
                .then_with(|| a.text.cmp(&b.text))
        });
        self.kept.truncate(KEPT);
    }

    /// All reads as one; `None` before the first, or when "no character" is the most probable everywhere.
    #[must_use]
    pub fn fused(&self) -> Option<PlateRead> {
        let frames = self.fused_of(&self.kept);
        let Some(stack) = &self.stack else { return frames };
        let read = stack.beside(frames, |own| {
            let mut both = self.kept.clone();
            both.push(own.clone());
            both.sort_by(|a, b| b.weight.total_cmp(&a.weight));
            self.fused_of(&both)
        });
        Some(PlateRead { frames: self.frames.max(stack.pictures), ..read })
    }

    fn fused_of(&self, kept: &[Kept]) -> Option<PlateRead> {
        let mut kept = group::of_one_plate(kept);
        let tempering = tempering(&kept);
        // Long and sure reads first: others are laid over what they found.
        kept.sort_by(|a, b| b.worth().total_cmp(&a.worth()));
        let regions = mean_regions(&kept);
        let mut consensus = Consensus::default();
        for kept in kept {
            consensus.add(&kept.columns, kept.weight);
        }
        let posteriors = consensus.posteriors(tempering);
        let weights = self.patterns.weights(&regions);
        let masses = weights.as_ref().map(|w| w.masses(&kinds(&posteriors)));
        let total = weights.as_ref().zip(masses.as_ref()).map_or(1.0, |(w, masses)| w.total(masses));
        let candidates = candidates(&posteriors, weights.as_ref(), total);
        let best = candidates.first()?;
        let by_shape = weights.as_ref().zip(masses.as_ref()).filter(|_| !regions.is_empty());
        Some(PlateRead {
            text: best.text.clone(),
            confidence: best.confidence,
            char_confidences: char_confidences(&posteriors, &best.text),
            lattice: lattice(&posteriors),
            region: by_shape.map_or_else(|| self.region(), |(w, masses)| region_of(&w.regions(masses))),
            regions,
            frames: self.frames,
            candidates,
        })
    }

    /// The region that the reads name with the greatest weight.
    fn region(&self) -> Option<String> {
        let named = |region: &str| -> f32 {
            self.kept.iter().filter(|k| k.region.as_deref() == Some(region)).map(|k| k.weight).sum()
        };
        let mut all: Vec<&String> = self.kept.iter().filter_map(|k| k.region.as_ref()).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().max_by(|a, b| named(a).total_cmp(&named(b))).cloned()
    }
}

/// A read as it is kept.
fn kept(read: &PlateRead, quality: f32) -> Kept {
    let sureness = if read.confidence.is_finite() { read.confidence.clamp(0.0, 1.0) } else { 0.0 };
    Kept {
        weight: (quality.min(1.0).powf(BY_QUALITY) * sureness).clamp(LEAST_WEIGHT, 1.0),
        columns: columns(read).into_iter().map(Said::new).collect(),
        region: read.region.clone(),
        regions: read.regions.clone(),
        text: read.text.clone(),
        confidence: sureness,
    }
}

/// What reads say of the region in the mean, each by its weight; most probable first.
fn mean_regions(kept: &[&Kept]) -> Vec<(String, f32)> {
    let mut mean: Vec<(String, f32)> = Vec::new();
    let telling = kept.iter().filter(|k| !k.regions.is_empty());
    let sum: f32 = telling.clone().map(|k| k.weight).sum();
    for kept in telling {
        for (name, p) in &kept.regions {
            let share = if p.is_finite() { p.clamp(0.0, 1.0) * kept.weight / sum } else { 0.0 };
            match mean.iter_mut().find(|(known, _)| known == name) {
                Some((_, so_far)) => *so_far += share,
                None => mean.push((name.clone(), share)),
            }
        }
    }
    mean.sort_by(|a, b| b.1.total_cmp(&a.1));
    mean
}

/// What the added logarithms are multiplied by, so that all reads together weigh less than their sum; greatest weight
/// first.
fn tempering(kept: &[&Kept]) -> f32 {
    let sum: f32 = kept.iter().map(|k| k.weight).sum();
    let first = kept.first().map_or(0.0, |k| k.weight);
    if sum <= 0.0 {
        return 0.0;
    }
    // A single read keeps its own word whatever its weight; further ones add less and less.
    let further = FURTHER * (sum - first) / first.max(LEAST_WEIGHT);
    let room = MOST_WEIGHT - 1.0;
    let effective = 1.0 + room * (1.0 - (-further / room).exp());
    effective / sum
}

/// Number of a character, `None` for what no plate has.
fn symbol(c: char) -> Option<usize> {
    match c {
        'A'..='Z' => usize::try_from(u32::from(c) - u32::from('A')).ok(),
        '0'..='9' => usize::try_from(u32::from(c) - u32::from('0')).ok().map(|d| d + 26),
        '\0' => Some(NONE),
        _ => None,
    }
}

/// Character of a number, `None` for "no character".
fn character(symbol: usize) -> Option<char> {
    let offset = u8::try_from(symbol).ok()?;
    match offset {
        0..=25 => Some(char::from(b'A' + offset)),
        26..=35 => Some(char::from(b'0' + offset - 26)),
        _ => None,
    }
}

/// The columns of a read: listed probabilities, what they leave spread over the rest, all with some doubt.
fn columns(read: &PlateRead) -> Vec<Column> {
    // More than a plate has, since some positions may stand for no character.
    const MOST: usize = 2 * PlateText::MAX_LEN;
    if read.lattice.positions.is_empty() {
        let own = read.text.as_str().chars().enumerate().take(MOST);
        return own.map(|(at, c)| column(&[(c, read.char_confidences.get(at).copied().unwrap_or(0.5))])).collect();
    }
    read.lattice.positions.iter().take(MOST).map(|p| column(&p.options)).collect()
}

fn column(options: &[(char, f32)]) -> Column {
    let mut column = [0.0; SYMBOLS];
    for (c, p) in options {
        if let Some(slot) = symbol(*c).and_then(|s| column.get_mut(s))
            && p.is_finite()
        {
            *slot += p.clamp(0.0, 1.0);
        }
    }
    let sum: f32 = column.iter().sum();
    let even = 1.0 / SYMBOLS as f32;
    let (scale, left) = if sum > 1.0 { (1.0 / sum, 0.0) } else { (1.0, 1.0 - sum) };
    column.map(|p| (1.0 - DOUBT) * (p * scale + left * even) + DOUBT * even)
}

/// What a read says of a place that it has no character for.
fn gap_column() -> Column {
    let even = (1.0 - ABSENT) / (SYMBOLS - 1) as f32;
    let mut column = [even; SYMBOLS];
    if let Some(none) = column.get_mut(NONE) {
        *none = ABSENT;
    }
    column
}

/// How much each gap of an alignment counts: what hides characters hides several in a row, so a run of gaps counts as one.
fn gap_shares(meets: &[Meet]) -> Vec<f32> {
    let mut shares = Vec::with_capacity(meets.len());
    for run in meets.chunk_by(|a, b| a == b) {
        let is_end = shares.is_empty() || shares.len() + run.len() == meets.len();
        let share = if is_end { ABSENT_AT_END } else { 1.0 } / run.len() as f32;
        shares.extend(run.iter().map(|_| share));
    }
    shares
}

fn add_logs(sum: &mut Column, logs: &Column, weight: f32) {
    for (s, log) in sum.iter_mut().zip(logs) {
        *s += weight * log;
    }
}

/// Probabilities from sums of logarithms times `temper`.
fn softmax(sums: &Column, temper: f32) -> Column {
    let most = sums.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = sums.map(|s| ((s - most) * temper).exp());
    let total: f32 = powers.iter().sum();
    powers.map(|p| p / total)
}

/// Added logarithms, column by column.
#[derive(Debug, Default)]
struct Consensus {
    sums: Vec<Column>,
    weight: f32,
}

/// How a column of the consensus and one of a read meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meet {
    Both,
    OnlyConsensus,
    OnlyRead,
}

impl Consensus {
    fn add(&mut self, read: &[Said], weight: f32) {
        let mut old = std::mem::take(&mut self.sums).into_iter();
        let mut new = read.iter();
        let gap = Said::new(gap_column());
        let meets = if self.weight > 0.0 {
            let temper = 1.0 / self.weight;
            let so_far: Vec<Column> = old.as_slice().iter().map(|c| softmax(c, temper)).collect();
            align(&so_far, &read.iter().map(|s| s.probabilities).collect::<Vec<_>>())
        } else {
            vec![Meet::OnlyRead; read.len()]
        };
        for (meet, share) in meets.iter().zip(gap_shares(&meets)) {
            let mut sum = match meet {
                Meet::Both | Meet::OnlyConsensus => old.next().unwrap_or([0.0; SYMBOLS]),
                Meet::OnlyRead => {
                    // All reads before saw nothing here.
                    let mut unseen = [0.0; SYMBOLS];
                    add_logs(&mut unseen, &gap.logs, self.weight * share);
                    unseen
                }
            };
            match new.as_slice().first().filter(|_| *meet != Meet::OnlyConsensus) {
                Some(said) => {
                    new.next();
                    add_logs(&mut sum, &said.logs, weight);
                }
                None => add_logs(&mut sum, &gap.logs, weight * share),
            }
            self.sums.push(sum);
        }
        self.weight += weight;
    }

    fn posteriors(&self, temper: f32) -> Vec<Column> {
        self.sums.iter().map(|c| softmax(c, temper)).collect()
    }
}

/// The cheapest way to lay `b` over `a`, both probabilities.
fn align(a: &[Column], b: &[Column]) -> Vec<Meet> {
    let none = |c: &Column| -c.get(NONE).copied().unwrap_or(0.0).max(GAP).ln();
    let both = |x: &Column, y: &Column| -x.iter().zip(y).map(|(p, q)| p * q).sum::<f32>().max(1e-4).ln();
    let width = b.len() + 1;
    // Row by row: cost of the best way to this cell, and its last step.
    let mut cells: Vec<(f32, Meet)> = Vec::with_capacity((a.len() + 1) * width);
    for row in 0..=a.len() {
        for column in 0..width {
            let cost = |back: usize| cells.get(cells.len() - back).map_or(0.0, |c| c.0);
            let x = row.checked_sub(1).and_then(|r| a.get(r));
            let y = column.checked_sub(1).and_then(|c| b.get(c));
            let cell = match (x, y) {
                (None, None) => (0.0, Meet::Both),
                (Some(x), None) => (cost(width) + none(x), Meet::OnlyConsensus),
                (None, Some(y)) => (cost(1) + none(y), Meet::OnlyRead),
                (Some(x), Some(y)) => [
                    (cost(width + 1) + both(x, y), Meet::Both),
                    (cost(width) + none(x), Meet::OnlyConsensus),
                    (cost(1) + none(y), Meet::OnlyRead),
                ]
                .into_iter()
                .min_by(|p, q| p.0.total_cmp(&q.0))
                .unwrap_or((0.0, Meet::Both)),
            };
            cells.push(cell);
        }
    }
    let mut meets = Vec::with_capacity(a.len() + b.len());
    let (mut row, mut column) = (a.len(), b.len());
    while row + column > 0 {
        let Some((_, meet)) = cells.get(row * width + column) else { break };
        meets.push(*meet);
        row -= usize::from(*meet != Meet::OnlyRead);
        column -= usize::from(*meet != Meet::OnlyConsensus);
    }
    meets.reverse();
    meets
}

/// The symbols of a column, most probable first.
fn ranked(column: &Column) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = column.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// A text that grows without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Prefix {
    bytes: [u8; PlateText::MAX_LEN],
    len: usize,
}

impl Prefix {
    /// One longer; itself for "no character"; `None` when it would be too long for a plate.
    fn with(mut self, symbol: usize) -> Option<Self> {
        if let Some(c) = character(symbol) {
            *self.bytes.get_mut(self.len)? = u8::try_from(c).ok()?;
            self.len += 1;
        }
        Some(self)
    }

    fn characters(&self) -> impl Iterator<Item = char> {
        self.bytes.get(..self.len).unwrap_or_default().iter().map(|b| char::from(*b))
    }

    fn text(&self) -> Option<PlateText> {
        PlateText::from_raw(std::str::from_utf8(self.bytes.get(..self.len)?).ok()?)
    }
}

/// Probabilities of any letter, any digit, and no character.
fn kinds(columns: &[Column]) -> Vec<[f32; 3]> {
    let sum = |column: &Column, from: usize, to: usize| column.get(from..to).unwrap_or_default().iter().sum();
    columns.iter().map(|c| [sum(c, 0, 26), sum(c, 26, NONE), sum(c, NONE, SYMBOLS)]).collect()
}

/// The most probable texts; the ways to write the same one (a character here or there) are added. With `weights`, shapes
/// weigh in, of which all texts together are worth `total`.
fn candidates(columns: &[Column], weights: Option<&Weights>, total: f64) -> Vec<Candidate> {
    let mut beams: Vec<(Prefix, f32)> = vec![(Prefix::default(), 1.0)];
    let mut next: Vec<(Prefix, f32)> = Vec::with_capacity(BEAMS * MAX_OPTIONS);
    for column in columns {
        let mut options = ranked(column);
        options.truncate(MAX_OPTIONS);
        options.retain(|(_, p)| *p >= LATTICE_FLOOR);
        next.clear();
        for (prefix, p) in &beams {
            next.extend(options.iter().filter_map(|(symbol, q)| Some((prefix.with(*symbol)?, p * q))));
        }
        next.sort_unstable_by_key(|n| n.0);
        next.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            kept.1 += if same { later.1 } else { 0.0 };
            same
        });
        let ahead = |prefix: &Prefix| weights.map_or(1.0, |w| w.ahead(w.place(prefix.characters())));
        let mut worth: Vec<(f64, (Prefix, f32))> = next.iter().map(|n| (f64::from(n.1) * ahead(&n.0), *n)).collect();
        worth.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.0.cmp(&b.1.0)));
        beams.clear();
        beams.extend(worth.iter().take(BEAMS).map(|(_, beam)| *beam));
    }
    let here = |prefix: &Prefix| weights.map_or(1.0, |w| w.here(w.place(prefix.characters())) / total);
    let texts = beams.into_iter().filter_map(|(prefix, p)| {
        Some(Candidate { text: prefix.text()?, confidence: small((f64::from(p) * here(&prefix)).clamp(0.0, 1.0)) })
    });
    let mut texts: Vec<Candidate> = texts.collect();
    texts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    texts.truncate(MAX_CANDIDATES);
    texts
}

/// A probability in the precision that is handed on.
#[expect(clippy::cast_possible_truncation, reason = "a probability: only precision is lost")]
fn small(p: f64) -> f32 {
    p as f32
}

/// Columns that may hold a character, as positions of a lattice.
fn lattice(columns: &[Column]) -> Lattice {
    let positions = columns.iter().map(|column| {
        let options = ranked(column).into_iter().take(MAX_OPTIONS).filter(|(_, p)| *p >= LATTICE_FLOOR);
        Position { options: options.map(|(s, p)| (character(s).unwrap_or('\0'), p)).collect() }
    });
    let seldom = |p: &Position| p.options.first().is_some_and(|(c, p)| *c == '\0' && *p > 1.0 - 0.01);
    Lattice { positions: positions.filter(|p| !seldom(p)).collect() }
}

/// Probability of each character of `text` in the column that it most probably stands in.
fn char_confidences(columns: &[Column], text: &PlateText) -> Vec<f32> {
    let sure: Vec<Column> = text.as_str().chars().map(|c| column(&[(c, 1.0)])).collect();
    let mut column = columns.iter();
    let mut characters = text.as_str().chars();
    let mut confidences = Vec::with_capacity(sure.len());
    for meet in align(columns, &sure) {
        let here = if meet == Meet::OnlyRead { None } else { column.next() };
        if meet != Meet::OnlyConsensus {
            let symbol = characters.next().and_then(symbol);
            confidences.push(here.zip(symbol).and_then(|(c, s)| c.get(s)).copied().unwrap_or(0.0));
        }
    }
    confidences
}

#[cfg(test)]
mod tests;
