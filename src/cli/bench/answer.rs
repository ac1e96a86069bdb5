//! What the figures mean for who installs a box: how many cameras it carries, and with how much memory.

use super::cost::{available_mib, cores};

/// Share of the processors that is planned with; the rest is for what comes unawares.
pub(super) const LOAD: f64 = 0.7;
/// Frames a second that are asked about.
pub(super) const RATES: [u32; 4] = [5, 10, 15, 25];

/// What a camera takes with some settings, as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    /// CPU milliseconds a frame.
    pub frame_ms: f64,
    /// MiB for the process and for each camera.
    pub base_mib: f64,
    pub camera_mib: f64,
}

impl Need {
    /// Of measurements of `(cameras, CPU milliseconds a frame, MiB)`, fewest cameras first. The dearest frame counts, since a
    /// full box has no quiet neighbours; memory grows along a line.
    pub(super) fn of(measured: &[(u32, f64, f64)]) -> Self {
        let frame_ms = measured.iter().map(|m| m.1).fold(0.0, f64::max);
        let (Some(first), Some(last)) = (measured.first(), measured.last()) else {
            return Self { frame_ms, base_mib: 0.0, camera_mib: 0.0 };
        };
        let more = f64::from(last.0.saturating_sub(first.0));
        let camera_mib = if more > 0.0 { ((last.2 - first.2) / more).max(0.0) } else { 0.0 };
        Self { frame_ms, base_mib: (first.2 - camera_mib * f64::from(first.0)).max(0.0), camera_mib }
    }

    /// What this machine carries at so many frames a second.
    pub(super) fn carried(&self, fps: u32) -> Carried {
        self.carried_by(fps, cores(), available_mib())
    }

    fn carried_by(&self, fps: u32, cores: usize, available_mib: f64) -> Carried {
        let second = self.frame_ms * f64::from(fps);
        let by_cpu = whole(LOAD * 1_000.0 * cores as f64 / second.max(1e-6));
        let room = available_mib - self.base_mib;
        let by_memory = if self.camera_mib > 0.0 { whole(room / self.camera_mib) } else { u32::MAX };
        let cameras = by_cpu.min(by_memory);
        Carried {
            fps,
            cameras,
            mib: self.base_mib + self.camera_mib * f64::from(cameras),
            by_memory: by_memory < by_cpu,
        }
    }
}

/// How many cameras at so many frames a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Carried {
    pub fps: u32,
    pub cameras: u32,
    /// What they take together.
    pub mib: f64,
    /// It is the memory that allows no more.
    pub by_memory: bool,
}

/// The whole number below, of cameras.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
fn whole(v: f64) -> u32 {
    v.clamp(0.0, 10_000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_as_many_as_processors_and_memory_carry() {
        let need = Need::of(&[(1, 10.0, 100.0), (4, 12.0, 160.0)]);
        assert_eq!(need, Need { frame_ms: 12.0, base_mib: 80.0, camera_mib: 20.0 });
        // 1400 ms a second for 120 of them each.
        let enough = Carried { fps: 10, cameras: 11, mib: 300.0, by_memory: false };
        assert_eq!(need.carried_by(10, 2, 8_000.0), enough);
        let scarce = Carried { fps: 10, cameras: 3, mib: 140.0, by_memory: true };
        assert_eq!(need.carried_by(10, 2, 150.0), scarce);
        assert_eq!(need.carried_by(25, 1, 1.0).cameras, 0);
    }
}
