//! What this process takes of the machine: clocks of the processor, memory, threads, switches.
//!
//! CPU is user and system time, so that other load on the machine matters little.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// User and system time of this process.
pub(super) fn cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// The same of the calling thread.
pub(super) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

/// CPU milliseconds since [`cpu`] said `begin`.
pub(super) fn ms_since(begin: Duration) -> f64 {
    ms(cpu().saturating_sub(begin))
}

/// As milliseconds.
pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// This process's share of the memory, MiB; 0 where the system does not tell.
pub(super) fn pss_mib() -> f64 {
    kib("/proc/self/smaps_rollup", "Pss:") / 1_024.0
}

/// The most memory that it had in RAM at once, shared pages whole, MiB.
pub(super) fn most_rss_mib() -> f64 {
    kib("/proc/self/status", "VmHWM:") / 1_024.0
}

/// What the machine has for further processes, MiB.
pub(super) fn available_mib() -> f64 {
    kib("/proc/meminfo", "MemAvailable:") / 1_024.0
}

fn kib(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0.0)
}

/// Threads that live now, and how often they were taken off a processor, by themselves or not.
pub(super) fn threads() -> (usize, u64) {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(Result::ok);
    tasks.fold((0, 0), |(count, switches), task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let of = status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
        (count + 1, switches + of.sum::<u64>())
    })
}

/// Processors that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
