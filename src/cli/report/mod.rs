//! `watchpost report` and what `watchpostctl report` shares with it: a month in counts as text, CSV, JSON, or one HTML page.
//!
//! What small counts are left out is decided by the box (`report.get`); here nothing is added up over boxes, since a sum
//! could tell what one box left out.

mod page;

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::local;
use crate::centre::ask::{Answer as Answered, Outcome, Question};
use crate::cli::ctl::ask::{self, Show};
use crate::cli::ctl::printable;
use crate::command::ops::{self, report::Answer, report::Args as Wanted};
use crate::domain::{BoxId, Op};

/// A month, as `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month(Wanted);

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no month: wanted YEAR-MONTH, as 2026-10");
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        let month: u8 = month.parse().ok().filter(|m| (1..=12).contains(m)).ok_or_else(wrong)?;
        Ok(Self(Wanted { year: year.parse().map_err(|_| wrong())?, month }))
    }
}

/// As what a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Text,
    /// A line a count: box, table, by, name, count; an empty count is left out since it is small
    Csv,
    /// One page that needs nothing else
    Html,
}

/// What both verbs take.
#[derive(Debug, clap::Args)]
pub struct What {
    /// The month, YEAR-MONTH; it must be over (UTC)
    #[arg(value_name = "MONTH")]
    month: Month,
    /// As what it is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write it into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `watchpost report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    local: local::Options,
}

/// Asks this box and shows; 0 when it answered.
///
/// # Errors
/// As [`local::gather`]; when the output can't be written.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let answers = vec![local::gather(&args.local, args.what.question())?];
    Ok(u8::from(!args.what.show(&answers, args.local.json, out)?))
}

impl What {
    /// The question to boxes.
    #[must_use]
    pub fn question(&self) -> Question {
        Question::new(Op::ReportGet, ops::encode(&self.month.0))
    }

    /// Writes the answers out; whether every box answered.
    ///
    /// # Errors
    /// When the output can't be written, or an answer is of another version.
    pub fn show(&self, answers: &[(BoxId, Outcome)], as_json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
        let mut content = Vec::new();
        let mut complete = answers.iter().all(|(_, outcome)| matches!(outcome, Outcome::Answered(_)));
        if as_json || self.format == Format::Text {
            complete = ask::report(answers, as_json, &Counts, &mut content)?;
        } else {
            let told = told(answers)?;
            let missing: Vec<&BoxId> =
                answers.iter().filter(|(_, o)| !matches!(o, Outcome::Answered(_))).map(|(id, _)| id).collect();
            let text = if self.format == Format::Csv { csv(&told) } else { page::page(&told, &missing, answers.len()) };
            content.extend(text.as_bytes());
            for box_id in missing {
                // Without a stderr there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{box_id} is missing: it did not answer, or refused");
            }
        }
        match &self.output {
            Some(path) => {
                std::fs::write(path, content).with_context(|| format!("{} cannot be written", path.display()))?;
            }
            None => out.write_all(&content)?,
        }
        Ok(complete)
    }
}

fn told(answers: &[(BoxId, Outcome)]) -> anyhow::Result<Vec<(&BoxId, Answer)>> {
    let mut told = Vec::new();
    for (box_id, outcome) in answers {
        if let Outcome::Answered(answered) = outcome {
            told.push((box_id, answer(answered)?));
        }
    }
    Ok(told)
}

fn answer(answered: &Answered) -> anyhow::Result<Answer> {
    let bytes = answered.reply.result.as_deref().unwrap_or_default();
    ops::decode(bytes).map_err(|refusal| anyhow::anyhow!("an answer of another version: {}", refusal.text))
}

/// The first seven characters of a moment: its month.
fn month_of(answer: &Answer) -> String {
    answer.from.to_string().chars().take(7).collect()
}

/// A count as people see it.
fn word(count: Option<u64>) -> String {
    count.map_or_else(|| "*".to_owned(), |n| n.to_string())
}

/// How a report is shown.
struct Counts;

impl Show for Counts {
    fn json(&self, answered: &Answered) -> anyhow::Result<Value> {
        let answer = answer(answered)?;
        let tables: Vec<Value> = answer
            .tables
            .iter()
            .map(|t| {
                let rows: serde_json::Map<String, Value> =
                    t.rows.iter().map(|(name, n)| (name.clone(), n.map_or(Value::Null, Value::from))).collect();
                json!({ "name": t.name, "by": t.by, "counts": rows, "total": t.total })
            })
            .collect();
        let down: serde_json::Map<String, Value> =
            answer.down_minutes.iter().map(|(camera, m)| (camera.clone(), Value::from(*m))).collect();
        Ok(json!({
            "month": month_of(&answer), "tables": tables, "precision_permille": answer.precision,
            "down_minutes": down, "away_minutes": answer.away_minutes, "log_begins_within": answer.begins_within,
        }))
    }

    fn text(&self, box_id: &BoxId, answered: &Answered, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = answer(answered)?;
        writeln!(out, "{box_id}, {}", month_of(&answer))?;
        for table in answer.tables.iter().filter(|t| !t.rows.is_empty()) {
            writeln!(out, "  {} by {}: {} in all", table.name, table.by, word(table.total))?;
            for (name, n) in table.rows.iter().filter(|(_, n)| *n != Some(0)) {
                writeln!(out, "    {:<24} {:>10}", printable(name), word(*n))?;
            }
        }
        if let Some(precision) = answer.precision {
            writeln!(out, "  right of what was judged: {}.{} %", precision / 10, precision % 10)?;
        }
        for (camera, minutes) in answer.down_minutes.iter().filter(|(_, m)| *m > 0) {
            writeln!(out, "  {} gave no pictures for {minutes} minutes", printable(camera))?;
        }
        writeln!(out, "  the daemon was away for {} minutes", answer.away_minutes)?;
        if answer.begins_within {
            writeln!(out, "  the audit log begins within the month: what was before is not known")?;
        }
        Ok(writeln!(out, "  * is left out: a count of 1 to 4, or one that would tell such a count")?)
    }
}

/// A line a count.
fn csv(told: &[(&BoxId, Answer)]) -> String {
    let mut lines = vec!["box,month,table,by,name,count".to_owned()];
    // Names are ids and words of ours; what a box says otherwise must not break out of its cell.
    let cell = |text: &str| text.replace([',', '"', '\n', '\r', '='], "_");
    for (box_id, answer) in told {
        let month = month_of(answer);
        let mut line = |table: &str, by: &str, name: &str, n: Option<u64>| {
            let n = n.map(|n| n.to_string()).unwrap_or_default();
            lines.push(format!("{box_id},{month},{},{},{},{n}", cell(table), cell(by), cell(name)));
        };
        for table in &answer.tables {
            for (name, n) in &table.rows {
                line(&table.name, &table.by, name, *n);
            }
            line(&table.name, "total", "total", table.total);
        }
        line("precision permille", "total", "total", answer.precision.map(u64::from));
        for (camera, minutes) in &answer.down_minutes {
            line("minutes without pictures", "camera", camera, Some(*minutes));
        }
        line("minutes without daemon", "total", "total", Some(answer.away_minutes));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TimeMs;
    use crate::domain::report::CountTable;

    pub(super) fn example() -> Answer {
        let counts = |rows: &[(&str, u64)]| rows.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect::<Vec<_>>();
        Answer {
            from: TimeMs(1_767_225_600_000),
            until: TimeMs(1_769_904_000_000),
            tables: vec![
                CountTable::suppressed("reads", "camera", counts(&[("gate", 48_211), ("yard", 9_120), ("<b>", 700)])),
                CountTable::suppressed(
                    "verdicts",
                    "verdict",
                    counts(&[("confirmed", 42), ("misread", 3), ("wrong-vehicle", 8)]),
                ),
                CountTable::suppressed("queries", "purpose", counts(&[("traffic", 2), ("stolen-vehicle", 1)])),
            ],
            precision: None,
            down_minutes: vec![("gate".to_owned(), 35)],
            away_minutes: 12,
            begins_within: false,
        }
    }

    #[test]
    fn months_are_read() {
        assert_eq!("2026-10".parse::<Month>().unwrap(), Month(Wanted { year: 2026, month: 10 }));
        for wrong in ["2026", "2026-13", "2026-0", "x-1", "2026-10-01"] {
            assert!(wrong.parse::<Month>().unwrap_err().contains("as 2026-10"), "{wrong}");
        }
    }

    #[test]
    fn a_csv_has_a_line_a_count_and_none_where_it_is_left_out() {
        let id = BoxId::new("box-1").unwrap();
        let text = csv(&[(&id, example())]);
        for line in [
            "box-1,2026-01,reads,camera,gate,48211",
            "box-1,2026-01,verdicts,verdict,misread,",
            "box-1,2026-01,queries,total,total,",
            "box-1,2026-01,minutes without pictures,camera,gate,35",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} not in:\n{text}");
        }
        assert!(text.lines().all(|l| l.split(',').count() == 6), "{text}");
    }

    #[test]
    fn the_page_stands_alone_and_what_names_say_is_no_markup() {
        let id = BoxId::new("box-1").unwrap();
        let silent = BoxId::new("box-2").unwrap();
        let html = page::page(&[(&id, example())], &[&silent], 2);
        for part in ["<!doctype html>", "1 of 2 boxes", "box-2", "48\u{a0}211", "&lt;b&gt;", "35 minutes"] {
            assert!(html.contains(part), "{part:?} not in the page");
        }
        for never in ["<b>", "http://", "https://", "<script", "src="] {
            assert!(!html.contains(never), "{never:?} in the page");
        }
        if let Some(dir) = std::env::var_os("WATCHPOST_REPORT_PAGE") {
            std::fs::write(std::path::Path::new(&dir).join("report.html"), html).unwrap();
        }
    }
}
