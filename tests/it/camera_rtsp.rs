//! Network cameras against a real RTSP server: frames come, failures are found, and the camera comes back by itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::{self, Camera, CameraEvent, Credential, Error, Next, Settings};
use watchpost::clock::Clock;
use watchpost::domain::CameraId;
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

use super::kit::pauses::Pauses;

const PATIENCE: Duration = Duration::from_secs(20);

fn clip(dir: &tempfile::TempDir, clip: Clip<'_>) -> PathBuf {
    let path = dir.path().join("clip.mp4");
    clip.make(&path).unwrap();
    path
}

fn looped() -> Serving {
    Serving { looped: true, ..Serving::default() }
}

fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, url.parse().unwrap());
    settings.stall_after = Duration::from_secs(1);
    settings.first_frame_within = Duration::from_secs(3);
    settings.back_off_first = Duration::from_millis(50);
    settings.back_off_most = Duration::from_millis(200);
    settings
}

/// The source's first error.
fn error_of(settings: &Settings) -> Error {
    let mut source = camera::open(settings, &Clock::system(), Arc::default()).unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Err(error) = source.next(PATIENCE) {
            return error;
        }
    }
    panic!("no error in {PATIENCE:?}");
}

/// A camera that runs on its thread, as `supervise` has it.
struct Running {
    counters: Arc<CameraCounters>,
    shutdown: Shutdown,
    events: Receiver<&'static str>,
    thread: Option<std::thread::JoinHandle<Result<(), Error>>>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let counters = Arc::new(CameraCounters::default());
        let shutdown = Shutdown::new();
        let (send, events) = sync_channel(10_000);
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            camera.run(&stop, &mut |event| {
                let _ = send.try_send(match event {
                    CameraEvent::Quiet => return,
                    CameraEvent::Frame(_) => "frame",
                    CameraEvent::Reopened => "reopened",
                    CameraEvent::Ended => "ended",
                });
            })
        });
        Self { counters, shutdown, events, thread: Some(thread) }
    }

    /// Waits until `n` events of this kind have come.
    fn wait_for(&self, what: &str, n: usize) {
        let mut seen = 0;
        while seen < n {
            let event = self.events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} did not come"));
            seen += usize::from(event == what);
        }
    }

    /// Waits until it is told as offline; why it is.
    fn wait_until_offline(&self) -> String {
        let began = Instant::now();
        loop {
            if let CameraState::Offline(why) = self.counters.state() {
                return why;
            }
            assert!(began.elapsed() < PATIENCE, "the loss was not found");
            let _ = self.events.recv_timeout(Duration::from_millis(50));
        }
    }

    fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.shutdown.trigger();
        self.thread.take().unwrap().join().unwrap().unwrap();
        began.elapsed()
    }
}

#[test]
fn frames_of_both_codecs_come_over_tcp_with_rising_times() {
    let dir = tempfile::tempdir().unwrap();
    for shape in [Clip::H264, Clip::H265] {
        let server = RtspServer::start(&clip(&dir, shape), &looped()).unwrap();
        let pauses = Pauses::watch();
        let counters = Arc::new(CameraCounters::default());
        let clock = Clock::system();
        let mut source = camera::open(&settings(&server.url()), &clock, Arc::clone(&counters)).unwrap();
        let (mut frames, mut oldest) = (Vec::new(), 0_u64);
        // More than the clip has: the server begins anew, the stream goes on.
        while frames.len() < 60 {
            match source.next(PATIENCE).unwrap() {
                Next::Frame(frame) => {
                    assert_eq!((frame.format.width, frame.format.height), (320, 180));
                    oldest = oldest.max(clock.utc().since(frame.at));
                    frames.push((frame.index, frame.pts));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(frames.windows(2).all(|w| w[0] < w[1]), "{frames:?}");
        assert!(counters.received.get() >= 60);
        if pauses.spoil("how soon frames were taken") {
            continue;
        }
        assert!(oldest < 5_000, "a live frame's time is its arrival: {oldest} ms");
        // The newest wins: on a busy machine the first one may have been replaced before it was taken.
        assert!(frames[0].0 < 5, "{:?}", frames[0]);
    }
}

#[test]
fn a_camera_that_dies_comes_back_by_itself_and_costs_the_other_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(&dir, Clip::H264);
    let pauses = Pauses::watch();
    let dies = RtspServer::start(&path, &looped()).unwrap();
    let lives = RtspServer::start(&path, &looped()).unwrap();
    let (port, url) = (dies.port(), dies.url());
    let (gate, other) = (Running::start(settings(&url)), Running::start(settings(&lives.url())));
    gate.wait_for("frame", 5);
    other.wait_for("frame", 5);
    assert_eq!(gate.counters.state(), CameraState::Online);

    dies.stop();
    let began = Instant::now();
    while gate.counters.failed.get() < 2 {
        assert!(began.elapsed() < PATIENCE, "the loss was not found");
        other.wait_for("frame", 1);
    }
    let CameraState::Offline(why) = gate.counters.state() else { panic!("{:?}", gate.counters.state()) };
    assert!(why.contains(&url), "{why}");

    let again = RtspServer::start(&path, &Serving { port, ..looped() }).unwrap();
    assert_eq!(again.url(), url);
    gate.wait_for("reopened", 1);
    gate.wait_for("frame", 5);
    assert_eq!(gate.counters.state(), CameraState::Online);
    assert!(gate.counters.opened.get() > 1);
    other.wait_for("frame", 5);
    let others = (other.counters.opened.get(), other.counters.failed.get());
    let took = gate.stop();
    other.stop();
    // A second without a frame is a loss here.
    if !pauses.spoil("how soon a camera is stopped, and whether the other one was lost meanwhile") {
        assert_eq!(others, (1, 0));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

/// Passes bytes on between a camera and its server until it freezes; connections stay open then.
struct Wire {
    port: u16,
    frozen: Arc<AtomicBool>,
}

impl Wire {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let frozen = Arc::new(AtomicBool::new(false));
        let ice = Arc::clone(&frozen);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let ice = Arc::clone(&ice);
                    std::thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(n @ 1..) = from.read(&mut bytes) {
                            if !ice.load(Ordering::SeqCst) && to.write_all(&bytes[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { port, frozen }
    }
}

#[test]
fn a_camera_that_freezes_is_found_by_its_silence_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = RtspServer::start(&clip(&dir, Clip::H264), &looped()).unwrap();
    let wire = Wire::to(server.port());
    let gate = Running::start(settings(&format!("rtsp://127.0.0.1:{}/stream", wire.port)));
    gate.wait_for("frame", 5);

    wire.frozen.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let why = gate.wait_until_offline();
    assert!(began.elapsed() < Duration::from_secs(15), "not found in 15 s");
    assert!(why.contains("no frame for"), "{why}");

    wire.frozen.store(false, Ordering::SeqCst);
    gate.wait_for("reopened", 1);
    gate.wait_for("frame", 5);
    // Stopping a camera whose server does not answer does not hang either.
    wire.frozen.store(true, Ordering::SeqCst);
    assert!(gate.stop() < Duration::from_secs(15));
}

#[test]
fn a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = RtspServer::start(&clip(&dir, Clip::H264), &looped()).unwrap();
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(&settings(&server.url()), &Clock::system(), Arc::clone(&counters)).unwrap();
    let (pauses, mut indices, mut behind) = (Pauses::watch(), Vec::new(), 0_u64);
    while indices.len() < 6 {
        let Next::Frame(frame) = source.next(PATIENCE).unwrap() else { panic!("no frame") };
        behind = behind.max(counters.received.get() - frame.index);
        indices.push(frame.index);
        std::thread::sleep(Duration::from_millis(300));
    }
    let (received, dropped) = (counters.received.get(), counters.dropped.get());
    // What was sent while the machine stood still comes all at once, between any two looks.
    if pauses.spoil("how many frames came in between") {
        return;
    }
    // The decoder may put one more in between the two looks.
    assert!(behind <= 2, "a frame came that is not the newest: {behind} behind");
    assert!(indices.windows(2).all(|w| w[1] - w[0] >= 2), "{indices:?}");
    // What was neither taken nor replaced is the one that waits.
    assert!((0..=1).contains(&(received - dropped - indices.len() as u64)), "{received} {dropped}");
}

#[test]
fn what_a_camera_lacks_is_said_with_its_address_and_without_its_password() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let began = Instant::now();
    let error = error_of(&settings(&format!("rtsp://admin:hunter2@127.0.0.1:{free}/x?token=hunter2"))).to_string();
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(error.contains(&format!("rtsp://127.0.0.1:{free}/x")) && error.contains("switched on"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let credential = Some(("admin".to_owned(), "hunter2".to_owned()));
    let path = clip(&dir, Clip::H264);
    let server = RtspServer::start(&path, &Serving { credential, ..looped() }).unwrap();
    let mut settings = settings(&server.url());
    let error = error_of(&settings).to_string();
    assert!(error.contains("wants a user and a password"), "{error}");
    settings.credential = Some(Credential::new("admin", "hunter3"));
    let error = error_of(&settings).to_string();
    assert!(error.contains("refuses the credential") && !error.contains("hunter"), "{error}");
    settings.credential = Some(Credential::new("admin", "hunter2"));
    let mut source = camera::open(&settings, &Clock::system(), Arc::default()).unwrap();
    assert!(matches!(source.next(PATIENCE), Ok(Next::Frame(_))));

    let open = RtspServer::start(&path, &looped()).unwrap();
    settings.uri = format!("rtsp://127.0.0.1:{}/other", open.port()).parse().unwrap();
    let error = error_of(&settings).to_string();
    assert!(error.contains("/other") && error.contains("check the path"), "{error}");
}

#[test]
fn a_camera_of_another_codec_is_told_what_is_supported() {
    let text = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=184 ! vp8enc deadline=1 ! rtpvp8pay name=pay0 pt=96 \
                audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay1 pt=0";
    let server = RtspServer::start_text(text, &looped()).unwrap();
    let error = error_of(&settings(&server.url()));
    assert!(error.is_lasting());
    assert!(error.to_string().contains("sends VP8; H.264, H.265 and Motion JPEG are supported"), "{error}");

    let text = "audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 pt=0";
    let server = RtspServer::start_text(text, &looped()).unwrap();
    let error = error_of(&settings(&server.url())).to_string();
    assert!(error.contains("has no video stream (audio PCMU)"), "{error}");
}

#[test]
fn sound_and_a_second_stream_beside_the_video_do_not_disturb() {
    let encode = "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=10 threads=1 ! rtph264pay";
    let text = format!(
        "audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 pt=0 \
         videotestsrc is-live=true ! video/x-raw,width=352,height=288,framerate=25/1 ! {encode} name=pay1 pt=96 \
         videotestsrc is-live=true ! video/x-raw,width=176,height=144,framerate=25/1 ! {encode} name=pay2 pt=97"
    );
    let server = RtspServer::start_text(&text, &looped()).unwrap();
    let mut source = camera::open(&settings(&server.url()), &Clock::system(), Arc::default()).unwrap();
    for _ in 0..10 {
        let Next::Frame(frame) = source.next(PATIENCE).unwrap() else { panic!("no frame") };
        assert_eq!(
            (frame.format.width, frame.format.height),
            (352, 288),
            "the first video is the camera's main stream"
        );
    }
}

#[test]
fn a_stream_that_the_server_ends_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(&dir, Clip { frames: 10, ..Clip::H264 });
    let server = RtspServer::start(&path, &Serving::default()).unwrap();
    let gate = Running::start(settings(&server.url()));
    gate.wait_for("reopened", 2);
    gate.wait_for("frame", 1);
    assert!(gate.counters.failed.get() >= 2);
    gate.stop();
}
