//! Cameras that something happens to: real RTSP servers, in this process or in one that can be killed and stopped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use watchpost::camera::testkit::{Clip, Manner, RtspServer, Serving, Spoil};
use watchpost::domain::Transport;

use super::kit::broker::free_port;
use super::relay::{self, Relay};

/// The hidden argument of a server's process: `--camera CLIP PORT`. It says its port, and ends when its stdin does.
const ARGUMENT: &str = "--camera";
/// Pictures a second of every clip.
pub const FPS: u64 = 10;
const VP8: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=10/1 ! vp8enc deadline=1 \
                   ! rtpvp8pay name=pay0 pt=96";

/// Runs a server, if the arguments ask for one.
pub fn child(args: &[String]) -> Option<ExitCode> {
    let [argument, clip, port] = args else { return None };
    if argument != ARGUMENT {
        return None;
    }
    let server = serve(Path::new(clip), port.parse().unwrap(), Serving::default());
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.port()).and_then(|()| out.flush()).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Some(ExitCode::SUCCESS)
}

fn serve(clip: &Path, port: u16, serving: Serving) -> RtspServer {
    RtspServer::start(clip, &Serving { port, looped: true, ..serving }).unwrap()
}

/// A clip of so many seconds, with a key frame every second, that has no gap where it begins anew.
pub fn clip(path: PathBuf, seconds: u32, clip: &Clip<'_>) -> PathBuf {
    let encoder =
        format!("x264enc speed-preset=ultrafast bframes=0 key-int-max={} threads=1 option-string=scenecut=0", clip.fps);
    Clip { encoder: &encoder, frames: seconds * clip.fps, ..*clip }.make(&path).unwrap();
    path
}

/// The clips that cameras of a run show.
pub struct Clips {
    /// 320×180.
    pub usual: PathBuf,
    /// 192×108.
    pub small: PathBuf,
}

impl Clips {
    pub fn make(dir: &Path) -> Self {
        let usual = Clip { fps: FPS as u32, ..Clip::H264 };
        Self {
            usual: clip(dir.join("usual.mp4"), 4, &usual),
            small: clip(dir.join("small.mp4"), 4, &Clip { size: (192, 108), ..usual }),
        }
    }
}

/// A server's process; ends with this value.
pub struct Process {
    child: Child,
    pub port: u16,
}

impl Process {
    pub fn start(clip: &Path, port: u16) -> Self {
        // It comes back at the same one.
        let port = if port == 0 { free_port() } else { port };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ARGUMENT).arg(clip).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().expect("the server says its port") }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a camera's state may say, one of these; none: it may go on as if nothing were.
pub type Words = &'static [&'static str];

/// A camera that something happens to, again and again.
pub trait Bad: Send {
    fn url(&self) -> String;
    /// The fault begins, for the n-th time.
    fn strike(&mut self, n: u64) -> Words;
    /// It is over.
    fn mend(&mut self);
    /// The camera is back.
    fn tidy(&mut self) {}
}

/// Its process is killed, and started again.
pub struct Killed(Option<Process>, PathBuf, u16);

/// It stops, and goes on.
pub struct Stopped(Process);

/// Nothing goes through the wire any more, and nobody closes it: new connections alone are good.
pub struct HalfOpen(Relay, #[allow(dead_code, reason = "it serves")] RtspServer);

/// It sends VP8.
pub struct OtherCodec(Option<RtspServer>, PathBuf, u16);

/// What it sends is spoilt.
pub struct Spoilt(RtspServer, Spoil, Manner);

/// Packets are lost.
pub struct Lossy(RtspServer, Spoil);

pub fn killed(clips: &Clips) -> Box<dyn Bad> {
    let process = Process::start(&clips.usual, 0);
    let port = process.port;
    Box::new(Killed(Some(process), clips.usual.clone(), port))
}

pub fn stopped(clips: &Clips) -> Box<dyn Bad> {
    Box::new(Stopped(Process::start(&clips.usual, 0)))
}

pub fn half_open(clips: &Clips) -> Box<dyn Bad> {
    let server = serve(&clips.usual, 0, Serving::default());
    Box::new(HalfOpen(Relay::start(server.port(), relay::Manner::Bytes, 0), server))
}

pub fn other_codec(clips: &Clips) -> Box<dyn Bad> {
    let server = serve(&clips.usual, 0, Serving::default());
    let port = server.port();
    Box::new(OtherCodec(Some(server), clips.usual.clone(), port))
}

fn spoilt(clips: &Clips, manner: Manner) -> Box<dyn Bad> {
    let spoil = Spoil::default();
    let serving = Serving { spoil: Some(spoil.clone()), other: Some(clips.small.clone()), ..Serving::default() };
    Box::new(Spoilt(serve(&clips.usual, 0, serving), spoil, manner))
}

pub fn other_size(clips: &Clips) -> Box<dyn Bad> {
    spoilt(clips, Manner::Others)
}

pub fn oversized(clips: &Clips) -> Box<dyn Bad> {
    spoilt(clips, Manner::Oversized)
}

pub fn flipped(clips: &Clips) -> Box<dyn Bad> {
    spoilt(clips, Manner::Flipped)
}

pub fn lossy(clips: &Clips) -> Box<dyn Bad> {
    let spoil = Spoil::default();
    let serving = Serving { spoil: Some(spoil.clone()), only: Transport::Udp, ..Serving::default() };
    Box::new(Lossy(serve(&clips.usual, 0, serving), spoil))
}

impl Bad for Killed {
    fn url(&self) -> String {
        self.0.as_ref().unwrap().url()
    }

    fn strike(&mut self, _: u64) -> Words {
        self.0 = None;
        &["ended the stream", "check that it is switched on"]
    }

    fn mend(&mut self) {
        self.0 = Some(Process::start(&self.1, self.2));
    }
}

impl Bad for Stopped {
    fn url(&self) -> String {
        self.0.url()
    }

    fn strike(&mut self, _: u64) -> Words {
        self.0.signal("-STOP");
        &["no frame for", "does not answer"]
    }

    fn mend(&mut self) {
        self.0.signal("-CONT");
    }
}

impl Bad for HalfOpen {
    fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.0.port)
    }

    fn strike(&mut self, _: u64) -> Words {
        self.0.be_silent();
        &["no frame for", "does not answer"]
    }

    fn mend(&mut self) {
        self.0.fall_silent();
    }

    fn tidy(&mut self) {
        self.0.close_silent();
    }
}

impl Bad for OtherCodec {
    fn url(&self) -> String {
        self.0.as_ref().unwrap().url()
    }

    fn strike(&mut self, _: u64) -> Words {
        self.0 = None;
        self.0 = Some(RtspServer::start_text(VP8, &Serving { port: self.2, ..Serving::default() }).unwrap());
        &["sends VP8"]
    }

    fn mend(&mut self) {
        self.0 = None;
        self.0 = Some(serve(&self.1, self.2, Serving::default()));
    }
}

impl Bad for Spoilt {
    fn url(&self) -> String {
        self.0.url()
    }

    fn strike(&mut self, _: u64) -> Words {
        self.1.pictures(self.2);
        if self.2 == Manner::Oversized { &["sends pictures of 16384×16384"] } else { &[] }
    }

    fn mend(&mut self) {
        self.1.pictures(Manner::AsTheyAre);
    }
}

impl Bad for Lossy {
    fn url(&self) -> String {
        self.0.url()
    }

    fn strike(&mut self, n: u64) -> Words {
        let all = n.is_multiple_of(2);
        self.1.lose(if all { 100 } else { 30 });
        if all { &["no frame for", "UDP packets", "does not answer"] } else { &[] }
    }

    fn mend(&mut self) {
        self.1.lose(0);
    }
}
