//! A camera that loses its power two hundred times: what it costs the process that watches it.
//!
//! The watching process is this binary once more, so that nothing of the server is counted with it: memory, threads and
//! descriptors are the camera room's alone, read from `/proc` after each return.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown as Ways, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use watchpost::camera::testkit::{Clip, RtspServer, Serving};
use watchpost::camera::{Camera, CameraEvent, Settings};
use watchpost::clock::Clock;
use watchpost::domain::CameraId;
use watchpost::shutdown::Shutdown;

use crate::kit::broker::free_port;
use crate::kit::pauses::Pauses;

const NAME: &str = "camera_cycles::a_camera_killed_two_hundred_times_leaves_nothing_behind";

/// Address of the camera, for the process that watches.
const URL: &str = "WATCHPOST_TEST_CYCLES_URL";

const CYCLES: usize = 200;

/// Before these allocators, thread pools and registries fill up.
const WARM_UP: usize = 20;

/// What memory may grow by from the end of the warm-up to the end: KiB of private memory.
const GROWTH_KIB: u64 = 4_096;

/// What the process that watches does until it is killed: says `up` whenever frames come after an opening.
fn watch(url: &str) {
    let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, url.parse().unwrap());
    settings.back_off_first = Duration::from_millis(20);
    settings.back_off_most = Duration::from_millis(40);
    let camera = Camera::new(settings, Clock::system(), std::sync::Arc::default());
    let mut frames = 0;
    let on = &mut |event| {
        frames = if matches!(event, CameraEvent::Frame(_)) { frames + 1 } else { 0 };
        if frames == 3 {
            let mut out = std::io::stdout().lock();
            writeln!(out, "up").and_then(|()| out.flush()).unwrap();
        }
    };
    camera.run(&Shutdown::new(), on).unwrap();
}

/// The process that watches, killed with the test.
struct Watcher(Child, std::io::Lines<BufReader<ChildStdout>>);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Watcher {
    fn start(url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(URL, url);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, lines)
    }

    fn wait_until_up(&mut self) {
        self.1.by_ref().map(Result::unwrap).find(|line| line.ends_with("up")).expect("it ended");
    }

    /// Private memory in KiB, threads and descriptors.
    fn cost(&self) -> [u64; 3] {
        let proc = format!("/proc/{}", self.0.id());
        let maps = std::fs::read_to_string(format!("{proc}/smaps_rollup")).unwrap();
        let line = maps.lines().find_map(|l| l.strip_prefix("Pss_Anon:")).unwrap();
        let memory = line.split_whitespace().next().unwrap().parse().unwrap();
        let count = |folder: &str| std::fs::read_dir(format!("{proc}/{folder}")).unwrap().count() as u64;
        [memory, count("task"), count("fd")]
    }
}

/// Lets one client at `port` through to the server at `to` until that has said `bytes` bytes, then cuts the wire.
fn cut_after(port: u16, to: u16, bytes: u64) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (client, _) = listener.accept().unwrap();
    let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
    let (mut asks, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let asking = std::thread::spawn(move || {
        let _ = std::io::copy(&mut asks, &mut asked);
    });
    let _ = std::io::copy(&mut (&server).take(bytes), &mut &client);
    for end in [&client, &server] {
        let _ = end.shutdown(Ways::Both);
    }
    asking.join().unwrap();
}

/// The largest of each.
fn most(costs: &[[u64; 3]]) -> [u64; 3] {
    costs.iter().fold([0; 3], |most, c| std::array::from_fn(|i| most[i].max(c[i])))
}

#[test]
fn a_camera_killed_two_hundred_times_leaves_nothing_behind() {
    if let Ok(url) = std::env::var(URL) {
        return watch(&url);
    }
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    Clip { frames: 20, ..Clip::H264 }.make(&clip).unwrap();
    let serve = |port| RtspServer::start(&clip, &Serving { port, looped: true, ..Serving::default() }).unwrap();
    let (mut server, other) = (serve(free_port()), serve(0));
    let port = server.port();
    let mut watcher = Watcher::start(&server.url());
    let (mut costs, pauses) = (Vec::new(), Pauses::watch());
    for cycle in 0..CYCLES {
        watcher.wait_until_up();
        costs.push(watcher.cost());
        server.stop();
        if cycle % 4 == 3 {
            // Once more, gone again while the camera connects: at another word of the server each time.
            cut_after(port, other.port(), cycle as u64 * 37 % 2_500);
        }
        server = serve(port);
    }
    watcher.wait_until_up();
    let (warm, last) = (most(&costs[WARM_UP..WARM_UP + 20]), most(&costs[CYCLES - 20..]));
    eprintln!("{CYCLES} cycles: KiB, threads, descriptors {:?} at first, {warm:?} warm, {last:?} at the end", costs[0]);
    // What waits in queues while everything stands still goes to the heap once, and stays there.
    if !pauses.spoil("memory") {
        assert!(last[0] <= warm[0] + GROWTH_KIB, "memory grows: {costs:?}");
    }
    assert!(last[1] <= warm[1] + 2, "threads are left: {costs:?}");
    assert!(last[2] <= warm[2] + 2, "descriptors are left: {costs:?}");
}
