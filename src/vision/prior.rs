//! What a plate's text may look like, as a prior over texts: the shapes of its region's series weigh in, and can be
//! switched off.
//!
//! A shape says where letters and where digits stand (`LLLDLDD`). A text that a reader holds for possible becomes more
//! probable by as much as plates of its shape are more frequent than texts of a reader that knows no shapes:
//!
//! `P(text | picture, series) ∝ P(text | picture) · (free + Σ share of its shapes · 2^length)`
//!
//! The free share stands for personal plates and series that the table lacks, so that every text stays possible. `2^length` is one over the
//! probability of a shape where each character is a letter or a digit evenly, as drawn training texts are; within their
//! shape, texts are equally frequent on both sides. The shares are those of the issuers, mixed by what the reader tells of the
//! region and by what the camera's configuration expects. Nothing here makes up a text: who decodes brings those that the reader holds for
//! possible, and multiplies. The series stand in `series.rs`.
//! Called by [`super::ctc`] for one picture and by [`super::fuse`] for a track; neither hands the weighed probabilities on as
//! what was seen.

// bounds: `here`, `ahead` and masses have an item a node, parents and children are indexes of nodes.
#![allow(clippy::indexing_slicing, reason = "node numbers are made here alone")]

use std::sync::Arc;

use super::series::{ALL, Series, USUAL};

/// How far a configured region is believed over what the reader tells.
const EXPECTED: f32 = 0.9;

/// How far a reader's region is not believed: that share of it is spread as regions usually are.
const DOUBT: f32 = 0.05;

/// Letter or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Letter,
    Digit,
}

impl Kind {
    /// `None` for what no plate has.
    pub(super) fn of(c: char) -> Option<Self> {
        match c {
            'A'..='Z' => Some(Self::Letter),
            '0'..='9' => Some(Self::Digit),
            _ => None,
        }
    }
}

/// A beginning of shapes.
#[derive(Debug)]
pub(super) struct Node {
    /// The beginning that is one character shorter; its number is lower.
    pub(super) parent: usize,
    /// Of its last character.
    pub(super) kind: Kind,
    depth: i32,
    letter: Option<usize>,
    digit: Option<usize>,
}

/// A whole shape of one issuer.
#[derive(Debug)]
struct End {
    issuer: usize,
    node: usize,
    /// Among the issuer's shapes.
    share: f32,
}

/// All shapes as a tree; node 0 is the empty beginning.
#[derive(Debug)]
pub(super) struct Shapes {
    nodes: Vec<Node>,
    ends: Vec<End>,
    /// Share of each issuer within its region.
    shares: Vec<f32>,
}

impl Shapes {
    fn of(all: &[Series]) -> Self {
        let root = Node { parent: 0, kind: Kind::Letter, depth: 0, letter: None, digit: None };
        let mut shapes = Self { nodes: vec![root], ends: Vec::new(), shares: Vec::new() };
        let sum = |series: &Series| series.shapes.iter().map(|(_, share)| share).sum::<f32>();
        for (issuer, series) in all.iter().enumerate() {
            let region: f32 = all.iter().filter(|s| s.region == series.region).map(sum).sum();
            shapes.shares.push(sum(series) / region);
            for (shape, share) in series.shapes {
                let node = shape.chars().fold(0, |node, c| shapes.below(node, c));
                shapes.ends.push(End { issuer, node, share: share / sum(series) });
            }
        }
        shapes
    }

    /// The node of one more character, `L` or `D`.
    fn below(&mut self, parent: usize, shape: char) -> usize {
        let kind = if shape == 'L' { Kind::Letter } else { Kind::Digit };
        if let Some(known) = self.child(parent, kind) {
            return known;
        }
        let new = self.nodes.len();
        let depth = self.nodes[parent].depth + 1;
        self.nodes.push(Node { parent, kind, depth, letter: None, digit: None });
        match kind {
            Kind::Letter => self.nodes[parent].letter = Some(new),
            Kind::Digit => self.nodes[parent].digit = Some(new),
        }
        new
    }

    fn child(&self, node: usize, kind: Kind) -> Option<usize> {
        match kind {
            Kind::Letter => self.nodes[node].letter,
            Kind::Digit => self.nodes[node].digit,
        }
    }

    /// Beginnings in an order in which each comes after its parent; the first is the empty one.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// Which shapes are expected of the plates of a camera. A clone shares the table.
#[derive(Debug, Clone)]
pub struct Patterns {
    shapes: Option<Arc<Shapes>>,
    expected: Option<String>,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { shapes: Some(Arc::new(Shapes::of(ALL))), expected: None }
    }
}

impl Patterns {
    /// Nothing is expected: texts are as probable as they were seen.
    #[must_use]
    pub fn off() -> Self {
        Self { shapes: None, expected: None }
    }

    /// The same, for plates of `region` above all (`br`, `us-ca`, `eu-sk`), whatever the reader tells.
    #[must_use]
    pub fn expecting(self, region: &str) -> Self {
        Self { expected: Some(region.to_owned()), ..self }
    }

    /// The weights of shapes where the reader saw `regions` with these probabilities (none: it does not tell); `None`
    /// when they are off.
    pub(super) fn weights(&self, regions: &[(String, f32)]) -> Option<Weights> {
        let shapes = Arc::clone(self.shapes.as_ref()?);
        let (mut issuers, mut others) = told(&shapes, regions);
        if let Some(expected) = &self.expected {
            let wanted: Vec<f32> = issuers_of(expected, &shapes);
            let sum: f32 = wanted.iter().sum();
            if sum > 0.0 {
                for (share, wanted) in issuers.iter_mut().zip(&wanted) {
                    *share = (1.0 - EXPECTED) * *share + EXPECTED * wanted / sum;
                }
                for (_, share) in &mut others {
                    *share *= 1.0 - EXPECTED;
                }
            }
        }
        Some(Weights::new(shapes, issuers, others))
    }
}

/// The share of each issuer, and of each region that the table lacks, by what a reader tells.
fn told(shapes: &Shapes, regions: &[(String, f32)]) -> (Vec<f32>, Vec<(String, f32)>) {
    let of = |name: &str| -> f32 {
        let usual = USUAL.iter().find(|(r, _)| *r == name).map_or(0.0, |(_, share)| *share);
        match regions {
            [] => usual,
            seen => {
                let seen = seen.iter().find(|(r, _)| r == name).map_or(0.0, |(_, p)| *p);
                (1.0 - DOUBT) * seen + DOUBT * usual
            }
        }
    };
    let issuers = ALL.iter().zip(&shapes.shares).map(|(series, share)| of(series.region) * share).collect();
    let unknown = regions.iter().filter(|(name, _)| USUAL.iter().all(|(known, _)| known != name));
    (issuers, unknown.map(|(name, p)| (name.clone(), (1.0 - DOUBT) * p)).collect())
}

/// The shares of the issuers that a configured region means: `eu-sk` one, `eu` all of it, `us-ca` the region `us`.
fn issuers_of(expected: &str, shapes: &Shapes) -> Vec<f32> {
    let (region, part) = expected.split_once('-').unwrap_or((expected, ""));
    let exact = ALL.iter().any(|s| s.region == region && s.part == part && !part.is_empty());
    let meant = |s: &Series| s.region == region && (!exact || s.part == part);
    ALL.iter().zip(&shapes.shares).map(|(s, share)| if meant(s) { *share } else { 0.0 }).collect()
}

/// A place in the tree: `None` once a text fits no shape any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(Option<usize>);

/// Shapes weighed for one plate.
#[derive(Debug)]
pub(super) struct Weights {
    shapes: Arc<Shapes>,
    issuers: Vec<f32>,
    /// Regions without a series, with their shares.
    others: Vec<(String, f32)>,
    /// What every text weighs.
    free: f32,
    /// What a text weighs more that ends at a node.
    here: Vec<f32>,
    /// What a beginning weighs more: all that may follow it together.
    ahead: Vec<f32>,
}

impl Weights {
    fn new(shapes: Arc<Shapes>, issuers: Vec<f32>, others: Vec<(String, f32)>) -> Self {
        let nodes = shapes.nodes.len();
        let (mut here, mut ahead) = (vec![0.0; nodes], vec![0.0; nodes]);
        for end in &shapes.ends {
            here[end.node] += issuers[end.issuer] * (1.0 - ALL[end.issuer].free) * end.share;
        }
        for node in (0..nodes).rev() {
            ahead[node] += here[node];
            if node > 0 {
                let sum: f32 = ahead[node];
                ahead[shapes.nodes[node].parent] += sum;
            }
        }
        for (node, Node { depth, .. }) in shapes.nodes.iter().enumerate() {
            let gain = 2.0_f32.powi(*depth);
            here[node] *= gain;
            ahead[node] *= gain;
        }
        let without: f32 = others.iter().map(|(_, share)| share).sum();
        let free = without + issuers.iter().zip(ALL).map(|(share, series)| share * series.free).sum::<f32>();
        Self { shapes, issuers, others, free, here, ahead }
    }

    /// The tree.
    pub(super) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Where a text begins.
    pub(super) fn start() -> Place {
        Place(Some(0))
    }

    /// One character further.
    pub(super) fn next(&self, place: Place, c: char) -> Place {
        Place(place.0.zip(Kind::of(c)).and_then(|(node, kind)| self.shapes.child(node, kind)))
    }

    /// Where a whole text ends.
    pub(super) fn place(&self, text: impl Iterator<Item = char>) -> Place {
        text.fold(Self::start(), |place, c| self.next(place, c))
    }

    /// What a text weighs that ends here.
    pub(super) fn here(&self, place: Place) -> f64 {
        f64::from(self.free + place.0.map_or(0.0, |node| self.here[node]))
    }

    /// What a beginning weighs on its way.
    pub(super) fn ahead(&self, place: Place) -> f64 {
        f64::from(self.free + place.0.map_or(0.0, |node| self.ahead[node]))
    }

    /// The sum of probability times weight over all texts, of which `masses` are those of each node's shape.
    pub(super) fn total(&self, masses: &[f32]) -> f64 {
        let shaped: f64 = self.here.iter().zip(masses).map(|(w, m)| f64::from(w * m)).sum();
        f64::from(self.free) + shaped
    }

    /// The regions with their probabilities after the text was seen, most probable first.
    pub(super) fn regions(&self, masses: &[f32]) -> Vec<(String, f32)> {
        let mut by_issuer: Vec<f32> = ALL.iter().map(|series| series.free).collect();
        for end in &self.shapes.ends {
            let gain = 2.0_f32.powi(self.shapes.nodes[end.node].depth);
            by_issuer[end.issuer] += (1.0 - ALL[end.issuer].free) * end.share * gain * masses[end.node];
        }
        let mut regions: Vec<(String, f32)> = self.others.clone();
        for ((series, share), fit) in ALL.iter().zip(&self.issuers).zip(by_issuer) {
            match regions.iter_mut().find(|(name, _)| name == series.region) {
                Some((_, p)) => *p += share * fit,
                None => regions.push((series.region.to_owned(), share * fit)),
            }
        }
        let sum: f32 = regions.iter().map(|(_, p)| p).sum();
        for (_, p) in &mut regions {
            *p /= sum.max(f32::MIN_POSITIVE);
        }
        regions.sort_by(|a, b| b.1.total_cmp(&a.1));
        regions
    }

    /// The masses of shapes in independent columns: probabilities of any letter, any digit, and no character.
    pub(super) fn masses(&self, columns: &[[f32; 3]]) -> Vec<f32> {
        let nodes = &self.shapes.nodes;
        let mut masses = vec![0.0; nodes.len()];
        masses[0] = 1.0;
        for [letters, digits, none] in columns {
            // Parents have lower numbers: from the end each still finds its parent's mass of the column before.
            for at in (1..nodes.len()).rev() {
                let p = if nodes[at].kind == Kind::Letter { letters } else { digits };
                masses[at] = masses[at] * none + masses[nodes[at].parent] * p;
            }
            masses[0] *= none;
        }
        masses
    }
}

/// The region that is told: the most probable one, when it is more probable than all others together and names one.
pub(super) fn region_of(regions: &[(String, f32)]) -> Option<String> {
    let told = regions.iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, p)| *p > 0.5);
    told.map(|(name, _)| name.clone()).filter(|name| name != NO_PLATE && name != OTHER)
}

/// The class of a reader's regions that is no plate at all.
pub(super) const NO_PLATE: &str = "none";

/// The class of plates of all other regions.
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::region::KNOWN;

    fn weight(weights: &Weights, text: &str) -> f64 {
        weights.here(weights.place(text.chars()))
    }

    #[test]
    fn the_regions_that_a_camera_may_name_are_those_with_series() {
        for region in KNOWN {
            assert!(ALL.iter().any(|s| s.region == region), "{region}");
        }
        assert!(ALL.iter().all(|s| KNOWN.contains(&s.region)));
    }

    #[test]
    fn a_text_of_the_regions_shape_weighs_more_and_every_text_weighs_something() {
        let weights = Patterns::default().weights(&[("br".into(), 1.0)]).unwrap();
        let (old, new, none) = (weight(&weights, "ABC1234"), weight(&weights, "ABC1D23"), weight(&weights, "ABCD123"));
        assert!(old > 50.0 * none && new > 50.0 * none && none > 0.0, "{old} {new} {none}");
        // Longer than any shape, and with something that is on no plate.
        assert!((weight(&weights, "ABC1234567890123") - f64::from(weights.free)).abs() < 1e-6);
        assert!((weight(&weights, "AB-1234") - f64::from(weights.free)).abs() < 1e-6);
    }

    #[test]
    fn a_configured_region_counts_for_more_than_what_the_reader_tells() {
        let us = [("us".to_owned(), 0.8), ("br".to_owned(), 0.2)];
        let patterns = Patterns::default();
        let ratio = |patterns: &Patterns| {
            let weights = patterns.weights(&us).unwrap();
            weight(&weights, "ABC1D23") / weight(&weights, "7ABC123")
        };
        assert!(ratio(&patterns) < 10.0 && ratio(&patterns.clone().expecting("br")) > 10.0);
        assert!(ratio(&patterns.clone().expecting("us-ca")) < ratio(&patterns));
        let slovak = patterns.expecting("eu-sk").weights(&us).unwrap();
        assert!(weight(&slovak, "BA123CD") > 10.0 * weight(&slovak, "1AB2345"));
        assert!(Patterns::off().expecting("br").weights(&us).is_none());
    }

    #[test]
    fn a_region_without_a_series_leaves_texts_as_they_were_seen() {
        let weights = Patterns::default().weights(&[("other".into(), 1.0)]).unwrap();
        assert!(weight(&weights, "ABC1234") / weight(&weights, "A1B2C3D") < 8.0);
    }

    #[test]
    fn the_text_says_something_about_the_region() {
        let seen = [("us".to_owned(), 0.6), ("br".to_owned(), 0.4)];
        let weights = Patterns::default().weights(&seen).unwrap();
        let columns: Vec<[f32; 3]> =
            "LLLDLDD".chars().map(|c| if c == 'L' { [0.98, 0.02, 0.0] } else { [0.02, 0.98, 0.0] }).collect();
        let regions = weights.regions(&weights.masses(&columns));
        assert_eq!(region_of(&regions).as_deref(), Some("br"), "{regions:?}");
        assert!((regions.iter().map(|r| r.1).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(region_of(&[("none".into(), 0.9)]), None);
        assert_eq!(region_of(&[("us".into(), 0.4), ("br".into(), 0.35)]), None);
    }

    #[test]
    fn masses_are_sums_over_all_ways_to_fill_the_columns() {
        let weights = Patterns::default().weights(&[]).unwrap();
        // Five columns, of which one may be empty: shapes of five and of four.
        let columns = [[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0]];
        let masses = weights.masses(&columns);
        let of = |shape: &str| {
            let text = shape.replace('L', "A").replace('D', "1");
            weights.place(text.chars()).0.map(|node| masses[node]).unwrap()
        };
        assert!((of("LLLDD") - 0.9 * 0.8 * 0.5 * 0.9 * 0.8).abs() < 1e-6);
        assert!((of("LLLD") - 0.9 * 0.8 * 0.2 * 0.1 * 0.8).abs() < 1e-6);
    }
}
