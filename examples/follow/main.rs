//! Tracks from detections, by the tracker as the box runs it.
//!
//! ```text
//! follow [--from-start] [--fps N] IN OUT          one file; the format of OUT is that of IN
//! follow [--from-start] --data DIR OUT            DIR/kitti/det/*.csv (10 fps) to OUT/data/NNNN.txt, and
//!                                                 DIR/tud/SEQ/det.txt (25 fps) to OUT/tud/SEQ.txt
//! ```
//! `--from-start` also writes the frames before a track was sure: what a box can say one detection late. Formats are in
//! `formats.rs`; results for each are in docs/performance.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod formats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "follow [--from-start] [--fps N] IN OUT, or follow [--from-start] --data DIR OUT";

/// What one call is to do.
#[derive(Default)]
struct Wanted {
    from_start: bool,
    fps: Option<f64>,
    data: Option<PathBuf>,
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match wanted().and_then(|w| run(&w)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--from-start" => wanted.from_start = true,
            "--fps" => {
                let fps = args.next().and_then(|v| v.parse().ok()).filter(|f| (0.01..1000.0).contains(f));
                wanted.fps = Some(fps.ok_or("--fps wants frames a second")?);
            }
            "--data" => wanted.data = Some(args.next().ok_or("--data wants a folder")?.into()),
            other if other.starts_with('-') => return Err(format!("{other}: unknown; {USAGE}")),
            path => wanted.paths.push(path.into()),
        }
    }
    Ok(wanted)
}

fn run(wanted: &Wanted) -> Result<(), String> {
    match (&wanted.data, wanted.paths.as_slice()) {
        (None, [from, to]) => one(from, to, wanted.fps.unwrap_or(25.0), wanted.from_start),
        (Some(data), [out]) => {
            let mut files = Vec::new();
            for path in inside(&data.join("kitti/det"))? {
                let to = out.join("data").join(path.file_stem().unwrap_or_default()).with_extension("txt");
                files.push((path, to, 10.0));
            }
            for path in inside(&data.join("tud"))? {
                let to = out.join("tud").join(path.file_name().unwrap_or_default()).with_extension("txt");
                files.push((path.join("det.txt"), to, 25.0));
            }
            files.iter().try_for_each(|(from, to, fps)| one(from, to, wanted.fps.unwrap_or(*fps), wanted.from_start))
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn one(from: &Path, to: &Path, fps: f64, from_start: bool) -> Result<(), String> {
    let text = std::fs::read_to_string(from).map_err(|e| format!("{}: {e}", from.display()))?;
    let (form, frames) = formats::read(&text).map_err(|e| format!("{}: {e}", from.display()))?;
    let begun = Instant::now();
    let rows = formats::follow(&frames, fps, from_start);
    let took = begun.elapsed() / u32::try_from(frames.len().max(1)).unwrap_or(u32::MAX);
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    std::fs::write(to, formats::write(form, &rows)).map_err(|e| format!("{}: {e}", to.display()))?;
    println!("{}: {} frames, {} boxes, {} a frame", to.display(), frames.len(), rows.len(), shown(took));
    Ok(())
}

fn shown(took: Duration) -> String {
    format!("{:.1} µs", took.as_secs_f64() * 1e6)
}

fn inside(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let fault = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(fault)?
        .map(|f| f.map(|f| f.path()))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    paths.sort();
    Ok(paths)
}
