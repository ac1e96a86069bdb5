//! Points in time and how far the clock that gave them can be trusted.

use std::fmt;

use minicbor::{Decode, Encode};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct TimeMs(#[n(0)] pub u64);

impl TimeMs {
    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Takes what [`Display`](fmt::Display) writes back, and any other time of RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// The UTC day, counted from 1970-01-01: the unit of retention keys.
    #[must_use]
    pub fn day(self) -> u32 {
        u32::try_from(self.0 / 86_400_000).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for TimeMs {
    /// RFC 3339 with milliseconds, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        match time::OffsetDateTime::from_unix_timestamp_nanos(nanos) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                t.millisecond()
            ),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// How far the wall clock can be trusted, as alerts and health say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ClockState {
    /// A time service disciplines it now.
    #[n(0)]
    Synced,
    /// It was set once and runs free.
    #[n(1)]
    Holdover,
    /// It was never set since the box started.
    #[n(2)]
    Unset,
}

impl ClockState {
    /// The word in JSON, audit records and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Holdover => "holdover",
            Self::Unset => "unset",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_prints_as_rfc_3339() {
        assert_eq!(TimeMs(1_767_225_600_123).to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(TimeMs::parse("2026-01-01T01:00:00.123+01:00"), Some(TimeMs(1_767_225_600_123)));
        assert_eq!((TimeMs::parse("tomorrow"), TimeMs::parse("1969-12-31T23:59:59Z")), (None, None));
        assert_eq!(TimeMs(86_400_000).day(), 1);
    }
}
