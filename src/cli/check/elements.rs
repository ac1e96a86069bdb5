//! Are the GStreamer elements installed that the configured cameras need?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;

#[cfg(not(feature = "gst"))]
pub(super) fn check(_config: &Config, _clock: &Clock) -> Vec<Finding> {
    // `pipelines` says it.
    Vec::new()
}

#[cfg(feature = "gst")]
pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    use crate::camera::{elements, hardware};

    let mut findings = Vec::new();
    let cameras = config.cameras.iter().filter(|c| c.enabled);
    let needed = elements::needed(cameras.map(|c| (c.uri.as_str(), c.pipeline.as_deref())));
    for (text, certain) in &needed {
        for missing in elements::missing_of(text) {
            let name = &missing.name;
            let todo = match missing.package {
                Some(package) => format!("apt-get install {package}"),
                None => "no package of Debian 12 is known for it; see whether its name is right".to_owned(),
            };
            findings.push(if hardware::Api::of_text(text).is_some() {
                Finding::warning(
                    "elements",
                    format!("there is no {name}: cameras with pipeline {text} are decoded by software"),
                    format!(
                        "{todo}; where that is installed, no device here decodes this, or this user may not open it"
                    ),
                )
            } else if *certain {
                Finding::failure("elements", format!("{name} is not installed: pipeline {text} needs it"), todo)
            } else {
                Finding::warning(
                    "elements",
                    format!("{name} is not installed: no camera can be played by {text}"),
                    todo,
                )
            });
        }
    }
    if config.cameras.iter().any(|c| c.enabled && c.uri.starts_with("rtsps")) && !elements::has_tls() {
        findings.push(Finding::failure(
            "elements",
            "no TLS for rtsps:// cameras is installed",
            "apt-get install glib-networking",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("elements", format!("all that {} pipelines need is installed", needed.len())));
    }
    findings
}
