//! What `/proc` tells of a daemon and its decode workers beyond [`Cost`]: switches and bytes written.

use std::fs;
use std::time::Instant;

use super::cost::{Cost, family};

/// At one moment.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub at: Instant,
    pub cost: Cost,
    /// How often threads that live were taken off a processor.
    pub switches: u64,
    /// Bytes that were handed to the disk.
    pub written: u64,
}

impl Taken {
    pub fn of(daemon: u32) -> Self {
        let (mut switches, mut written) = (0, 0);
        for pid in family(daemon) {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
            for task in tasks {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                let of =
                    status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
                switches += of.sum::<u64>();
            }
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok());
            written += bytes.unwrap_or(0);
        }
        Self { at: Instant::now(), cost: Cost::of(daemon), switches, written }
    }

    /// Processor cores that were busy since `before`.
    pub fn cores_since(&self, before: &Self) -> f64 {
        self.cpu_ms_since(before) / 1_000.0 / (self.at - before.at).as_secs_f64()
    }

    pub fn cpu_ms_since(&self, before: &Self) -> f64 {
        self.cost.cpu.saturating_sub(before.cost.cpu).as_secs_f64() * 1_000.0
    }

    pub fn pss_mib(&self) -> f64 {
        self.cost.pss_kib as f64 / 1_024.0
    }
}
