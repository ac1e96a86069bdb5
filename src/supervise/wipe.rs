//! `box.wipe`: destroys the store's keys and all that the box keeps, once everything has stopped.
//!
//! The note that it was asked for goes last: what a power cut leaves undone is done at the next start ([`finish`]). A mark
//! stays, and no daemon starts beside it: whoever restarts what has ended would else have a new store filled.
//!
//! What stays: the box's signing key and the serial of its keyring, so that it is still itself; the audit log; what the
//! configuration names elsewhere.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{store_dir, store_key_path};
use crate::command::ops::this_box::WIPE_ASKED;
use crate::config::{Config, managed};
use crate::store;

/// The mark of a box that was wiped.
const WIPED: &str = "wiped";

/// The box was wiped, and nothing runs on it.
#[derive(Debug, thiserror::Error)]
#[error(
    "this box was wiped, as two people of its centre asked: it keeps nothing and does nothing; to use it again see \
     docs/backup-and-replace.md, «A wiped box»"
)]
pub struct Wiped;

/// Whether the box was wiped.
///
/// # Errors
/// [`Wiped`].
pub fn refuse_wiped(config: &Config) -> Result<(), Wiped> {
    if config.site.data_dir.join(WIPED).exists() { Err(Wiped) } else { Ok(()) }
}

/// Destroys it.
///
/// # Errors
/// What could not be destroyed; what comes before it in the order is.
pub(super) fn wipe(config: &Config) -> anyhow::Result<()> {
    let data_dir = &config.site.data_dir;
    let (note, mark) = (data_dir.join(WIPE_ASKED), data_dir.join(WIPED));
    let key = store_key_path(config);
    // A credential of systemd is read-only and somebody else's.
    let own_key = Some(key.as_path()).filter(|key| key.starts_with(data_dir));
    let keys = store::wipe(&store_dir(config), own_key).context("the wipe of the store")?;
    let credentials = data_dir.join("credentials");
    for path in fs::read_dir(&credentials).into_iter().flatten().flatten().map(|entry| entry.path()) {
        store::destroy_file(&path).with_context(|| format!("the wipe of {}", path.display()))?;
    }
    // What secrets are sealed to the box with.
    let secrets = data_dir.join("keys/hpke.key");
    if secrets.exists() {
        store::destroy_file(&secrets).with_context(|| format!("the wipe of {}", secrets.display()))?;
    }
    for entry in fs::read_dir(data_dir).with_context(|| data_dir.display().to_string())?.flatten() {
        let path = entry.path();
        let stays = ["keys", "store", "run"].iter().any(|name| path == data_dir.join(name));
        if !stays && path != note && path != mark {
            remove(&path).with_context(|| format!("the wipe of {}", path.display()))?;
        }
    }
    managed::replace(&mark, b"").with_context(|| format!("the wipe's mark {}", mark.display()))?;
    managed::remove(&note).with_context(|| format!("the wipe of {}", note.display()))?;
    tracing::warn!(keys, data_dir = %data_dir.display(), "the box was wiped: nothing that it kept can be read again");
    if own_key.is_none() {
        tracing::warn!(key = %key.display(), "the store's key is a credential of the system: destroy it there");
    }
    Ok(())
}

/// Does a wipe that was asked for before the daemon ended without it.
///
/// # Errors
/// As [`wipe`]; [`Wiped`] when it was done, now or before.
pub(super) fn finish(config: &Config) -> anyhow::Result<()> {
    if config.site.data_dir.join(WIPE_ASKED).exists() {
        tracing::warn!("this box was to be wiped and had not done it: it is done now");
        wipe(config)?;
    }
    Ok(refuse_wiped(config)?)
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wipe_that_a_power_cut_left_undone_is_done_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("watchpost.toml");
        fs::write(&file, "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"data\"\n").unwrap();
        let config = crate::config::load(&file).unwrap();
        let data = &config.site.data_dir;
        for folder in ["keys", "store/keys", "store/ledger", "credentials", "hotlists"] {
            fs::create_dir_all(data.join(folder)).unwrap();
        }
        for path in ["keys/store.key", "keys/box.key", "store/keys/1-0.key", "credentials/gate", "hotlists/a.list"] {
            fs::write(data.join(path), [7; 32]).unwrap();
        }
        finish(&config).unwrap();
        assert!(data.join("keys/store.key").exists(), "nobody asked for it");
        managed::replace(&data.join(WIPE_ASKED), b"").unwrap();
        assert!(finish(&config).unwrap_err().is::<Wiped>());
        for path in ["keys/store.key", "store/keys/1-0.key", "credentials/gate", "hotlists", WIPE_ASKED] {
            assert!(!data.join(path).exists(), "{path}");
        }
        assert!(data.join("keys/box.key").exists(), "it is still itself");
        assert!(finish(&config).unwrap_err().is::<Wiped>(), "nothing runs on it any more");
    }
}
