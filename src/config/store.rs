//! `[store]` and `[store.retention]`: how much is kept, and how long.

use super::section::Section;
pub use crate::domain::Retention;
use crate::domain::{Preset, Severity};

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
    /// How long things are kept, unless the centre set it otherwise.
    pub retention: Retention,
    /// Seconds before a hit that its clip shows.
    pub clip_before_s: u64,
    /// Seconds after it; with both 0 there are no clips.
    pub clip_after_s: u64,
    /// Largest clip.
    pub clip_mib: u64,
    /// The least severity of hits that get a clip.
    pub clip_severity: Severity,
    /// Clips are not stored when less of the disk is free.
    pub clip_free_mib: u64,
    /// Pictures are not stored when less of the disk is free.
    pub picture_free_mib: u64,
    /// Reads without a hit are not stored when less of the disk is free.
    pub read_free_mib: u64,
    /// Minutes after which a hit that nobody has seen is told; 0: never.
    pub remind_minutes: u64,
    /// The least severity of hits that are told.
    pub remind_severity: Severity,
}

pub(super) fn read_retention(mut s: Section<'_>) -> Retention {
    let preset = s.parsed::<&Preset>(
        "preset",
        "The longest that a statute allows, by its name in docs/privacy.md; keys beside it can only shorten.",
    );
    s.one_of(&Preset::ALL.iter().map(|p| p.name).collect::<Vec<_>>());
    let base = preset.map(Preset::retention).unwrap_or_default();
    let reads = s.choice(
        "reads",
        &["plain", "hashed", "off"],
        "What is kept of reads without a hit: `plain` (default), `hashed` (camera, time, HMAC of the plate) or `off`.",
    );
    let mut days = |key, usual, doc| s.number(key, usual, 1, Retention::MAX_DAYS, doc);
    let [info, minor, serious, critical] = base.hit_days();
    let (info_days, minor_days) =
        (days("info_days", info, INFO), days("minor_days", minor, "Days that `minor` hits are kept."));
    let (serious_days, critical_days) = (
        days("serious_days", serious, "Days that `serious` hits are kept."),
        days("critical_days", critical, "Days that `critical` hits are kept."),
    );
    let retention = Retention {
        reads: reads.unwrap_or(base.reads),
        reads_hours: s.number("reads_hours", base.reads_hours, 0, Retention::MAX_HOURS, READS),
        info_days,
        minor_days,
        serious_days,
        critical_days,
    };
    if let Some(preset) = preset {
        check_preset(&mut s, preset, &retention);
    }
    s.finish();
    retention
}

const INFO: &str = "Days that `info` hits are kept.";
const READS: &str = "Hours that reads without a hit are kept; 0: they are not stored.";

/// What is given beside a preset may not be longer than it allows.
fn check_preset(s: &mut Section<'_>, preset: &Preset, given: &Retention) {
    let most = preset.retention();
    let name = preset.name;
    if given.reads < most.reads {
        s.fault("reads", format!("is {}, {name} ({}) allows {}", given.reads, preset.rule, most.reads));
    }
    if given.reads_hours > most.reads_hours {
        s.fault("reads_hours", format!("is {}, {name} allows at most {}", given.reads_hours, most.reads_hours));
    }
    if preset.hits_days.is_some() {
        let longest = preset.longest_hits();
        let keys = ["info_days", "minor_days", "serious_days", "critical_days"];
        for (key, days) in keys.into_iter().zip(given.hit_days()).filter(|(_, days)| *days > longest) {
            s.fault(key, format!("is {days}, {name} allows at most {longest}"));
        }
    }
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
        cache_mib: s.number("cache_mib", 4, 2, 4_096, "Memory of the index, MiB."),
        outbox_mib: s.number("outbox_mib", 256, 1, 65_536, "Most MiB of alerts that wait for the centre."),
        outbox_entries: s.number("outbox_entries", 200_000, 100, 10_000_000, "Most alerts that wait for the centre."),
        retention,
        clip_before_s: s.number(
            "clip_before_s",
            5,
            0,
            10,
            "Seconds before a hit that its clip shows; it covers the pass.",
        ),
        clip_after_s: s.number("clip_after_s", 5, 0, 30, "Seconds after a hit; with both 0 there are no clips."),
        clip_mib: s.number("clip_mib", 24, 1, 64, "Largest clip, MiB: what would be longer ends early."),
        clip_severity: s
            .choice(
                "clip_severity",
                &Severity::ALL.map(Severity::as_str),
                "The least severity of hits that get a clip; `info` is the default: all.",
            )
            .unwrap_or(Severity::Info),
        clip_free_mib: s.number(
            "clip_free_mib",
            512,
            0,
            1 << 20,
            "No clip is stored when fewer MiB of the disk are free.",
        ),
        picture_free_mib: s.number(
            "picture_free_mib",
            256,
            0,
            1 << 20,
            "No picture is stored when fewer MiB of the disk are free.",
        ),
        read_free_mib: s.number(
            "read_free_mib",
            128,
            0,
            1 << 20,
            "No read without a hit is stored when fewer MiB of the disk are free; hits are.",
        ),
        remind_minutes: s.number(
            "remind_minutes",
            60,
            0,
            100_000,
            "Minutes after which health tells of a hit that nobody has seen; 0: never.",
        ),
        remind_severity: s
            .choice(
                "remind_severity",
                &Severity::ALL.map(Severity::as_str),
                "The least severity of hits that it tells of: `serious` is the default.",
            )
            .unwrap_or(Severity::Serious),
    };
    s.elsewhere(&["retention"]);
    s.not_yet(&["size_gib"]);
    s.finish();
    store
}
