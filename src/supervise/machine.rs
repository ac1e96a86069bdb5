//! What the machine and the daemon's process have and use, as `/proc` and the file system tell it.
//!
//! Asked every 30 s for the health message, and by `watchpost check`. What the system does not tell (a hardened unit may
//! hide parts of `/proc`) is 0 and never an error.

use std::path::Path;
use std::time::Duration;

use crate::centre::wire::{Disk, Memory, Part, Process};

/// Room on the file system of `path`; zeros when it cannot be asked.
#[must_use]
pub fn disk(path: &Path) -> Disk {
    rustix::fs::statvfs(path).map_or(Disk::default(), |s| Disk {
        free: s.f_bavail.saturating_mul(s.f_frsize),
        total: s.f_blocks.saturating_mul(s.f_frsize),
    })
}

/// The machine's memory.
#[must_use]
pub fn memory() -> Memory {
    let text = read("/proc/meminfo");
    Memory { available: kib(&text, "MemAvailable:"), total: kib(&text, "MemTotal:") }
}

/// This process.
#[must_use]
pub fn process() -> Process {
    let text = read("/proc/self/status");
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::try_from(time).unwrap_or_default();
    Process {
        resident: kib(&text, "VmRSS:"),
        peak: kib(&text, "VmHWM:"),
        cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
        threads: u32::try_from(number(&text, "Threads:")).unwrap_or(u32::MAX),
        files: std::fs::read_dir("/proc/self/fd").map_or(0, |all| u32::try_from(all.count()).unwrap_or(u32::MAX)),
    }
}

/// What the daemon works with: ONNX Runtime by its library's file, GStreamer, the kernel.
#[must_use]
pub fn parts(inference: &Path) -> Vec<Part> {
    let library = inference.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let gstreamer = crate::camera::decoder_version();
    [
        Some(Part::new("onnxruntime", library.trim_start_matches("libonnxruntime.so").trim_start_matches('.'))),
        gstreamer.map(|version| Part::new("gstreamer", &version)),
        Some(Part::new("linux", kernel.trim())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number behind `key` in a text of lines such as `VmRSS:  1234 kB`.
fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn kib(text: &str, key: &str) -> u64 {
    number(text, key).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let (process, memory) = (process(), memory());
        assert!(process.resident > 1 << 20 && process.peak >= process.resident, "{process:?}");
        assert!(process.threads >= 1 && process.files >= 3, "{process:?}");
        assert!(memory.available > 0 && memory.total > memory.available, "{memory:?}");
        assert!(disk(Path::new("/")).total > 0);
        assert_eq!(disk(Path::new("/nonexistent/folder")), Disk::default());
    }

    #[test]
    fn a_line_that_is_not_there_is_zero() {
        assert_eq!((kib("VmRSS:\t  12 kB\n", "VmRSS:"), kib("", "VmRSS:")), (12 * 1024, 0));
    }
}
