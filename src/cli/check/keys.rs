//! Are the box's keys there, and are they their owner's alone?

use super::Finding;
use crate::centre::keys::{SigningKey, refuse_exposed};
use crate::config::Config;
use crate::supervise::{box_key_path, read_store_key, store_key_path};

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![store_key(config), box_key(config)]
}

fn store_key(config: &Config) -> Finding {
    let path = store_key_path(config);
    let shown = path.display();
    let sealed = !path.starts_with(&config.site.data_dir);
    if let Err(error) = read_store_key(config) {
        return Finding::failure(
            "keys",
            error.to_string(),
            "`watchpost init` makes it; without it nothing can be stored",
        );
    }
    if sealed {
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
