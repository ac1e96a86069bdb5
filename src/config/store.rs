//! `[store]` and `[store.retention]`: how much is kept, and how long.

use super::section::Section;

/// `[store]`
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Longest wait of a hit for others to share its fdatasync.
    pub commit_interval_ms: u64,
    /// Rows that end the wait.
    pub commit_rows: u64,
    /// Memory of the index.
    pub cache_mib: u64,
    /// Most bytes of alerts that wait for the centre.
    pub outbox_mib: u64,
    /// Most alerts that wait for the centre.
    pub outbox_entries: u64,
    /// How long things are kept.
    pub retention: Retention,
}

/// `[store.retention]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Reads without a hit; 0: never stored.
    pub reads_hours: u64,
    /// Hits by severity, days.
    pub info_days: u64,
    /// See [`Retention::info_days`].
    pub minor_days: u64,
    /// See [`Retention::info_days`].
    pub serious_days: u64,
    /// See [`Retention::info_days`].
    pub critical_days: u64,
}

pub(super) fn read_retention(mut s: Section<'_>) -> Retention {
    let retention = Retention {
        reads_hours: s.number(
            "reads_hours",
            24,
            0,
            87_600,
            "Hours that reads without a hit are kept; 0: they are not stored.",
        ),
        info_days: s.number("info_days", 7, 1, 3_650, "Days that `info` hits are kept."),
        minor_days: s.number("minor_days", 30, 1, 3_650, "Days that `minor` hits are kept."),
        serious_days: s.number("serious_days", 90, 1, 3_650, "Days that `serious` hits are kept."),
        critical_days: s.number("critical_days", 365, 1, 3_650, "Days that `critical` hits are kept."),
    };
    s.finish();
    retention
}

pub(super) fn read(mut s: Section<'_>, retention: Retention) -> Store {
    let store = Store {
        commit_interval_ms: s.number(
            "commit_interval_ms",
            50,
            1,
            1_000,
            "Milliseconds a hit waits at most for others to share its fdatasync.",
        ),
        commit_rows: s.number("commit_rows", 64, 1, 4_096, "Rows that end that wait."),
        cache_mib: s.number("cache_mib", 16, 4, 4_096, "Memory of the index, MiB."),
        outbox_mib: s.number("outbox_mib", 256, 1, 65_536, "Most MiB of alerts that wait for the centre."),
        outbox_entries: s.number("outbox_entries", 200_000, 100, 10_000_000, "Most alerts that wait for the centre."),
        retention,
    };
    s.elsewhere(&["retention"]);
    s.not_yet(&["size_gib"]);
    s.finish();
    store
}
