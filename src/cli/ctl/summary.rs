//! What a tail counted, said at its end: alerts, duplicates, refused messages, gaps, latency.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::table::duration;
use crate::centre::receipts::Gap;
use crate::domain::Severity;

/// Latencies in steps that grow with them, so that a tail may run for years.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, ms: u64) {
        let step = match ms {
            0..1_000 => 1,
            1_000..10_000 => 10,
            10_000..1_000_000 => 1_000,
            _ => 60_000,
        };
        // Beyond a week all is the same.
        let rounded = (ms / step * step).min(604_800_000);
        *self.counts.entry(rounded).or_default() += 1;
        self.total += 1;
    }

    /// The latency that `per_mille` of 1000 alerts did not exceed; `None` without alerts.
    pub(super) fn quantile(&self, per_mille: u64) -> Option<u64> {
        let rank = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(ms, count)| {
            seen += count;
            (seen >= rank).then_some(*ms)
        })
    }
}

/// Everything that was counted.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) alerts: u64,
    pub(super) by_severity: BTreeMap<Severity, u64>,
    pub(super) shed: u64,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
    pub(super) latencies: Latencies,
}

impl Summary {
    /// Lines for people.
    pub(super) fn text(&self, gaps: &[Gap]) -> String {
        let by: Vec<String> =
            self.by_severity.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        let mut parts = vec![
            format!("{} alerts{by}", self.alerts),
            format!("{} duplicates removed", self.duplicates),
            format!("{} gaps", gaps.len()),
        ];
        if self.shed > 0 {
            parts.push(format!("{} alerts shed by boxes", self.shed));
        }
        if self.refused > 0 {
            parts.push(format!("{} messages refused", self.refused));
        }
        if let (Some(p50), Some(p99)) = (self.latencies.quantile(500), self.latencies.quantile(990)) {
            parts.push(format!("latency p50 {}, p99 {}", duration(p50), duration(p99)));
        }
        std::iter::once(parts.join(", "))
            .chain(gaps.iter().map(|g| format!("  {}", gap_text(g))))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// One object for programs.
    pub(super) fn json(&self, gaps: &[Gap]) -> Value {
        json!({
            "kind": "summary",
            "alerts": self.alerts,
            "by_severity": self.by_severity.iter().map(|(s, n)| (s.to_string(), json!(n))).collect::<serde_json::Map<_, _>>(),
            "duplicates": self.duplicates,
            "shed": self.shed,
            "refused": self.refused,
            "gaps": gaps.iter().map(gap_json).collect::<Vec<_>>(),
            "latency_ms": { "p50": self.latencies.quantile(500), "p99": self.latencies.quantile(990) },
        })
    }
}

pub(super) fn gap_text(gap: &Gap) -> String {
    let what =
        if gap.from == gap.to { format!("alert {}", gap.from) } else { format!("alerts {}–{}", gap.from, gap.to) };
    let why = if gap.before_first_contact { ", from before the first that is known here" } else { "" };
    format!("gap: box {} {what} missing{why} (epoch {})", gap.box_id, gap.epoch)
}

pub(super) fn gap_json(gap: &Gap) -> Value {
    json!({
        "box": gap.box_id.as_str(), "epoch": gap.epoch.to_string(), "from": gap.from, "to": gap.to,
        "before_first_contact": gap.before_first_contact,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(500), None);
        for ms in (1..=100).rev() {
            latencies.add(ms);
        }
        assert_eq!(latencies.quantile(500), Some(50));
        assert_eq!(latencies.quantile(990), Some(99));
        latencies.add(123_456);
        assert_eq!(latencies.quantile(1000), Some(123_000));
    }
}
