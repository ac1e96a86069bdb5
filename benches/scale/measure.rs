//! What the kernel says of processes and connections, and numbers about numbers.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Length of a tick of `/proc/PID/stat`, milliseconds: `USER_HZ` is 100 on Linux.
const TICK_MS: u64 = 10;
/// IPv4 and TCP headers with a time stamp, bytes a packet.
const HEADERS: u64 = 52;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Used {
    /// User and system time, milliseconds.
    pub cpu_ms: u64,
    /// Resident memory now, KiB.
    pub rss_kib: u64,
}

impl Used {
    /// Of a process; zeros when there is none.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // Fields count from behind the name, which may hold anything.
        let stat = read("stat");
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect())
            .unwrap_or_default();
        let ticks = |n: usize| fields.get(n).copied().unwrap_or(0);
        let rss = read("status")
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Self { cpu_ms: (ticks(11) + ticks(12)) * TICK_MS, rss_kib: rss }
    }

    /// The time since `before`; the memory of now.
    pub fn since(self, before: Self) -> Self {
        Self { cpu_ms: self.cpu_ms.saturating_sub(before.cpu_ms), rss_kib: self.rss_kib }
    }
}

/// Bytes and packets of all boxes' connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wire {
    up: u64,
    down: u64,
    packets_up: u64,
    packets_down: u64,
}

impl Wire {
    /// Of this process' connections to `port`, as `ss` of iproute2 tells; `None` where it does not.
    pub fn of(port: u16) -> Option<Self> {
        let filter = format!("dport = :{port}");
        let output = std::process::Command::new("ss").args(["-tinOHp", &filter]).output().ok()?;
        let own = format!("pid={},", std::process::id());
        let mut sum = Self::default();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in text.lines().filter(|line| line.contains(&own)) {
            let of = |name: &str| -> u64 {
                line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok()).unwrap_or(0)
            };
            sum.up += of("bytes_sent:");
            sum.down += of("bytes_received:");
            sum.packets_up += of("segs_out:");
            sum.packets_down += of("segs_in:");
        }
        (sum.up > 0).then_some(sum)
    }

    /// What came since `before`: bytes up and down with the headers of IP and TCP.
    pub fn since(self, before: Self) -> Flow {
        let packets = |now: u64, then: u64| now.saturating_sub(then) * HEADERS;
        Flow {
            up: (self.up.saturating_sub(before.up) + packets(self.packets_up, before.packets_up)) as f64,
            down: (self.down.saturating_sub(before.down) + packets(self.packets_down, before.packets_down)) as f64,
        }
    }
}

/// Bytes on the wire, headers of IP and TCP included.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Flow {
    /// From the boxes.
    pub up: f64,
    /// To the boxes.
    pub down: f64,
}

impl Flow {
    /// Both divided.
    pub fn per(self, n: f64) -> Self {
        Self { up: self.up / n, down: self.down / n }
    }

    /// Both less what `other` says.
    pub fn less(self, other: Self) -> Self {
        Self { up: self.up - other.up, down: self.down - other.down }
    }

    /// Both multiplied.
    pub fn times(self, n: f64) -> Self {
        Self { up: self.up * n, down: self.down * n }
    }
}

/// The value that `share` of the sorted ones do not exceed.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let last = sorted.len().saturating_sub(1) as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let place = (last * share).round() as usize;
    sorted.get(place).copied().unwrap_or(0)
}

/// Most of the times, in milliseconds, that lie within any one second.
pub fn peak(mut times_ms: Vec<u64>) -> usize {
    times_ms.sort_unstable();
    let mut oldest = times_ms.iter().copied().enumerate().peekable();
    let mut most = 0;
    for (n, at) in times_ms.iter().enumerate() {
        while oldest.peek().is_some_and(|(_, old)| old + 1_000 <= *at) {
            oldest.next();
        }
        most = most.max(oldest.peek().map_or(0, |(first, _)| n + 1 - first));
    }
    most
}

/// Milliseconds from `begin` to `at`.
pub fn millis(begin: Instant, at: Instant) -> u64 {
    whole_ms(at.saturating_duration_since(begin))
}

/// A time in whole milliseconds.
pub fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
