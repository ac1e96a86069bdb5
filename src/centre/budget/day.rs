//! What went over the link in one UTC day, and what still may: plain values, time as an argument.
//!
//! By the time of day a budget allows a part of itself: an eighth at midnight, all of it from 21:00 on, evenly in between, so that a
//! busy morning leaves something for the evening. Of that part each kind of message may find so much taken, by all kinds
//! together, before it has to wait ([`Traffic::share`]); what lies above the last share is kept for alerts of the severities
//! `critical` and `serious`, which never wait, and for what costs little and is needed for trust. A tenth is for `minor` and
//! `info` alerts alone, whatever the others took.

use minicbor::{Decode, Encode};

use crate::domain::{Severity, TimeMs};

const VERSION: u8 = 1;
const DAY_MS: u64 = 86_400_000;
/// So much of the day is allowed ahead of its time.
const AHEAD_MS: u64 = DAY_MS / 8;
/// What `minor` and `info` alerts have for themselves, per mille of what is allowed.
const KEPT_FOR_ALERTS: u64 = 100;

/// What a message counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Alerts of this severity.
    Alert(Severity),
    /// Entries that say which alerts were shed.
    Shed,
    /// Answers to commands.
    Reply,
    /// Pictures, clips and other large parts of answers.
    Evidence,
    /// Checkpoints of the audit log.
    Audit,
    /// Health.
    Health,
    /// States of the box and its cameras.
    Status,
    /// What keeps the session: connecting, signs of life, acknowledgements.
    Session,
    /// Mirrors in other formats.
    Mirror,
}

impl Traffic {
    /// All, in the order in which they are counted and told.
    pub const ALL: [Self; 12] = [
        Self::Alert(Severity::Critical),
        Self::Alert(Severity::Serious),
        Self::Alert(Severity::Minor),
        Self::Alert(Severity::Info),
        Self::Shed,
        Self::Reply,
        Self::Evidence,
        Self::Audit,
        Self::Health,
        Self::Status,
        Self::Session,
        Self::Mirror,
    ];

    /// Its word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert(severity) => severity.as_str(),
            Self::Shed => "shed",
            Self::Reply => "replies",
            Self::Evidence => "evidence",
            Self::Audit => "audit",
            Self::Health => "health",
            Self::Status => "status",
            Self::Session => "session",
            Self::Mirror => "mirrors",
        }
    }

    /// How much of what the day allows by now may be taken before this waits, per mille; `None`: it never does.
    #[must_use]
    pub fn share(self) -> Option<u64> {
        match self {
            Self::Mirror => Some(500),
            Self::Health | Self::Status | Self::Audit => Some(600),
            Self::Evidence => Some(650),
            Self::Alert(Severity::Info) => Some(700),
            Self::Alert(Severity::Minor) => Some(800),
            Self::Alert(Severity::Serious | Severity::Critical) | Self::Shed | Self::Reply | Self::Session => None,
        }
    }

    fn place(self) -> Option<usize> {
        Self::ALL.iter().position(|known| *known == self)
    }
}

/// The bytes of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Day {
    #[n(0)]
    version: u8,
    /// Which: days since 1970.
    #[n(1)]
    pub number: u32,
    /// Sent, in the order of [`Traffic::ALL`].
    #[n(2)]
    pub up: [u64; 12],
    /// Received.
    #[n(3)]
    pub down: u64,
}

impl Day {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self { version: VERSION, number, up: [0; 12], down: 0 }
    }

    /// As it was kept; `None` for what this version does not know.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        minicbor::decode(bytes).ok().filter(|day: &Self| day.version == VERSION)
    }

    /// To be kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a vector cannot fail.
        let _ = minicbor::encode(self, &mut bytes);
        bytes
    }

    /// Counts what was sent.
    pub fn count(&mut self, what: Traffic, bytes: u64) {
        if let Some(sum) = what.place().and_then(|at| self.up.get_mut(at)) {
            *sum = sum.saturating_add(bytes);
        }
    }

    /// What was sent of one kind.
    #[must_use]
    pub fn of(&self, what: Traffic) -> u64 {
        what.place().and_then(|at| self.up.get(at)).copied().unwrap_or_default()
    }

    /// All that was sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.up.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether `what` may go, `bytes` of it, when the day allows `allowed` by now.
    #[must_use]
    pub fn goes(&self, what: Traffic, bytes: u64, allowed: u64) -> bool {
        let Some(share) = what.share() else { return true };
        if self.sent().saturating_add(bytes) <= part(allowed, share) {
            return true;
        }
        let own = |severity| self.of(Traffic::Alert(severity));
        matches!(what, Traffic::Alert(_))
            && own(Severity::Minor) + own(Severity::Info) + bytes <= part(allowed, KEPT_FOR_ALERTS)
    }

    /// When `bytes` of `what` may go, if nothing else is sent until then: ms from the beginning of the day, more than a day's for
    /// tomorrow; `None`: a whole day does not allow them.
    #[must_use]
    pub fn goes_at(&self, what: Traffic, bytes: u64, budget: u64) -> Option<u64> {
        let share = what.share()?;
        let at = |bytes: u64| {
            let need = u128::from(bytes) * 1000 / u128::from(share) + 1;
            let ms = need * u128::from(DAY_MS) / u128::from(budget.max(1));
            (need <= u128::from(budget)).then_some(u64::try_from(ms).unwrap_or(u64::MAX).saturating_sub(AHEAD_MS))
        };
        at(self.sent().saturating_add(bytes)).or_else(|| at(bytes).map(|ms| DAY_MS + ms))
    }
}

/// How much of `budget` is allowed by now, `so_far_ms` into the day.
#[must_use]
pub fn allowed(budget: u64, so_far_ms: u64) -> u64 {
    let ms = so_far_ms.saturating_add(AHEAD_MS).min(DAY_MS);
    u64::try_from(u128::from(budget) * u128::from(ms) / u128::from(DAY_MS)).unwrap_or(u64::MAX)
}

/// Milliseconds since the day began.
#[must_use]
pub fn so_far(now: TimeMs) -> u64 {
    now.0 % DAY_MS
}

fn part(allowed: u64, permille: u64) -> u64 {
    u64::try_from(u128::from(allowed) * u128::from(permille) / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const HOUR: u64 = 3_600_000;

    fn spent(what: Traffic, bytes: u64) -> Day {
        let mut day = Day::new(20_000);
        day.count(what, bytes);
        day
    }

    #[test]
    fn a_day_allows_an_eighth_at_once_and_all_of_it_three_hours_before_its_end() {
        assert_eq!(allowed(80, 0), 10);
        assert_eq!(allowed(80, 12 * HOUR), 50);
        assert_eq!(allowed(80, 21 * HOUR), 80);
        assert_eq!(allowed(80, 24 * HOUR), 80);
        assert_eq!(allowed(u64::MAX, DAY_MS), u64::MAX);
    }

    #[test]
    fn what_matters_less_waits_first_and_what_matters_most_never() {
        let order = [
            Traffic::Mirror,
            Traffic::Health,
            Traffic::Evidence,
            Traffic::Alert(Severity::Info),
            Traffic::Alert(Severity::Minor),
        ];
        assert!(order.windows(2).all(|pair| pair[0].share() < pair[1].share()));
        // Answers took nearly all of the day.
        let day = spent(Traffic::Reply, 100 * MIB);
        for what in Traffic::ALL {
            let waits = !day.goes(what, 11 * MIB, 100 * MIB);
            assert_eq!(waits, what.share().is_some(), "{what:?}");
        }
    }

    #[test]
    fn minor_and_info_alerts_have_a_tenth_for_themselves() {
        let mut day = spent(Traffic::Evidence, 1000 * MIB);
        assert!(day.goes(Traffic::Alert(Severity::Info), 400, 10 * MIB));
        day.count(Traffic::Alert(Severity::Minor), MIB - 500);
        assert!(day.goes(Traffic::Alert(Severity::Info), 400, 10 * MIB));
        assert!(!day.goes(Traffic::Alert(Severity::Minor), 501, 10 * MIB));
        assert!(day.goes(Traffic::Alert(Severity::Serious), 501, 10 * MIB));
    }

    #[test]
    fn it_comes_back_as_it_was_kept_and_another_version_does_not() {
        let mut day = spent(Traffic::Health, 7);
        day.down = 9;
        assert_eq!(Day::read(&day.bytes()), Some(day.clone()));
        day.version = 2;
        assert_eq!(Day::read(&day.bytes()), None);
        assert_eq!(Day::read(b"no"), None);
    }

    #[test]
    fn when_something_may_go_is_said_for_today_tomorrow_or_never() {
        let day = spent(Traffic::Evidence, 13 * MIB);
        // 26 MiB of 40 in all, at 65 per cent of what is allowed: all of the budget has to be, which is so at 21:00.
        let at = day.goes_at(Traffic::Evidence, 13 * MIB - 1, 40 * MIB).unwrap();
        assert!((21 * HOUR - 1000..=21 * HOUR).contains(&at), "{at}");
        let at = day.goes_at(Traffic::Evidence, 14 * MIB, 40 * MIB).unwrap();
        assert!((24 * HOUR..36 * HOUR).contains(&at), "{at}");
        assert_eq!(day.goes_at(Traffic::Evidence, 27 * MIB, 40 * MIB), None);
        assert_eq!(day.goes_at(Traffic::Alert(Severity::Critical), 1, MIB), None, "it never waits");
    }

    proptest! {
        #[test]
        fn what_was_said_of_the_time_holds(
            used in 0..50 * MIB, bytes in 1..20 * MIB, budget in MIB..50 * MIB, kind in 0_usize..12,
        ) {
            let day = spent(Traffic::Reply, used);
            let what = Traffic::ALL[kind];
            if what.share().is_some() && let Some(at) = day.goes_at(what, bytes, budget) {
                let (day, ms) = if at >= DAY_MS { (Day::new(1), at - DAY_MS) } else { (day, at) };
                prop_assert!(day.goes(what, bytes, allowed(budget, ms + 1)), "{at}");
            }
        }

        #[test]
        fn more_severe_alerts_go_whenever_less_severe_ones_do(
            up in prop::array::uniform12(0..4 * MIB), budget in 0..64 * MIB, ms in 0..DAY_MS, bytes in 0..4096_u64,
        ) {
            let day = Day { up, ..Day::new(1) };
            let goes = |s| day.goes(Traffic::Alert(s), bytes, allowed(budget, ms));
            let all = Severity::ALL.map(goes);
            prop_assert!(all.windows(2).all(|pair| !pair[0] || pair[1]), "{all:?}");
            prop_assert!(goes(Severity::Critical) && goes(Severity::Serious));
        }
    }
}
