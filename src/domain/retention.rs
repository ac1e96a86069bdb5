//! How long things are kept, and the names of what well-known statutes allow.
//!
//! Spans count from the end of the UTC day that a thing belongs to, so a thing is kept as long as said and up to a day
//! longer. [`Preset`]s take that day, and the time until somebody looks, off what the statute allows.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::command::words;
use super::hit::RetentionClass;
use super::time::TimeMs;

/// Milliseconds of an hour and of a day.
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

words! {
    /// What is kept of a read without a hit.
    ReadsAs {
        /// The read, its vehicle and the crop of its plate.
        Plain = 0 "plain",
        /// Camera, time and an HMAC of the plate under its day's key: found by that exact plate, and by nothing else.
        Hashed = 1 "hashed",
        /// Nothing.
        Off = 2 "off",
    }
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Retention {
    /// What is kept of reads without a hit.
    #[n(0)]
    pub reads: ReadsAs,
    /// Reads without a hit, hours; 0: never stored.
    #[n(1)]
    pub reads_hours: u64,
    /// Hits by severity, days.
    #[n(2)]
    pub info_days: u64,
    /// See [`Retention::info_days`].
    #[n(3)]
    pub minor_days: u64,
    /// See [`Retention::info_days`].
    #[n(4)]
    pub serious_days: u64,
    /// See [`Retention::info_days`].
    #[n(5)]
    pub critical_days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            reads: ReadsAs::Plain,
            reads_hours: 24,
            info_days: 7,
            minor_days: 30,
            serious_days: 90,
            critical_days: 365,
        }
    }
}

impl Retention {
    /// Most hours that reads may be kept: ten years.
    pub const MAX_HOURS: u64 = 87_600;
    /// Most days that hits may be kept.
    pub const MAX_DAYS: u64 = 3_650;

    /// Days that hits are kept, by class: info, minor, serious, critical.
    #[must_use]
    pub fn hit_days(&self) -> [u64; 4] {
        [self.info_days, self.minor_days, self.serious_days, self.critical_days]
    }

    /// What is kept of reads without a hit: nothing also where they are kept for no time.
    #[must_use]
    pub fn reads_as(&self) -> ReadsAs {
        if self.reads_hours == 0 { ReadsAs::Off } else { self.reads }
    }

    /// What is out of bounds, in words.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.reads_hours > Self::MAX_HOURS {
            return Some(format!("reads are kept for {} hours, wanted 0 to {}", self.reads_hours, Self::MAX_HOURS));
        }
        let wrong = self.hit_days().into_iter().find(|days| !(1..=Self::MAX_DAYS).contains(days))?;
        Some(format!("hits are kept for {wrong} days, wanted 1 to {}", Self::MAX_DAYS))
    }

    /// Whether anything is kept shorter, or less of it, than with `before`.
    #[must_use]
    pub fn shortens(&self, before: &Self) -> bool {
        let spans = |r: &Self| -> [u64; 5] {
            let [info, minor, serious, critical] = r.hit_days();
            [r.reads_hours, info, minor, serious, critical]
        };
        self.reads_as() > before.reads_as() || spans(self).iter().zip(spans(before)).any(|(now, then)| *now < then)
    }

    /// Whether even the last moment of `day` is older at `now` than its class is kept. What is held goes with its hold.
    #[must_use]
    pub fn is_over(&self, day: u32, class: RetentionClass, now: TimeMs) -> bool {
        let kept_ms = match class {
            RetentionClass::Read if self.reads_as() == ReadsAs::Off => 0,
            RetentionClass::Read => self.reads_hours.saturating_mul(HOUR_MS),
            RetentionClass::Info => self.info_days.saturating_mul(DAY_MS),
            RetentionClass::Minor => self.minor_days.saturating_mul(DAY_MS),
            RetentionClass::Serious => self.serious_days.saturating_mul(DAY_MS),
            RetentionClass::Critical => self.critical_days.saturating_mul(DAY_MS),
            RetentionClass::Held => return false,
        };
        now.0 >= (u64::from(day) + 1).saturating_mul(DAY_MS).saturating_add(kept_ms)
    }
}

/// The longest that a statute or rule allows, under a name. `docs/privacy.md` gives the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// Most days that reads without a hit may be kept; 0: not at all.
    pub reads_days: u64,
    /// Most days that hits may be kept outside a case (a hold); `None`: the rule does not say.
    pub hits_days: Option<u64>,
}

impl Preset {
    /// All that are known.
    pub const ALL: &[Self] = &[
        Self { name: "de-stpo", rule: "Germany, StPO section 163g", reads_days: 0, hits_days: None },
        Self { name: "fr-csi", rule: "France, CSI article L233-2", reads_days: 15, hits_days: Some(30) },
        Self { name: "uk-nasple", rule: "United Kingdom, NASPLE", reads_days: 365, hits_days: Some(365) },
        Self { name: "us-ar", rule: "Arkansas Code 12-12-1804", reads_days: 150, hits_days: Some(150) },
        Self { name: "us-ca-chp", rule: "California Vehicle Code 2413", reads_days: 60, hits_days: Some(60) },
        Self { name: "us-me", rule: "Maine, 29-A MRS 2117-A", reads_days: 21, hits_days: Some(21) },
        Self { name: "us-mn", rule: "Minnesota Statutes 13.824", reads_days: 60, hits_days: Some(60) },
        Self { name: "us-nh", rule: "New Hampshire RSA 261:75-b", reads_days: 0, hits_days: None },
        Self { name: "us-tn", rule: "Tennessee Code 55-10-302", reads_days: 90, hits_days: Some(90) },
        Self { name: "us-va", rule: "Code of Virginia 2.2-5517", reads_days: 21, hits_days: Some(21) },
    ];

    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|preset| preset.name == name)
    }

    /// Most days that a hit may be given, so that it stays within what is allowed.
    #[must_use]
    pub fn longest_hits(&self) -> u64 {
        self.hits_days.map_or(Retention::MAX_DAYS, |most| most.saturating_sub(2).max(1))
    }

    /// The longest retention that stays within it: a day and an hour less than allowed for reads, two days for hits,
    /// because a whole day goes at once and somebody has to look.
    #[must_use]
    pub fn retention(&self) -> Retention {
        let usual = Retention::default();
        let hits = |days: u64| days.min(self.longest_hits());
        Retention {
            reads: if self.reads_days == 0 { ReadsAs::Off } else { ReadsAs::Plain },
            reads_hours: (self.reads_days * 24).saturating_sub(25),
            info_days: hits(usual.info_days),
            minor_days: hits(usual.minor_days),
            serious_days: hits(usual.serious_days),
            critical_days: hits(usual.critical_days),
        }
    }
}

impl FromStr for &'static Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Preset::ALL.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        Preset::named(name).ok_or_else(|| format!("is {name:?}, wanted one of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_over_when_its_last_moment_is_old_enough() {
        let keep = Retention::default();
        let day = 20_454;
        let at = |days: u64| TimeMs((u64::from(day) + days) * DAY_MS);
        assert!(!keep.is_over(day, RetentionClass::Read, TimeMs(at(2).0 - 1)));
        assert!(keep.is_over(day, RetentionClass::Read, at(2)));
        assert!(!keep.is_over(day, RetentionClass::Info, TimeMs(at(8).0 - 1)));
        assert!(keep.is_over(day, RetentionClass::Info, at(8)));
        assert!(!keep.is_over(day, RetentionClass::Critical, at(365)));
        assert!(keep.is_over(day, RetentionClass::Critical, at(366)));
        assert!(!keep.is_over(u32::MAX, RetentionClass::Critical, at(400)));
        assert!(!keep.is_over(1, RetentionClass::Held, at(40_000)), "a hold has no day");
        let off = Retention { reads: ReadsAs::Off, ..keep };
        assert!(off.is_over(day, RetentionClass::Read, at(1)), "what was stored before goes when its day is over");
    }

    #[test]
    fn shorter_in_one_is_shorter_and_less_is_shorter() {
        let keep = Retention::default();
        assert!(!keep.shortens(&keep));
        assert!(!Retention { info_days: 8, ..keep }.shortens(&keep));
        assert!(Retention { info_days: 6, critical_days: 900, ..keep }.shortens(&keep));
        assert!(Retention { reads: ReadsAs::Hashed, ..keep }.shortens(&keep));
        assert!(!keep.shortens(&Retention { reads: ReadsAs::Hashed, ..keep }));
        assert!(Retention { reads_hours: 0, ..keep }.shortens(&keep));
    }

    #[test]
    fn a_preset_never_keeps_longer_than_its_rule_allows() {
        for preset in Preset::ALL {
            let keep = preset.retention();
            assert_eq!(keep.fault(), None, "{}", preset.name);
            // The first moment of a day, looked at once in ten minutes.
            let look = 10 * 60_000;
            let most = |span_ms: u64| DAY_MS + span_ms + look;
            if keep.reads_as() != ReadsAs::Off {
                assert!(most(keep.reads_hours * HOUR_MS) <= preset.reads_days * DAY_MS, "{}", preset.name);
            }
            for days in keep.hit_days() {
                assert!(preset.hits_days.is_none_or(|m| most(days * DAY_MS) <= m * DAY_MS), "{}", preset.name);
            }
        }
        assert!("us-xx".parse::<&Preset>().unwrap_err().contains("us-va"));
    }
}
