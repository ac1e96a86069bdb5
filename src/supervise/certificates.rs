//! Says in time that the session with the broker will fail by a date: the box's certificate ends, or every authority that
//! the broker's can come from.
//!
//! Nobody runs `watchpost check` on a box that nobody looks at. So the files are looked at every hour, in which one may have
//! been renewed: what is found goes into health, where the centre's `boxes` shows it, and into the log once a day. A clock
//! that was never set knows nothing of dates. Files that cannot be read are the session's to tell.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::centre::tls;
use crate::centre::x509::{Certificate, SOON_DAYS};
use crate::clock::Clock;
use crate::config::Centre;
use crate::domain::{ClockState, TimeMs};
use crate::health::Health;

const EVERY: Duration = Duration::from_hours(1);
const SAID_EVERY: Duration = Duration::from_hours(24);

/// See the module.
pub(super) struct Certificates {
    /// Of the box.
    own: Option<PathBuf>,
    authorities: Option<PathBuf>,
    health: Arc<Health>,
    clock: Clock,
    next: Duration,
    said: Option<Duration>,
}

impl Certificates {
    /// Looks at the first [`Certificates::look`].
    pub(super) fn new(centre: Option<&Centre>, health: &Arc<Health>, clock: &Clock) -> Self {
        Self {
            own: centre.and_then(|centre| centre.certificate.clone()),
            authorities: centre.and_then(|centre| centre.ca.clone()),
            health: Arc::clone(health),
            clock: clock.clone(),
            next: Duration::ZERO,
            said: None,
        }
    }

    /// Looks at the files when that is due.
    pub(super) fn look(&mut self) {
        let now = self.clock.monotonic();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let soon = self.soon();
        if soon.is_none() {
            self.said = None;
        } else if self.said.is_none_or(|said| now.saturating_sub(said) >= SAID_EVERY) {
            self.said = Some(now);
            tracing::warn!(which = soon, "a certificate ends, and the session with the broker with it: renew it");
        }
        self.health.centre.set_soon(soon);
    }

    /// What ends first, when that is soon or over.
    fn soon(&self) -> Option<String> {
        let now = self.clock.utc();
        if self.clock.state() == ClockState::Unset {
            return None;
        }
        let of_box = self.own.as_deref().and_then(|path| ends(path).into_iter().next());
        // Of several authorities one is enough: the others are on their way out, or in.
        let of_authority = self.authorities.as_deref().and_then(|path| ends(path).into_iter().max());
        let whose = [(of_box, "the box's"), (of_authority, "the authority's")];
        let (end, whose) = whose.into_iter().filter_map(|(end, whose)| Some((end?, whose))).min()?;
        let date: String = end.to_string().chars().take("2026-01-01".len()).collect();
        let left = end.since(now) / 86_400_000;
        let text = format!("{whose} certificate expired on {date}");
        if now > end {
            return Some(text);
        }
        let text = format!("{whose} certificate expires in {left} days, on {date}");
        (left < SOON_DAYS).then_some(text)
    }
}

/// The last moments of a file's certificates, in their order.
fn ends(path: &Path) -> Vec<TimeMs> {
    let all = tls::read_certificates(path).unwrap_or_default();
    all.iter().filter_map(|der| Certificate::of(der)).map(|certificate| certificate.not_after).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::clock::SimClock;

    const DAY: Duration = Duration::from_hours(24);

    /// A file of certificates that end on the first of these months of 2030.
    fn file(path: &Path, months: &[u8]) {
        let mut text = String::new();
        for month in months {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2030, *month, 1);
            text.write_str(&params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
        }
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn an_end_is_told_thirty_days_before_until_a_file_with_a_later_one_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let (own, ca) = (dir.path().join("box.pem"), dir.path().join("ca.pem"));
        let text = "[box]\nsite = \"north\"\nid = \"box-1\"\n[centre]\nbroker = \"mqtts://localhost:8883\"\n\
                    ca = \"ca.pem\"\ncertificate = \"box.pem\"\nprivate_key = \"box-key.pem\"\n\
                    keyring = \"keyring.cbor\"\nroot_key = \"root.pub\"\n";
        let path = dir.path().join("watchpost.toml");
        std::fs::write(&path, text).unwrap();
        file(&own, &[6]);
        file(&ca, &[2, 12]);
        // 2030-05-01.
        let (sim, health) = (SimClock::at(TimeMs(1_903_824_000_000)), Health::new());
        let config = crate::config::load(&path).unwrap();
        let mut certificates = Certificates::new(config.centre.as_ref(), &health, &Clock::of(sim.clone()));
        let mut told = |by: Duration| {
            sim.advance(by);
            certificates.look();
            health.centre.soon()
        };
        assert_eq!(told(Duration::ZERO), None, "31 days, and an authority that is over is one of two");
        let soon = told(DAY + EVERY).unwrap();
        assert_eq!(soon, "the box's certificate expires in 29 days, on 2030-06-01");
        assert_eq!(told(40 * DAY).unwrap(), "the box's certificate expired on 2030-06-01");
        file(&own, &[12, 6]);
        assert_eq!(told(Duration::from_mins(1)), Some("the box's certificate expired on 2030-06-01".to_owned()));
        assert_eq!(told(EVERY), None, "what lies behind the first certificate is not the box's own");
        sim.set_state(ClockState::Unset);
        file(&own, &[6]);
        certificates.look();
        assert_eq!(health.centre.soon(), None);
    }
}
