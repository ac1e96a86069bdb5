//! The measurements, each a daemon of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use watchpost::domain::Stage;

use super::clips::{self, Passing};
use super::daemon::{Cameras, Daemon};
use super::rows::Rows;
use super::taken::Taken;

/// What a measurement is made with.
pub struct Plan {
    root: PathBuf,
    quick: bool,
    cores: f64,
}

impl Plan {
    pub fn of(root: &Path, quick: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
        Self { root: root.to_owned(), quick, cores }
    }

    pub fn measure(&self, what: &str, rows: &mut Rows) {
        match what {
            "start" => self.start(rows),
            "cost" => self.cost(rows),
            "memory" => self.memory(rows),
            "latency" => self.latency(rows),
            "overload" => self.overload(rows),
            "curve" => self.curve(rows),
            other => panic!("{other}"),
        }
    }

    /// From the daemon's exec to its first analysed frame; counts are looked at five times a second, so 200 ms too much at most.
    fn start(&self, rows: &mut Rows) {
        let street = clips::street(&self.root);
        for _ in 0..if self.quick { 1 } else { 5 } {
            let daemon = Daemon::start(&every(&[&street], 1, true));
            let took = daemon.until_looked_at(1);
            rows.add("start", "1080p", 1, &[("first_frame_ms_at_most", took.as_secs_f64() * 1e3)]);
        }
    }

    /// CPU, switches, threads a frame: every frame of files as fast as they go.
    fn cost(&self, rows: &mut Rows) {
        let street = clips::street(&self.root);
        for count in [1, 4] {
            let daemon = Daemon::start(&every(&[&street], count, false));
            daemon.until_looked_at(50);
            let (before, seen) = (daemon.taken(), daemon.looked_at().iter().sum::<u64>());
            let wanted = if self.quick { 100 } else { 250 } + 50;
            daemon.until_looked_at(wanted);
            let (after, frames) = (daemon.taken(), (daemon.looked_at().iter().sum::<u64>() - seen) as f64);
            let figures = [
                ("cpu_ms_a_frame", after.cpu_ms_since(&before) / frames),
                ("pss_mib", after.pss_mib()),
                ("threads", after.cost.threads as f64),
                ("switches_a_frame", (after.switches.saturating_sub(before.switches)) as f64 / frames),
                ("processes", after.cost.processes as f64),
            ];
            rows.add("cost", "1080p", count, &figures);
        }
    }

    /// Memory of all processes: an empty hotlist, 1080p at its own pace, default settings.
    fn memory(&self, rows: &mut Rows) {
        let street = clips::street(&self.root);
        let header = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n";
        for count in 1..=4 {
            let cameras = Cameras { gate: true, watched: Some(header.to_owned()), ..every(&[&street], count, true) };
            let daemon = Daemon::start(&cameras);
            daemon.until_looked_at(25);
            let mut most: Option<Taken> = None;
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(if self.quick { 300 } else { 800 }));
                let now = daemon.taken();
                most = most.filter(|most| most.cost.pss_kib > now.cost.pss_kib).or(Some(now));
            }
            let most = most.unwrap();
            let figures = [
                ("pss_mib", most.pss_mib()),
                ("daemon_own_mib", most.cost.daemon_kib as f64 / 1_024.0),
                ("workers_own_mib", (most.cost.own_kib - most.cost.daemon_kib) as f64 / 1_024.0),
                ("threads", most.cost.threads as f64),
                ("processes", most.cost.processes as f64),
            ];
            rows.add("memory", "1080p", count, &figures);
        }
    }

    /// What a frame of the passing clips costs the whole daemon, CPU milliseconds.
    fn frame_ms(clips: &Passing) -> f64 {
        let daemon = Daemon::start(&every(&[clips.paths[0].as_path()], 1, false));
        daemon.until_looked_at(50);
        let (before, seen) = (daemon.taken(), daemon.looked_at()[0]);
        daemon.until_looked_at(200);
        daemon.taken().cpu_ms_since(&before) / (daemon.looked_at()[0] - seen) as f64
    }

    fn passing(&self) -> Passing {
        clips::passing(&self.root, 4, if self.quick { 20 } else { 60 })
    }

    /// From a frame to its alert at the centre: four cameras whose frames are thinned to a load of 60 %.
    fn latency(&self, rows: &mut Rows) {
        let clips = self.passing();
        let frame_ms = Self::frame_ms(&clips);
        let fps = (0.6 * self.cores * 1_000.0 / (4.0 * frame_ms)).clamp(1.0, 25.0);
        let cameras = passing(&clips, 4, Some(fps));
        self.hits("latency", &clips, &cameras, fps * 4.0 * frame_ms, rows);
    }

    /// The same with twice the frames that the machine can look at.
    fn overload(&self, rows: &mut Rows) {
        let clips = self.passing();
        let frame_ms = Self::frame_ms(&clips);
        let count = (2.0 * self.cores * 1_000.0 / (25.0 * frame_ms)).ceil().clamp(4.0, 16.0);
        let cameras = passing(&clips, count as usize, None);
        self.hits("overload", &clips, &cameras, count * 25.0 * frame_ms, rows);
    }

    fn hits(&self, what: &str, clips: &Passing, cameras: &Cameras<'_>, offered_ms: f64, rows: &mut Rows) {
        let daemon = Daemon::start(cameras);
        daemon.until_looked_at(5);
        let (before, seen, received) = (daemon.taken(), daemon.looked_at(), daemon.received());
        drop(daemon.centre.take());
        // Clips end, and with them their frames.
        let end = Duration::from_secs(u64::from(clips.seconds.saturating_sub(4)));
        std::thread::sleep(end.saturating_sub(before.at.duration_since(daemon.begun)));
        let (after, later, now) = (daemon.taken(), daemon.looked_at(), daemon.received());
        let all = daemon.centre.take();
        // Bytes of clips that are made when a hit is over.
        std::thread::sleep(Duration::from_secs(8));
        let written = daemon.taken().written - before.written;
        let mut late: Vec<f64> = all.iter().filter(|c| c.stage == Stage::New).map(|c| c.late_ms as f64).collect();
        late.sort_by(f64::total_cmp);
        let at =
            |share: f64| late.get((late.len() as f64 * share) as usize).or(late.last()).copied().unwrap_or(f64::NAN);
        let looks: Vec<f64> = later.iter().zip(&seen).map(|(after, before)| (after - before) as f64).collect();
        let mean = looks.iter().sum::<f64>() / looks.len() as f64;
        let apart = looks.iter().map(|of| (of / mean - 1.0).abs()).fold(0.0, f64::max);
        let came = (now.0 - received.0).max(1) as f64;
        let figures = [
            ("alerts", late.len() as f64),
            ("p50_ms", at(0.5)),
            ("p99_ms", at(0.99)),
            ("load", after.cores_since(&before) / self.cores),
            ("offered_load", offered_ms / 1_000.0 / self.cores),
            ("dropped", (now.1 - received.1) as f64 / came),
            ("fps_a_camera", mean / (after.at - before.at).as_secs_f64()),
            ("unfair", apart),
            ("kib_written_a_hit", written as f64 / 1_024.0 / late.len().max(1) as f64),
        ];
        rows.add(what, "720p", cameras.count, &figures);
    }

    /// CPU and memory against the number of cameras: small ones with motion in one of eight, and streets.
    fn curve(&self, rows: &mut Rows) {
        let [still, moving] = clips::small(&self.root);
        let mut small: Vec<&Path> = vec![&still; 8];
        small[0] = &moving;
        let counts: &[usize] = if self.quick { &[1, 8, 64] } else { &[1, 2, 4, 8, 16, 32, 48, 64] };
        for count in counts {
            let cameras = Cameras { gate: true, ..every(&small, *count, true) };
            self.point("352×288 at 5/s", &cameras, rows);
        }
        let street = self.passing();
        let counts: &[usize] = if self.quick { &[1, 4] } else { &[1, 2, 4, 8, 12, 16] };
        for count in counts {
            let cameras = Cameras { watched: None, ..passing(&street, *count, Some(5.0)) };
            self.point("1280×720 at 5/s", &Cameras { gate: true, ..cameras }, rows);
        }
    }

    fn point(&self, name: &str, cameras: &Cameras<'_>, rows: &mut Rows) {
        let daemon = Daemon::start(cameras);
        daemon.until_looked_at(3);
        // The motion gate knows its scene by then.
        std::thread::sleep(Duration::from_secs(10));
        let (before, seen, begun) = (daemon.taken(), daemon.looked_at(), Instant::now());
        std::thread::sleep(Duration::from_secs(if self.quick { 6 } else { 15 }));
        let (after, later) = (daemon.taken(), daemon.looked_at());
        let seconds = begun.elapsed().as_secs_f64();
        let least = later.iter().zip(&seen).map(|(a, b)| (a - b) as f64 / seconds).fold(f64::MAX, f64::min);
        let figures = [
            ("cores", after.cores_since(&before)),
            ("pss_mib", after.pss_mib()),
            ("threads", after.cost.threads as f64),
            ("least_looked_at_fps", least),
        ];
        rows.add("curve", name, cameras.count, &figures);
    }
}

/// Every frame analysed, nobody looked for.
fn every<'a>(clips: &[&'a Path], count: usize, realtime: bool) -> Cameras<'a> {
    Cameras { clips: clips.to_vec(), count, realtime, fps: None, gate: false, watched: None }
}

/// The passing clips, every frame that is not thinned analysed, all of their plates looked for.
fn passing(clips: &Passing, count: usize, fps: Option<f64>) -> Cameras<'_> {
    let paths = clips.paths.iter().map(PathBuf::as_path).collect();
    Cameras { clips: paths, count, realtime: true, fps, gate: false, watched: Some(clips.watched.clone()) }
}
