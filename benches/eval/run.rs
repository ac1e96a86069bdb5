//! One set through the models: sums by region, CPU by stage, and every plate as a case to break down and to look at.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use watchpost::camera::still;
use watchpost::domain::{Class, Detection, Frame, Rect};

use super::look::{Cpu, Eye, Grey, Shot};
use super::score::{Judged, Label, Read, Tally, is_exact, judge, nearest};
use super::sets::{Picture, Set};
use super::traits::{self, Traits};

/// What became of one plate, or of a read that is of no plate.
#[derive(Debug, Clone)]
pub struct Case {
    pub file: String,
    pub region: String,
    /// The label's text; `None`: no label is there (a false plate), or nobody knows what it says.
    pub truth: Option<String>,
    pub read: Option<Read>,
    pub end: End,
    /// A detection lies on it, read or not.
    pub seen: bool,
    pub traits: Traits,
    /// As the reader saw it; of a missed plate what its label holds.
    pub tile: Option<Grey>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Exact,
    Misread,
    /// The plate has no read.
    Missed,
    /// The read has no plate.
    False,
    /// Found, and nobody knows what it says.
    Found,
}

/// All of one set.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By region, and `total`.
    pub tallies: BTreeMap<String, Tally>,
    /// The same with the first look alone; empty for crops.
    pub once: BTreeMap<String, Tally>,
    pub cpu: Cpu,
    /// The pictures were crops: nothing was looked for.
    pub crops: bool,
    pub pictures: usize,
    pub cases: Vec<Case>,
    /// As `watchpost read --json` prints them.
    pub lines: Vec<Value>,
}

/// Runs `set`.
///
/// # Errors
/// A picture that can't be read, what the models say.
pub fn run(eye: &Eye, set: &Set) -> Result<Outcome> {
    let mut outcome = Outcome { crops: set.crops, ..Outcome::default() };
    for picture in &set.pictures {
        let frame = still::load(&picture.path)?;
        outcome.take(eye, picture, &frame, set.crops)?;
    }
    Ok(outcome)
}

impl Outcome {
    /// Looks at one picture and judges it.
    ///
    /// # Errors
    /// What the models say.
    pub fn take(&mut self, eye: &Eye, picture: &Picture, frame: &Frame, crops: bool) -> Result<()> {
        let shot = if crops { eye.look_at_crop(frame)? } else { eye.look(frame)? };
        let reads: Vec<Read> = shot.reads.iter().map(|(_, read)| read.clone()).collect();
        let judged = judge(&picture.labels, picture.full, &reads);
        let boxes = shot.boxes(frame);
        let seen = super::score::pair(&boxes, &picture.labels, |a, b| super::score::iou(a, b) >= 0.5);
        let count = seen.iter().flatten().count();
        for region in [picture.region.as_str(), "total"] {
            self.tallies.entry(region.to_owned()).or_default().add(&judged, if crops { 0 } else { count });
        }
        if !crops {
            let once: Vec<Read> = shot.once.iter().map(|(_, read)| read.clone()).collect();
            let judged = judge(&picture.labels, picture.full, &once);
            for region in [picture.region.as_str(), "total"] {
                self.once.entry(region.to_owned()).or_default().add(&judged, count);
            }
        }
        self.cpu.add(&shot.cpu);
        self.pictures += 1;
        self.lines.push(line(&picture.file, frame, &reads));
        self.cases(eye, picture, frame, (&shot, &judged, &seen), crops)
    }

    fn cases(
        &mut self,
        eye: &Eye,
        picture: &Picture,
        frame: &Frame,
        (shot, judged, seen): (&Shot, &Judged, &[Option<usize>]),
        crops: bool,
    ) -> Result<()> {
        let grey = Grey::of(frame);
        for ((label, at), seen) in picture.labels.iter().zip(&judged.pairs).zip(seen) {
            let taken = at.and_then(|at| shot.reads.get(at));
            let plate = taken.map(|(plate, _)| *plate).or(*seen).and_then(|plate| shot.found.get(plate));
            let read = taken.map(|(_, read)| read.clone());
            let end = end_of(label, read.as_ref());
            let traits = traits::of(&grey, label.rect.as_ref(), plate.and_then(|p| p.corners.as_ref()));
            let wanted = matches!(end, End::Misread | End::Missed);
            let tile = if wanted { self::tile(eye, frame, plate, label.rect.as_ref(), crops)? } else { None };
            let seen = plate.is_some() && !crops;
            self.push(picture, label.texts.first().cloned(), (read, end, seen), traits, tile);
        }
        for (plate, read) in judged.strays.iter().filter_map(|at| shot.reads.get(*at)) {
            let found = shot.found.get(*plate);
            let traits = traits::of(&grey, Some(&read.rect), found.and_then(|p| p.corners.as_ref()));
            let tile = self::tile(eye, frame, found, None, crops)?;
            self.push(picture, None, (Some(read.clone()), End::False, true), traits, tile);
        }
        Ok(())
    }

    fn push(
        &mut self,
        picture: &Picture,
        truth: Option<String>,
        (read, end, seen): (Option<Read>, End, bool),
        traits: Traits,
        tile: Option<Grey>,
    ) {
        let (file, region) = (picture.file.clone(), picture.region.clone());
        self.cases.push(Case { file, region, truth, read, end, seen, traits, tile });
    }
}

fn end_of(label: &Label, read: Option<&Read>) -> End {
    match read {
        None => End::Missed,
        Some(_) if label.texts.is_empty() => End::Found,
        Some(read) if is_exact(&read.text, &label.texts) => End::Exact,
        Some(_) => End::Misread,
    }
}

/// What the reader is shown of a plate, or what lies in a label's box when nothing was found there.
fn tile(
    eye: &Eye,
    frame: &Frame,
    found: Option<&Detection>,
    label: Option<&[f64; 4]>,
    crops: bool,
) -> Result<Option<Grey>> {
    let reader = &eye.models.reader;
    let input = &reader.net().manifest().input;
    let [width, height] = input.size.map(|s| usize::try_from(s).unwrap_or(0));
    if crops {
        return Ok(Some(Grey::of(frame).resized(width, height)));
    }
    let (w, h) = frame.size();
    let labelled = label.map(|r| {
        let [x1, y1, x2, y2] = r.map(|v| v as f32);
        let rect = Rect::new(x1 * w, y1 * h, x2 * w, y2 * h);
        Detection { class: Class::Plate, score: 0.0, rect, corners: None }
    });
    let Some(plate) = found.or(labelled.as_ref()) else { return Ok(None) };
    let Some(values) = reader.shown(frame, plate)? else { return Ok(None) };
    let (mean, std) = (input.mean.of(0), input.std.of(0));
    let byte = |v: &f32| ((v * std + mean) / input.scale).round().clamp(0.0, 255.0) as u8;
    let pixels: Vec<u8> = values.iter().take(width * height).map(byte).collect();
    Ok((pixels.len() == width * height).then_some(Grey { width, height, pixels }))
}

/// A picture's reads as `watchpost read --json` tells them, so that other scorers can be run on the same reads.
fn line(file: &str, frame: &Frame, reads: &[Read]) -> Value {
    let read = |r: &Read| {
        let candidates: Vec<Value> = r.others.iter().map(|text| json!([text, 0])).collect();
        json!({"plate": r.text, "confidence": r.confidence, "box": r.rect, "candidates": candidates})
    };
    let reads: Vec<Value> = reads.iter().map(read).collect();
    json!({"file": file, "width": frame.format.width, "height": frame.format.height, "reads": reads})
}

impl Case {
    /// Edit distance to the truth; the whole text for a plate without a read.
    pub fn edits(&self) -> usize {
        let truths: Vec<String> = self.truth.iter().cloned().collect();
        let text = self.read.as_ref().map_or("", |r| r.text.as_str());
        nearest(text, &truths).unwrap_or(0)
    }

    /// Confidence of its read.
    pub fn confidence(&self) -> f64 {
        self.read.as_ref().map_or(0.0, |r| r.confidence)
    }
}
