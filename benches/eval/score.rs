//! What a set of reads is worth against labels: found, false, exact, edit distance, calibration.
//!
//! Plain arithmetic on texts and boxes, without models or files. The definitions are those of the scorer that the labelled
//! data came with, so that numbers can be compared:
//!
//! - A read **finds** a labelled plate when their boxes overlap with an IoU of at least .5, or its middle lies in the
//!   label's box; one read finds one plate, best IoU first.
//! - **exact** takes 0 and O as one, since labels mix them; **strict** does not. A plate that was not found is not read, and
//!   costs its whole length of **edit** distance.
//! - **wrong** are images with a read of a confidence of .9 or more that is wrong: another text than its label's, or, on
//!   fully labelled images, no labelled plate at all.
//! - The **calibration error** (ECE) has ten bins of equal width, over reads that find a plate with a text, and the false
//!   ones of fully labelled images whose plates all have a text.
//!
//! Boxes are relative, 0..1: left, top, right, bottom.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

/// A read this sure and wrong is counted apart.
pub const CONFIDENT: f64 = 0.9;

/// Bins of the calibration error.
pub const BINS: usize = 10;

/// One read of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub text: String,
    pub confidence: f64,
    pub rect: [f64; 4],
    /// Candidates, best first.
    pub others: Vec<String>,
}

/// One labelled plate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Label {
    /// `None`: somewhere in the picture.
    pub rect: Option<[f64; 4]>,
    /// Texts that count as right; none: the plate is to be found, and nobody knows what it says.
    pub texts: Vec<String>,
}

/// Upper case, letters and digits only.
pub fn strict(text: &str) -> String {
    text.nfkc().flat_map(char::to_uppercase).filter(|c| c.is_alphanumeric()).collect()
}

/// [`strict`] with the letter O as the digit 0.
pub fn folded(text: &str) -> String {
    strict(text).replace('O', "0")
}

/// Levenshtein distance.
pub fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row.first().copied().unwrap_or(0);
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            left = (*cell + 1).min(left + 1).min(diagonal + usize::from(x != *y));
            diagonal = std::mem::replace(cell, left);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Smallest edit distance to one of the accepted texts, 0 = O; `None` without any.
pub fn nearest(text: &str, truths: &[String]) -> Option<usize> {
    truths.iter().map(|truth| edits(&folded(text), &folded(truth))).min()
}

/// Intersection over union.
pub fn iou(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let (wide, high) = (a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1]));
    if wide <= 0.0 || high <= 0.0 {
        return 0.0;
    }
    let area = |r: &[f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    wide * high / (area(a) + area(b) - wide * high)
}

fn overlaps(found: &[f64; 4], label: &[f64; 4]) -> bool {
    iou(found, label) >= 0.5
}

fn centre_inside(found: &[f64; 4], label: &[f64; 4]) -> bool {
    let (x, y) = (f64::midpoint(found[0], found[2]), f64::midpoint(found[1], found[3]));
    (label[0]..=label[2]).contains(&x) && (label[1]..=label[3]).contains(&y)
}

fn either(found: &[f64; 4], label: &[f64; 4]) -> bool {
    overlaps(found, label) || centre_inside(found, label)
}

/// When a box finds a label.
pub type Finds = fn(&[f64; 4], &[f64; 4]) -> bool;

/// For each label the box that finds it.
pub fn pair(found: &[[f64; 4]], labels: &[Label], finds: Finds) -> Vec<Option<usize>> {
    let mut able = Vec::new();
    for (f, rect) in found.iter().enumerate() {
        for (l, label) in labels.iter().enumerate().filter_map(|(l, label)| Some((l, label.rect.as_ref()?))) {
            if finds(rect, label) {
                able.push((-iou(rect, label), f, l));
            }
        }
    }
    able.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut pairs = vec![None; labels.len()];
    let mut used = BTreeSet::new();
    for (_, f, l) in able {
        if let Some(slot @ None) = pairs.get_mut(l)
            && used.insert(f)
        {
            *slot = Some(f);
        }
    }
    pairs
}

/// How many labels are found: by overlap, and by the middle.
pub fn found(boxes: &[[f64; 4]], labels: &[Label]) -> (usize, usize) {
    let count = |finds: Finds| pair(boxes, labels, finds).iter().flatten().count();
    (count(overlaps), count(centre_inside))
}

/// Sums over pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Counts {
    pub images: usize,
    pub reads: usize,
    pub boxes: usize,
    /// Found by the detector, read or not: by overlap.
    pub seen: usize,
    pub found_iou: usize,
    pub found_centre: usize,
    pub full_images: usize,
    pub false_reads: usize,
    pub texts: usize,
    pub texts_found: usize,
    pub exact: usize,
    pub strict: usize,
    pub top3: usize,
    pub edit: usize,
    pub edit_found: usize,
    pub wrong_confident: usize,
}

/// What became of one picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    pub counts: Counts,
    /// Confidence and whether it was right, for calibration.
    pub sure: Vec<(f64, bool)>,
    /// For each label the read that finds it.
    pub pairs: Vec<Option<usize>>,
    /// Reads that find no label, where labels are full.
    pub strays: Vec<usize>,
}

/// The plate and the best candidates, three in all.
pub fn three(read: &Read) -> Vec<&str> {
    let mut all = vec![read.text.as_str()];
    for other in &read.others {
        if !all.contains(&other.as_str()) {
            all.push(other);
        }
    }
    all.truncate(3);
    all
}

/// Whether `read` is one of `texts`, 0 = O.
pub fn is_exact(read: &str, texts: &[String]) -> bool {
    nearest(read, texts) == Some(0)
}

fn most_confident(reads: &[Read]) -> Option<usize> {
    let by = |(_, a): &(usize, &Read), (_, b): &(usize, &Read)| a.confidence.total_cmp(&b.confidence);
    // The first of equals: `max_by` takes the last.
    reads.iter().enumerate().rev().max_by(by).map(|(at, _)| at)
}

/// Judges the reads of one picture; `full`: every plate in it is labelled.
pub fn judge(labels: &[Label], full: bool, reads: &[Read]) -> Judged {
    let boxes: Vec<[f64; 4]> = reads.iter().map(|r| r.rect).collect();
    let (found_iou, found_centre) = found(&boxes, labels);
    let mut pairs = pair(&boxes, labels, either);
    for (slot, _) in pairs.iter_mut().zip(labels).filter(|(_, label)| label.rect.is_none()) {
        *slot = most_confident(reads);
    }
    let mut n = Counts {
        images: 1,
        reads: reads.len(),
        boxes: labels.iter().filter(|l| l.rect.is_some()).count(),
        found_iou,
        found_centre,
        ..Counts::default()
    };
    let mut sure = Vec::new();
    for (label, at) in labels.iter().zip(&pairs).filter(|(label, _)| !label.texts.is_empty()) {
        n.texts += 1;
        let Some(read) = at.and_then(|at| reads.get(at)) else {
            n.edit += label.texts.iter().map(|t| folded(t).chars().count()).min().unwrap_or(0);
            continue;
        };
        let distance = nearest(&read.text, &label.texts).unwrap_or(0);
        n.texts_found += 1;
        n.edit += distance;
        n.edit_found += distance;
        n.exact += usize::from(distance == 0);
        n.strict += usize::from(label.texts.iter().any(|t| strict(t) == strict(&read.text)));
        n.top3 += usize::from(three(read).iter().any(|text| is_exact(text, &label.texts)));
        if !read.text.is_empty() {
            sure.push((read.confidence, distance == 0));
        }
    }
    let mut strays = Vec::new();
    if full {
        let taken: BTreeSet<usize> = pairs.iter().flatten().copied().collect();
        strays = (0..reads.len()).filter(|at| !taken.contains(at)).collect();
        n.full_images = 1;
        n.false_reads = reads.len() - pairs.iter().flatten().count();
    }
    let stray_reads = strays.iter().filter_map(|at| reads.get(*at)).filter(|r| !r.text.is_empty());
    let astray: Vec<(f64, bool)> = stray_reads.map(|r| (r.confidence, false)).collect();
    let all = sure.iter().chain(&astray);
    n.wrong_confident = usize::from(all.clone().any(|(confidence, right)| *confidence >= CONFIDENT && !right));
    // Else only the wrong reads of this picture could be judged.
    if labels.iter().all(|l| !l.texts.is_empty()) {
        sure.extend(astray);
    }
    Judged { counts: n, sure, pairs, strays }
}

/// Sums of many pictures.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub counts: Counts,
    pub sure: Vec<(f64, bool)>,
}

impl Tally {
    /// Takes one picture in; `seen` of its labels were found by the detector, read or not.
    pub fn add(&mut self, judged: &Judged, seen: usize) {
        let (n, m) = (&mut self.counts, &judged.counts);
        n.images += m.images;
        n.reads += m.reads;
        n.boxes += m.boxes;
        n.seen += seen;
        n.found_iou += m.found_iou;
        n.found_centre += m.found_centre;
        n.full_images += m.full_images;
        n.false_reads += m.false_reads;
        n.texts += m.texts;
        n.texts_found += m.texts_found;
        n.exact += m.exact;
        n.strict += m.strict;
        n.top3 += m.top3;
        n.edit += m.edit;
        n.edit_found += m.edit_found;
        n.wrong_confident += m.wrong_confident;
        self.sure.extend_from_slice(&judged.sure);
    }

    /// The measures as shares.
    pub fn measures(&self) -> Measures {
        let n = &self.counts;
        Measures {
            counts: *n,
            seen: share(n.seen, n.boxes),
            det_iou: share(n.found_iou, n.boxes),
            det_centre: share(n.found_centre, n.boxes),
            false_per_image: share(n.false_reads, n.full_images),
            exact: share(n.exact, n.texts),
            exact_ci95: wilson(n.exact, n.texts),
            strict: share(n.strict, n.texts),
            top3: share(n.top3, n.texts),
            edit: share(n.edit, n.texts),
            edit_read: share(n.edit_found, n.texts_found),
            wrong_confident: share(n.wrong_confident, n.images),
            ece: calibration_error(&self.sure),
            reliability: reliability(&self.sure),
        }
    }
}

/// Shares, `None` where there is nothing to share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    pub counts: Counts,
    pub seen: Option<f64>,
    pub det_iou: Option<f64>,
    pub det_centre: Option<f64>,
    pub false_per_image: Option<f64>,
    pub exact: Option<f64>,
    pub exact_ci95: Option<[f64; 2]>,
    pub strict: Option<f64>,
    pub top3: Option<f64>,
    pub edit: Option<f64>,
    pub edit_read: Option<f64>,
    pub wrong_confident: Option<f64>,
    pub ece: Option<f64>,
    pub reliability: Vec<Bin>,
}

/// Reads of about the same confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end of the bin.
    pub from: f64,
    pub reads: usize,
    pub mean_confidence: f64,
    pub right: f64,
}

/// `hits` of `n`.
pub fn share(hits: usize, n: usize) -> Option<f64> {
    (n > 0).then(|| hits as f64 / n as f64)
}

/// How often reads of each confidence were right.
pub fn reliability(sure: &[(f64, bool)]) -> Vec<Bin> {
    let mut bins: BTreeMap<usize, (usize, f64, usize)> = BTreeMap::new();
    for (confidence, right) in sure {
        let at = ((confidence * BINS as f64).max(0.0) as usize).min(BINS - 1);
        let bin = bins.entry(at).or_default();
        *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + usize::from(*right));
    }
    let bin = |(at, (reads, sum, right)): (usize, (usize, f64, usize))| {
        let n = reads as f64;
        Bin { from: at as f64 / BINS as f64, reads, mean_confidence: sum / n, right: right as f64 / n }
    };
    bins.into_iter().map(bin).collect()
}

/// Expected calibration error.
pub fn calibration_error(sure: &[(f64, bool)]) -> Option<f64> {
    let gaps = reliability(sure).iter().map(|b| (b.mean_confidence - b.right).abs() * b.reads as f64).sum::<f64>();
    (!sure.is_empty()).then(|| gaps / sure.len() as f64)
}

/// 95 % interval of a share (Wilson 1927).
pub fn wilson(hits: usize, n: usize) -> Option<[f64; 2]> {
    let p = share(hits, n)?;
    let (n, z) = (n as f64, 1.96_f64);
    let z2 = z * z;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    Some([(middle - half).max(0.0), (middle + half).min(1.0)])
}
