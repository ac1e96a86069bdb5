//! The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere; prints on a sheet.

use crate::command::ops::report::Answer;
use crate::domain::BoxId;
use crate::domain::report::{CountTable, SMALL};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5c6b7a;--line:#d8dee5;--bar:#2f6f9f;--paper:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa8b5;--line:#33404d;--bar:#6fb0dd;--paper:#14191f}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:2rem 1.5rem;background:var(--paper);color:var(--ink);\
font:15px/1.45 system-ui,sans-serif}h1{font-size:1.7rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .5rem;\
border-bottom:2px solid var(--ink);padding-bottom:.25rem}h3{font-size:1rem;margin:0 0 .3rem}.soft{color:var(--soft)}\
.tables{display:grid;grid-template-columns:repeat(auto-fill,minmax(17.5rem,1fr));gap:1.25rem 2rem}\
table{border-collapse:collapse;width:100%}td{padding:.15rem 0;border-bottom:1px solid var(--line);vertical-align:middle}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-left:.6rem}td.b{width:34%}td:first-child{width:46%}\
.bar{height:.6rem;background:var(--bar);border-radius:2px;min-width:1px}tr.total td{font-weight:600;border-bottom:0}\
section{break-inside:avoid}@media print{body{padding:0;font-size:12px}}";

/// The page of these boxes; `missing` did not answer, of `asked` in all.
pub(super) fn page(told: &[(&BoxId, Answer)], missing: &[&BoxId], asked: usize) -> String {
    let month = told.first().map(|(_, answer)| super::month_of(answer)).unwrap_or_default();
    let boxes: String = told.iter().map(|(id, answer)| of_box(id, answer)).collect();
    let absent = if missing.is_empty() {
        String::new()
    } else {
        let names: Vec<&str> = missing.iter().map(|id| id.as_str()).collect();
        format!(" Missing: {}.", escape(&names.join(", ")))
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Plate reading, {month}</title><style>{STYLE}</style></head><body>\
         <h1>Plate reading in {month}</h1>\
         <p class=\"soft\">{} of {asked} boxes are in this report.{absent} Counts alone: it names no plate, no person and no case. \
         <strong>*</strong> stands for a count that is left out: one of 1 to {}, or one that would tell such a count. \
         Times are UTC.</p>{boxes}</body></html>\n",
        told.len(),
        SMALL - 1
    )
}

fn of_box(id: &BoxId, answer: &Answer) -> String {
    let tables: String = answer.tables.iter().filter(|t| !t.rows.is_empty()).map(of_table).collect();
    let mut notes = Vec::new();
    if let Some(p) = answer.precision {
        notes.push(format!("Of the hits that were judged {}.{} % were right about plate and vehicle.", p / 10, p % 10));
    }
    for (camera, minutes) in answer.down_minutes.iter().filter(|(_, minutes)| *minutes > 0) {
        notes.push(format!("Camera {} gave no pictures for {}.", escape(camera), spoken(*minutes)));
    }
    notes.push(format!("The box itself was away for {}.", spoken(answer.away_minutes)));
    if answer.begins_within {
        notes.push("Its audit log begins within the month: what was before is not known.".to_owned());
    }
    format!("<h2>{}</h2><div class=\"tables\">{tables}</div><p>{}</p>", escape(id.as_str()), notes.join(" "))
}

fn of_table(table: &CountTable) -> String {
    let most = table.rows.iter().filter_map(|(_, n)| *n).max().unwrap_or(0).max(1);
    let row = |(name, n): &(String, Option<u64>)| {
        let width = n.map_or(0, |n| n.saturating_mul(100) / most);
        let bar = if width > 0 || n.is_some_and(|n| n > 0) {
            format!("<div class=\"bar\" style=\"width:{width}%\"></div>")
        } else {
            String::new()
        };
        format!("<tr><td>{}</td><td class=\"b\">{bar}</td><td class=\"n\">{}</td></tr>", escape(name), grouped(*n))
    };
    let rows: String = table.rows.iter().filter(|(_, n)| *n != Some(0)).map(row).collect();
    let total = grouped(table.total);
    format!(
        "<section><h3>{} <span class=\"soft\">by {}</span></h3><table>{rows}\
         <tr class=\"total\"><td>all</td><td class=\"b\"></td><td class=\"n\">{total}</td></tr></table></section>",
        capital(&table.name),
        escape(&table.by)
    )
}

fn capital(text: &str) -> String {
    let mut characters = escape(text).chars().collect::<Vec<_>>();
    if let Some(first) = characters.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    characters.into_iter().collect()
}

/// Thousands apart, by a space that does not break.
fn grouped(count: Option<u64>) -> String {
    let Some(count) = count else { return "*".to_owned() };
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

fn spoken(minutes: u64) -> String {
    match (minutes / 60, minutes % 60) {
        (0, m) => format!("{m} minutes"),
        (h, m) => format!("{h} h {m:02} min"),
    }
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() => "?".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
