//! Ways to make one text of a pass, and how good they are: exact, calibrated, how soon.

use std::collections::BTreeMap;

use watchpost::domain::PlateRead;
use watchpost::vision::Settings;
use watchpost::vision::fuse::Fusion;

use super::Rng;

/// What one frame gave.
#[derive(Debug, Clone)]
pub struct Look {
    /// The read, if there is one.
    pub read: Option<PlateRead>,
    /// How readable the plate was, 0 to 1, by its size and the detector's score.
    pub quality: f32,
}

/// A pass as it was read.
#[derive(Debug, Clone)]
pub struct Reads {
    /// What the plate says.
    pub text: String,
    /// Whose layout it has.
    pub region: String,
    /// Frame by frame.
    pub looks: Vec<Look>,
}

/// How one text is made of many frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Any one frame.
    Any,
    /// The one in the middle of the pass.
    Middle,
    /// The frame whose read is surest.
    Best,
    /// The text that most frames have.
    Votes,
    /// The text with the greatest sum of confidences.
    Weighed,
    /// What the box does.
    Fused,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 6] = [Self::Any, Self::Middle, Self::Best, Self::Votes, Self::Weighed, Self::Fused];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any frame",
            Self::Middle => "middle frame",
            Self::Best => "best frame",
            Self::Votes => "votes",
            Self::Weighed => "weighed votes",
            Self::Fused => "fused",
        }
    }

    /// The text and its confidence; empty when there is nothing.
    pub fn tell(self, looks: &[Look], seed: u64) -> (String, f32) {
        let one = |look: Option<&Look>| {
            look.and_then(|l| l.read.as_ref())
                .map_or((String::new(), 0.0), |r| (r.text.as_str().to_owned(), r.confidence))
        };
        let reads = || looks.iter().filter_map(|l| l.read.as_ref());
        match self {
            Self::Any => one(looks.get(Rng::new(seed, 99).below(looks.len()))),
            Self::Middle => one(looks.get(looks.len() / 2)),
            Self::Best => {
                let best = reads().max_by(|a, b| a.confidence.total_cmp(&b.confidence));
                best.map_or((String::new(), 0.0), |r| (r.text.as_str().to_owned(), r.confidence))
            }
            Self::Votes => most(reads().map(|r| (r, 1.0 + 1e-3 * r.confidence))),
            Self::Weighed => most(reads().map(|r| (r, r.confidence))),
            Self::Fused => fused(looks).map_or((String::new(), 0.0), |r| (r.text.as_str().to_owned(), r.confidence)),
        }
    }
}

/// The box's read of these frames.
pub fn fused(looks: &[Look]) -> Option<PlateRead> {
    let mut fusion = Fusion::new();
    for look in looks {
        if let Some(read) = &look.read {
            fusion.add(read, look.quality);
        }
    }
    fusion.fused()
}

/// The text that the box would tell first, with its confidence, and after how many frames; `None` when it would wait for
/// the end.
pub fn first_told(looks: &[Look], settings: &Settings) -> Option<(String, f32, usize)> {
    let mut fusion = Fusion::new();
    for (n, look) in (1..).zip(looks) {
        if let Some(read) = &look.read {
            fusion.add(read, look.quality);
        }
        // A track is sure from its second frame on.
        let Some(read) = fusion.fused().filter(|r| n > 1 && r.text.as_str().len() >= settings.min_characters) else {
            continue;
        };
        let agreed = read.confidence >= settings.tell_confidence && fusion.agreeing(&read.text) >= 2;
        if agreed || read.confidence >= settings.tell_at_once {
            return Some((read.text.as_str().to_owned(), read.confidence, n));
        }
    }
    None
}

/// The fused reads of every pass's first `from` to `to` frames that were read at all.
pub fn after(passes: &[Reads], from: usize, to: usize) -> Score {
    let mut score = Score::default();
    for pass in passes {
        let read: Vec<Look> = pass.looks.iter().filter(|l| l.read.is_some()).cloned().collect();
        for frames in (from..=to).filter_map(|n| read.get(..n)) {
            let (text, confidence) = Way::Fused.tell(frames, 0);
            score.told.push((confidence, is_right(&text, &pass.text)));
        }
    }
    score
}

/// The text with the most votes, and its share of them.
fn most<'a>(votes: impl Iterator<Item = (&'a PlateRead, f32)>) -> (String, f32) {
    let mut sums: BTreeMap<&str, f32> = BTreeMap::new();
    let mut all = 0.0;
    for (read, vote) in votes {
        *sums.entry(read.text.as_str()).or_default() += vote;
        all += vote;
    }
    let best = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or((String::new(), 0.0), |(text, votes)| (text.to_owned(), votes / all))
}

/// Whether a text is the plate's; 0 and O are one, as in every score of this project.
pub fn is_right(told: &str, text: &str) -> bool {
    told.len() == text.len() && told.bytes().zip(text.bytes()).all(|(a, b)| a == b || is_round(a) && is_round(b))
}

fn is_round(c: u8) -> bool {
    c == b'0' || c == b'O'
}

/// How good a way is over many passes.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Confidence and whether it was right, pass by pass.
    pub told: Vec<(f32, bool)>,
    /// Frames after which the text was right and stayed so, where it did; passes in which it never did are `None`.
    pub settled: Vec<Option<usize>>,
}

impl Score {
    /// Of one way over passes; `seed` chooses any frame.
    pub fn of(way: Way, passes: &[Reads]) -> Self {
        let mut score = Self::default();
        for (seed, pass) in (0_u64..).zip(passes) {
            let (text, confidence) = way.tell(&pass.looks, seed);
            score.told.push((confidence, is_right(&text, &pass.text)));
        }
        score
    }

    /// Adds after how many frames a way is right for good.
    pub fn settle(&mut self, way: Way, passes: &[Reads]) {
        self.settled = passes
            .iter()
            .map(|pass| {
                let right = |frames: usize| {
                    pass.looks.get(..frames).is_some_and(|looks| is_right(&way.tell(looks, 0).0, &pass.text))
                };
                let wrong = (1..=pass.looks.len()).rev().find(|n| !right(*n)).unwrap_or(0);
                (wrong < pass.looks.len()).then_some(wrong + 1)
            })
            .collect();
    }

    /// Passes that are right.
    pub fn right(&self) -> usize {
        self.told.iter().filter(|t| t.1).count()
    }

    /// Share that is right, with Wilson's interval of 95 %.
    pub fn exact(&self) -> (f32, f32, f32) {
        let (n, p) = (self.told.len().max(1) as f32, self.right() as f32 / self.told.len().max(1) as f32);
        let z2 = 1.96_f32.powi(2);
        let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = 1.96 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        (p, middle - half, middle + half)
    }

    /// Expected calibration error in ten bins of confidence.
    pub fn ece(&self) -> f32 {
        let mut bins = [(0.0_f32, 0.0_f32); 10];
        for (confidence, right) in &self.told {
            let bin = bins.iter_mut().enumerate().rev().find(|(n, _)| *confidence >= *n as f32 / 10.0);
            if let Some((_, bin)) = bin {
                bin.0 += confidence;
                bin.1 += f32::from(u8::from(*right));
            }
        }
        bins.iter().map(|(sure, right)| (sure - right).abs()).sum::<f32>() / self.told.len().max(1) as f32
    }

    /// Mean confidence.
    pub fn sureness(&self) -> f32 {
        self.told.iter().map(|t| t.0).sum::<f32>() / self.told.len().max(1) as f32
    }

    /// Share of all passes that is wrong with a confidence of 0.9 or more.
    pub fn surely_wrong(&self) -> f32 {
        self.told.iter().filter(|(confidence, right)| *confidence >= 0.9 && !right).count() as f32
            / self.told.len().max(1) as f32
    }

    /// Mean of -ln(probability given to what happened), confidences held to 0.001..0.999.
    pub fn loss(&self) -> f32 {
        let of = |(confidence, right): &(f32, bool)| {
            let p = confidence.clamp(0.001, 0.999);
            if *right { -p.ln() } else { -(1.0 - p).ln() }
        };
        self.told.iter().map(of).sum::<f32>() / self.told.len().max(1) as f32
    }

    /// Passes that this way has right and the other wrong, and the other way round.
    pub fn against(&self, other: &Self) -> (usize, usize) {
        let pairs = || self.told.iter().zip(&other.told);
        (pairs().filter(|(a, b)| a.1 && !b.1).count(), pairs().filter(|(a, b)| !a.1 && b.1).count())
    }

    /// Median of the frames after which it is right for good, of the passes where it ever is.
    pub fn frames_to_right(&self) -> Option<usize> {
        let mut all: Vec<usize> = self.settled.iter().flatten().copied().collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }
}
