//! What the motion gate does with videos, and a picture of it.
//!
//! `gate CLIP…` analyses each clip without the gate and with it: frames rested, plates told, CPU; and from a
//! `labels.jsonl` beside the clip, how many frames of each labelled pass it rested on.
//! `gate --picture SECONDS OUT.jpg CLIP` writes the frame at that time with a mask, a region of interest and the cells in
//! which something moves: the picture of `docs/privacy.md`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use image::{Rgb, RgbImage};
use rustix::time::{ClockId, clock_gettime};
use watchpost::camera::{self, Next, SourceUri};
use watchpost::cli::draw;
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame, Polygon, Rect, SightingEvent, Stage, TimeMs};
use watchpost::health::CameraCounters;
use watchpost::vision::gate::Gate;
use watchpost::vision::mask::Mask;
use watchpost::vision::{Analyser, Models, Settings, model};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--picture", at, out, clip] => picture(at, Path::new(out), Path::new(clip)),
        [] => Err(anyhow::anyhow!("usage: gate CLIP… | gate --picture SECONDS OUT.jpg CLIP")),
        clips => measure(clips),
    };
    if let Err(error) = done {
        let _ = writeln!(std::io::stderr(), "gate: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn frames(clip: &Path) -> anyhow::Result<impl Iterator<Item = Frame>> {
    let settings = camera::Settings::new(CameraId::new("clip")?, 1, SourceUri::File(clip.to_path_buf()));
    let mut source = camera::open(&settings, &Clock::system(), Arc::new(CameraCounters::default()))?;
    let next = move || loop {
        match source.next(Duration::from_millis(500)) {
            Ok(Next::Frame(frame)) => return Some(frame),
            Ok(Next::Idle) => {}
            Ok(Next::End) | Err(_) => return None,
        }
    };
    Ok(std::iter::from_fn(next))
}

/// What one analysis of a clip gave.
#[derive(Default)]
struct Played {
    /// Places in the stream of all frames, and whether each was rested on.
    frames: Vec<(f64, bool)>,
    told: Vec<String>,
    cpu: Duration,
}

fn play(clip: &Path, models: &Models, motion_gate: bool) -> anyhow::Result<Played> {
    let settings = Settings { motion_gate, ..Settings::default() };
    let mut analyser = Analyser::new(models, settings, CameraId::new("clip")?, 1);
    let mut played = Played::default();
    let began = cpu();
    let mut take = |events: Vec<SightingEvent>| {
        let ends = events.into_iter().filter(|e| e.stage == Stage::End);
        played.told.extend(ends.filter_map(|e| e.sighting.read.map(|r| r.text.to_string())));
    };
    for frame in frames(clip)? {
        take(analyser.step(&frame)?);
        played.frames.push((frame.pts.as_secs_f64(), analyser.is_resting()));
    }
    take(analyser.finish(TimeMs(0)));
    played.cpu = cpu().saturating_sub(began);
    played.told.sort();
    Ok(played)
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn measure(clips: &[&str]) -> anyhow::Result<()> {
    let folder = model::usual_folder()?;
    let models = Models::load(&model::Settings { folder, workers: 1, ..model::Settings::default() })?;
    let mut out = std::io::stdout();
    for clip in clips.iter().map(Path::new) {
        let (off, on) = (play(clip, &models, false)?, play(clip, &models, true)?);
        let rested = on.frames.iter().filter(|f| f.1).count();
        let per_frame = |p: &Played| 1000.0 * p.cpu.as_secs_f64() / p.frames.len().max(1) as f64;
        writeln!(
            out,
            "{}: {} of {} frames rested; {:.2} ms CPU a frame without the gate, {:.2} with it; plates {}",
            clip.display(),
            rested,
            on.frames.len(),
            per_frame(&off),
            per_frame(&on),
            if on.told == off.told {
                format!("the same {}", on.told.len())
            } else {
                format!("{:?} became {:?}", off.told, on.told)
            },
        )?;
        let mut since = None;
        for (at, resting) in &on.frames {
            match (since, resting) {
                (None, true) => since = Some(*at),
                (Some(from), false) => {
                    if at - from > 0.5 {
                        writeln!(out, "  rested {from:.2}–{at:.2} s")?;
                    }
                    since = None;
                }
                _ => {}
            }
        }
        for (plate, begin, end) in labels(clip)? {
            let seen = on.frames.iter().filter(|(at, _)| (begin..=end).contains(at));
            let (all, lost) = seen.fold((0, 0), |(all, lost), f| (all + 1, lost + usize::from(f.1)));
            let first =
                on.frames.iter().find(|(at, resting)| *at >= begin && !resting).map_or(f64::NAN, |f| f.0 - begin);
            writeln!(
                out,
                "  {plate:<10} readable {begin:.2}–{end:.2} s: awake {first:.2} s later, rested on {lost} of {all} frames"
            )?;
        }
    }
    Ok(())
}

/// Plate, begin and end of each labelled pass, where there are labels beside the clip.
fn labels(clip: &Path) -> anyhow::Result<Vec<(String, f64, f64)>> {
    let Ok(rows) = std::fs::read_to_string(clip.with_file_name("labels.jsonl")) else { return Ok(Vec::new()) };
    let name = clip.file_name().unwrap_or_default().to_string_lossy();
    let mut passes = Vec::new();
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).context("labels.jsonl")?;
        if row.get("file").and_then(serde_json::Value::as_str) != Some(&*name) {
            continue;
        }
        for plate in row.get("plates").and_then(serde_json::Value::as_array).into_iter().flatten() {
            let text = plate.get("text").and_then(serde_json::Value::as_str).unwrap_or_default();
            let time = |n| plate.get("t").and_then(|t| t.get(n)).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            passes.push((text.to_owned(), time(0_usize), time(1)));
        }
    }
    Ok(passes)
}

/// The frame at `at` seconds, masked, the region outlined and the gate's cells lit.
fn picture(at: &str, out: &Path, clip: &Path) -> anyhow::Result<()> {
    let at: f64 = at.parse().context("the time is a number of seconds")?;
    // A private parking place at the kerb, and the lanes.
    let hidden = [Polygon::new(vec![[0.72, 0.26], [0.76, 0.2], [0.96, 0.2], [0.98, 0.53], [0.76, 0.53], [0.72, 0.42]])];
    let lanes = [Polygon::new(vec![[0.31, 0.14], [0.62, 0.14], [0.97, 0.97], [0.03, 0.97], [0.03, 0.7]])];
    let (mask, mut gate) = (Mask::new(hidden.to_vec()), Gate::default());
    for frame in frames(clip)? {
        let spans = mask.spans(frame.format.width, frame.format.height);
        gate.is_awake(&frame, &spans, &lanes, false).context("a frame is too short")?;
        if frame.pts.as_secs_f64() < at {
            continue;
        }
        let seen = mask.apply(&frame)?;
        let mut picture = draw::to_rgb(&seen);
        for cell in gate.lit() {
            fill(&mut picture, &cell, Rgb([255, 150, 30]), 0.45);
        }
        for (x, y) in edge(&lanes, seen.size()) {
            fill(&mut picture, &Rect::new(x - 2.0, y - 2.0, x + 2.0, y + 2.0), Rgb([70, 220, 130]), 0.8);
        }
        let small = image::imageops::thumbnail(&picture, 960, 960 * picture.height() / picture.width().max(1));
        return draw::save(&small, out);
    }
    anyhow::bail!("{} is over before {at} s", clip.display())
}

/// Points along the edges of `polygons`, closely.
#[expect(clippy::cast_possible_truncation, reason = "places in a picture")]
fn edge(polygons: &[Polygon], (width, height): (f32, f32)) -> Vec<(f32, f32)> {
    let mut points = Vec::new();
    for ([x1, y1], [x2, y2]) in polygons.iter().flat_map(Polygon::edges) {
        for n in 0..=1000 {
            let t = f64::from(n) / 1000.0;
            points.push(((x1 + t * (x2 - x1)) as f32 * width, (y1 + t * (y2 - y1)) as f32 * height));
        }
    }
    points
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the picture, 0..255")]
fn fill(picture: &mut RgbImage, rect: &Rect, colour: Rgb<u8>, share: f32) {
    let inside = rect.clamped(picture.width() as f32, picture.height() as f32);
    for y in inside.y1 as u32..inside.y2 as u32 {
        for x in inside.x1 as u32..inside.x2 as u32 {
            if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                for (p, c) in pixel.0.iter_mut().zip(colour.0) {
                    *p = (f32::from(*p) * (1.0 - share) + f32::from(c) * share) as u8;
                }
            }
        }
    }
}
