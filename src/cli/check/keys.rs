//! Are the box's keys there, and are they their owner's alone?

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Finding;
use crate::centre::keys::{SigningKey, refuse_exposed};
use crate::clock::Clock;
use crate::config::Config;
use crate::supervise::{box_key_path, read_store_key, refuse_wiped, store_key_path};

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    if let Err(wiped) = refuse_wiped(config) {
        return vec![Finding::failure("keys", wiped.to_string(), "nothing, unless the box is to serve again")];
    }
    let mut findings = vec![store_key(config), box_key(config)];
    findings.extend(
        [store_key_path(config), box_key_path(config)]
            .iter()
            .filter(|path| path.starts_with(&config.site.data_dir))
            .filter_map(|path| owner(path, &config.site.data_dir)),
    );
    findings
}

fn store_key(config: &Config) -> Finding {
    let path = store_key_path(config);
    let shown = path.display();
    if let Err(error) = read_store_key(config) {
        let todo = "`watchpost init` makes it; without it nothing can be stored";
        return Finding::failure("keys", error.to_string(), todo);
    }
    if !path.starts_with(&config.site.data_dir) {
        return Finding::ok("keys", format!("store key {shown}, a systemd credential"));
    }
    Finding::warning(
        "keys",
        format!("store key {shown} lies on the disk that it protects: who steals the disk can read it"),
        "give it as a systemd credential `store.key`, sealed to the TPM where there is one",
    )
}

fn box_key(config: &Config) -> Finding {
    let path = box_key_path(config);
    let todo = "`watchpost init` makes it; alerts are signed with it";
    match refuse_exposed(&path).and_then(|()| SigningKey::read(&path)) {
        Ok(key) => Finding::ok("keys", format!("box key {}, id {}", path.display(), key.kid())),
        Err(error) => Finding::failure("keys", error.to_string(), todo),
    }
}

/// A key that belongs to another user than the folder of data: the daemon may not be able to read it, or somebody else is.
fn owner(key: &Path, data_dir: &Path) -> Option<Finding> {
    let (key_uid, dir_uid) = (std::fs::metadata(key).ok()?.uid(), std::fs::metadata(data_dir).ok()?.uid());
    (key_uid != dir_uid).then(|| {
        Finding::failure(
            "keys",
            format!("{} belongs to user {key_uid}, data_dir to user {dir_uid}", key.display()),
            format!("chown {dir_uid} {}", key.display()),
        )
    })
}
