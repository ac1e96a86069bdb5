//! A contact sheet: one tile a pass, with the scene, the plate, its text, how sure it is, and when.
//!
//! For people who look through a night of video. A tile is made when its pass is over and holds some hundred kilobytes, so
//! a sheet has at most [`MOST`] of them; more go onto further sheets, `sheet-2.jpg` and so on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::cli::{draw, strokes};
use crate::domain::Pictures;

/// Tiles of one sheet.
const MOST: usize = 120;

/// A tile's parts, pixels.
const WIDE: u32 = 320;
const SCENE: u32 = 180;
const PLATE: u32 = 84;
const TEXT: u32 = 64;
const TALL: u32 = SCENE + PLATE + TEXT;
const GAP: u32 = 10;

const GROUND: Rgb<u8> = Rgb([32, 36, 42]);
const TILE: Rgb<u8> = Rgb([48, 53, 61]);

/// What is written on a tile.
pub(super) struct Caption {
    /// The plate's text; `None` where nothing could be read.
    pub text: Option<String>,
    /// 0..1.
    pub confidence: f32,
    /// When, and of which file.
    pub below: String,
}

/// A sheet that is being filled.
pub(super) struct Sheet {
    path: PathBuf,
    tiles: Vec<RgbImage>,
    /// Sheets written so far.
    written: usize,
}

impl Sheet {
    /// One that goes to `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, tiles: Vec::new(), written: 0 }
    }

    /// Adds a pass.
    ///
    /// # Errors
    /// When a full sheet can't be written.
    pub(super) fn add(&mut self, pictures: Option<&Pictures>, caption: &Caption) -> Result<()> {
        self.tiles.push(tile(pictures, caption));
        if self.tiles.len() >= MOST { self.write() } else { Ok(()) }
    }

    /// Writes what is left, and says how many sheets there are.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn finish(mut self) -> Result<usize> {
        if !self.tiles.is_empty() {
            self.write()?;
        }
        Ok(self.written)
    }

    fn write(&mut self) -> Result<()> {
        self.written += 1;
        let path = numbered(&self.path, self.written);
        let picture = laid_out(&std::mem::take(&mut self.tiles));
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
            return picture.save(&path).with_context(|| format!("{}: can't be written", path.display()));
        }
        draw::save(&picture, &path)
    }
}

/// `sheet.jpg`, `sheet-2.jpg`, …
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number < 2 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.{extension}"))
}

/// Columns for so many tiles: about as many as rows, wider than high, never more than six.
fn columns(tiles: usize) -> usize {
    (1..6).find(|columns| columns * columns >= tiles).unwrap_or(6)
}

fn laid_out(tiles: &[RgbImage]) -> RgbImage {
    let across = columns(tiles.len());
    let down = tiles.len().div_ceil(across.max(1));
    let side = |count: usize, length: u32| GAP + u32::try_from(count).unwrap_or(0) * (length + GAP);
    let mut sheet = RgbImage::from_pixel(side(across, WIDE), side(down, TALL), GROUND);
    for (n, tile) in tiles.iter().enumerate() {
        let (x, y) = (side(n % across, WIDE), side(n / across, TALL));
        imageops::replace(&mut sheet, tile, i64::from(x), i64::from(y));
    }
    sheet
}

fn tile(pictures: Option<&Pictures>, caption: &Caption) -> RgbImage {
    let mut tile = RgbImage::from_pixel(WIDE, TALL, TILE);
    if let Some(pictures) = pictures {
        fit(&mut tile, &pictures.scene, 0, (WIDE, SCENE));
        fit(&mut tile, &pictures.crop, SCENE + 4, (WIDE - 16, PLATE - 8));
    } else {
        draw::write(&mut tile, "no picture", (16.0, 80.0), 14.0, 0.6);
    }
    let (text, height) = (caption.text.as_deref().unwrap_or("not read"), 20.0);
    let top = f32::from(u16::try_from(SCENE + PLATE).unwrap_or(0)) + 8.0;
    draw::write(&mut tile, text, (12.0, top), height, if caption.text.is_some() { 1.0 } else { 0.6 });
    if caption.text.is_some() {
        let sure = format!("{:.0}%", (caption.confidence * 100.0).min(99.4));
        let left = f32::from(u16::try_from(WIDE).unwrap_or(0)) - 12.0 - strokes::width(&sure, 14.0);
        draw::write_sure(&mut tile, &sure, (left, top + height - 14.0), 14.0, caption.confidence);
    }
    let below = fitting(&caption.below, 9.0, f32::from(u16::try_from(WIDE).unwrap_or(0)) - 24.0);
    draw::write(&mut tile, &below, (12.0, top + height + 14.0), 9.0, 0.7);
    tile
}

/// Puts a JPEG into the middle of a row of the tile, as large as fits.
fn fit(tile: &mut RgbImage, jpeg: &[u8], top: u32, (wide, high): (u32, u32)) {
    // Pictures of our own making; one that does not decode leaves its place empty.
    let Ok(picture) = image::load_from_memory(jpeg) else { return };
    let picture = picture.to_rgb8();
    let (w, h) = (u64::from(picture.width().max(1)), u64::from(picture.height().max(1)));
    let by_width = u64::from(wide) * h <= u64::from(high) * w;
    let (w, h) = if by_width {
        (u64::from(wide), (u64::from(wide) * h / w).max(1))
    } else {
        ((u64::from(high) * w / h).max(1), u64::from(high))
    };
    let side = |v: u64| u32::try_from(v).unwrap_or(1);
    let small = imageops::resize(&picture, side(w), side(h), FilterType::Triangle);
    let left = (WIDE - small.width().min(WIDE)) / 2;
    imageops::replace(tile, &small, i64::from(left), i64::from(top + (high - small.height().min(high)) / 2));
}

/// The text, its end left out where it is too long.
fn fitting(text: &str, height: f32, wide: f32) -> String {
    let mut shown = text.to_owned();
    while strokes::width(&shown, height) > wide && !shown.is_empty() {
        shown.pop();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(width: u32, height: u32, shade: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let picture = RgbImage::from_pixel(width, height, Rgb([shade, 0, 0]));
        picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Jpeg).unwrap();
        bytes
    }

    #[test]
    fn a_sheet_has_a_tile_a_pass_and_more_than_fit_go_onto_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut sheet = Sheet::new(dir.path().join("sheet.jpg"));
        let pictures = Pictures { crop: jpeg(100, 25, 220), scene: jpeg(640, 360, 120) };
        for n in 0..=MOST {
            let caption = Caption { text: Some(format!("ABC{n}")), confidence: 0.9, below: "0:01.2 clip.mp4".into() };
            sheet.add(if n == 3 { None } else { Some(&pictures) }, &caption).unwrap();
        }
        assert_eq!(sheet.finish().unwrap(), 2);
        let first = image::open(dir.path().join("sheet.jpg")).unwrap().to_rgb8();
        assert_eq!(first.dimensions(), (GAP + 6 * (WIDE + GAP), GAP + 20 * (TALL + GAP)));
        let (scene, plate) = (first.get_pixel(GAP + 160, GAP + 90), first.get_pixel(GAP + 160, GAP + SCENE + 42));
        assert!(scene[0].abs_diff(120) < 8 && plate[0].abs_diff(220) < 8, "{scene:?} {plate:?}");
        let second = image::open(dir.path().join("sheet-2.jpg")).unwrap();
        assert_eq!((second.width(), second.height()), (2 * GAP + WIDE, 2 * GAP + TALL));
    }

    #[test]
    fn long_names_lose_their_end() {
        let shown = fitting("0:01.2 a-very-long-name-of-some-camera-7.mp4", 9.0, 150.0);
        assert!(shown.starts_with("0:01.2 a-very") && strokes::width(&shown, 9.0) <= 150.0, "{shown}");
    }
}
