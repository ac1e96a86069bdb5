//! Reads of passes in a file, so that ways to fuse can be compared without drawing and reading again.
//!
//! A line a pass: kind, text, and each frame's read.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use watchpost::domain::{Candidate, Lattice, PlateRead, PlateText, Position};

use super::camera::Kind;
use super::judge::{Look, Reads};

/// Writes them.
///
/// # Errors
/// What the disk says.
pub fn save(path: &Path, passes: &[(Kind, Vec<Reads>)]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    for (kind, reads) in passes {
        for pass in reads {
            let looks: Vec<Value> = pass.looks.iter().map(look_to).collect();
            writeln!(
                out,
                "{}",
                json!({"kind": kind.name(), "text": pass.text, "region": pass.region, "looks": looks})
            )?;
        }
    }
    out.flush()
}

/// Reads them, by kind.
///
/// # Errors
/// What the disk says; a line that is not of this form.
pub fn load(path: &Path) -> std::io::Result<Vec<(Kind, Vec<Reads>)>> {
    let mut all: Vec<(Kind, Vec<Reads>)> = Vec::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let (kind, pass) = pass_from(&row).ok_or_else(|| std::io::Error::other("a line that is no pass"))?;
        match all.last_mut() {
            Some((last, reads)) if *last == kind => reads.push(pass),
            _ => all.push((kind, vec![pass])),
        }
    }
    Ok(all)
}

fn pass_from(row: &Value) -> Option<(Kind, Reads)> {
    let kind = Kind::ALL.into_iter().find(|k| row["kind"] == k.name())?;
    let looks = row["looks"].as_array()?.iter().map(look_from).collect::<Option<_>>()?;
    let told = |key: &str| row[key].as_str().map(str::to_owned);
    Some((kind, Reads { text: told("text")?, region: told("region")?, looks }))
}

fn look_to(look: &Look) -> Value {
    let read = look.read.as_ref().map(|r| {
        let candidates: Vec<Value> = r.candidates.iter().map(|c| json!([c.text.as_str(), c.confidence])).collect();
        let lattice: Vec<Value> = r.lattice.positions.iter().map(|p| json!(p.options)).collect();
        json!({"text": r.text.as_str(), "confidence": r.confidence, "characters": r.char_confidences,
               "candidates": candidates, "lattice": lattice, "region": r.region, "regions": r.regions})
    });
    json!({"quality": look.quality, "read": read})
}

fn look_from(row: &Value) -> Option<Look> {
    let quality = number(&row["quality"])?;
    let read = &row["read"];
    if read.is_null() {
        return Some(Look { read: None, quality });
    }
    let text = |v: &Value| PlateText::from_raw(v.as_str()?);
    let candidates = read["candidates"].as_array()?.iter();
    let candidates = candidates.map(|c| Some(Candidate { text: text(&c[0])?, confidence: number(&c[1])? }));
    let option = |v: &Value| Some((v[0].as_str()?.chars().next()?, number(&v[1])?));
    let positions = read["lattice"].as_array()?.iter();
    let positions =
        positions.map(|p| Some(Position { options: p.as_array()?.iter().map(option).collect::<Option<_>>()? }));
    let regions = read["regions"].as_array()?.iter();
    let regions = regions.map(|r| Some((r[0].as_str()?.to_owned(), number(&r[1])?)));
    let read = PlateRead {
        text: text(&read["text"])?,
        confidence: number(&read["confidence"])?,
        char_confidences: read["characters"].as_array()?.iter().map(number).collect::<Option<_>>()?,
        candidates: candidates.collect::<Option<_>>()?,
        lattice: Lattice { positions: positions.collect::<Option<_>>()? },
        region: read["region"].as_str().map(str::to_owned),
        regions: regions.collect::<Option<_>>()?,
        frames: 1,
    };
    Some(Look { read: Some(read), quality })
}

#[allow(clippy::cast_possible_truncation, reason = "a probability: only precision is lost")]
fn number(v: &Value) -> Option<f32> {
    v.as_f64().map(|v| v as f32)
}
