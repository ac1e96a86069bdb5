//! `[[camera]]`: what is looked through.

use super::section::Section;
use super::tree::Fault;
use crate::domain::CameraId;

/// `[[camera]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its name.
    pub id: CameraId,
    /// Its number in alerts.
    pub number: u16,
    /// Where its pictures come from, without user and password.
    pub uri: String,
    /// Name of a pipeline in `pipelines/`, instead of the one that fits.
    pub pipeline: Option<String>,
    /// Most frames a second that are analysed; `None`: all that can be.
    pub fps: Option<f64>,
    /// A file is played at its own speed, frames are dropped as from a live camera.
    pub realtime: bool,
    /// Name of the credential with user and password.
    pub credential: Option<String>,
    /// Seconds without a frame after which it is opened anew.
    pub stall_s: u64,
    /// Off: configured, but not opened.
    pub enabled: bool,
}

pub(super) fn read(mut s: Section<'_>) -> Option<Camera> {
    let id = s.required("id", "Name of the camera: 1–16 of `a-z0-9-`.");
    let number = s.required_number("number", 1, 65_535, "Number of the camera in alerts, 1–65535.");
    let uri: Option<String> = s.required(
        "uri",
        "`rtsp://…` or the path of a file (`.mp4`, `.mkv`; H.264 or H.265). No user or password here.",
    );
    if uri.as_deref().is_some_and(has_password) {
        s.fault("uri", "holds a user or password; give them by `credential = \"name\"` instead");
    }
    let pipeline =
        s.text("pipeline", "Name of a pipeline in `pipelines/`; without it the one for the source and codec.");
    let fps = s.real("fps", 0.1, 120.0, "Most frames analysed a second; without it every frame that time allows.");
    let realtime = s.flag("realtime", false, "Play a file at its own speed, as if it were live.");
    let credential = s.text("credential", "Name of the credential with `user:password`.");
    let stall_s = s.number("stall_s", 4, 1, 300, "Seconds without a frame until the camera is opened anew.");
    let enabled = s.flag("enabled", true, "`false`: configured, but not opened.");
    s.not_yet(&["substream", "region", "location", "heading", "road", "roi", "privacy_mask", "zone", "line"]);
    s.finish();
    Some(Camera {
        id: id?,
        number: u16::try_from(number).ok()?,
        uri: uri?,
        pipeline,
        fps,
        realtime,
        credential,
        stall_s,
        enabled,
    })
}

/// Ids and numbers must differ.
pub(super) fn check_unique(cameras: &[Option<Camera>], faults: &mut Vec<Fault>) {
    let known: Vec<&Camera> = cameras.iter().flatten().collect();
    super::check_twice("camera", "id", &known.iter().map(|c| c.id.to_string()).collect::<Vec<_>>(), faults);
    super::check_twice("camera", "number", &known.iter().map(|c| c.number).collect::<Vec<_>>(), faults);
}

fn has_password(uri: &str) -> bool {
    // An unescaped '/' in a password does not end the host: any @ before the query is taken for one.
    uri.split_once("://").is_some_and(|(_, rest)| rest.split('?').next().is_some_and(|part| part.contains('@')))
}
