//! The report on a terminal: the verdict, what to change, the numbers, the passes. Narrow terminals get fewer columns.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use super::causes::{Cause, Verdict};
use super::pass::Outcome;
use super::report::{Measure, Report, Row, Stream};

/// What is written on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paper {
    pub columns: usize,
    pub colour: bool,
}

/// Lines are never longer, however wide the terminal is: text reads badly then.
const WIDEST: usize = 110;

/// Without a terminal.
const USUAL: usize = 100;

impl Paper {
    /// As wide as the terminal, in colour on one; 100 columns and plain where there is none.
    pub(super) fn of_stdout() -> Self {
        let out = std::io::stdout();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let size = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let columns = size.filter(|columns| *columns > 0).unwrap_or(USUAL).clamp(40, WIDEST);
        Self { columns, colour }
    }

    fn painted(self, text: &str, sgr: &str) -> String {
        if self.colour { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const GOOD: &str = "1;32";
const WARN: &str = "1;33";
const BAD: &str = "1;31";
const SOFT: &str = "2";

/// All of it.
pub(super) fn text(report: &Report, paper: Paper) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, paper, &mut out);
    out
}

fn write(report: &Report, paper: Paper, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", paper.painted(&report.camera, BOLD))?;
    if report.source != report.camera {
        writeln!(out, "{}", report.source)?;
    }
    if report.stream.frames > 0 {
        wrapped(out, &stream(&report.stream), 0, paper.columns)?;
    }
    writeln!(out)?;
    let (word, sgr) = verdict(report);
    writeln!(out, "{}", paper.painted(word, sgr))?;
    wrapped(out, &counts(report), 0, paper.columns)?;
    if let Some(note) = &report.note {
        wrapped(out, note, 0, paper.columns)?;
    }
    if !report.causes.is_empty() {
        writeln!(out)?;
    }
    for (n, cause) in report.causes.iter().enumerate() {
        tell(out, n + 1, cause, paper)?;
    }
    if !report.measures.is_empty() {
        writeln!(out)?;
        measures(out, &report.measures, paper)?;
    }
    if !report.refusals.is_empty() {
        let told: Vec<String> = report.refusals.iter().map(|r| format!("{} × {}", r.passes, r.rule)).collect();
        writeln!(out)?;
        wrapped(out, &format!("not told: {}", told.join("; ")), 0, paper.columns)?;
    }
    if !report.passes.is_empty() {
        writeln!(out)?;
        passes(out, &report.passes, paper)?;
    }
    writeln!(out)
}

/// The verdict in words, and how it looks.
pub(super) fn verdict(report: &Report) -> (&'static str, &'static str) {
    match report.verdict {
        Verdict::Healthy => ("HEALTHY: plates are read", GOOD),
        Verdict::Impaired if report.causes.iter().any(|c| c.costs_reads) => ("NOT WELL: plates are lost", BAD),
        Verdict::Impaired => ("READS, with something to put right", WARN),
        Verdict::NothingPassed => ("NOTHING TO JUDGE", WARN),
        Verdict::NoPicture => ("NO PICTURE", BAD),
    }
}

/// Size, codec, rate, bits and how long it was looked at.
pub(super) fn stream(s: &Stream) -> String {
    let mut parts = vec![format!("{}×{}", s.width, s.height)];
    parts.extend(s.searched.map(|[w, h]| format!("searched in {w}×{h}")));
    parts.extend(s.codec.clone());
    parts.extend(s.fps.map(|fps| format!("{fps:.1} frames/s")));
    parts.extend(s.bits_a_second.map(|bits| format!("{:.2} Mbit/s", bits / 1e6)));
    parts.extend(s.key_frames_s.map(|s| format!("key frames every {s:.1} s")));
    parts.extend(s.quantiser.map(|q| format!("quantised by {q:.0} of 51")));
    parts.extend(s.interlaced.then(|| "interlaced".to_owned()));
    parts.extend(s.grey.then(|| "in black and white".to_owned()));
    parts.push(format!("looked at for {:.1} s, {} frames", s.seconds, s.frames));
    parts.extend((s.rested > 0).then(|| format!("{} rested on", s.rested)));
    parts.extend((s.dropped > 0).then(|| format!("{} dropped", s.dropped)));
    parts.extend(s.ms_a_frame.map(|ms| format!("{ms:.0} ms each")));
    parts.join(", ")
}

/// What passed and what became of it.
pub(super) fn counts(report: &Report) -> String {
    let c = &report.counts;
    let mut parts = Vec::new();
    if c.vehicles > 0 {
        parts.push(plural(c.vehicles, "vehicle"));
    }
    parts.push(plural(c.passes, "plate"));
    let mut text = format!("{} passed", super::causes::listed(&parts));
    let told = [(c.read, "read for sure"), (c.again, "seen again"), (c.doubtful, "doubtful"), (c.unread, "not read")];
    let told: Vec<String> = told.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if !told.is_empty() {
        text = format!("{text}: {}", told.join(", "));
    }
    if c.left_out > 0 {
        text = format!("{text}; {} left out (seen in one frame, or standing there without a text)", c.left_out);
    }
    text
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn tell(out: &mut String, n: usize, cause: &Cause, paper: Paper) -> std::fmt::Result {
    let number = format!("{n:>2}  ");
    let mut text = String::new();
    wrapped(&mut text, &cause.what, 4, paper.columns)?;
    let first = text.trim_start();
    write!(out, "{}{first}", paper.painted(&number, if cause.costs_reads { BAD } else { WARN }))?;
    for todo in &cause.todo {
        let mut text = String::new();
        wrapped(&mut text, todo, 6, paper.columns)?;
        write!(out, "    → {}", text.trim_start())?;
    }
    Ok(())
}

fn measures(out: &mut String, measures: &[Measure], paper: Paper) -> std::fmt::Result {
    let head = format!("{:<17} {:>8}  {:<15} {:<12}", "measure", "middle", "most between", "wanted");
    writeln!(out, "{}", paper.painted(head.trim_end(), SOFT))?;
    for m in measures {
        let d = m.digits;
        let middle = format!("{:>8.d$}", m.spread.middle);
        let between = format!("{:.d$} and {:.d$}", m.spread.low, m.spread.high);
        let wanted = format!("{} {:.d$} {}", if m.more_is_better { "≥" } else { "≤" }, m.limit, m.unit);
        let middle = paper.painted(&middle, if m.is_good() { GOOD } else { BAD });
        let mark = if m.is_good() { "" } else { "  !" };
        writeln!(out, "{:<17} {middle}  {between:<15} {}{mark}", m.name, wanted.trim_end())?;
    }
    Ok(())
}

/// A column: its title, how wide it is, from how many columns of the terminal on it is shown, what stands in it.
type Column = (&'static str, usize, usize, fn(&Row) -> String);

const COLUMNS: [Column; 10] = [
    ("time", 7, 0, |r| format!("{:.1}", r.begin_s)),
    ("plate", 10, 0, |r| r.plate.clone().unwrap_or_else(|| "–".to_owned())),
    ("conf", 5, 0, |r| r.confidence.map_or_else(|| "–".to_owned(), |c| format!("{:.0}%", c * 100.0))),
    ("width", 5, 0, |r| format!("{:.0}", r.width)),
    ("edge", 5, 70, |r| number(r.edge, 1)),
    ("smear", 5, 70, |r| number(r.smear, 1)),
    ("px/s", 5, 84, |r| number(r.speed, 0)),
    ("contr", 5, 84, |r| number(r.contrast, 0)),
    ("turn", 5, 90, |r| number(r.roll, 0)),
    ("frames", 6, 60, |r| r.frames.to_string()),
];

pub(super) fn number(value: Option<f32>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"))
}

fn passes(out: &mut String, rows: &[Row], paper: Paper) -> std::fmt::Result {
    let shown: Vec<&Column> = COLUMNS.iter().filter(|c| paper.columns >= c.2).collect();
    let line = |cell: &dyn Fn(&Column) -> String| {
        let cells = shown.iter().map(|c| match c.0 {
            "plate" => format!("{:<width$}", cell(c), width = c.1),
            _ => format!("{:>width$}", cell(c), width = c.1),
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    writeln!(out, "{}", paper.painted(&format!("{}  {}", line(&|c| c.0.to_owned()), "became"), SOFT))?;
    for row in rows.iter().filter(|r| r.judged) {
        let sgr = match row.outcome {
            Outcome::Read | Outcome::Again => GOOD,
            Outcome::Doubtful => WARN,
            Outcome::Unread => BAD,
        };
        writeln!(out, "{}  {}", line(&|c| (c.3)(row)), paper.painted(&became(row), sgr))?;
    }
    Ok(())
}

/// What became of a pass, with why it was not told.
pub(super) fn became(row: &Row) -> String {
    let word = match row.outcome {
        Outcome::Read => "read",
        Outcome::Again => "seen again",
        Outcome::Doubtful => "doubtful",
        Outcome::Unread => "not read",
    };
    row.refused.map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"))
}

/// Text in lines of so many columns, all but the first indented.
fn wrapped(out: &mut String, text: &str, indent: usize, columns: usize) -> std::fmt::Result {
    let room = columns.saturating_sub(indent).max(20);
    let mut used = 0;
    write!(out, "{:indent$}", "")?;
    for word in text.split(' ') {
        let long = word.chars().count();
        if used > 0 && used + 1 + long > room {
            write!(out, "\n{:indent$}", "")?;
            used = 0;
        }
        if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += long;
    }
    writeln!(out)
}
