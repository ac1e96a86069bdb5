//! Labelled pictures on disk: folders with a `labels.jsonl`, and which of them `make eval` runs.
//!
//! A row names a picture (`file`) with `box` or `boxes` in pixels (left, top, width, height) and `text` or `texts`, or a
//! clip with `plates` (see `clips`). Rows with `dup_of` are near-copies of others and are left out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::score::Label;

/// A set of pictures.
#[derive(Debug, Clone)]
pub struct Set {
    /// As the report names it.
    pub name: &'static str,
    /// Each picture is one plate, edge to edge.
    pub crops: bool,
    pub pictures: Vec<Picture>,
}

/// A labelled picture.
#[derive(Debug, Clone)]
pub struct Picture {
    pub path: PathBuf,
    /// As the labels name it.
    pub file: String,
    /// First folder of its name.
    pub region: String,
    pub labels: Vec<Label>,
    /// Every plate in it is labelled, so that what else is read is false.
    pub full: bool,
}

/// Sources of `train-plates` whose pictures have all their plates labelled.
const FULL: [&str; 2] = ["openimages", "openalpr-raw-neg"];

/// The rows of a folder's `labels.jsonl`; `None` when there is none.
///
/// # Errors
/// A file that can't be read, a line that is no JSON.
pub fn rows(folder: &Path) -> Result<Option<Vec<Value>>> {
    let path = folder.join("labels.jsonl");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}: is no JSON", path.display(), at + 1))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(parse).collect::<Result<Vec<_>>>().map(Some)
}

/// The pictures of a folder that `keep` accepts; `None` when it holds no labels.
///
/// # Errors
/// As [`rows`].
pub fn pictures(folder: &Path, keep: impl Fn(&Picture) -> bool) -> Result<Option<Vec<Picture>>> {
    let Some(rows) = rows(folder)? else { return Ok(None) };
    let of = rows.iter().filter(|row| row.get("dup_of").is_none() && row.get("plates").is_none());
    Ok(Some(of.filter_map(|row| picture(folder, row)).filter(keep).collect()))
}

fn picture(folder: &Path, row: &Value) -> Option<Picture> {
    let file = row.get("file")?.as_str()?.to_owned();
    let region = file.split_once('/').map_or("-", |(first, _)| first).to_owned();
    let size = [row.get("w").and_then(Value::as_f64), row.get("h").and_then(Value::as_f64)];
    let texts: Vec<Option<&str>> = match row.get("texts").and_then(Value::as_array) {
        Some(all) => all.iter().map(Value::as_str).collect(),
        None => Vec::new(),
    };
    let labels = match (row.get("boxes").and_then(Value::as_array), row.get("box")) {
        (Some(boxes), _) => boxes
            .iter()
            .enumerate()
            .map(|(at, b)| {
                let text = texts.get(at).copied().flatten().filter(|t| !t.is_empty());
                let texts = text.map_or_else(|| accepted(row), |t| vec![t.to_owned()]);
                Label { rect: relative(b, size), texts }
            })
            .collect(),
        (None, one) => vec![Label { rect: one.and_then(|b| relative(b, size)), texts: accepted(row) }],
    };
    let source = row.get("src").and_then(Value::as_str).unwrap_or("");
    let told = row.get("full_labels").and_then(Value::as_bool);
    let full = told.unwrap_or_else(|| FULL.iter().any(|s| source.starts_with(s)));
    Some(Picture { path: folder.join(&file), file, region, labels, full })
}

/// The texts that count as right for a label.
pub fn accepted(row: &Value) -> Vec<String> {
    let text = |key| row.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    ["text", "text_ascii", "full"].into_iter().filter_map(text).map(str::to_owned).collect()
}

/// `[left, top, width, height]` in pixels as edges, 0..1.
fn relative(value: &Value, [width, height]: [Option<f64>; 2]) -> Option<[f64; 4]> {
    let numbers: Vec<f64> = value.as_array()?.iter().filter_map(Value::as_f64).collect();
    let (&[x, y, w, h], width, height) = (numbers.as_slice(), width?, height?) else { return None };
    Some([x / width, y / height, (x + w) / width, (y + h) / height])
}

/// Which pictures of a folder belong to a set.
type Keep = fn(&Picture) -> bool;

/// The sets of `data` that are there, and a line for each that is not.
///
/// # Errors
/// As [`rows`].
pub fn all(data: Option<&Path>) -> Result<(Vec<Set>, Vec<String>)> {
    let (mut sets, mut skipped) = (Vec::new(), Vec::new());
    let Some(data) = data else {
        skipped.push("WATCHPOST_DATA is not set: no real picture is read".to_owned());
        return Ok((sets, skipped));
    };
    let wanted: [(&'static str, &str, bool, Keep); 4] = [
        ("plates-e2e", "plates-e2e", false, |_| true),
        ("plate-crops", "plate-crops", true, |_| true),
        ("without-plates", "train-plates", false, |p| p.full && p.region == "neg"),
        ("full-labels", "train-plates", false, |p| p.full && p.region != "neg"),
    ];
    for (name, folder, crops, keep) in wanted {
        let folder = data.join(folder);
        match pictures(&folder, keep)? {
            Some(pictures) if !pictures.is_empty() => sets.push(Set { name, crops, pictures }),
            _ => skipped.push(format!("{name}: {} holds no labels for it", folder.display())),
        }
    }
    Ok((sets, skipped))
}
