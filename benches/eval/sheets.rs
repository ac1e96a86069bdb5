//! Contact sheets of the worst cases: each plate as the reader saw it, with its truth, what was read and how surely.
//!
//! One sheet a set and region with what was misread, the surest first; one of plates without a read; one of reads of no
//! plate. They show real number plates: for looking at, never for the repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use watchpost::cli::strokes;

use super::look::Grey;
use super::run::{Case, End};

/// Tiles side by side.
const COLUMNS: usize = 5;

/// Most tiles of a sheet.
const MOST: usize = 120;

/// Size of a tile's picture: twice the reader's input.
const TILE: (usize, usize) = (320, 96);

/// Height of letters, and of the room below a tile for two lines of them.
const LETTERS: f32 = 13.0;
const ROOM: usize = 42;

/// Writes the sheets of one set; the files written.
///
/// # Errors
/// A file that can't be written.
pub fn write(folder: &Path, set: &str, cases: &[Case]) -> Result<Vec<PathBuf>> {
    let mut by_sheet: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        let sheet = match case.end {
            End::Misread => case.region.as_str(),
            End::Missed => "missed",
            End::False => "false",
            End::Exact | End::Found => continue,
        };
        by_sheet.entry(sheet.to_owned()).or_default().push(case);
    }
    let mut written = Vec::new();
    for (name, mut cases) in by_sheet {
        cases.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()).then_with(|| a.file.cmp(&b.file)));
        cases.truncate(MOST);
        let path = folder.join(format!("{set}-{name}.png"));
        let sheet = sheet(&cases);
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let image = image::GrayImage::from_raw(side(sheet.width), side(sheet.height), sheet.pixels);
        let image = image.context("a sheet's size")?;
        image.save(&path).with_context(|| path.display().to_string())?;
        written.push(path);
    }
    Ok(written)
}

fn sheet(cases: &[&Case]) -> Grey {
    let (wide, high) = (TILE.0 + 8, TILE.1 + ROOM);
    let mut sheet = Grey::new(wide * COLUMNS.min(cases.len()), high * cases.len().div_ceil(COLUMNS));
    for (at, case) in cases.iter().enumerate() {
        let (x, y) = (at % COLUMNS * wide, at / COLUMNS * high);
        if let Some(tile) = &case.tile {
            sheet.paste(&tile.resized(TILE.0, TILE.1), x, y);
        }
        let truth = case.truth.as_deref().unwrap_or(if case.end == End::False { "no plate" } else { "plate" });
        let read =
            case.read.as_ref().map_or_else(|| "not read".to_owned(), |r| format!("{} {:.2}", r.text, r.confidence));
        let found = if case.end == End::Missed && case.seen { "  found" } else { "" };
        let t = &case.traits;
        let about = format!("{:.0} px  blur {:.1}  {}", t.width, t.blur, short(&case.file));
        letters(&mut sheet, &format!("{truth} : {read}{found}"), (x, y + TILE.1 + 4), LETTERS);
        letters(&mut sheet, &about, (x, y + TILE.1 + 25), LETTERS * 0.7);
    }
    sheet
}

/// The end of a file's name, so that it can be found again.
fn short(file: &str) -> String {
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    stem.chars().take(14).collect()
}

fn letters(sheet: &mut Grey, text: &str, (x, y): (usize, usize), height: f32) {
    let (width, right) = (sheet.width, x + TILE.0);
    strokes::text(text, (x as f32 + 2.0, y as f32), height, &mut |px, py, share| {
        let (Ok(px), Ok(py)) = (usize::try_from(px), usize::try_from(py)) else { return };
        if px >= right.min(width) {
            return;
        }
        if let Some(pixel) = sheet.pixels.get_mut(py * width + px) {
            *pixel = (*pixel).max((share.clamp(0.0, 1.0) * 255.0) as u8);
        }
    });
}
