//! What a daemon and its decode workers take of the machine, from `/proc`.

use std::fs;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Memory that is theirs alone, KiB: what others map as well does not count, so that it says nothing of them.
    pub own_kib: u64,
    /// Of it the daemon's.
    pub daemon_kib: u64,
    /// Proportional share of all memory, KiB.
    pub pss_kib: u64,
    pub threads: u64,
    pub files: u64,
    /// Processor time since their start, user and system.
    pub cpu: Duration,
    pub processes: u64,
}

impl Cost {
    /// Of the daemon with this number, and of its workers. What ends meanwhile is left out.
    pub fn of(daemon: u32) -> Self {
        let mut all = Self::default();
        for pid in family(daemon) {
            let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let kib = |name: &str| {
                let line = maps.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
            };
            let count =
                |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).map_or(0, |all| all.count() as u64);
            let own = kib("Pss_Anon") + kib("Pss_Shmem");
            all.own_kib += own;
            all.daemon_kib += if pid == daemon { own } else { 0 };
            all.pss_kib += kib("Pss");
            all.threads += count("task");
            all.files += count("fd");
            all.cpu += cpu(pid);
            all.processes += 1;
        }
        all
    }
}

/// The fields of a process from its state on; a name may hold anything.
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn cpu(pid: u32) -> Duration {
    let ticks: u64 = stat(pid).iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ is 100 wherever Linux runs.
    Duration::from_millis(ticks * 10)
}

/// A process and its children.
pub fn family(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| stat(*pid).get(1).is_some_and(|of| of.parse() == Ok(parent));
    [parent].into_iter().chain(pids.filter(is_child)).collect()
}

/// The middle one of these, by `of`.
pub fn median(costs: &[Cost], of: fn(&Cost) -> u64) -> u64 {
    let mut all: Vec<u64> = costs.iter().map(of).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}
