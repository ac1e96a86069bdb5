//! `report.get`: a month in counts, for the public: what was read, hit, judged, asked, held, deleted, and when a camera saw
//! nothing. Small counts are left out ([`crate::domain::report`]); no plate, no person, no case is in it.
//!
//! Counts come from the audit log alone, which outlives every key and names no plate: reads, hits and downtime from the
//! records that the daemon writes hourly and when it stops (what a crash takes of the last hour is not known and shows as
//! the daemon being away), everything else from the record of the act itself. Only months that are over are told: two
//! reports of a running one would tell what happened between them.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::report::CountTable;
use crate::domain::{Purpose, Reason, Severity, TimeMs, Verdict};
use crate::store::audit::{AuditRecord, Event};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The year.
    #[n(0)]
    pub year: u16,
    /// The month, 1 to 12; it must be over (UTC).
    #[n(1)]
    pub month: u8,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// First moment of the month.
    #[n(0)]
    pub from: TimeMs,
    /// First moment of the next.
    #[n(1)]
    pub until: TimeMs,
    /// The tables.
    #[n(2)]
    pub tables: Vec<CountTable>,
    /// Confirmed ones of all judged hits that were right or wrong about the plate or vehicle, ‰; left out when it would
    /// tell a count that is left out.
    #[n(3)]
    pub precision: Option<u16>,
    /// Minutes that a camera gave no pictures while the daemon ran, by camera.
    #[n(4)]
    pub down_minutes: Vec<(String, u64)>,
    /// Minutes that the daemon was away, as far as the log knows.
    #[n(5)]
    pub away_minutes: u64,
    /// The log begins within the month: what was before is not known.
    #[n(6)]
    pub begins_within: bool,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let (from, until) = span(args)?;
    if until > rooms.clock.utc() {
        let text = "the month is not over: two reports of it would tell what happened between them";
        return Err(Refusal::new(Reason::Arguments, text));
    }
    let mut month = Month::new(from, until);
    let internal = |e: crate::store::Error| Refusal::new(Reason::Internal, e.to_string());
    rooms.store.audit_flush().map_err(internal)?;
    crate::store::audit::visit(rooms.store.dir(), &mut |record| month.take(&record)).map_err(internal)?;
    let facts = vec![("month", format!("{:04}-{:02}", args.year, args.month))];
    Ok(Done { result: ops::encode(&month.answer()), facts, ..Done::default() })
}

/// First moment of the month and of the next.
fn span(args: Args) -> Result<(TimeMs, TimeMs), Refusal> {
    let wrong = || Refusal::new(Reason::Arguments, format!("{:04}-{:02} is no month", args.year, args.month));
    let first = |year: i32, month: u8| {
        let month = time::Month::try_from(month).map_err(|_| wrong())?;
        let date = time::Date::from_calendar_date(year, month, 1).map_err(|_| wrong())?;
        let days = date.to_julian_day() - 2_440_588;
        u64::try_from(days).map(|days| TimeMs(days * 86_400_000)).map_err(|_| wrong())
    };
    let year = i32::from(args.year);
    let next = if args.month == 12 { first(year + 1, 1) } else { first(year, args.month.saturating_add(1)) };
    Ok((first(year, args.month)?, next?))
}

type Counts = BTreeMap<String, u64>;

/// A month while its records are read, oldest first.
struct Month {
    from: TimeMs,
    until: TimeMs,
    reads: Counts,
    hits: Counts,
    crossings: Counts,
    down_s: Counts,
    alerts: Counts,
    queries: Counts,
    pictures: u64,
    holds: Counts,
    deleted: Counts,
    commands: Counts,
    /// The newest verdict of a hit; hits are named by sighting and cause, never by plate.
    verdicts: BTreeMap<String, String>,
    /// The newest record before the one that is read.
    before: Option<(TimeMs, bool)>,
    away_ms: u64,
    begins: Option<TimeMs>,
}

fn number(record: &AuditRecord, name: &str) -> u64 {
    record.detail(name).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn add(counts: &mut Counts, name: &str, n: u64) {
    *counts.entry(name.to_owned()).or_default() += n;
}

impl Month {
    fn new(from: TimeMs, until: TimeMs) -> Self {
        let zero = |words: &mut dyn Iterator<Item = &'static str>| words.map(|w| (w.to_owned(), 0)).collect::<Counts>();
        Self {
            from,
            until,
            reads: Counts::new(),
            hits: Counts::new(),
            crossings: Counts::new(),
            down_s: Counts::new(),
            alerts: zero(&mut Severity::ALL.iter().map(|s| s.as_str())),
            queries: zero(&mut Purpose::ALL.iter().map(|p| p.as_str())),
            pictures: 0,
            holds: zero(&mut ["placed", "released"].into_iter()),
            deleted: Counts::new(),
            commands: zero(&mut ["done", "refused"].into_iter()),
            verdicts: BTreeMap::new(),
            before: None,
            away_ms: 0,
            begins: None,
        }
    }

    fn take(&mut self, record: &AuditRecord) {
        self.begins.get_or_insert(record.at);
        let event = record.event.as_str();
        if event == Event::DaemonStarted.as_str()
            && let Some((last, _)) = self.before
        {
            // From the last word of the daemon before, within the month.
            let (begin, end) = (last.max(self.from), record.at.min(self.until));
            self.away_ms += end.since(begin);
        }
        self.before = Some((record.at, event == Event::DaemonStopped.as_str()));
        if record.at < self.from || record.at >= self.until {
            return;
        }
        self.count(record, event);
    }

    fn count(&mut self, record: &AuditRecord, event: &str) {
        let is = |e: Event| event == e.as_str();
        if is(Event::Counted) {
            let camera = record.detail("camera").unwrap_or("(unknown)");
            if let Some(place) = record.detail("place") {
                for way in ["forward", "backward", "in", "out"] {
                    for class in crate::health::Crossings::classes() {
                        let n = number(record, &format!("{way} {class}"));
                        if n > 0 {
                            add(&mut self.crossings, &format!("{camera} {place} {way} {class}"), n);
                        }
                    }
                }
                return;
            }
            add(&mut self.reads, camera, number(record, "reads"));
            add(&mut self.hits, camera, number(record, "hits"));
            add(&mut self.down_s, camera, number(record, "down_s"));
        } else if is(Event::Committed) {
            let words = record.detail("severities").unwrap_or_default();
            let mut words = words.split(' ');
            while let (Some(severity), Some(n)) = (words.next(), words.next()) {
                add(&mut self.alerts, severity, n.parse().unwrap_or(0));
            }
        } else if is(Event::Queried) {
            // A view across organisations is written down for both: its second record has an owner, and counts once.
            if record.detail("owner").is_none() {
                add(&mut self.queries, record.detail("purpose").unwrap_or("(none)"), 1);
            }
        } else if is(Event::PictureViewed) {
            self.pictures += u64::from(record.detail("owner").is_none());
        } else if is(Event::Judged) {
            if let (Some(hit), Some(verdict)) = (record.detail("hit"), record.detail("verdict"))
                && verdict != "none"
            {
                self.verdicts.insert(hit.to_owned(), verdict.to_owned());
            }
        } else if is(Event::Held) {
            if let Some(action @ ("placed" | "released")) = record.detail("action") {
                add(&mut self.holds, action, 1);
            }
        } else if is(Event::KeyDestroyed) {
            add(&mut self.deleted, record.detail("class").unwrap_or("(unknown)"), number(record, "rows"));
        } else if is(Event::CommandDone) {
            add(&mut self.commands, "done", 1);
        } else if is(Event::CommandRefused) {
            add(&mut self.commands, "refused", number(record, "count").max(1));
        }
    }

    fn answer(self) -> Answer {
        let mut verdicts: Counts = Verdict::ALL.iter().map(|v| (v.as_str().to_owned(), 0)).collect();
        for verdict in self.verdicts.into_values() {
            add(&mut verdicts, &verdict, 1);
        }
        let pictures = Counts::from([("crop or scene".to_owned(), self.pictures)]);
        let table = CountTable::suppressed;
        let verdicts = table("verdicts", "verdict", verdicts);
        let tables = vec![
            table("reads", "camera", self.reads),
            table("hits", "camera", self.hits),
            table("crossings", "camera, place, way, class", self.crossings),
            table("alerts", "severity", self.alerts),
            verdicts.clone(),
            table("queries", "purpose", self.queries),
            table("pictures viewed", "kind", pictures),
            table("holds", "action", self.holds),
            table("rows deleted", "class", self.deleted),
            table("commands", "outcome", self.commands),
        ];
        Answer {
            from: self.from,
            until: self.until,
            tables,
            precision: precision(&verdicts),
            down_minutes: self.down_s.into_iter().map(|(camera, s)| (camera, s / 60)).collect(),
            away_minutes: self.away_ms / 60_000,
            begins_within: self.begins.is_none_or(|begins| begins > self.from),
        }
    }
}

/// Confirmed of confirmed, misread and wrong vehicle, when all three are told and enough.
fn precision(verdicts: &CountTable) -> Option<u16> {
    let count = |v: Verdict| verdicts.count(v.as_str());
    let right = count(Verdict::Confirmed)?;
    let all = right + count(Verdict::Misread)? + count(Verdict::WrongVehicle)?;
    (all > 0).then(|| u16::try_from(right * 1000 / all).unwrap_or(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn ask(site: &Site, year: u16, month: u8) -> Result<Answer, Refusal> {
        let done = site.run(Op::ReportGet, Role::Auditor, &Args { year, month })?;
        Ok(ops::decode(&done.result).unwrap())
    }

    fn table<'a>(answer: &'a Answer, name: &str) -> &'a CountTable {
        answer.tables.iter().find(|t| t.name == name).unwrap()
    }

    #[test]
    fn a_month_is_told_in_counts_from_the_audit_log() {
        let site = Site::new();
        let say = |event: Event, details: &[(&str, &str)]| {
            let details: Vec<(&str, String)> = details.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
            site.store.audit(event, &details).unwrap();
        };
        say(Event::DaemonStarted, &[]);
        for (camera, reads, hits) in
            [("gate", "120", "6"), ("gate", "80", "7"), ("yard", "40", "2"), ("east", "50", "9")]
        {
            say(Event::Counted, &[("camera", camera), ("reads", reads), ("hits", hits), ("down_s", "600")]);
        }
        for n in 0..8 {
            let verdict = if n < 2 { "misread" } else { "confirmed" };
            say(Event::Judged, &[("hit", &format!("h{n}")), ("verdict", verdict)]);
        }
        say(Event::Judged, &[("hit", "h0"), ("verdict", "confirmed")]);
        for _ in 0..6 {
            say(Event::Queried, &[("purpose", "traffic"), ("rows", "3")]);
        }
        say(Event::Queried, &[("purpose", "traffic"), ("owner", "south")]);
        say(Event::Queried, &[("purpose", "emergency")]);
        say(Event::KeyDestroyed, &[("class", "read"), ("rows", "900")]);
        for n in ["20", "7"] {
            let place = [("camera", "gate"), ("place", "exit")];
            say(Event::Counted, &[&place[..], &[("forward car", n), ("backward truck", "8")]].concat());
        }
        // What comes after the month counts for another one.
        site.sim.advance(std::time::Duration::from_hours(24 * 40));
        say(Event::DaemonStarted, &[]);
        say(Event::Counted, &[("camera", "gate"), ("reads", "1000"), ("hits", "0"), ("down_s", "0")]);

        let answer = ask(&site, 2026, 1).unwrap();
        assert_eq!(answer.from, TimeMs(1_767_225_600_000));
        let reads = table(&answer, "reads");
        assert_eq!((reads.count("gate"), reads.count("yard"), reads.total), (Some(200), Some(40), Some(290)));
        let hits = table(&answer, "hits");
        assert_eq!((hits.count("gate"), hits.count("yard"), hits.count("east")), (Some(13), None, None));
        let crossings = table(&answer, "crossings");
        assert_eq!(
            crossings.rows,
            [("gate exit backward truck".to_owned(), Some(16)), ("gate exit forward car".to_owned(), Some(27))]
        );
        assert_eq!(table(&answer, "rows deleted").count("read"), Some(900));
        let queries = table(&answer, "queries");
        assert_eq!((queries.count("emergency"), queries.count("traffic"), queries.total), (None, None, Some(7)));
        // One misread is left out, and with it what would tell it.
        let verdicts = table(&answer, "verdicts");
        assert_eq!((verdicts.count("confirmed"), verdicts.count("misread"), answer.precision), (None, None, None));
        assert_eq!(answer.down_minutes, [("east".to_owned(), 10), ("gate".to_owned(), 20), ("yard".to_owned(), 10)]);
        assert!(answer.away_minutes > 24 * 60 * 29, "{}", answer.away_minutes);
        assert!(!String::from_utf8_lossy(&ops::encode(&answer)).contains("h0"));
        assert_eq!(table(&ask(&site, 2025, 12).unwrap(), "reads").total, Some(0));
    }

    #[test]
    fn a_month_that_is_not_over_or_is_none_is_refused() {
        let site = Site::new();
        assert!(ask(&site, 2026, 1).unwrap_err().text.contains("not over"));
        assert!(ask(&site, 2026, 13).unwrap_err().text.contains("no month"));
        assert!(ask(&site, 1969, 1).unwrap_err().text.contains("no month"));
    }
}
