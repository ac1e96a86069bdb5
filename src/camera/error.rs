//! What can go wrong between a camera and a frame, in words that say what to do.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a source cannot be opened or gives no more frames.
///
/// `origin` is the address of the source as it may be shown: without credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the system does not let us read.
    #[error("{}: cannot be read: {cause}; check the path and who may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A file of another kind than a video that can be played.
    #[error(
        "{}: is {found}; videos in mp4, mov, mkv, webm, avi, ts and raw .h264/.h265/.mjpg can be played", path.display()
    )]
    Container {
        /// The file.
        path: PathBuf,
        /// What its first bytes say.
        found: String,
    },
    /// No stream of the source has a codec that can be decoded.
    #[error(
        "{origin}: sends {found}; H.264, H.265 and Motion JPEG are supported: set one of them in the camera, or convert \
         the file"
    )]
    Codec {
        /// The source.
        origin: String,
        /// What it offers.
        found: String,
    },
    /// The source has no video at all.
    #[error("{origin}: has no video stream ({found})")]
    NoVideo {
        /// The source.
        origin: String,
        /// What it has.
        found: String,
    },
    /// An element of a pipeline is not installed.
    #[error("pipeline {pipeline:?} needs the GStreamer element {element:?}, which is not installed: {remedy}")]
    MissingElement {
        /// The pipeline.
        pipeline: String,
        /// The element.
        element: String,
        /// What to install.
        remedy: String,
    },
    /// The text of a pipeline is faulty or does not fit the source.
    #[error("pipeline {pipeline:?}: {why}")]
    Pipeline {
        /// The pipeline.
        pipeline: String,
        /// What is wrong with it.
        why: String,
    },
    /// A decoder of the hardware failed.
    #[error("{origin}: the hardware decoder of pipeline {pipeline:?} failed: {why}")]
    Decoder {
        /// The source.
        origin: String,
        /// The pipeline.
        pipeline: String,
        /// What GStreamer says.
        why: String,
    },
    /// Larger pictures than are accepted.
    #[error(
        "{origin}: sends pictures of {width}×{height}, at most {}×{} are accepted: choose a smaller resolution",
        super::MAX_SIDES.0,
        super::MAX_SIDES.1
    )]
    TooLarge {
        /// The source.
        origin: String,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Pictures of a kind that is not taken.
    #[error(
        "{origin}: sends {found} pictures; 4:2:0, 4:2:2 and 4:4:4 with 8, 10 or 12 bits and grey with 8 bits are \
         supported: set one of them in the camera (best 8-bit 4:2:0, not interlaced), or convert the file"
    )]
    Pixels {
        /// The source.
        origin: String,
        /// Bits and chroma format.
        found: String,
    },
    /// The source failed.
    #[error("{origin}: {why}{}", hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    Stream {
        /// The source.
        origin: String,
        /// What GStreamer says.
        why: String,
        /// What to do, where that is known.
        hint: Option<Cow<'static, str>>,
    },
    /// The camera wants another credential.
    #[error(
        "{origin}: refuses the credential: check its user and password; it is asked again at long intervals, so that it \
         does not lock the account"
    )]
    Denied {
        /// The source.
        origin: String,
    },
    /// The camera wants a credential and none was given.
    #[error("{origin}: wants a user and a password: name them with the camera's credential")]
    NoCredential {
        /// The source.
        origin: String,
    },
    /// The camera's certificate is not to be trusted.
    #[error("{origin}: its certificate {why}; {remedy} (SHA-256 of the certificate: {fingerprint})")]
    Certificate {
        /// The source.
        origin: String,
        /// Every fault that was found.
        why: String,
        /// What to do.
        remedy: String,
        /// To compare with what the camera's own page shows.
        fingerprint: String,
    },
    /// The file of authorities cannot be used.
    #[error("{}: {why}; wanted a PEM file of certificates", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// GStreamer cannot do TLS here.
    #[error("{origin}: rtsps needs the TLS of GLib, which is not installed: apt-get install glib-networking")]
    NoTls {
        /// The source.
        origin: String,
    },
    /// The camera does not send its pictures the way that is asked for.
    #[error("{origin}: does not offer its pictures over {wanted}: {remedy}")]
    Transport {
        /// The source.
        origin: String,
        /// `TCP` or `UDP`.
        wanted: Cow<'static, str>,
        /// What to do.
        remedy: Cow<'static, str>,
    },
    /// The camera points to another machine.
    #[error(
        "{origin}: sends us on to {to}; it was not connected to: only the configured host is, and in a decode worker only its \
         configured port; if that is right, put it into uri"
    )]
    Redirected {
        /// The source.
        origin: String,
        /// Where to, without credentials.
        to: String,
    },
    /// A live source ended.
    #[error("{origin}: ended the stream")]
    Closed {
        /// The source.
        origin: String,
    },
    /// No frame came for too long.
    #[error("{origin}: no frame for {:.1} s", waited.as_secs_f32())]
    Stalled {
        /// The source.
        origin: String,
        /// For how long.
        waited: Duration,
    },
    /// The camera sends, but nothing to begin with.
    #[error(
        "{origin}: sends pictures but no key frame for {:.0} s: set a key-frame distance of at most 10 s in the camera",
        waited.as_secs_f32()
    )]
    NoKeyFrame {
        /// The source.
        origin: String,
        /// For how long.
        waited: Duration,
    },
    /// Connections of openings before this one cannot be closed.
    #[error(
        "{origin}: holds earlier connections open and does not finish its answers: restart the camera, or look at what \
         stands between it and this box"
    )]
    HeldOpen {
        /// The source.
        origin: String,
    },
    /// A file that is shorter than its own headers say; its frames were handed out first.
    #[error("{}: is cut off, {missing} bytes are missing: copy it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are promised and not there.
        missing: u64,
    },
    /// A file with no frame that can be decoded.
    #[error("{}: ended without a single frame that can be decoded: it is empty or damaged", path.display())]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// A folder that gives no pictures.
    #[error("{}: {why}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A folder with pictures that could not be read; the others were handed out first.
    #[error("{}: {skipped} of its {of} pictures could not be read, the first one: {first}", path.display())]
    Skipped {
        /// The folder.
        path: PathBuf,
        /// How many.
        skipped: u64,
        /// Of how many.
        of: u64,
        /// What is wrong with the first one, with its name.
        first: String,
    },
    /// A picture file that cannot be decoded.
    #[error("{}: {why}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The program was built without GStreamer.
    #[error("{origin}: this build has no video decoding: build it with the feature \"gst\"")]
    NotBuilt {
        /// The source.
        origin: String,
    },
    /// The process that decodes it ended, or cannot be started.
    #[error("{origin}: the process that decodes it {why}; another one is started")]
    Worker {
        /// The source.
        origin: String,
        /// What became of it.
        why: String,
    },
    /// GStreamer itself does not start.
    #[error("GStreamer does not start: {why}; check its installation (package libgstreamer1.0-0)")]
    Gstreamer {
        /// What it says.
        why: String,
    },
}

/// Most characters of what a camera says in its own words.
pub(super) const TOLD: usize = 120;

/// What a camera or its server says, as it may stand in a log: short, and without control characters.
#[cfg_attr(
    not(any(feature = "gst", test)),
    expect(dead_code, reason = "only what GStreamer talks to has words of its own")
)]
pub(super) fn told(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(TOLD + 1).collect();
    if let Some((end, _)) = shown.char_indices().nth(TOLD) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// When trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Soon: it may have passed.
    Soon,
    /// Seldom: someone must change the camera, the config or the installation.
    Seldom,
    /// At long intervals: each attempt is counted by the camera as one with a wrong password.
    Gently,
}

impl Error {
    /// When trying again makes sense.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Container { .. }
            | Self::Codec { .. }
            | Self::NoVideo { .. }
            | Self::MissingElement { .. }
            | Self::Pipeline { .. }
            | Self::TooLarge { .. }
            | Self::Pixels { .. }
            | Self::Picture { .. }
            | Self::Folder { .. }
            | Self::Skipped { .. }
            | Self::NoCredential { .. }
            | Self::Certificate { .. }
            | Self::Authority { .. }
            | Self::NoTls { .. }
            | Self::Transport { .. }
            | Self::Redirected { .. }
            | Self::NotBuilt { .. }
            | Self::Gstreamer { .. } => Retry::Seldom,
            Self::Denied { .. } => Retry::Gently,
            Self::Unreadable { .. }
            | Self::Stream { .. }
            | Self::Closed { .. }
            | Self::Stalled { .. }
            | Self::NoKeyFrame { .. }
            | Self::HeldOpen { .. }
            | Self::Worker { .. }
            | Self::Decoder { .. }
            | Self::Truncated { .. }
            | Self::NoFrames { .. } => Retry::Soon,
        }
    }

    /// Whether trying again soon is pointless: someone must change the camera, the config or the installation.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.retry() != Retry::Soon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_camera_are_short_and_have_no_control_characters() {
        assert_eq!(told("Not\u{1b}[31m found\r\n"), "Not[31m found");
        assert_eq!(told(&"ä".repeat(TOLD)), "ä".repeat(TOLD));
        assert_eq!(told(&"ä".repeat(TOLD + 1)), format!("{}…", "ä".repeat(TOLD)));
    }
}
