//! `[[camera]]`: what is looked through.

use std::path::PathBuf;

use super::polygon::Polygon;
use super::section::Section;
use super::tree::Fault;
use crate::domain::{AddressError, CameraId, Line, Region, SourceUri, Transport, Zone};

/// Longest name of a road, characters.
const ROAD_CHARS: usize = 64;

/// `[[camera]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its name.
    pub id: CameraId,
    /// Its number in alerts.
    pub number: u16,
    /// Where its pictures come from, without user and password.
    pub uri: String,
    /// A smaller stream of the same camera, on which plates are looked for; they are read on `uri`.
    pub substream: Option<String>,
    /// How the pictures of a network camera travel.
    pub transport: Transport,
    /// PEM file of the authorities that a `rtsps` camera's certificate is checked against, instead of the system's.
    pub ca: Option<PathBuf>,
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
    /// Latitude and longitude, degrees; `None`: where the box stands.
    pub location: Option<(f64, f64)>,
    /// Where it looks: degrees clockwise from north.
    pub heading: Option<f64>,
    /// The road it looks at, as people call it.
    pub road: Option<String>,
    /// Degrees clockwise that its picture is turned; `None`: as the stream says.
    pub rotate: Option<u16>,
    /// Whose plates it sees above all; `None`: nothing is expected.
    pub region: Option<Region>,
    /// Where plates are looked for; empty: everywhere.
    pub roi: Vec<Polygon>,
    /// What no model and no person may see.
    pub privacy_mask: Vec<Polygon>,
    /// Whether it rests on a still scene; `None`: as `[vision] motion_gate` says.
    pub motion_gate: Option<bool>,
    /// Whether key frames alone are decoded while nothing moves; `None`: as `[vision] idle_decoding` says.
    pub idle_decoding: Option<bool>,
    /// How fast vehicles go past at most, km/h; `None`: every frame is looked at.
    pub road_kmh: Option<f64>,
    /// When a plate that is seen again is a new sighting.
    pub again: Again,
    /// Parts of its picture that rules speak of.
    pub zones: Vec<Zone>,
    /// Lines that are counted at, and that rules speak of.
    pub lines: Vec<Line>,
    /// How its picture is watched.
    pub view: ViewWatch,
}

/// How a camera's picture is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewWatch {
    /// Whether it is: hard cuts, frozen, black, out of focus, moved.
    pub on: bool,
    /// Which of its views is the right one: another number accepts the one of now.
    pub number: u64,
    /// Whether nothing is read while it is moved; `None`: where it has a privacy mask.
    pub stop_while_moved: Option<bool>,
}

fn read_view(s: &mut Section<'_>) -> ViewWatch {
    ViewWatch {
        on: s.flag("view_watch", true, "Watch its picture: hard cuts, frozen, black, out of focus, moved."),
        number: s.number("view", 1, 0, 65_535, "Which view is the right one: another number accepts the one of now."),
        stop_while_moved: s.optional_flag(
            "stop_while_moved",
            "Read nothing while the camera is moved and masks lie wrong; without it: where it has a `privacy_mask`.",
        ),
    }
}

/// When a plate that is seen again is a new sighting; `None`: as `[vision]` says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Again {
    /// Seconds after a pass in which it is not.
    pub same_plate_s: Option<f64>,
    /// Seconds for which a vehicle that stood is known again in its place.
    pub parked_s: Option<f64>,
    /// How far from its place, in widths of its plate, it is.
    pub min_travel: Option<f64>,
}

fn read_again(s: &mut Section<'_>) -> Again {
    Again {
        same_plate_s: s.real("same_plate_s", 0.0, 86_400.0, "Like `vision.same_plate_s`, for this camera."),
        parked_s: s.real("parked_s", 0.0, 604_800.0, "Like `vision.parked_s`, for this camera."),
        min_travel: s.real("min_travel", 0.6, 50.0, "Like `vision.min_travel`, for this camera."),
    }
}

pub(super) fn read(mut s: Section<'_>) -> Option<Camera> {
    let id = s.required("id", "Name of the camera: 1–16 of `a-z0-9-`.");
    let number = s.required_number("number", 1, 65_535, "Number of the camera in alerts, 1–65535.");
    let uri: Option<String> = s.required(
        "uri",
        "`rtsp://…`, `rtsps://…`, `v4l2:///dev/video0`, `test://smpte`, or the path of a video file or of a folder of \
         pictures, also as `file:///…` and `folder:///…?fps=2`. No user or password here.",
    );
    let substream =
        s.text("substream", "A smaller stream of the same camera: plates are looked for on it and read on `uri`.");
    check_addresses(&mut s, uri.as_deref(), substream.as_deref());
    let transport = s.choice(
        "transport",
        &["auto", "tcp", "udp"],
        "`auto` (default: TCP, or UDP where nothing else is offered), `tcp` or `udp`.",
    );
    let ca = s.path("ca", "PEM file that a `rtsps` camera's certificate is checked against, instead of the system's.");
    check_way(&mut s, uri.as_deref(), transport, ca.is_some());
    let pipeline =
        s.text("pipeline", "Name of a pipeline in `pipelines/`, or `auto`: a hardware decoder where there is one; without it software, by source and codec.");
    let fps = s.real("fps", 0.1, 120.0, "Most frames analysed a second; without it every frame that time allows.");
    let realtime = s.flag("realtime", false, "Play a file at its own speed, as if it were live.");
    let credential = s.text("credential", "Name of the credential with `user:password`.");
    let stall_s = s.number("stall_s", 4, 1, 300, "Seconds without a frame until the camera is opened anew.");
    let enabled = s.flag("enabled", true, "`false`: configured, but not opened.");
    let location = s.location("Where it stands: `[latitude, longitude]`, degrees; without it where the box does.");
    let heading = s.real("heading", 0.0, 360.0, "Where it looks, degrees clockwise from north.");
    let road = read_road(&mut s);
    let region = s.parsed(
        "region",
        "Whose plates are expected above all: `us`, `eu`, `gb`, `br`, `ar`, `in`, `mx`, `tr`, `vn`, or a part (`us-ca`, `eu-sk`).",
    );
    let rotate = read_rotate(&mut s);
    let roi = s.polygons(
        "roi",
        "Where plates are looked for: polygons of `[x, y]` points, shares 0–1 of the upright picture.",
    );
    let privacy_mask = s.polygons("privacy_mask", "What is blanked before any model sees it: polygons like `roi`.");
    let motion_gate =
        s.optional_flag("motion_gate", "Rest while nothing moves; without it as `vision.motion_gate` says.");
    let idle_decoding = s.optional_flag(
        "idle_decoding",
        "Decode key frames alone while nothing moves; without it as `vision.idle_decoding` says.",
    );
    let road_kmh = s.real(
        "road_kmh",
        1.0,
        300.0,
        "How fast vehicles go past at most, km/h: on a slow road plates are looked for in fewer frames; without it, where `motion_gate` is on, as what goes past shows.",
    );
    let (again, view) = (read_again(&mut s), read_view(&mut s));
    let (zones, lines) = super::place::read(&mut s);
    s.finish();
    Some(Camera {
        id: id?,
        number: u16::try_from(number).ok()?,
        uri: uri?,
        substream,
        transport: transport.unwrap_or_default(),
        ca,
        pipeline,
        fps,
        realtime,
        credential,
        stall_s,
        enabled,
        location,
        heading,
        road,
        region,
        rotate,
        roi,
        privacy_mask,
        motion_gate,
        idle_decoding,
        road_kmh,
        again,
        zones,
        lines,
        view,
    })
}

/// Both are addresses that can be opened, and of one network camera where there are two.
fn check_addresses(s: &mut Section<'_>, uri: Option<&str>, substream: Option<&str>) {
    let mut parse = |key: &str, text: &str| -> Option<SourceUri> {
        if has_password(text) {
            s.fault(key, "holds a user or password; give them by `credential = \"name\"` instead");
            return None;
        }
        text.parse().map_err(|error: AddressError| s.fault(key, error.to_string())).ok()
    };
    let uri = uri.and_then(|text| parse("uri", text));
    let substream = substream.and_then(|text| parse("substream", text));
    if let (Some(uri), Some(substream)) = (uri, substream)
        && !(uri.is_network() && substream.is_network())
    {
        s.fault("substream", "is for network cameras: it and uri are to be rtsp:// or rtsps:// addresses");
    }
}

/// What travels inside TLS has no way of its own, and what does not has no certificate.
fn check_way(s: &mut Section<'_>, uri: Option<&str>, transport: Option<Transport>, has_ca: bool) {
    let is_encrypted = uri.is_some_and(|u| u.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("rtsps://")));
    if is_encrypted && transport == Some(Transport::Udp) {
        s.fault(
            "transport",
            "is \"udp\", but rtsps travels inside its own TLS connection: leave it out or take \"tcp\"",
        );
    }
    if has_ca && uri.is_some() && !is_encrypted {
        s.fault("ca", "is for rtsps:// alone: what comes from this uri is not encrypted and shows no certificate");
    }
}

fn read_road(s: &mut Section<'_>) -> Option<String> {
    let road = s.text("road", "The road it looks at, at most 64 characters.");
    if road.as_deref().is_some_and(|r| r.chars().count() > ROAD_CHARS || r.chars().any(char::is_control)) {
        s.fault("road", format!("wanted at most {ROAD_CHARS} characters and no control characters"));
    }
    road
}

fn read_rotate(s: &mut Section<'_>) -> Option<u16> {
    let doc = "Degrees clockwise that the picture is turned: 0, 90, 180 or 270; without it as the stream says.";
    let given = s.real("rotate", 0.0, 270.0, doc)?;
    let known = [0_u16, 90, 180, 270].into_iter().find(|d| f64::from(*d).total_cmp(&given).is_eq());
    if known.is_none() {
        s.fault("rotate", format!("is {given}, wanted 0, 90, 180 or 270"));
    }
    known
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
