//! `box.wipe`: destroys the store's keys and all that the box keeps, once everything has stopped.
//!
//! What stays: the box's signing key and the serial of its keyring, so that it is still itself; the audit log; what the
//! configuration names elsewhere.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{store_dir, store_key_path};
use crate::config::Config;
use crate::store;

/// Destroys it.
///
/// # Errors
/// What could not be destroyed; what comes before it in the order is.
pub(super) fn wipe(config: &Config) -> anyhow::Result<()> {
    let data_dir = &config.site.data_dir;
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
        if !stays {
            remove(&path).with_context(|| format!("the wipe of {}", path.display()))?;
        }
    }
    tracing::warn!(keys, data_dir = %data_dir.display(), "the box was wiped: nothing that it kept can be read again");
    if own_key.is_none() {
        tracing::warn!(key = %key.display(), "the store's key is a credential of the system: destroy it there");
    }
    Ok(())
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
