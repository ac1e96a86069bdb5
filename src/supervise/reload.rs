//! The configuration is read again because somebody at the box asked for it (SIGHUP): the run ends in good order and another
//! one starts in the same process, as after `config.set`.
//!
//! A configuration with faults changes nothing: they are said, and what runs goes on. systemd is told of both, so that
//! `systemctl reload` returns when the new run stands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::afterwards::After;
use crate::config;

/// Whether it was asked for; cheap to clone. Outlives a run: what is asked while one starts counts when it stands.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Looks whether it was asked for, and ends the run when the configuration at `path` has no faults.
    pub(super) fn look(&self, path: &Path, after: &After) {
        if !self.0.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut begins = vec![sd_notify::NotifyState::Reloading];
        begins.extend(sd_notify::NotifyState::monotonic_usec_now());
        // Nobody listens where systemd did not start the daemon.
        let _ = sd_notify::notify(&begins);
        match config::load(path) {
            Ok(_) => {
                tracing::info!("asked to read the configuration again");
                after.restart();
            }
            Err(faults) => {
                tracing::error!(%faults, "asked to read the configuration again, which has faults: the one of before stays in force");
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::shutdown::Shutdown;

    #[test]
    fn a_reload_with_faults_changes_nothing_and_one_without_ends_the_run_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        let (reload, after) = (Reload::default(), After::new(Shutdown::new(), Clock::system()));
        std::fs::write(&path, "[box]\nsight = 1\n").unwrap();
        reload.look(&path, &after);
        reload.ask();
        reload.look(&path, &after);
        assert!(!after.stop().is_set());
        std::fs::write(&path, "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"data\"\n").unwrap();
        reload.look(&path, &after);
        assert!(!after.stop().is_set(), "what was refused is not asked for any more");
        reload.ask();
        reload.look(&path, &after);
        assert!(after.stop().is_set());
    }
}
