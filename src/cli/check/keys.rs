//! Are the keys there, and are they the owner's alone?

use super::Finding;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let keys = config.site.data_dir.join("keys");
    let _ = keys;
    Vec::new()
}
