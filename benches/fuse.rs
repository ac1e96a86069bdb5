//! Is one read of a whole pass better than its best frame, than a vote of strings? On generated passes, by kind of damage.
//!
//! `cargo bench --bench fuse` draws the passes from seeds, reads each frame by the shipped reader, and makes one text of
//! each pass in six ways; what is told stands in docs/models.md. After `--`: `--passes N` (of each kind, 300), `--seed N`
//! (1), `--reads FILE` (the frames' reads are taken from there, or put there where it does not exist),
//! `--draw FOLDER` (a sheet of each kind to look at, and nothing else).

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use watchpost::domain::Frame;
use watchpost::vision::Settings;
use watchpost::vision::fuse;
use watchpost::vision::model::{Manifest, Runtime};
use watchpost::vision::plate::Reader;

use self::passes::camera::{self, Kind};
use self::passes::judge::{self, Look, Reads, Score, Way};
use self::passes::kept;

#[allow(dead_code, reason = "other benches use the rest")]
mod passes;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What is asked for.
struct Asked {
    passes: usize,
    seed: u64,
    reads: Option<PathBuf>,
    draw: Option<PathBuf>,
}

impl Asked {
    fn from_arguments() -> Result<Self, Failed> {
        let mut asked = Self { passes: 300, seed: 1, reads: None, draw: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--passes" => asked.passes = value()?.parse()?,
                "--seed" => asked.seed = value()?.parse()?,
                "--reads" => asked.reads = Some(value()?.into()),
                "--draw" => asked.draw = Some(value()?.into()),
                "--bench" => {} // cargo says it
                other => return Err(format!("{other}: --passes N, --seed N, --reads FILE or --draw FOLDER").into()),
            }
        }
        Ok(asked)
    }
}

fn main() -> Result<(), Failed> {
    let asked = Asked::from_arguments()?;
    if let Some(folder) = &asked.draw {
        return draw(folder, asked.seed);
    }
    let passes = match &asked.reads {
        Some(path) if path.exists() => kept::load(path)?,
        _ => read_all(&asked)?,
    };
    if let Some(path) = asked.reads.filter(|p| !p.exists()) {
        kept::save(&path, &passes)?;
    }
    tell(&passes);
    Ok(())
}

/// A pass's number under a seed: passes of one seed are none of another's.
fn number(seed: u64, pass: usize) -> u64 {
    seed * 1_000_000 + pass as u64
}

fn read_all(asked: &Asked) -> Result<Vec<(Kind, Vec<Reads>)>, Failed> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let manifest = Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/reader-1"))?;
    println!("{} {}, {} passes of each kind, seed {}", manifest.name, manifest.version, asked.passes, asked.seed);
    let reader = Reader::load(&Runtime::open(None)?, manifest, threads)?;
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Result<Reads, Failed>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= asked.passes {
                            break;
                        }
                        let reads = read_pass(&reader, kind, number(asked.seed, n));
                        if let Ok(mut done) = done.lock() {
                            done.push((n, reads));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().map_err(|e| e.to_string())?;
        done.sort_by_key(|d| d.0);
        all.push((kind, done.into_iter().map(|d| d.1).collect::<Result<_, _>>()?));
    }
    Ok(all)
}

fn read_pass(reader: &Reader, kind: Kind, seed: u64) -> Result<Reads, Failed> {
    let pass = camera::pass(kind, seed)?;
    let mut looks = Vec::new();
    for shot in &pass.shots {
        let read = reader.read(&shot.frame, std::slice::from_ref(&shot.plate))?.pop().flatten();
        looks.push(Look { read, quality: fuse::readability(&shot.plate) });
    }
    Ok(Reads { text: pass.text, region: pass.region.to_owned(), looks })
}

/// The tables of docs/models.md, and more.
fn tell(passes: &[(Kind, Vec<Reads>)]) {
    let everything: Vec<Reads> = passes.iter().flat_map(|p| p.1.clone()).collect();
    let rows = passes.iter().map(|(kind, reads)| (kind.name(), reads.as_slice()));
    let rows: Vec<(&str, &[Reads])> = rows.chain([("all", everything.as_slice())]).collect();
    println!("\nexact | {} | fused against best: gained, lost", Way::ALL.map(Way::name).join(" | "));
    for (name, reads) in &rows {
        let scores = Way::ALL.map(|way| Score::of(way, reads));
        let cells: Vec<String> = scores.iter().map(cell).collect();
        let [.., best, _, _, fused] = &scores;
        let (gained, lost) = fused.against(best);
        println!("{name} | {} | +{gained} -{lost}", cells.join(" | "));
    }
    println!("\nconfidence: ECE, wrong at .9 or more, loss | best frame | weighed votes | fused");
    for (name, reads) in &rows {
        let cells = [Way::Best, Way::Weighed, Way::Fused].map(|way| {
            let score = Score::of(way, reads);
            format!("{:.3}, {:.3}, {:.3}", score.ece(), score.surely_wrong(), score.loss())
        });
        println!("{name} | {}", cells.join(" | "));
    }
    println!("\nframes until right for good (median), share that ever is | best frame | votes | weighed votes | fused");
    for (name, reads) in &rows {
        let cells = [Way::Best, Way::Votes, Way::Weighed, Way::Fused].map(|way| {
            let mut score = Score::of(way, reads);
            score.settle(way, reads);
            score.frames_to_right().map_or_else(|| "-".to_owned(), |n| n.to_string())
        });
        println!("{name} | {}", cells.join(" | "));
    }
    tell_early(&everything);
}

/// How it is while the pass goes on: right and sure after so many frames, and what the box would tell first.
fn tell_early(passes: &[Reads]) {
    println!("\nframes read | right | mean confidence | ECE");
    for (from, to) in [(1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, 12), (13, 16), (17, 40)] {
        let score = judge::after(passes, from, to);
        println!("{from}–{to} | {:.3} | {:.3} | {:.3}", score.exact().0, score.sureness(), score.ece());
    }
    println!("\ntold from a confidence of | passes told before their end | wrong at first | frames, median");
    for tell_confidence in [0.7, Settings::default().tell_confidence, 0.9] {
        let settings = Settings { tell_confidence, ..Settings::default() };
        let told = passes.iter().filter_map(|p| Some((p, judge::first_told(&p.looks, &settings)?)));
        let mut told: Vec<(usize, bool)> =
            told.map(|(pass, (text, _, frames))| (frames, judge::is_right(&text, &pass.text))).collect();
        told.sort_unstable();
        let wrong = told.iter().filter(|t| !t.1).count() as f32 / told.len().max(1) as f32;
        let median = told.get(told.len() / 2).map_or(0, |t| t.0);
        println!("{tell_confidence} | {} of {} | {wrong:.3} | {median}", told.len(), passes.len());
    }
}

fn cell(score: &Score) -> String {
    let (share, low, high) = score.exact();
    format!("{share:.3} ({low:.2}–{high:.2})")
}

/// Frames of a few passes of each kind, one beside the other, as PNG.
fn draw(folder: &Path, seed: u64) -> Result<(), Failed> {
    let (w, h) = camera::SIZE;
    for kind in Kind::ALL {
        let mut sheet = image::GrayImage::new(u32::try_from(w * 4)?, u32::try_from(h * 6)?);
        for row in 0..6 {
            let pass = camera::pass(kind, number(seed, row))?;
            for column in 0..4 {
                let frame = pass.shots.get(column * (pass.shots.len() - 1) / 3).map(|s| &s.frame);
                paste(&mut sheet, frame, (column * w, row * h));
            }
        }
        sheet.save(folder.join(format!("{}.png", kind.name().replace([' ', ',', '.'], "-"))))?;
    }
    Ok(())
}

fn paste(sheet: &mut image::GrayImage, frame: Option<&Frame>, (x, y): (usize, usize)) {
    let Some(luma) = frame.map(Frame::luma) else { return };
    for row in 0..luma.height {
        for (column, value) in luma.row(row).unwrap_or_default().iter().enumerate() {
            let at = (u32::try_from(x + column), u32::try_from(y + row));
            if let (Ok(column), Ok(row)) = at {
                sheet.put_pixel(column, row, image::Luma([*value]));
            }
        }
    }
}
