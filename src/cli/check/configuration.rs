//! Is the configuration valid, and is it what was probably meant?

use super::Finding;
use crate::clock::Clock;
use crate::config::{Config, Fault};

/// A fault of the configuration as a finding.
pub(super) fn fault(fault: &Fault) -> Finding {
    Finding::failure("config", fault.to_string(), "mend the line; docs/config.md lists every key")
}

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "config",
        format!(
            "box {} at site {}: {} cameras, {} hotlists",
            config.site.id,
            config.site.site,
            config.cameras.iter().filter(|c| c.enabled).count(),
            config.hotlists.len()
        ),
    )];
    if config.cameras.iter().all(|c| !c.enabled) {
        let todo = "add a [[camera]] with id, number and uri; `watchpost probe URI` writes one";
        findings.push(Finding::failure("config", "no camera is configured", todo));
    }
    if config.centre.is_none() {
        let todo = "add [centre], or run `watchpost init --centre DIR` for a centre on this machine";
        findings.push(Finding::warning("config", "no centre is configured: hits stay on this box", todo));
    }
    if config.hotlists.is_empty() {
        let todo = "add a [[hotlist.list]]";
        findings.push(Finding::warning("config", "no hotlist is configured: reads make no hits", todo));
    }
    findings
}
