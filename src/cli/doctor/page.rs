//! The report as one page that needs nothing else: pictures are inside it, no script, no font, no network; it prints.
//!
//! It shows number plates, and says so. What comes from outside (addresses, errors, texts) is escaped.

use std::fmt::Write as _;

use data_encoding::BASE64;

use super::causes::Cause;
use super::pass::Outcome;
use super::report::{Measure, Report, Row};
use super::show;
use crate::domain::Polygon;

const STYLE: &str = include_str!("page.css");

/// Crops that are shown of one camera at most: those that were not read first.
const MOST_CROPS: usize = 48;

/// The page of these cameras.
pub(super) fn page(reports: &[Report]) -> String {
    let mut body = String::new();
    for report in reports {
        // Writing to a string does not fail.
        let _ = camera(&mut body, report);
    }
    let names: Vec<String> = reports.iter().map(|r| escape(&r.camera)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <title>Watchpost doctor: {}</title><style>{STYLE}</style></head><body><main>{body}\
         <footer>Made by <code>watchpost doctor</code>. This page shows number plates: keep it as you would the pictures, and \
         delete it when the camera is well.</footer></main></body></html>\n",
        names.join(", ")
    )
}

fn camera(out: &mut String, report: &Report) -> std::fmt::Result {
    let (word, _) = show::verdict(report);
    let class = match report.verdict {
        super::causes::Verdict::Healthy => "good",
        super::causes::Verdict::Impaired if report.causes.iter().any(|c| c.costs_reads) => "bad",
        super::causes::Verdict::NoPicture => "bad",
        _ => "warn",
    };
    write!(out, "<article><header><h1>{}</h1>", escape(&report.camera))?;
    if report.source != report.camera {
        write!(out, "<p class=\"soft\">{}</p>", escape(&report.source))?;
    }
    if report.stream.frames > 0 {
        write!(out, "<p class=\"soft\">{}</p>", escape(&show::stream(&report.stream)))?;
    }
    write!(out, "<p class=\"verdict {class}\">{}</p><p>{}.", escape(word), escape(&show::counts(report)))?;
    if let Some(note) = &report.note {
        write!(out, " {}.", escape(&capital(note)))?;
    }
    write!(out, "</p></header>")?;
    if !report.causes.is_empty() {
        write!(out, "<section><h2>What to change</h2><ol class=\"causes\">")?;
        report.causes.iter().try_for_each(|cause| told(out, cause))?;
        write!(out, "</ol></section>")?;
    }
    scene(out, report)?;
    if !report.measures.is_empty() {
        write!(
            out,
            "<section><h2>Measures</h2><p class=\"soft\">One dot a pass; the line is the limit, the shaded side is good. \
             Defocus and smear are in pixels of a plate 160 pixels wide, as the reader is shown it.</p>\
             <table class=\"measures\"><tr><th>measure</th><th class=\"n\">middle</th><th>most between</th><th>wanted</th><th></th></tr>"
        )?;
        report.measures.iter().try_for_each(|m| measure(out, m))?;
        write!(out, "</table></section>")?;
    }
    crops(out, report)?;
    passes(out, report)?;
    write!(out, "</article>")
}

fn told(out: &mut String, cause: &Cause) -> std::fmt::Result {
    let class = if cause.costs_reads { "bad" } else { "warn" };
    write!(out, "<li class=\"{class}\"><p><strong>{}.</strong></p><ul>", escape(&capital(&cause.what)))?;
    for todo in &cause.todo {
        write!(out, "<li>{}.</li>", escape(&capital(todo)))?;
    }
    write!(out, "</ul></li>")
}

/// The scene with masks, region and the ways of the plates over it.
fn scene(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(picture) = &report.picture else { return Ok(()) };
    let (w, h) = (report.stream.width.max(1), report.stream.height.max(1));
    write!(
        out,
        "<section><h2>Where plates go by</h2><div class=\"scene\"><img alt=\"A picture of the camera\" src=\"{}\">\
         <svg viewBox=\"0 0 {w} {h}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Ways of the plates\">",
        jpeg(picture)
    )?;
    let (wide, high) = (f64::from(w), f64::from(h));
    let polygon = |out: &mut String, p: &Polygon, class: &str| {
        let points: Vec<String> = p.points().iter().map(|[x, y]| format!("{:.0},{:.0}", x * wide, y * high)).collect();
        write!(out, "<polygon class=\"{class}\" points=\"{}\"/>", points.join(" "))
    };
    report.masks.iter().try_for_each(|p| polygon(out, p, "mask"))?;
    report.roi.iter().try_for_each(|p| polygon(out, p, "roi"))?;
    for (row, way) in report.passes.iter().zip(&report.ways).filter(|(row, way)| row.judged && way.len() > 1) {
        let points: Vec<String> =
            way.iter().map(|[x, y]| format!("{:.0},{:.0}", f64::from(*x) * wide, f64::from(*y) * high)).collect();
        write!(out, "<polyline class=\"way {}\" points=\"{}\"/>", class_of(row.outcome), points.join(" "))?;
    }
    write!(
        out,
        "</svg></div><p class=\"key soft\"><span class=\"good\">read</span> <span class=\"warn\">doubtful</span> \
                 <span class=\"bad\">not read</span>"
    )?;
    if !report.roi.is_empty() {
        write!(out, " · dashed: region of interest")?;
    }
    if !report.masks.is_empty() {
        write!(out, " · black: privacy mask")?;
    }
    write!(out, "</p></section>")
}

fn class_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Read | Outcome::Again => "good",
        Outcome::Doubtful => "warn",
        Outcome::Unread => "bad",
    }
}

fn measure(out: &mut String, m: &Measure) -> std::fmt::Result {
    let d = m.digits;
    let class = if m.is_good() { "good" } else { "bad" };
    write!(
        out,
        "<tr><td>{}</td><td class=\"n {class}\">{:.d$}</td><td>{:.d$} and {:.d$}</td><td>{} {:.d$} {}</td><td>",
        m.name,
        m.spread.middle,
        m.spread.low,
        m.spread.high,
        if m.more_is_better { "≥" } else { "≤" },
        m.limit,
        m.unit
    )?;
    strip(out, m)?;
    write!(out, "</td></tr>")
}

/// Dots over the axis of one measure.
fn strip(out: &mut String, m: &Measure) -> std::fmt::Result {
    const WIDE: f32 = 240.0;
    let most = m.values.iter().map(|v| v.0).fold(m.limit * 1.6, f32::max).max(1e-3);
    let at = |v: f32| (v / most * (WIDE - 12.0) + 6.0).clamp(2.0, WIDE - 2.0);
    let limit = at(m.limit);
    let (from, wide) = if m.more_is_better { (limit, WIDE - limit) } else { (0.0, limit) };
    write!(
        out,
        "<svg class=\"strip\" viewBox=\"0 0 {WIDE} 22\" role=\"img\" aria-label=\"{} of each pass\">\
         <rect class=\"side\" x=\"{from:.1}\" y=\"0\" width=\"{wide:.1}\" height=\"22\"/>\
         <line class=\"limit\" x1=\"{limit:.1}\" x2=\"{limit:.1}\" y1=\"0\" y2=\"22\"/>",
        m.name
    )?;
    for (n, (value, outcome)) in m.values.iter().enumerate() {
        let y = 6 + n % 3 * 5;
        write!(out, "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{y}\" r=\"3\"/>", class_of(*outcome), at(*value))?;
    }
    write!(out, "</svg>")
}

fn crops(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut shown: Vec<(&Row, &Vec<u8>)> =
        report.passes.iter().zip(&report.crops).filter_map(|(row, crop)| Some((row, crop.as_ref()?))).collect();
    shown.retain(|(row, _)| row.judged);
    // What was lost comes first.
    shown.sort_by_key(|(row, _)| match row.outcome {
        Outcome::Unread => 0,
        Outcome::Doubtful => 1,
        Outcome::Read | Outcome::Again => 2,
    });
    if shown.is_empty() {
        return Ok(());
    }
    let left_out = shown.len().saturating_sub(MOST_CROPS);
    write!(out, "<section><h2>Plates at their largest</h2><div class=\"crops\">")?;
    for (row, crop) in shown.into_iter().take(MOST_CROPS) {
        write!(
            out,
            "<figure class=\"{}\"><img alt=\"\" src=\"{}\"><figcaption><b>{}</b> {}<br><span class=\"soft\">{}</span></figcaption></figure>",
            class_of(row.outcome),
            jpeg(crop),
            escape(row.plate.as_deref().unwrap_or("–")),
            escape(&show::became(row)),
            escape(&caption(row))
        )?;
    }
    write!(out, "</div>")?;
    if left_out > 0 {
        write!(out, "<p class=\"soft\">{left_out} more are not shown.</p>")?;
    }
    write!(out, "</section>")
}

fn caption(row: &Row) -> String {
    let mut parts = vec![format!("{:.1} s", row.begin_s), format!("{:.0} px wide", row.width)];
    parts.extend(row.mm_a_pixel.map(|mm| format!("{mm:.0} mm a pixel")));
    parts.extend(row.edge.map(|e| format!("edges {e:.1} px")));
    parts.extend(row.smear.filter(|s| *s > 0.0).map(|s| format!("smear {s:.1} px")));
    parts.extend(row.speed.map(|s| format!("{s:.0} px/s")));
    parts.join(", ")
}

fn passes(out: &mut String, report: &Report) -> std::fmt::Result {
    if !report.passes.iter().any(|r| r.judged) {
        return Ok(());
    }
    write!(
        out,
        "<section><h2>Passes</h2><div class=\"wide\"><table class=\"passes\"><tr><th>from, s</th><th>plate</th>\
         <th>confidence</th><th>width</th><th>letters</th><th>edge</th><th>smear</th><th>speed</th><th>open</th>\
         <th>bright</th><th>contrast</th><th>turned</th><th>slanted</th><th>frames</th><th>score</th><th>became</th></tr>"
    )?;
    for row in report.passes.iter().filter(|r| r.judged) {
        let open = row.exposure_ms.map_or_else(|| "–".to_owned(), |ms| super::causes::plate::fraction(ms / 1e3));
        let cells = [
            format!("{:.1}", row.begin_s),
            escape(row.plate.as_deref().unwrap_or("–")),
            row.confidence.map_or_else(|| "–".to_owned(), |c| format!("{:.0} %", c * 100.0)),
            format!("{:.0} px", row.width),
            format!("{:.0} px", row.letter_height),
            show::number(row.edge, 1),
            show::number(row.smear, 1),
            row.speed.map_or_else(|| "–".to_owned(), |s| format!("{s:.0} px/s")),
            open,
            show::number(row.ground, 0),
            show::number(row.contrast, 0),
            show::number(row.roll, 0),
            show::number(row.shear, 0),
            row.frames.to_string(),
            format!("{:.2}", row.score),
        ];
        write!(out, "<tr>")?;
        cells.iter().try_for_each(|cell| write!(out, "<td>{cell}</td>"))?;
        write!(out, "<td class=\"{}\">{}</td></tr>", class_of(row.outcome), escape(&show::became(row)))?;
    }
    write!(out, "</table></div></section>")
}

fn jpeg(bytes: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64.encode(bytes))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
