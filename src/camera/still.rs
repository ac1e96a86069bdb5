//! Picture files as frames: JPEG and PNG, recognised by content, with bounds on size and memory.
//!
//! Called by `watchpost read`. Rotation marks of phones (EXIF) are not followed.

use std::path::Path;

use image::{ImageError, ImageFormat, ImageReader, Limits};

use super::Error;
use crate::domain::frame::OwnedI420;
use crate::domain::{Frame, TimeMs};

/// Longest side of a picture file, pixels.
pub const MAX_SIDE: u32 = 8192;

/// Most pixels of a picture file: 4096 × 4096.
pub const MAX_PIXELS: u64 = 4096 * 4096;

/// Most memory that decoding one picture may take, bytes.
const MAX_ALLOC: u64 = 256 << 20;

/// Whether the name says that JPEGs follow one another in the file, as in a video: one alone begins alike.
#[must_use]
pub fn is_row_of_jpegs(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mjpg") || e.eq_ignore_ascii_case("mjpeg"))
}

/// The picture as a full-range I420 frame; `at`, `pts` and `index` are 0.
///
/// # Errors
/// [`Error::Unreadable`], or [`Error::Picture`] when it is no JPEG or PNG, damaged, or larger than [`MAX_PIXELS`].
pub fn load(path: &Path) -> Result<Frame, Error> {
    let unreadable = |cause| Error::Unreadable { path: path.to_owned(), cause };
    let bad = |why: String| Error::Picture { path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(bad("is a folder and no picture".to_owned()));
    }
    let reader = || -> Result<_, Error> {
        let mut reader = ImageReader::open(path).map_err(unreadable)?.with_guessed_format().map_err(unreadable)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_ALLOC);
        reader.limits(limits);
        Ok(reader)
    };
    let first = reader()?;
    if !matches!(first.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(bad("is no JPEG or PNG picture".to_owned()));
    }
    let explain = |error: ImageError| match error {
        ImageError::Limits(_) => bad(format!("is larger than {MAX_SIDE} pixels a side: scale it down")),
        ImageError::IoError(cause) if cause.kind() != std::io::ErrorKind::UnexpectedEof => unreadable(cause),
        other => bad(format!("is damaged: {other}")),
    };
    // The size first: nothing of an absurd picture is decoded.
    let (width, height) = first.into_dimensions().map_err(explain)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(bad(format!("has {width}×{height} pixels, at most {MAX_PIXELS} are accepted: scale it down")));
    }
    let rgb = reader()?.decode().map_err(explain)?.into_rgb8();
    let (format, pixels) = OwnedI420::from_rgb(rgb.as_raw(), rgb.width(), rgb.height());
    Ok(Frame::new(format, TimeMs::default(), std::time::Duration::ZERO, 0, Box::new(pixels)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(dir: &Path, name: &str, width: u32, height: u32) -> std::path::PathBuf {
        let path = dir.join(name);
        image::RgbImage::from_pixel(width, height, image::Rgb([200, 200, 200])).save(&path).unwrap();
        path
    }

    #[test]
    fn jpeg_and_png_become_frames_whatever_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "a.png"] {
            let path = save(dir.path(), name, 33, 17);
            let renamed = dir.path().join("picture");
            std::fs::rename(path, &renamed).unwrap();
            let frame = load(&renamed).unwrap();
            assert_eq!((frame.format.width, frame.format.height, frame.format.full_range), (33, 17, true));
            assert!(frame.luma().row(16).unwrap().iter().all(|y| (198..=202).contains(y)));
        }
    }

    #[test]
    fn what_is_no_picture_is_said_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("list.csv");
        std::fs::write(&text, "no picture").unwrap();
        let cut = save(dir.path(), "cut.png", 64, 64);
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        for (path, want) in [
            (text.as_path(), "list.csv: is no JPEG or PNG"),
            (&cut, "cut.png: is damaged"),
            (dir.path(), "is a folder"),
            (&dir.path().join("none.jpg"), "none.jpg: cannot be read"),
        ] {
            let error = load(path).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_decoding() {
        let dir = tempfile::tempdir().unwrap();
        let long = load(&save(dir.path(), "long.png", MAX_SIDE + 1, 1)).unwrap_err().to_string();
        assert!(long.contains("8192"), "{long}");
        // A header that promises 8000×8000 pixels and has none.
        let large = dir.path().join("large.png");
        let mut bytes = std::fs::read(save(dir.path(), "small.png", 1, 1)).unwrap();
        bytes[16..24].copy_from_slice(&[0, 0, 0x1f, 0x40, 0, 0, 0x1f, 0x40]);
        let crc = crc32fast::hash(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&crc);
        std::fs::write(&large, bytes).unwrap();
        let error = load(&large).unwrap_err().to_string();
        assert!(error.contains("8000×8000"), "{error}");
    }
}
