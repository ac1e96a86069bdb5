//! What health says of hits that nobody has seen, of verdicts, holds and retention. Counts, ids and numbers; no plate.

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use crate::domain::tally::{Tally, VerdictCounts};
use crate::domain::{EventId, Retention, Severity, TimeMs};

/// Most unseen hits that are named.
pub const MAX_UNSEEN: usize = 4;
/// Most holds that are named.
pub const MAX_HOLDS: usize = 8;
const MAX_CAMERAS: usize = 64;
const MAX_LISTS: usize = 32;
const MAX_STATES: usize = 8;
const MAX_BINS: usize = 10;

/// Hits that have waited too long for somebody to look at them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct UnseenGauge {
    /// How many.
    #[n(0)]
    pub hits: u64,
    /// The oldest, at most [`MAX_UNSEEN`].
    #[n(1)]
    pub oldest: Vec<UnseenHit>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct UnseenHit {
    /// Its id.
    #[n(0)]
    pub id: EventId,
    /// How severe it is.
    #[n(1)]
    pub severity: Severity,
    /// Since when it waits.
    #[n(2)]
    pub since: TimeMs,
}

/// Verdicts about one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Precision {
    /// Number of the camera, list or rule; state as a big-endian number; tens of per cent of confidence.
    #[n(0)]
    pub of: u32,
    /// Verdicts that speak for it.
    #[n(1)]
    pub right: u32,
    /// All verdicts.
    #[n(2)]
    pub judged: u32,
}

/// Verdicts of the last twelve months that there are any of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PrecisionGauge {
    /// By camera, at most 64.
    #[n(0)]
    pub cameras: Vec<Precision>,
    /// By list, at most 32.
    #[n(1)]
    pub lists: Vec<Precision>,
    /// By state of models and configuration, the 8 with most verdicts.
    #[n(2)]
    pub states: Vec<Precision>,
    /// By confidence.
    #[n(3)]
    pub bins: Vec<Precision>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeepingGauge {
    /// Hits that have waited too long.
    #[n(0)]
    pub unseen: Option<UnseenGauge>,
    /// Holds in force.
    #[n(1)]
    pub holds: u32,
    /// Numbers of holds that are due for review, at most 8.
    #[n(2)]
    pub overdue: Vec<u32>,
    /// Numbers of holds that do not open, at most 8: nothing is deleted while there are any.
    #[n(3)]
    pub unreadable: Vec<u32>,
    /// How long things are kept; absent: what the centre set does not open, and nothing is deleted.
    #[n(4)]
    pub retention: Option<Retention>,
    /// The centre set it.
    #[n(5)]
    pub set: bool,
    /// What verdicts say of cameras, lists, models and confidence.
    #[n(6)]
    pub precision: PrecisionGauge,
}

impl PrecisionGauge {
    /// Of counts.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        let row = |of: u32, counts: &VerdictCounts| Precision { of, right: counts.right(), judged: counts.judged() };
        let some = |row: &Precision| row.judged > 0;
        let mut states: Vec<Precision> = tally.states.iter().map(|(of, c)| row(*of, c)).filter(some).collect();
        states.sort_by_key(|row| std::cmp::Reverse(row.judged));
        states.truncate(MAX_STATES);
        let of16 = |map: &std::collections::BTreeMap<u16, VerdictCounts>, most: usize| {
            map.iter().map(|(of, c)| row(u32::from(*of), c)).filter(some).take(most).collect()
        };
        Self {
            cameras: of16(&tally.cameras, MAX_CAMERAS),
            lists: of16(&tally.lists, MAX_LISTS),
            states,
            bins: tally.bins.iter().map(|(of, c)| row(u32::from(*of), c)).filter(some).take(MAX_BINS).collect(),
        }
    }

    fn to_json(&self) -> Value {
        let rows = |rows: &[Precision], name: &dyn Fn(u32) -> Value| {
            let row = |r: &Precision| json!({ "of": name(r.of), "right": r.right, "judged": r.judged });
            rows.iter().map(row).collect::<Vec<_>>()
        };
        let number = |of: u32| json!(of);
        json!({
            "cameras": rows(&self.cameras, &number), "lists": rows(&self.lists, &number),
            "states": rows(&self.states, &|of| json!(format!("{of:08x}"))),
            "confidence": rows(&self.bins, &|of| json!(format!("{}-{}", of * 100, of * 100 + 99))),
        })
    }
}

impl KeepingGauge {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let precision = &self.precision;
        for (name, found, most) in [
            ("unseen", self.unseen.as_ref().map_or(0, |unseen| unseen.oldest.len()), MAX_UNSEEN),
            ("overdue", self.overdue.len(), MAX_HOLDS),
            ("unreadable", self.unreadable.len(), MAX_HOLDS),
            ("precision of cameras", precision.cameras.len(), MAX_CAMERAS),
            ("precision of lists", precision.lists.len(), MAX_LISTS),
            ("precision of states", precision.states.len(), MAX_STATES),
            ("precision by confidence", precision.bins.len(), MAX_BINS),
        ] {
            if found > most {
                return Err((name, format!("{found}, at most {most}")));
            }
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        let hit = |h: &UnseenHit| json!({ "id": h.id.to_string(), "severity": h.severity.as_str(), "since": h.since.to_string() });
        let unseen =
            |u: &UnseenGauge| json!({ "hits": u.hits, "oldest": u.oldest.iter().map(hit).collect::<Vec<_>>() });
        let retention = |r: &Retention| {
            json!({
                "reads": r.reads_as().as_str(), "reads_hours": r.reads_hours, "info_days": r.info_days,
                "minor_days": r.minor_days, "serious_days": r.serious_days, "critical_days": r.critical_days,
            })
        };
        json!({
            "unseen": self.unseen.as_ref().map(unseen),
            "holds": self.holds, "overdue": self.overdue, "unreadable": self.unreadable,
            "retention": self.retention.as_ref().map(retention), "set_by_centre": self.set,
            "precision": self.precision.to_json(),
        })
    }

    /// What is wrong, in words, at `now`.
    #[must_use]
    pub fn troubles(&self, now: TimeMs) -> Vec<String> {
        let numbers = |all: &[u32]| all.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let mut out = Vec::new();
        if let Some(unseen) = &self.unseen {
            let waits = unseen.oldest.first().map_or(0, |hit| now.since(hit.since) / 60_000);
            out.push(format!("{} hits that nobody has looked at, the oldest for {waits} min", unseen.hits));
        }
        if !self.overdue.is_empty() {
            out.push(format!("holds due for review: {}", numbers(&self.overdue)));
        }
        if !self.unreadable.is_empty() {
            out.push(format!("nothing is deleted: hold {} does not open; release it", numbers(&self.unreadable)));
        }
        if self.retention.is_none() {
            out.push("nothing is deleted: the retention that was set does not open; set it anew".to_owned());
        }
        out
    }
}
