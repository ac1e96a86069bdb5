//! Clips: our own drawn street frame by frame, and labelled clips by finished tracks.
//!
//! Of the drawn clips in `tests/fixtures` every frame for which the labels tell where the plates are is a picture. A labelled clip of the
//! data is played through the analyser as the verb `read` does, and its passes are counted:
//!
//! Every read of a finished track goes to the pass whose text is nearest, when it is at most 2 edits and less than half of the text
//! away; among equals to the pass nearest in time, then to the one with fewest reads. A pass with an exact read is
//! found, with only near ones misread, with none missed. Reads beyond the first of a pass are duplicates. Reads that no pass takes are
//! spurious, less one for each pass that the labels know of and give no text for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use watchpost::camera::{self, Next, Source, SourceUri};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame, Stage, TimeMs};
use watchpost::health::CameraCounters;
use watchpost::vision::{Analyser, Settings};

use super::look::{Eye, Grey};
use super::run::Outcome;
use super::score::{Label, Read, folded, is_exact, nearest, strict};
use super::sets::{Picture, accepted, rows};
use super::widths::Widths;

/// Clips of the data that are played.
pub const CLIPS: [&str; 2] = ["toll-parkpow.mp4", "road70-alizahidraja.mp4"];

/// Longest wait for a frame of a file.
const WAIT: Duration = Duration::from_secs(20);

/// Plates of the drawn street from this width on are shrunk to chosen widths, pixels.
const WIDE: f64 = 80.0;

fn open(path: &Path) -> Result<Box<dyn Source>> {
    let settings = camera::Settings::new(CameraId::new("clip")?, 0, SourceUri::File(path.to_path_buf()));
    Ok(camera::open(&settings, &Clock::system(), Arc::new(CameraCounters::default()))?)
}

/// Hands every frame of a clip to `each`.
fn play(path: &Path, mut each: impl FnMut(&Frame) -> Result<()>) -> Result<()> {
    let mut source = open(path)?;
    loop {
        match source.next(WAIT)? {
            Next::Frame(frame) => each(&frame)?,
            Next::End => return Ok(()),
            Next::Idle => anyhow::bail!("{}: no frame for {} s", path.display(), WAIT.as_secs()),
        }
    }
}

/// Labelled plates of one clip, by frame.
fn by_frame(row: &Value) -> BTreeMap<u64, Vec<Label>> {
    let fps = row.get("fps").and_then(Value::as_str).and_then(fps).unwrap_or(25.0);
    let mut all: BTreeMap<u64, Vec<Label>> = BTreeMap::new();
    for plate in row.get("plates").and_then(Value::as_array).into_iter().flatten() {
        for spot in plate.get("track").and_then(Value::as_array).into_iter().flatten() {
            let numbers: Vec<f64> = spot.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            let &[at, x1, y1, x2, y2] = numbers.as_slice() else { continue };
            let label = Label { rect: Some([x1, y1, x2, y2]), texts: accepted(plate) };
            all.entry((at * fps).round() as u64).or_default().push(label);
        }
    }
    all
}

fn fps(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    Some(above.parse::<f64>().ok()? / below.parse::<f64>().ok()?)
}

/// Runs the drawn clips of `folder`, a picture a labelled frame, and only every `every`th of them; `widths` takes the near plates
/// too.
///
/// # Errors
/// Clips or labels that can't be read, what the models say.
pub fn drawn(eye: &Eye, folder: &Path, every: usize, mut widths: Option<&mut Widths>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for row in rows(folder)?.unwrap_or_default() {
        let Some(name) = row.get("file").and_then(Value::as_str) else { continue };
        let labels: BTreeMap<u64, Vec<Label>> = by_frame(&row).into_iter().step_by(every.max(1)).collect();
        let region = name.split('.').next().unwrap_or(name).to_owned();
        let mut number = 0;
        play(&folder.join(name), |frame| {
            let labels = labels.get(&number).cloned().unwrap_or_default();
            number += 1;
            if labels.is_empty() {
                return Ok(());
            }
            if let Some(widths) = widths.as_deref_mut() {
                let grey = Grey::of(frame);
                for (at, label) in labels.iter().enumerate() {
                    let wide = label.rect.map_or(0.0, |r| (r[2] - r[0]) * grey.width as f64);
                    if wide >= WIDE {
                        widths.take(eye, number * 4 + at as u64, &grey, label, &region)?;
                    }
                }
            }
            let (path, file) = (PathBuf::new(), format!("{region}/{number:04}"));
            let picture = Picture { path, file, region: region.clone(), labels, full: false };
            outcome.take(eye, &picture, frame, false)
        })?;
    }
    Ok(outcome)
}

/// What became of the passes of a clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counted {
    pub clip: String,
    pub passes: usize,
    pub found: usize,
    pub misread: usize,
    pub missed: usize,
    pub top3: usize,
    pub duplicates: usize,
    pub spurious: usize,
}

/// A labelled pass.
#[derive(Debug, Clone)]
pub struct Pass {
    pub texts: Vec<String>,
    /// Seconds.
    pub span: Option<[f64; 2]>,
}

/// A finished track's read and when it began, seconds.
#[derive(Debug, Clone)]
pub struct Told {
    pub read: Read,
    pub at: f64,
}

/// Plays the clips of `folder` that are there: counts, and lines as `watchpost read --json` prints them.
///
/// # Errors
/// Clips or labels that can't be read, what the models say.
pub fn real(eye: &Eye, folder: &Path) -> Result<(Vec<Counted>, Vec<Value>)> {
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    for row in rows(folder)?.unwrap_or_default() {
        let Some(name) = row.get("file").and_then(Value::as_str).filter(|n| CLIPS.contains(n)) else { continue };
        let told = tracks(eye, &folder.join(name)).with_context(|| name.to_owned())?;
        for one in &told {
            let read = json!({"plate": one.read.text, "confidence": one.read.confidence, "box": one.read.rect,
                "candidates": one.read.others.iter().map(|t| json!([t, 0])).collect::<Vec<_>>()});
            lines.push(json!({"file": name, "at_ms": (one.at * 1000.0).round(), "reads": [read]}));
        }
        let plates = row.get("plates").and_then(Value::as_array).cloned().unwrap_or_default();
        let passes: Vec<Pass> = plates.iter().map(pass).collect();
        let unlabelled = row.get("unlabelled_passes").and_then(Value::as_u64).unwrap_or(0);
        all.push(count(name, &passes, usize::try_from(unlabelled).unwrap_or(0), &told));
    }
    Ok((all, lines))
}

fn pass(plate: &Value) -> Pass {
    let ends: Vec<f64> =
        plate.get("t").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_f64).collect();
    Pass { texts: accepted(plate), span: <[f64; 2]>::try_from(ends).ok() }
}

/// The finished tracks of a clip that have a read.
fn tracks(eye: &Eye, path: &Path) -> Result<Vec<Told>> {
    let mut analyser = Analyser::new(&eye.models, Settings::default(), CameraId::new("clip")?, 0);
    let (mut events, mut begin, mut last) = (Vec::new(), None, TimeMs::default());
    play(path, |frame| {
        let pts = u64::try_from(frame.pts.as_millis()).unwrap_or(0);
        begin.get_or_insert(TimeMs(frame.at.0.saturating_sub(pts)));
        last = frame.at;
        events.extend(analyser.step(frame)?);
        Ok(())
    })?;
    events.extend(analyser.finish(last));
    let told = |sighting: &watchpost::domain::Sighting| {
        let read = sighting.read.as_ref()?;
        let others = read.candidates.iter().map(|c| c.text.to_string()).collect();
        let (text, rect) = (read.text.to_string(), sighting.rect.map(f64::from));
        let read = Read { text, confidence: f64::from(read.confidence), rect, others };
        Some(Told { read, at: sighting.begin.since(begin.unwrap_or_default()) as f64 / 1000.0 })
    };
    Ok(events.iter().filter(|e| e.stage == Stage::End).filter_map(|e| told(&e.sighting)).collect())
}

/// Gives each read to a pass and counts.
pub fn count(clip: &str, passes: &[Pass], unlabelled: usize, told: &[Told]) -> Counted {
    let known: Vec<&Pass> = passes.iter().filter(|p| !p.texts.is_empty()).collect();
    let mut taken: Vec<Vec<&Read>> = vec![Vec::new(); known.len()];
    let mut stray = 0_usize;
    for one in told.iter().filter(|t| !strict(&t.read.text).is_empty()) {
        let able = known.iter().enumerate().filter_map(|(at, pass)| {
            let distance = nearest(&one.read.text, &pass.texts)?;
            let shortest = pass.texts.iter().map(|t| folded(t).chars().count()).min()?;
            let away = pass.span.map_or(0.0, |[from, to]| (from - one.at).max(one.at - to).max(0.0));
            (distance <= 2 && distance * 2 < shortest).then_some((distance, away, taken.get(at)?.len(), at))
        });
        let by = |a: &(usize, f64, usize, usize), b: &(usize, f64, usize, usize)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then((a.2, a.3).cmp(&(b.2, b.3)))
        };
        match able.min_by(by).and_then(|(_, _, _, at)| taken.get_mut(at)) {
            Some(reads) => reads.push(&one.read),
            None => stray += 1,
        }
    }
    let mut n = Counted { clip: clip.to_owned(), passes: known.len(), ..Counted::default() };
    for (pass, reads) in known.iter().zip(&taken) {
        let exact = reads.iter().any(|r| is_exact(&r.text, &pass.texts));
        n.found += usize::from(exact);
        n.misread += usize::from(!reads.is_empty() && !exact);
        n.missed += usize::from(reads.is_empty());
        let three = |r: &&Read| super::score::three(r).iter().any(|t| is_exact(t, &pass.texts));
        n.top3 += usize::from(reads.iter().any(three));
        n.duplicates += reads.len().saturating_sub(1);
    }
    n.spurious = stray.saturating_sub(unlabelled + passes.len() - known.len());
    n
}
