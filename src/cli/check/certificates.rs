//! How long are the certificates valid, whose are they, and do they belong together? Also those that cameras are checked
//! against.

use std::path::Path;

use super::Finding;
use crate::centre::tls::{self, TlsFiles};
use crate::centre::x509::{Certificate, SOON_DAYS};
use crate::clock::Clock;
use crate::config::{Centre, Config};
use crate::domain::{ClockState, TimeMs};

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(files) = config.centre.as_ref().and_then(files_of) {
        findings.extend(dates(&files.ca, "authority", clock));
        findings.extend(dates(&files.certificate, "box", clock));
        findings.extend(name(&files.certificate, config));
        findings.extend(together(&files, clock));
    }
    let mut cas: Vec<&Path> = config.cameras.iter().filter(|c| c.enabled).filter_map(|c| c.ca.as_deref()).collect();
    cas.sort();
    cas.dedup();
    findings.extend(cas.iter().flat_map(|ca| dates(ca, "camera", clock)));
    findings
}

/// The TLS files of a centre that is spoken to by TLS.
pub(super) fn files_of(centre: &Centre) -> Option<TlsFiles> {
    let (ca, certificate, private_key) = (&centre.ca, &centre.certificate, &centre.private_key);
    Some(TlsFiles { ca: ca.clone()?, certificate: certificate.clone()?, private_key: private_key.clone()? })
}

/// One finding for each certificate of the file.
fn dates(path: &Path, whose: &str, clock: &Clock) -> Vec<Finding> {
    let shown = path.display().to_string();
    let todo = "name a PEM file with the certificate";
    match tls::read_certificates(path) {
        Err(error) => vec![Finding::failure("certificates", error.to_string(), todo)],
        Ok(all) => all
            .iter()
            .map(|der| match Certificate::of(der) {
                Some(certificate) => validity(&shown, whose, &certificate, clock),
                None => {
                    Finding::failure("certificates", format!("{shown}: holds a certificate that cannot be read"), todo)
                }
            })
            .collect(),
    }
}

fn validity(path: &str, whose: &str, certificate: &Certificate, clock: &Clock) -> Finding {
    let (now, begin, end) = (clock.utc(), certificate.not_before, certificate.not_after);
    if clock.state() == ClockState::Unset {
        return Finding::warning(
            "certificates",
            format!("{path}: valid until {}; the clock is not set, so nobody knows whether that is over", day(end)),
            "set the clock, or give the box a time service",
        );
    }
    if now > end {
        return Finding::failure(
            "certificates",
            format!("{path}: the {whose}'s certificate expired on {}", day(end)),
            "renew it: nothing is delivered until then (or set the clock, if it is wrong)",
        );
    }
    if now < begin {
        return Finding::failure(
            "certificates",
            format!("{path}: the {whose}'s certificate is valid only from {}", day(begin)),
            "set the clock; if it is right, have the certificate issued anew",
        );
    }
    let left = certificate.days_left(now);
    if left < SOON_DAYS {
        return Finding::warning(
            "certificates",
            format!("{path}: the {whose}'s certificate expires in {left} days, on {}", day(end)),
            "renew it in time; the new file is taken at the next connection",
        );
    }
    Finding::ok("certificates", format!("{path}: {whose}, {left} days left"))
}

/// The broker knows a box by the common name of its certificate.
fn name(path: &Path, config: &Config) -> Option<Finding> {
    let leaf = tls::read_certificates(path).ok()?;
    let name = Certificate::of(leaf.first()?)?.common_name.unwrap_or_default();
    let id = config.site.id.as_str();
    (name != id).then(|| {
        Finding::failure(
            "certificates",
            format!(
                "{}: is for {name:?}, this box is {id:?}: the broker's access rules would not let it speak",
                path.display()
            ),
            "have a certificate issued whose common name (CN) is the box id",
        )
    })
}

/// Whether the private key is that of the certificate, and whether one of the authorities signed it.
fn together(files: &TlsFiles, clock: &Clock) -> Vec<Finding> {
    let todo = "put the right file there, and see that its owner alone may read it (chmod 600)";
    match tls::client_config(files, clock) {
        // Dates were told above.
        Ok(_) | Err(tls::Error::Validity { .. }) => {}
        Err(error) => return vec![Finding::failure("certificates", error.to_string(), todo)],
    }
    match tls::is_issued_by(&files.ca, &files.certificate, clock) {
        Ok(false) => vec![Finding::warning(
            "certificates",
            format!("{}: is not signed by an authority in {}", files.certificate.display(), files.ca.display()),
            "right only where the broker trusts another authority for boxes than the one that signed its own certificate",
        )],
        Ok(true) | Err(_) => Vec::new(),
    }
}

/// The broker's own certificate, as it shows it.
pub(super) fn of_broker(der: &[u8], clock: &Clock) -> Option<Finding> {
    let certificate = Certificate::of(der)?;
    let left = certificate.days_left(clock.utc());
    (left < SOON_DAYS && clock.state() != ClockState::Unset).then(|| {
        Finding::warning(
            "broker",
            format!("the broker's certificate expires in {left} days, on {}", day(certificate.not_after)),
            "have the broker's certificate renewed in time: no box connects after that day",
        )
    })
}

fn day(time: TimeMs) -> String {
    time.to_string().chars().take("2026-01-01".len()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::clock::SimClock;

    #[test]
    fn a_certificate_is_told_in_time_and_fails_outside_its_dates() {
        const DAY: u64 = 86_400_000;
        let (begin, end) = (TimeMs(1_700_000_000_000), TimeMs(1_700_000_000_000 + 100 * DAY));
        let certificate = Certificate { common_name: None, not_before: begin, not_after: end };
        let at = |now: u64| {
            let clock = Clock::of(SimClock::at(TimeMs(now)));
            let found = validity("box.pem", "box", &certificate, &clock);
            (found.level, found.what)
        };
        assert_eq!(at(begin.0 + DAY), (Level::Ok, "box.pem: box, 99 days left".to_owned()));
        assert_eq!(at(end.0 - 29 * DAY).0, Level::Warning);
        assert_eq!(at(end.0 + 1).0, Level::Failure);
        assert_eq!(at(begin.0 - 1).0, Level::Failure);
    }
}
