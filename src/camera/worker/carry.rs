//! What a source needs to be opened, on its way to the worker: addresses and credentials travel over the socket, never on a command line.
//!
//! And what it has to be allowed for that: the files that it reads, the ports that it connects to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use minicbor::bytes::ByteVec;

use super::fence::DEVICES;
use super::wire::{Address, Limits, Size, Wanted};
use crate::camera::gst::{names_host, port};
use crate::camera::hardware::Api;
use crate::camera::{Credential, Rotation, Settings, SourceUri, pipeline};
use crate::domain::CameraId;
use crate::domain::source::PATTERNS;
use crate::domain::wish::{Coding, Wish};

/// A worker's own memory: so much for itself, and so much a camera. A 4K picture takes 14 MiB, and a decoder may need 17 of them.
const OWN_BYTES: u64 = 768 << 20;
const CAMERA_BYTES: u64 = 384 << 20;
/// Names of hosts are asked for here where an answer is too long for UDP.
const NAMES_PORT: u16 = 53;
/// What says where names are asked for; both are mostly replaced, and not written to, when that changes.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

impl Wanted {
    /// Of the settings of a stream; folders are read in the daemon.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let pair = |c: &Credential| (c.user.clone(), c.password.to_string());
        let address = match &settings.uri {
            SourceUri::Rtsp { url, credential } => Address::Rtsp(url.clone(), credential.as_ref().map(pair)),
            SourceUri::File(path) => Address::File(bytes(path)),
            SourceUri::V4l2 { path, wish } => Address::V4l2(bytes(path), (*wish).into()),
            SourceUri::Test { pattern, wish } => Address::Test((*pattern).to_owned(), (*wish).into()),
            SourceUri::Folder { .. } => return None,
        };
        Some(Self {
            camera: settings.id.to_string(),
            number: settings.number,
            address,
            credential: settings.credential.as_ref().map(pair),
            transport: settings.transport.to_string(),
            ca: settings.ca.as_deref().map(bytes),
            pipeline: settings.pipeline.clone(),
            decoders: settings.decoders.clone(),
            fps: settings.fps,
            realtime: settings.realtime,
            rotate: settings.rotate.map(Rotation::degrees),
            idle: settings.idle.is_some() && settings.is_newest_first(),
            coded: settings.own_ring().is_some(),
            opened: None,
            from: 0,
        })
    }

    /// The settings, but for what the worker has of its own.
    pub(super) fn settings(self) -> Option<Settings> {
        let credential = |(user, password): (String, String)| Credential { user, password: password.into() };
        let uri = match self.address {
            Address::Rtsp(url, inside) => SourceUri::Rtsp { url, credential: inside.map(credential) },
            Address::File(path) => SourceUri::File(place(&path)),
            Address::V4l2(path, size) => SourceUri::V4l2 { path: place(&path), wish: size.into() },
            Address::Test(name, size) => {
                SourceUri::Test { pattern: PATTERNS.into_iter().find(|p| *p == name)?, wish: size.into() }
            }
            Address::Kept(_) => return None,
        };
        let mut settings = Settings::new(CameraId::new(&self.camera).ok()?, self.number, uri);
        settings.credential = self.credential.map(credential);
        settings.transport = self.transport.parse().ok()?;
        settings.ca = self.ca.map(|path| place(&path));
        settings.pipeline = self.pipeline;
        settings.decoders = self.decoders;
        settings.fps = self.fps;
        settings.realtime = self.realtime;
        settings.rotate = self.rotate.and_then(Rotation::of_degrees);
        Some(settings)
    }
}

impl From<Wish> for Size {
    fn from(wish: Wish) -> Self {
        let jpeg = wish.coding.map(|coding| coding == Coding::Mjpeg);
        Self { width: wish.width, height: wish.height, fps_milli: wish.fps_milli, jpeg }
    }
}

impl From<Size> for Wish {
    fn from(size: Size) -> Self {
        let coding = size.jpeg.map(|jpeg| if jpeg { Coding::Mjpeg } else { Coding::Raw });
        Self { width: size.width, height: size.height, fps_milli: size.fps_milli, coding }
    }
}

fn bytes(path: &Path) -> ByteVec {
    path.as_os_str().as_bytes().to_vec().into()
}

pub(super) fn place(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Which file stands at a path: a fence knows files by that, and one that was put in its place is another. Device, number and time of birth, since numbers
/// are given again; `None` where there is none.
type Which = Option<(u64, u64, Option<Duration>)>;

/// What cameras need of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Files that it reads, each as it was when this was asked last.
    reads: BTreeMap<PathBuf, Which>,
    ports: BTreeSet<u16>,
    /// What the names of the devices begin with.
    devices: BTreeSet<&'static str>,
    /// Streams, which the bound of memory goes by.
    streams: BTreeSet<String>,
}

impl Needs {
    /// Of one stream.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut needs = Self::default();
        match &settings.uri {
            SourceUri::Rtsp { url, .. } => {
                needs.ports.extend(port(url));
                if names_host(url) {
                    needs.ports.insert(NAMES_PORT);
                    needs.reads.extend(NAMES.map(|path| readable(Path::new(path))));
                }
            }
            SourceUri::File(path) => needs.reads.extend([readable(path)]),
            SourceUri::V4l2 { path, .. } => {
                needs.devices.extend(DEVICES);
                // One that was plugged in again is another.
                needs.reads.extend([readable(path)]);
            }
            // The daemon itself reads folders.
            SourceUri::Test { .. } | SourceUri::Folder { .. } => {}
        }
        needs.reads.extend(settings.ca.as_deref().map(readable));
        for name in settings.pipeline.iter().chain(&settings.decoders) {
            match Api::of_text(name) {
                Some(api) => needs.devices.extend(api.devices()),
                None if pipeline::is_embedded(name) => {}
                None => {
                    // It may decode by any hardware.
                    needs.devices.extend(DEVICES);
                    needs.reads.extend(Some(Path::new(name)).filter(|path| path.is_file()).map(readable));
                }
            }
        }
        // Two cameras may look at one stream: it is decoded twice.
        needs.streams.insert(format!("{} {}", settings.id, settings.uri));
        needs
    }

    /// Whether a worker that has this may open what needs `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.reads.iter().all(|(path, which)| self.reads.get(path) == Some(which))
            && other.ports.is_subset(&self.ports)
            && other.devices.iter().all(|device| self.devices.iter().any(|known| device.starts_with(known)))
            && other.streams.is_subset(&self.streams)
    }

    /// These as well.
    pub(super) fn join(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.ports.extend(other.ports);
        self.devices.extend(other.devices);
        self.streams.extend(other.streams);
    }

    /// As the worker is told.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            reads: self.reads.keys().map(|path| bytes(path)).collect(),
            ports: self.ports.iter().copied().collect(),
            devices: self.devices.iter().map(|&device| device.to_owned()).collect(),
            bytes: bounded(self.streams.len() as u64, machine()),
        }
    }
}

/// Most bytes of a worker of so many streams: three quarters of the machine's memory at most, but always enough for one stream.
fn bounded(streams: u64, machine: Option<u64>) -> u64 {
    let wanted = OWN_BYTES.saturating_add(CAMERA_BYTES.saturating_mul(streams));
    machine.map_or(wanted, |machine| wanted.min((machine / 4 * 3).max(OWN_BYTES + CAMERA_BYTES)))
}

/// The machine's memory in bytes.
fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim();
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

/// A file as the kernel knows it. One that is not there yet is noted as such: once it comes, it wants another worker. Its folder would be too much to
/// allow, and says nothing of a device that comes.
fn readable(path: &Path) -> (PathBuf, Which) {
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let born = |found: &std::fs::Metadata| found.created().ok()?.duration_since(UNIX_EPOCH).ok();
    let which = place.metadata().ok().map(|found| (found.dev(), found.ino(), born(&found)));
    (place, which)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Transport;

    fn settings(uri: &str) -> Settings {
        Settings::new(CameraId::new("gate").unwrap(), 7, uri.parse().unwrap())
    }

    #[test]
    fn two_cameras_of_one_stream_may_take_the_memory_of_two() {
        let gate = settings("rtsp://h/x");
        let yard = Settings { id: CameraId::new("yard").unwrap(), ..gate.clone() };
        let mut needs = Needs::of(&gate);
        assert!(!needs.covers(&Needs::of(&yard)));
        needs.join(Needs::of(&yard));
        assert_eq!(bounded(needs.streams.len() as u64, None), OWN_BYTES + 2 * CAMERA_BYTES);
    }

    #[test]
    fn memory_is_bounded_by_the_machines_and_suffices_for_one_stream() {
        let gib = |n: u64| Some(n << 30);
        assert_eq!(bounded(64, gib(8)), 6 << 30);
        assert_eq!(bounded(2, gib(8)), OWN_BYTES + 2 * CAMERA_BYTES);
        assert_eq!(bounded(4, gib(1)), OWN_BYTES + CAMERA_BYTES);
        let machine = machine().unwrap();
        assert!(machine > 1 << 28 && bounded(10_000, Some(machine)) <= machine.max(2 << 30), "{machine}");
    }

    #[test]
    fn what_is_not_there_yet_allows_nothing_else_and_wants_another_worker_once_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("video0");
        let of = || Needs::of(&settings(&format!("v4l2://{}", device.display())));
        let before = of();
        assert!(before.covers(&of()), "no other worker as long as it is not there");
        assert_eq!(before.limits().reads, [bytes(&device)], "not its folder");
        std::fs::write(&device, "").unwrap();
        let plugged = of();
        assert!(!before.covers(&plugged) && plugged.covers(&of()));
        // Plugged in again: mostly with the number that it had.
        std::fs::remove_file(&device).unwrap();
        std::fs::write(&device, "").unwrap();
        assert!(!plugged.covers(&of()));
        let mut all = before;
        all.join(plugged);
        all.join(of());
        assert!(all.covers(&of()) && all.limits().reads.len() == 1, "each file once, as it is now");
        assert!(Needs::of(&settings("folder:///pictures")).limits().reads.is_empty());
    }

    #[test]
    fn a_camera_that_is_named_needs_what_finds_names_and_one_with_an_address_does_not() {
        for url in ["rtsp://192.0.2.7/x", "rtsp://u:p@192.0.2.7:554/x", "rtsps://[2001:db8::1]:554/x"] {
            let needs = Needs::of(&settings(url));
            assert!(needs.reads.is_empty() && !needs.ports.contains(&53), "{url} {needs:?}");
        }
        let named = Needs::of(&settings("rtsp://u:p@gate.example:554/x"));
        assert_eq!(named.ports, [53, 554].into());
        assert_eq!(named.reads.keys().cloned().collect::<Vec<_>>(), {
            let mut places = NAMES.map(|path| readable(Path::new(path)).0);
            places.sort();
            places
        });
        // Another resolv.conf was put in its place.
        let mut before = named.clone();
        before.reads.insert(readable(Path::new(NAMES[0])).0, Some((0, 0, None)));
        assert!(!before.covers(&named));
    }

    #[test]
    fn settings_arrive_as_they_were() {
        let mut all: Vec<Settings> = [
            "rtsp://u:p%20w@h:8554/x?token=1",
            "/video/ü.mp4",
            "v4l2:///dev/video0?width=640&format=raw",
            "test://ball?fps=5",
        ]
        .map(settings)
        .into();
        all[0].credential = Some(Credential::new("admin", "hunter2"));
        all[0].transport = Transport::Udp;
        all[0].ca = Some("/etc/x.pem".into());
        (all[1].realtime, all[1].fps, all[1].rotate) = (true, Some(5.0), Some(Rotation::Left));
        all[1].pipeline = Some("file-h264".to_owned());
        for settings in all {
            let sent = minicbor::to_vec(Wanted::of(&settings).unwrap()).unwrap();
            let arrived = minicbor::decode::<Wanted>(&sent).unwrap().settings().unwrap();
            assert!(arrived.uri == settings.uri && arrived.credential == settings.credential, "{arrived:?}");
            assert_eq!(format!("{arrived:?}"), format!("{settings:?}"));
        }
        assert!(Wanted::of(&settings("folder:///pictures")).is_none());
    }

    #[test]
    fn ports_are_found_in_every_kind_of_address() {
        for (url, found) in [
            ("rtsp://h/x", 554),
            ("rtsps://h/x:9", 322),
            ("rtsp://h:8554/x", 8554),
            ("rtsp://[2001:db8::1]/x", 554),
            ("rtsp://[2001:db8::1]:8555?y", 8555),
            ("rtsp://u:p@h:8556/x", 8556),
            ("rtsp://u:p@h/x", 554),
        ] {
            assert_eq!(port(url), Some(found), "{url}");
        }
    }

    #[test]
    fn a_worker_covers_what_it_was_started_for_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (there, later) = (dir.path().join("a.mp4"), dir.path().join("b.mp4"));
        std::fs::write(&there, "x").unwrap();
        let of = |uri: &str| Needs::of(&settings(uri));
        let file = of(there.to_str().unwrap());
        let mut both = file.clone();
        both.join(of("rtsp://192.0.2.7/x"));
        assert!(both.covers(&file) && both.covers(&of("rtsp://192.0.2.7/x")));
        assert!(!both.covers(&of("rtsp://192.0.2.7:8554/x")) && !file.covers(&of(later.to_str().unwrap())));
        assert!(!both.covers(&of("v4l2:///dev/video0")));
        assert_eq!((both.limits().ports, both.limits().reads.len()), (vec![554], 1));
        std::fs::write(&later, "y").unwrap();
        std::fs::rename(&later, &there).unwrap();
        assert!(!both.covers(&of(there.to_str().unwrap())), "another file of that name");
    }

    #[test]
    fn devices_are_those_of_the_decoder_that_was_chosen_and_of_nothing_else() {
        let with = |uri: &str, pipeline: Option<&str>, decoders: &[&str]| {
            let mut settings = settings(uri);
            settings.pipeline = pipeline.map(str::to_owned);
            settings.decoders = decoders.iter().map(|&name| name.to_owned()).collect();
            Needs::of(&settings)
        };
        let rtsp = |pipeline, decoders: &[&str]| with("rtsp://192.0.2.7/x", pipeline, decoders);
        for (needs, devices) in [
            (rtsp(None, &[]), &[][..]),
            (rtsp(Some("rtsp-h264"), &[]), &[]),
            (rtsp(Some("rtsp-h264-va"), &[]), &["/dev/dri/renderD"]),
            (rtsp(Some("rtsp-h264-v4l2"), &[]), &["/dev/video"]),
            (rtsp(Some("rtsp-h265-v4l2sl"), &[]), &["/dev/media", "/dev/video"]),
            // What auto became: for each codec what is there.
            (rtsp(None, &["rtsp-h264-v4l2", "rtsp-h265-va"]), &["/dev/dri/renderD", "/dev/video"]),
        ] {
            assert_eq!(needs.limits().devices, devices, "{needs:?}");
        }
        // Nobody knows what one's own opens.
        let own = rtsp(Some("/etc/watchpost/own.txt"), &[]);
        assert_eq!(own.limits().devices.len(), DEVICES.len());
        assert!(own.covers(&rtsp(Some("rtsp-h264-va"), &[])) && !rtsp(Some("rtsp-h264-va"), &[]).covers(&own));
        assert!(!rtsp(None, &[]).covers(&rtsp(None, &["rtsp-h264-va"])), "another worker once there is a card");
    }
}
