//! `make eval`: how well do the shipped models read, through the shipped code, and where do they go wrong?
//!
//! Runs the library in this process on the labelled pictures of `WATCHPOST_DATA`; what is not there is said and left out. Our
//! own drawn street is always run, so there is always an answer. Prints tables and writes them with the same numbers as
//! JSON, the reads as `watchpost read --json` has them, and sheets of the worst cases to `target/eval/`: these show real plates and
//! stay out of the repository.
//!
//! | file | what it does |
//! |---|---|
//! | `sets` | which pictures, and what their labels say |
//! | `look` | the models on one picture, CPU time by stage |
//! | `score` | what reads are worth against labels |
//! | `run` | a set: sums by region, every plate as a case |
//! | `traits` | width, blur, angle, light of a plate |
//! | `clips` | our own drawn street; labelled clips by their passes |
//! | `widths` | plates shrunk to chosen widths |
//! | `sheets` | pictures of the worst cases |
//! | `tell` | tables and JSON |

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a tool for those who train models, not part of the product"
)]

mod clips;
mod look;
mod run;
mod score;
mod sets;
mod sheets;
mod tell;
mod traits;
mod widths;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

use self::look::Eye;
use self::sets::{Picture, Set};
use self::tell::Report;

/// Measures the models.
#[derive(Debug, Parser)]
struct Args {
    /// Only these parts (plates-e2e, plate-crops, without-plates, full-labels, clips, drawn, widths); may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Folder with the models
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/models"))]
    models: PathBuf,
    /// Folder for the report
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/eval"))]
    out: PathBuf,
    /// Only every Nth picture
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Widths: find, don't read
    #[arg(long)]
    find_only: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|p| p == part)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let eye = Eye::open(&args.models)?;
    let data = std::env::var_os("WATCHPOST_DATA").map(PathBuf::from);
    let (mut sets, skipped) = sets::all(data.as_deref())?;
    for set in &mut sets {
        set.pictures = std::mem::take(&mut set.pictures).into_iter().step_by(args.every.max(1)).collect();
    }
    let mut report = Report::default();
    about(&mut report, &eye, &skipped);
    for set in sets.iter().filter(|set| args.wants(set.name)) {
        let outcome = run::run(&eye, set)?;
        told(&args, &mut report, set.name, &outcome)?;
    }
    if args.wants("clips") {
        played(&args, &mut report, &eye, data.as_deref())?;
    }
    streets(&args, &mut report, &eye, &sets)?;
    finish(&args.out, &report)
}

/// Labelled clips of the data, where they are.
fn played(args: &Args, report: &mut Report, eye: &Eye, data: Option<&Path>) -> Result<()> {
    let Some(folder) = data.map(|d| d.join("videos")).filter(|f| f.join("labels.jsonl").exists()) else {
        let _ = writeln!(report.text, "skipped: clips: no labelled ones in the folder videos");
        return Ok(());
    };
    let (passes, lines) = clips::real(eye, &folder)?;
    report.clips(&passes);
    write_lines(&args.out.join("clips.jsonl"), &lines)
}

/// Our own drawn street, and plates of chosen widths: the real ones where they are there, else those of the street.
fn streets(args: &Args, report: &mut Report, eye: &Eye, sets: &[Set]) -> Result<()> {
    let of = |name: &str| sets.iter().find(|s: &&Set| s.name == name).map_or(&[][..], |s| s.pictures.as_slice());
    let (pictures, mut widths): (&[Picture], _) = (of("plates-e2e"), None);
    if args.wants("widths") {
        widths = Some(widths::Widths::new(widths::backgrounds(of("without-plates"))?, !args.find_only));
    }
    let real = !pictures.is_empty();
    if args.wants("drawn") || (widths.is_some() && !real) {
        let outcome = clips::drawn(eye, &Args::fixtures(), args.every, widths.as_mut().filter(|_| !real))?;
        told(args, report, "drawn", &outcome)?;
    }
    if let Some(mut widths) = widths {
        if real {
            widths::run(eye, pictures, &mut widths)?;
        }
        report.widths(if real { "plates-e2e" } else { "drawn" }, &widths.rows());
    }
    Ok(())
}

fn told(args: &Args, report: &mut Report, name: &str, outcome: &run::Outcome) -> Result<()> {
    report.set(name, outcome);
    write_lines(&args.out.join(format!("{name}.jsonl")), &outcome.lines)?;
    sheets::write(&args.out, name, &outcome.cases).map(drop)
}

fn about(report: &mut Report, eye: &Eye, skipped: &[String]) {
    let models: Vec<String> = eye.models.manifests().map(|m| format!("{} {}", m.name, m.version)).collect();
    let _ = writeln!(report.text, "models: {}", models.join(", "));
    for line in skipped {
        let _ = writeln!(report.text, "skipped: {line}");
    }
    report.json.insert("models".to_owned(), serde_json::json!(models));
    report.json.insert("skipped".to_owned(), serde_json::json!(skipped));
}

fn write_lines(path: &Path, lines: &[serde_json::Value]) -> Result<()> {
    let text = lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn finish(out: &Path, report: &Report) -> Result<()> {
    println!("{}", report.text);
    std::fs::write(out.join("report.txt"), &report.text).with_context(|| out.display().to_string())?;
    let path = out.join("report.json");
    let json = serde_json::to_string_pretty(&report.json)?;
    std::fs::write(&path, json).with_context(|| path.display().to_string())?;
    println!("written: {}", path.display());
    Ok(())
}
