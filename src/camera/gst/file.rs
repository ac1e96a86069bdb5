//! Video files: which texts play them, and what their headers promise.

use std::path::{Path, PathBuf};

use super::Plan;
use crate::camera::Error;
use crate::camera::container::{self, Container};

/// A file that is played.
pub(super) struct PlayedFile {
    pub(super) path: PathBuf,
    /// Bytes that its headers promise and that are not there.
    pub(super) missing_bytes: Option<u64>,
}

/// How the file at `path` is played, by what its first bytes say.
pub(super) fn plan(path: &Path) -> Result<Plan, Error> {
    let container = container::sniff(path)?;
    let missing_bytes = container::missing_bytes(path, container);
    let (text, codec) = match container {
        Container::Mp4 => ("file-mp4", None),
        Container::Matroska => ("file-matroska", None),
        Container::Avi => ("file-avi", None),
        Container::Ts => ("file-ts", None),
        Container::RawH264 => ("file-raw", Some("h264")),
        Container::RawH265 => ("file-raw", Some("h265")),
        Container::RawJpeg => ("file-raw", Some("mjpeg")),
    };
    Ok(Plan { text, family: "file", codec, file: Some(PlayedFile { path: path.to_owned(), missing_bytes }) })
}
