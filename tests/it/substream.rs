//! A camera with two streams: plates are found on the small one and read on the large one.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{RtspServer, Serving, rescale};
use watchpost::centre::wire::{CameraStatus, Link};
use watchpost::domain::{Severity, Stage};

use crate::kit::broker::free_port;
use crate::kit::one_box::{OneBox, Said, camera, fixture, hotlist};

/// A camera that shows the drawn street, parked car and all, at 1280×720 and at 320×180, where a plate has 8 to 30 pixels.
struct TwoStreams {
    main: Option<RtspServer>,
    sub: RtspServer,
    /// Both show what the camera sees at the same moment.
    since: Instant,
}

impl TwoStreams {
    fn start(made: &OneBox) -> Self {
        let (large, small) = (fixture("street-a.mp4"), made.path("small.mp4"));
        rescale(&large, &small, (320, 180)).unwrap();
        let since = Instant::now();
        let serve = |file, mount: &str| {
            let (port, mount) = (free_port(), mount.to_owned());
            let serving = Serving { port, looped: true, mount, since: Some(since), ..Serving::default() };
            RtspServer::start(file, &serving).unwrap()
        };
        Self { main: Some(serve(&large, "main")), sub: serve(&small, "sub"), since }
    }

    fn return_main(&mut self, port: u16) {
        let serving =
            Serving { port, looped: true, mount: "main".to_owned(), since: Some(self.since), ..Serving::default() };
        self.main = Some(RtspServer::start(&fixture("street-a.mp4"), &serving).unwrap());
    }
}

/// The daemon, ended with the test.
struct Daemon(String);

impl Daemon {
    fn new(child: &Child) -> Self {
        Self(child.id().to_string())
    }

    /// Seconds of CPU so far, user and system.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0]).stderr(Stdio::null()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plate_that_the_substream_shows_too_small_is_read_on_the_main_stream() {
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let mut streams = TwoStreams::start(&made);
    let main = streams.main.as_ref().unwrap();
    let (port, url) = (main.port(), main.url());
    let substream = format!("substream = \"{}\"\nfps = 5", streams.sub.url());
    made.configure(&[
        camera("two", 1, &url, &substream),
        camera("small", 2, &streams.sub.url(), "fps = 5"),
        hotlist("watched", 1, &fixture("hotlist.csv"), "info"),
    ]);
    let daemon = made.command("run").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let killer = Daemon::new(&daemon);
    let ended = tokio::task::spawn_blocking(move || Said::of(daemon.wait_with_output().unwrap()));

    // It stands there through the whole clip, 18 pixels wide in the small picture, 74 in the large one.
    let is_parked = |a: &watchpost::domain::Alert| a.plate.as_ref().unwrap().to_string() == "WX164NR";
    centre.until("the parked car", |log| log.heard.iter().any(|a| a.camera == 1 && is_parked(a))).await;
    centre.look(|log| {
        let new = log.heard.iter().find(|a| a.camera == 1 && a.stage == Stage::New && is_parked(a)).unwrap();
        assert_eq!(new.severity, Severity::Info);
        assert!(log.heard.iter().all(|a| a.camera == 1), "nothing is read where only the small picture is seen");
    });
    let used = killer.cpu();
    eprintln!("{used:.1} s of CPU in {:.1} s", streams.since.elapsed().as_secs_f64());

    // Without its main stream the camera goes on and says so.
    streams.main.take().unwrap().stop();
    let two = |link, words: &'static str| {
        move |s: &CameraStatus| s.number == 1 && s.state == link && s.reason.as_deref().unwrap_or("").contains(words)
    };
    let degraded = two(Link::Degraded, "the main stream is away");
    centre.until("the worry", |log| log.camera_statuses.iter().any(degraded)).await;
    streams.return_main(port);
    let newest = |s: &[CameraStatus]| s.iter().rfind(|s| s.number == 1).is_some_and(|s| s.state == Link::Online);
    centre.until("its return", |log| newest(&log.camera_statuses)).await;

    assert!(Command::new("kill").args(["-TERM", &killer.0]).status().unwrap().success());
    let began = Instant::now();
    ended.await.unwrap().expect(0, &["watchpost stopped"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    // What a person gets to see is the large picture.
    let store = made.store();
    let alert = centre.look(|log| log.heard.iter().find(|a| a.camera == 1 && is_parked(a)).unwrap().clone());
    let pictures = store.pictures(alert.id).unwrap().expect("pictures of the hit");
    let scene = image::load_from_memory(&pictures.scene).unwrap();
    let crop = image::load_from_memory(&pictures.crop).unwrap();
    assert!(scene.width() >= 640 && crop.width() >= 60, "{}, {}", scene.width(), crop.width());
    centre.stop().await;
}
