//! Do the pipelines that cameras name fit together, and do they end where frames are taken out?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;

#[cfg(not(feature = "gst"))]
pub(super) fn check(_config: &Config, _clock: &Clock) -> Vec<Finding> {
    let todo = "build with the default features";
    vec![Finding::failure("pipelines", "this build has no GStreamer: no camera can be opened", todo)]
}

#[cfg(feature = "gst")]
pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    use crate::camera::{self, hardware, pipeline};

    let own = config.cameras.iter().filter(|c| c.enabled).filter_map(|c| c.pipeline.as_deref());
    let own = own.filter(|name| *name != hardware::AUTO);
    let names: Vec<&str> = pipeline::EMBEDDED.iter().chain(hardware::TEXTS).map(|(name, _)| *name).chain(own).collect();
    let mut findings = Vec::new();
    for name in &names {
        match pipeline::check(name) {
            // Elements have a check of their own.
            Ok(()) | Err(camera::Error::MissingElement { .. }) => {}
            Err(error) => {
                let todo = "mend the text; pipelines/README.md says what it must begin with and end in";
                findings.push(Finding::failure("pipelines", error.to_string(), todo));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("pipelines", format!("{} texts, all in order", names.len())));
    }
    findings
}
