//! What a certificate says of itself: whose it is and from when to when it is valid (RFC 5280, 4.1).
//!
//! For people who must know in time: `watchpost check` tells the days that are left, a daemon when they are few. Nothing is verified here: whom to
//! trust is rustls' to judge. Reads DER (X.690) as far as the subject, and no further.

use crate::domain::TimeMs;

/// With fewer days left somebody should look.
pub const SOON_DAYS: u64 = 30;

/// The fields of a certificate that are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name, when it has one.
    pub common_name: Option<String>,
    /// First moment of its validity.
    pub not_before: TimeMs,
    /// Last moment of its validity.
    pub not_after: TimeMs,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;
/// 2.5.4.3, commonName.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

impl Certificate {
    /// Reads the DER of a certificate; `None` when it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (certificate, _) = Der(der).take(SEQUENCE)?;
        let (mut rest, _) = certificate.take(SEQUENCE)?;
        if let Some((_, after)) = rest.take(VERSION) {
            rest = after;
        }
        let (_, rest) = rest.take(INTEGER)?;
        let (_, rest) = rest.take(SEQUENCE)?;
        let (_issuer, rest) = rest.take(SEQUENCE)?;
        let (validity, rest) = rest.take(SEQUENCE)?;
        let (subject, _) = rest.take(SEQUENCE)?;
        let (not_before, validity) = validity.time()?;
        let (not_after, _) = validity.time()?;
        Some(Self { common_name: subject.common_name(), not_before, not_after })
    }

    /// Whole days from `now` to its end; 0 on the last day and after it.
    #[must_use]
    pub fn days_left(&self, now: TimeMs) -> u64 {
        self.not_after.since(now) / 86_400_000
    }
}

/// A row of DER elements.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl Der<'_> {
    /// The content of the first element and what comes after it, when its tag is `wanted`.
    fn take(self, wanted: u8) -> Option<(Self, Self)> {
        let (tag, content, rest) = self.next()?;
        (tag == wanted).then_some((content, rest))
    }

    fn next(self) -> Option<(u8, Self, Self)> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Up to 65,535 bytes: no certificate of a box is longer.
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 2)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((tag, Self(content), Self(rest)))
    }

    fn time(self) -> Option<(TimeMs, Self)> {
        let (tag, content, rest) = self.next()?;
        let text = std::str::from_utf8(content.0).ok()?.strip_suffix('Z')?;
        let (year, text) = match tag {
            UTC_TIME => {
                let (year, text) = text.split_at_checked(2)?;
                let year: i32 = year.parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, text)
            }
            GENERALIZED_TIME => {
                let (year, text) = text.split_at_checked(4)?;
                (year.parse().ok()?, text)
            }
            _ => return None,
        };
        let part = |at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
        let month = time::Month::try_from(part(0)?).ok()?;
        let date = time::Date::from_calendar_date(year, month, part(2)?).ok()?;
        let moment = date.with_hms(part(4)?, part(6)?, part(8)?).ok()?.assume_utc();
        let seconds = u64::try_from(moment.unix_timestamp()).unwrap_or(0);
        Some((TimeMs(seconds.saturating_mul(1000)), rest))
    }

    fn common_name(self) -> Option<String> {
        let mut rest = self;
        while let Some((set, after)) = rest.take(SET) {
            let (attribute, _) = set.take(SEQUENCE)?;
            let (kind, value) = attribute.take(OID)?;
            if kind.0 == COMMON_NAME {
                let (_, text, _) = value.next()?;
                return std::str::from_utf8(text.0).ok().map(str::to_owned);
            }
            rest = after;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, from: (i32, u8), until: (i32, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "north");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn name_and_validity_are_read_in_both_forms_of_time() {
        // From 2050 on a year has four digits.
        let read = Certificate::of(&made("box-1", (2026, 1), (2055, 12))).unwrap();
        assert_eq!(read.common_name.as_deref(), Some("box-1"));
        assert_eq!(read.not_before.to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!(read.not_after.to_string(), "2055-12-01T00:00:00.000Z");
        assert_eq!(read.days_left(TimeMs(read.not_after.0 - 86_400_000 * 3 - 1)), 3);
        assert_eq!(read.days_left(TimeMs(read.not_after.0 + 1)), 0);
    }

    #[test]
    fn a_certificate_that_is_cut_anywhere_is_none_and_no_panic() {
        let der = made("box-1", (2026, 1), (2027, 1));
        assert!((0..der.len()).all(|end| Certificate::of(&der[..end]).is_none()));
        let mut broken = der.clone();
        for at in 0..der.len().min(200) {
            broken[at] ^= 0xff;
            let _ = Certificate::of(&broken);
            broken[at] ^= 0xff;
        }
    }
}
