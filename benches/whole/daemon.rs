//! A box in a temporary folder, its broker and centre, and the daemon as a process.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use watchpost::supervise::testkit::COUNTS;

use super::hear::Centre;
use super::kit::broker::Mosquitto;
use super::kit::one_box::{OneBox, camera, hotlist};
use super::taken::Taken;
use super::watch::Watch;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the cameras of a run are.
#[derive(Debug, Clone)]
pub struct Cameras<'a> {
    /// A clip each; the first again where there are more cameras than clips.
    pub clips: Vec<&'a Path>,
    pub count: usize,
    /// At its own pace; else as fast as it goes, every frame.
    pub realtime: bool,
    /// Looked at a second, at most.
    pub fps: Option<f64>,
    /// Whether it rests while nothing moves.
    pub gate: bool,
    /// Plates that are looked for, as CSV.
    pub watched: Option<String>,
}

/// Ends with this value.
pub struct Daemon {
    child: Child,
    pub watch: Watch,
    pub centre: Centre,
    pub begun: Instant,
    count: usize,
    made: OneBox,
    _broker: Mosquitto,
}

impl Daemon {
    pub fn start(cameras: &Cameras<'_>) -> Self {
        let made = OneBox::new();
        let broker = made.broker();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        // What is told of a pass that was looked at again waits for that, and is no news of a frame.
        let looks_again = if cameras.watched.is_some() && !cameras.gate { "second_look_s = 0\n" } else { "" };
        let (gate, models) = (cameras.gate, models.display());
        let mut sections = vec![format!("[vision]\nmotion_gate = {gate}\nmodels = '{models}'\n{looks_again}\n")];
        let fps = cameras.fps.map(|fps| format!("fps = {fps:.1}\n")).unwrap_or_default();
        let more = format!("realtime = {}\n{fps}", cameras.realtime);
        for n in 0..cameras.count {
            let clip = cameras.clips[n % cameras.clips.len()];
            sections.push(camera(&id(n), n as u16 + 1, &clip.display().to_string(), &more));
        }
        if let Some(csv) = &cameras.watched {
            let file = made.file("watched.csv", csv);
            sections.push(hotlist("watched", 1, &file, "serious") + "policy = \"confusable\"\n\n");
        }
        made.configure(&sections);
        let centre = Centre::start(&made);
        let counts = made.path("counts");
        let watch = Watch::start(counts.clone());
        let log = File::create(made.path("daemon.log")).unwrap();
        let mut command = made.command("run");
        command.env(COUNTS, counts).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        Self { child, watch, centre, begun, count: cameras.count, made, _broker: broker }
    }

    /// Waits until every camera was looked at so often; since its start.
    pub fn until_looked_at(&self, frames: u64) -> Duration {
        for n in 0..self.count {
            let up = self.watch.wait(&id(n), PATIENCE, |eye| eye.looked_at >= frames);
            assert!(up, "camera {n} does not begin: {:?}; {}", self.watch.eye(&id(n)), self.last_words());
        }
        self.begun.elapsed()
    }

    /// Frames of each camera that were looked at so far.
    pub fn looked_at(&self) -> Vec<u64> {
        (0..self.count).map(|n| self.watch.eye(&id(n)).looked_at).collect()
    }

    /// Frames of all cameras that were decoded, and of those that were replaced by newer ones.
    pub fn received(&self) -> (u64, u64) {
        let eyes = (0..self.count).map(|n| self.watch.eye(&id(n)));
        eyes.fold((0, 0), |(received, dropped), eye| (received + eye.received, dropped + eye.dropped))
    }

    pub fn taken(&self) -> Taken {
        Taken::of(self.child.id())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.made.path("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }
}

fn id(n: usize) -> String {
    format!("cam-{n}")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(15);
        while told.is_ok() && Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
