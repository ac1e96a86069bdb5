//! Bad neighbours: what a slow, a frozen, a dripping and a wrong camera cost the good one beside them. Nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::{Camera, CameraEvent, Settings};
use watchpost::clock::Clock;
use watchpost::domain::CameraId;
use watchpost::health::{CameraCounters, CameraState};
use watchpost::shutdown::Shutdown;

use super::kit::pauses::Pauses;

const PATIENCE: Duration = Duration::from_mins(2);

/// A camera that takes connections; `serve` has each of them for itself.
fn listener(serve: fn(TcpStream)) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(client));
        }
    });
    format!("rtsp://127.0.0.1:{port}/stream")
}

/// Says nothing, ever.
fn frozen(mut client: TcpStream) {
    let mut bytes = [0; 512];
    while matches!(client.read(&mut bytes), Ok(1..)) {}
}

/// Begins to answer and never comes to the end: a byte ten times a second.
fn drips(mut client: TcpStream) {
    let head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head {
        if client.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn serve(text: &str) -> RtspServer {
    RtspServer::start_text(text, &Serving::default()).unwrap()
}

/// One picture in three seconds.
fn slow() -> RtspServer {
    serve(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=1/3 \
         ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=1 threads=1 ! rtph264pay name=pay0 pt=96",
    )
}

fn vp8() -> RtspServer {
    serve(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=10/1 ! vp8enc deadline=1 ! rtpvp8pay name=pay0 pt=96",
    )
}

fn sound() -> RtspServer {
    serve("audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 pt=0")
}

/// A camera on its thread, as `supervise` has it.
struct Running {
    counters: Arc<CameraCounters>,
    shutdown: Shutdown,
    thread: std::thread::JoinHandle<Vec<(u64, Duration)>>,
}

impl Running {
    fn start(url: &str) -> Self {
        let counters = Arc::new(CameraCounters::default());
        let shutdown = Shutdown::new();
        let settings = Settings::new(CameraId::new("gate").unwrap(), 1, url.parse().unwrap());
        let camera = Camera::new(settings, Clock::system(), Arc::clone(&counters));
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let mut frames = Vec::new();
            let on = &mut |event| match event {
                CameraEvent::Frame(frame) => frames.push((frame.index, frame.pts)),
                CameraEvent::Reopened | CameraEvent::Ended | CameraEvent::Quiet => {}
            };
            camera.run(&stop, on).unwrap();
            frames
        });
        Self { counters, shutdown, thread }
    }

    fn wait(&self, what: &str, holds: impl Fn(&CameraCounters) -> bool) {
        let began = Instant::now();
        while !holds(&self.counters) {
            assert!(began.elapsed() < PATIENCE, "{what} did not come: {:?}", self.counters.state());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Index and place of each frame that was taken.
    fn stop(self) -> Vec<(u64, Duration)> {
        self.shutdown.trigger();
        self.thread.join().unwrap()
    }
}

fn is_offline(counters: &CameraCounters, words: &str) -> bool {
    matches!(counters.state(), CameraState::Offline(why) if why.contains(words))
}

#[test]
fn bad_neighbours_cost_a_live_camera_no_picture_and_each_is_told_for_what_it_is() {
    let (pauses, dir) = (Pauses::watch(), tempfile::tempdir().unwrap());
    let clip = dir.path().join("clip.mp4");
    // Without B-frames a round of it is exactly two seconds long: no gap where it begins anew.
    let encoder = "x264enc speed-preset=ultrafast bframes=0 key-int-max=10 threads=1";
    Clip { encoder, ..Clip::H264 }.make(&clip).unwrap();
    let good = RtspServer::start(&clip, &Serving { looped: true, ..Serving::default() }).unwrap();
    let (slow, vp8, sound) = (slow(), vp8(), sound());
    let good = Running::start(&good.url());
    let bad: Vec<Running> = [slow.url(), listener(frozen), listener(drips), vp8.url(), sound.url()]
        .iter()
        .map(|u| Running::start(u))
        .collect();
    let [is_slow, is_frozen, is_dripping, is_vp8, is_sound] = &bad[..] else { panic!("five") };
    is_vp8.wait("the codec", |c| is_offline(c, "sends VP8"));
    is_sound.wait("the sound", |c| is_offline(c, "has no video stream (audio PCMU)"));
    is_frozen.wait("the silence", |c| is_offline(c, "Timeout while waiting for server response"));
    is_dripping.wait("the silence", |c| is_offline(c, "no frame for 1"));
    // By now it may have been tried again: two openings are left behind at most.
    is_dripping.wait("a closing that holds nobody up", |c| (1..=2).contains(&c.closing.load(Ordering::Relaxed)));
    is_slow.wait("its third picture", |c| c.received.get() >= 3);
    let (slow_state, slow_failed) = (is_slow.counters.state(), is_slow.counters.failed.get());
    let counters = Arc::clone(&good.counters);
    let frames = good.stop();
    if pauses.spoil("how many pictures of the good and of the slow camera were seen") {
        return;
    }
    assert_eq!((slow_state, slow_failed), (CameraState::Online, 0));
    assert_eq!((counters.opened.get(), counters.failed.get(), counters.damaged.get()), (1, 0, 0));
    let (first, last) = (frames[0], frames[frames.len() - 1]);
    // Each picture that the server sent in between was decoded: 25 a second, none missing.
    let sent = last.1.saturating_sub(first.1).as_millis() as u64 / 40;
    let decoded = last.0 - first.0;
    // The jitter buffer moves the times a little, by what the two clocks differ.
    assert!(sent > 150 && decoded.abs_diff(sent) <= sent / 50, "{decoded} of {sent} pictures");
    let lost = counters.received.get() - frames.len() as u64;
    assert!((counters.dropped.get()..=counters.dropped.get() + 1).contains(&lost), "{lost}");
    // The thread that takes them waits for nothing but them; a busy machine may let one or the other slip.
    assert!(counters.dropped.get() <= sent / 20, "{} of {sent} were replaced", counters.dropped.get());
    for camera in bad {
        let began = Instant::now();
        camera.stop();
        assert!(began.elapsed() < Duration::from_secs(15), "it stops in {:?}", began.elapsed());
    }
}

#[cfg(feature = "onnx")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_bad_neighbours_every_frame_of_a_file_is_analysed_and_the_centre_hears_what_is_wrong() {
    use std::process::{Command, Stdio};

    use watchpost::centre::wire::{CameraStatus, Link};

    use crate::kit::one_box::{OneBox, Said, camera};

    const FRAMES: u32 = 300;
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let ball = made.path("ball.mp4");
    Clip { frames: FRAMES, ..Clip::H264 }.make(&ball).unwrap();
    let (slow, vp8, sound) = (slow(), vp8(), sound());
    made.configure(&[
        camera("slow", 1, &slow.url(), ""),
        camera("frozen", 2, &listener(frozen), ""),
        camera("drips", 3, &listener(drips), ""),
        camera("vp8", 4, &vp8.url(), ""),
        camera("sound", 5, &sound.url(), ""),
        camera("good", 6, ball.to_str().unwrap(), "motion_gate = false"),
    ]);
    let daemon = made.command("run").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = daemon.id().to_string();
    let ended = tokio::task::spawn_blocking(move || Said::of(daemon.wait_with_output().unwrap()));
    let status = |number, link, words: &'static str| {
        move |s: &CameraStatus| {
            s.number == number && s.state == link && s.reason.as_deref().unwrap_or("").contains(words)
        }
    };
    for (number, link, words) in [
        (6, Link::Offline, "file has ended"),
        (1, Link::Online, ""),
        (2, Link::Offline, "Timeout while waiting"),
        (3, Link::Offline, "no frame for"),
        (4, Link::Offline, "sends VP8"),
        (5, Link::Offline, "has no video stream"),
    ] {
        centre.until(words, |log| log.camera_statuses.iter().any(status(number, link, words))).await;
    }
    let good = centre.look(|log| log.camera_statuses.iter().rfind(|s| s.number == 6).unwrap().clone());
    let frames = u64::from(FRAMES);
    assert_eq!((good.received, good.analysed, good.dropped), (frames, frames, 0));
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    ended.await.unwrap().expect(0, &["watchpost stopped"]);
    centre.stop().await;
}
