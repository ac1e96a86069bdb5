//! What a clip or a picture of a camera is about: whose, of when, how it is coded, and what it lacks.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::command::words;
use super::id::CameraId;
use super::time::TimeMs;

words! {
    /// How a clip or a picture is coded, by its media type (RFC 6838).
    Media {
        /// MP4 with H.264, H.265 or Motion JPEG.
        Mp4 = 0 "video/mp4",
        /// One picture.
        Jpeg = 1 "image/jpeg",
    }
}

/// What a clip or a view shows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Footage {
    /// The camera.
    #[n(0)]
    pub camera: CameraId,
    /// Time of its first picture.
    #[n(1)]
    pub from: TimeMs,
    /// Time of its last picture.
    #[n(2)]
    pub to: TimeMs,
    /// How it is coded.
    #[n(3)]
    pub media: Media,
    /// It was decoded and coded again, with the camera's privacy masks burnt in; otherwise the coded pictures are the
    /// camera's own.
    #[n(4)]
    pub masked: bool,
    /// Of a clip: what is missing of it, or why there is none at all. Of a view: what was found at the camera.
    #[n(5)]
    pub note: Option<String>,
}

impl Footage {
    /// Longest note, in characters.
    pub const MAX_NOTE: usize = 400;

    /// With a note of bounded length.
    #[must_use]
    pub fn noting(mut self, note: &str) -> Self {
        self.note = Some(note.chars().take(Self::MAX_NOTE).collect());
        self
    }
}
