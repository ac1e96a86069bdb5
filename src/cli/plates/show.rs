//! Rows as a table for people and as JSON for programs.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::gather::{Gathered, Row};
use crate::centre::ask::Outcome;
use crate::cli::ctl::ask;
use crate::command::ops::query::hits::HitRow;
use crate::command::ops::query::{ROWS, ReadRow};
use crate::domain::{BoxId, ClockState, Colour, ListId, PlateText, RuleId, Verdict};

/// The word of a clock's state.
#[must_use]
pub fn clock_word(state: ClockState) -> &'static str {
    match state {
        ClockState::Synced => "synced",
        ClockState::Holdover => "holdover",
        ClockState::Unset => "unset",
    }
}

fn share(permille: u16) -> f64 {
    f64::from(permille) / 1000.0
}

/// A read as JSON.
#[must_use]
pub fn read_json(box_id: &BoxId, read: &ReadRow) -> Value {
    let candidates = read
        .candidates
        .as_ref()
        .map(|all| all.iter().map(|c| json!([c.text.as_str(), share(c.permille)])).collect::<Vec<_>>());
    json!({
        "kind": "read",
        "box": box_id.as_str(),
        "id": read.id.to_string(),
        "begin": read.begin.to_string(),
        "end": read.end.to_string(),
        "clock": clock_word(read.clock),
        "camera": read.camera.as_str(),
        "class": read.class.as_str(),
        "plate": read.plate.as_ref().map(PlateText::as_str),
        "confidence": read.permille.map(share),
        "candidates": candidates,
        "region": read.region,
        "colour": read.colour.and_then(Colour::of_number).map(|c| c.to_string()),
        "direction": read.direction,
        "frames": read.frames,
    })
}

fn hit_json(box_id: &BoxId, hit: &HitRow) -> Value {
    let mut told = read_json(box_id, &hit.read);
    let more = json!({
        "kind": "hit",
        "severity": hit.severity.as_str(),
        "cause": hit.cause,
        "list": hit.list.as_ref().map(ListId::as_str),
        "match": hit.matched.as_ref().map(|m| json!({
            "list": m.list, "serial": m.serial, "entry": m.entry, "how": m.how.as_str(),
        })),
        "match_confidence": hit.match_permille.map(share),
        "rule": hit.rule.as_ref().map(RuleId::as_str),
        "stale": hit.stale,
        "owner": hit.owner,
        "state": hit.state.as_str(),
        "verdict": hit.verdict.map(Verdict::as_str),
        "true_plate": hit.true_plate.as_ref().map(PlateText::as_str),
        "judged_at": hit.judged_at.map(|at| at.to_string()),
        "clip": hit.clip,
        "stage": hit.stage.as_str(),
        "stored_at": hit.stored_at.to_string(),
    });
    if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
        told.extend(more);
    }
    told
}

/// A row as JSON.
#[must_use]
pub fn row_json(box_id: &BoxId, row: &Row) -> Value {
    match row {
        Row::Read(read) => read_json(box_id, read),
        Row::Hit(hit) => hit_json(box_id, hit),
    }
}

/// `red car`, `car`, or a dash where only the plate was seen.
#[must_use]
pub fn vehicle(read: &ReadRow) -> String {
    let colour = read.colour.and_then(Colour::of_number);
    colour.map_or_else(|| read.class.to_string(), |colour| format!("{colour} {}", read.class))
}

/// Why it is a hit, in a clause.
#[must_use]
pub fn cause(hit: &HitRow) -> String {
    let stale = if hit.stale == Some(true) { " (past its freshness)" } else { "" };
    let owner = hit.owner.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
    match (&hit.matched, &hit.list, &hit.rule) {
        (Some(m), Some(list), _) => {
            format!("possible match: {}, list {list}{owner}{stale} entry {}", m.how.as_str(), m.entry)
        }
        (_, _, Some(rule)) => {
            let [_, number, _] = hit.cause;
            format!("rule {rule} ({number})")
        }
        (_, Some(list), _) => format!("withdrawn: read again, and no match on list {list}{owner}"),
        _ => "withdrawn".to_owned(),
    }
}

fn line(box_id: &BoxId, row: &Row, width: usize) -> String {
    let read = row.read();
    let plate = read.plate.as_ref().map_or("–", |p| p.as_str());
    let sure = read.permille.map_or_else(|| "–".to_owned(), |p| format!("{}.{} %", p / 10, p % 10));
    let clock = if read.clock == ClockState::Synced { "" } else { " ?" };
    let common = format!(
        "{}{clock:<2}  {box_id:<width$}  {:<16}  {plate:<10}  {sure:>7}  {:<12}",
        read.begin,
        read.camera.as_str(),
        vehicle(read),
        box_id = box_id.as_str(),
    );
    match row {
        Row::Read(_) => format!("{common}  {}", read.id),
        Row::Hit(hit) => {
            let verdict = hit.verdict.map_or_else(|| hit.state.to_string(), |v| v.to_string());
            format!("{common}  {}  {:<8}  {verdict:<14}  {}", read.id, hit.severity, cause(hit))
        }
    }
}

/// Shows everything; 0 when every box has answered every question.
///
/// # Errors
/// When `out` is gone.
pub fn show(gathered: &Gathered, as_json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (outcomes, rows) = (gathered.outcomes(), gathered.rows());
    let complete = outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Answered(_)));
    let more: Vec<&BoxId> = gathered.boxes.iter().filter(|(_, one)| one.has_more()).map(|(id, _)| id).collect();
    if as_json {
        for (box_id, row) in &rows {
            writeln!(out, "{}", row_json(box_id, row))?;
        }
        let mut summary = ask::summary_json(&outcomes);
        let told = json!({
            "rows": rows.len(),
            "more": more.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            "boxes": gathered.boxes.iter().map(|(id, one)| json!({
                "box": id.as_str(),
                "outcome": ask::word(&one.outcome),
                "why": why(&one.outcome),
                "rows": one.rows.len(),
                "counted": one.page.as_ref().map(|page| page.counted),
                "from": one.page.as_ref().map(|page| page.from.to_string()),
                "to": one.page.as_ref().map(|page| page.to.to_string()),
                "clock": one.page.as_ref().map(|page| clock_word(page.clock)),
            })).collect::<Vec<_>>(),
        });
        if let (Value::Object(summary), Value::Object(told)) = (&mut summary, told) {
            summary.extend(told);
        }
        writeln!(out, "{summary}")?;
    } else {
        text(gathered, &rows, &more, out)?;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why a box did not answer.
#[must_use]
pub fn why(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered(_) => None,
        Outcome::Refused(reply) => Some(ask::why(reply)),
        Outcome::Silent => Some("no answer in time".to_owned()),
        Outcome::Offline => Some("it has no session with the broker".to_owned()),
        Outcome::Unbelieved(why) => Some(why.clone()),
    }
}

fn text(gathered: &Gathered, rows: &[(&BoxId, &Row)], more: &[&BoxId], out: &mut dyn Write) -> anyhow::Result<()> {
    let outcomes = gathered.outcomes();
    // What is not complete says so before anything else.
    if outcomes.len() > 1 || outcomes.iter().any(|(_, o)| !matches!(o, Outcome::Answered(_))) {
        writeln!(out, "{}", ask::summary(&outcomes))?;
    }
    for (box_id, one) in &gathered.boxes {
        if let Some(why) = why(&one.outcome) {
            writeln!(out, "{box_id}: {why}")?;
        }
    }
    let width = gathered.boxes.keys().map(|id| id.as_str().len()).max().unwrap_or(0).max(3);
    for (box_id, row) in rows {
        writeln!(out, "{}", line(box_id, row, width))?;
    }
    let noun = if rows.len() == 1 { "row" } else { "rows" };
    let spans = gathered.boxes.values().filter_map(|one| one.page.as_ref());
    let span = spans.map(|page| (page.from, page.to)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let span = span.map_or_else(String::new, |(from, to)| format!(" from {from} to {to}"));
    writeln!(out, "{} {noun}{span}", rows.len())?;
    let counted = gathered.boxes.values().filter_map(|one| one.page.as_ref()).map(|page| page.counted).max();
    if let Some(counted) = counted.filter(|counted| counted * 2 > u64::from(ROWS)) {
        writeln!(out, "{counted} rows of at most {ROWS} a box were given for this purpose and case")?;
    }
    if !more.is_empty() {
        let names: Vec<&str> = more.iter().map(|id| id.as_str()).collect();
        writeln!(out, "there is more at {}: --pages asks for further pages", names.join(", "))?;
    }
    Ok(())
}
