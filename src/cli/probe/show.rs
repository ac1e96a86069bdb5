//! The report for people, and the same for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::Report;
use crate::camera::probe::{Coded, Probed};
use crate::cli::check::Level;

/// Facts, findings, block.
pub(super) fn text(report: &Report) -> String {
    let Report { probed, findings, block } = report;
    let facts = facts(probed);
    if facts.is_empty() && findings.is_empty() {
        return String::new();
    }
    let mut lines = vec![probed.origin.clone(), String::new()];
    lines.extend(facts.into_iter().map(|(name, value)| format!("  {name:<11} {value}")));
    if !findings.is_empty() {
        lines.push(String::new());
    }
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Failure => "FAILURE",
        };
        lines.push(format!("{mark}  {:<10}  {}", finding.check, finding.what));
        lines.extend(finding.todo.iter().map(|todo| format!("                     → {todo}")));
    }
    if probed.first_frame.is_some() {
        lines.push("\nPaste into /etc/watchpost/watchpost.toml:\n".to_owned());
        lines.push(block.text());
        lines.extend(block.how_to_store());
    }
    let mut text = lines.join("\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Names and values, in the order in which an installer asks.
fn facts(probed: &Probed) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for (i, stream) in probed.streams.iter().enumerate() {
        let name = if i == 0 { "streams" } else { "" };
        let used = if stream.used { "used" } else { "not used" };
        facts.push((name, format!("{} {}, {used}", stream.media, stream.codec)));
    }
    let came = probed.measured.pictures > 0;
    facts.extend(probed.transport.filter(|_| came).map(|transport| ("transport", transport.to_owned())));
    if let Some(coded) = &probed.coded {
        facts.push(("codec", codec(coded)));
    }
    facts.extend(picture(probed).map(|picture| ("picture", picture)));
    let measured = &probed.measured;
    if let Some(fps) = measured.fps {
        let declared = probed.coded.as_ref().and_then(|c| c.fps);
        let declared = declared.map_or_else(|| "none declared".to_owned(), |fps| format!("{fps:.2} declared"));
        facts.push(("frames/s", format!("{declared}, {fps:.2} measured over {}", seconds(measured.span))));
    }
    if probed.coded.as_ref().is_some_and(Coded::has_key_frames) && measured.pictures > 0 {
        facts.push(("key frames", key_frames(probed)));
        let b = match measured.reordered {
            0 => "none".to_owned(),
            n => format!("yes, up to {n} pictures wait for a later one"),
        };
        facts.push(("B-frames", b));
    }
    facts.extend(measured.bits_a_second.map(|bits| ("bit rate", format!("{:.2} Mbit/s", bits / 1e6))));
    facts.extend(measured.quantiser.map(|q| ("quantised", format!("key frames by {q:.0} of 51 (0 fine, 51 coarse)"))));
    facts.extend(probed.first_frame.map(|first| ("first frame", format!("after {}", seconds(first)))));
    facts.extend(probed.cost_ms.map(|ms| ("decoding", format!("{ms:.1} ms of CPU a frame on this machine"))));
    facts
}

fn codec(coded: &Coded) -> String {
    let mut text = coded.codec.clone();
    if let Some(profile) = &coded.profile {
        text = format!("{text}, profile {profile}");
    }
    if let Some(level) = &coded.level {
        text = format!("{text}, level {level}");
    }
    text
}

fn picture(probed: &Probed) -> Option<String> {
    let coded = probed.coded.as_ref();
    let (width, height) = coded.and_then(|c| c.size).or(probed.decoded.map(|d| d.size))?;
    let mut parts = vec![format!("{width}×{height}")];
    if let Some(coded) = coded {
        let kind = [coded.bits.map(|bits| format!("{bits}-bit")), coded.chroma.clone()];
        parts.push(kind.into_iter().flatten().collect::<Vec<_>>().join(" "));
        parts.push(if coded.interlaced { "interlaced" } else { "progressive" }.to_owned());
        parts.extend(coded.pixel_aspect.map(|(w, h)| format!("pixels {w}:{h}")));
    }
    let full = coded.and_then(|c| c.full_range).or(probed.decoded.map(|d| d.full_range));
    parts.extend(full.map(|full| if full { "full range" } else { "limited range" }.to_owned()));
    parts.extend(probed.turned.map(|(degrees, mirrored)| {
        format!("to be turned by {degrees}°{}", if mirrored { " and mirrored" } else { "" })
    }));
    parts.retain(|part| !part.is_empty());
    Some(parts.join(", "))
}

fn key_frames(probed: &Probed) -> String {
    let measured = &probed.measured;
    let longest = measured.keys.longest.map_or_else(String::new, |longest| format!(", {}", seconds(longest)));
    match measured.keys.pictures {
        Some((a, b)) if a == b => format!("every {a} frames{longest}"),
        Some((a, b)) => format!("every {a} to {b} frames{longest} at most"),
        None => format!("{} within {}", measured.keys.seen, seconds(measured.span)),
    }
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// One object.
pub(super) fn json(report: &Report) -> Value {
    let Report { probed, findings, block } = report;
    let coded = probed.coded.clone().unwrap_or_default();
    let measured = &probed.measured;
    let keys = measured.keys;
    json!({
        "uri": probed.origin,
        "live": probed.live,
        "streams": probed.streams.iter()
            .map(|s| json!({ "media": s.media, "codec": s.codec, "used": s.used })).collect::<Vec<_>>(),
        "transport": probed.transport,
        "codec": probed.coded.as_ref().map(|c| &c.codec),
        "profile": coded.profile,
        "level": coded.level,
        "width": coded.size.or(probed.decoded.map(|d| d.size)).map(|s| s.0),
        "height": coded.size.or(probed.decoded.map(|d| d.size)).map(|s| s.1),
        "bits": coded.bits,
        "chroma": coded.chroma,
        "full_range": coded.full_range.or(probed.decoded.map(|d| d.full_range)),
        "interlaced": probed.coded.as_ref().map(|c| c.interlaced),
        "pixel_aspect": coded.pixel_aspect.map(|(w, h)| [w, h]),
        "rotation": probed.turned.map(|(degrees, _)| degrees),
        "mirrored": probed.turned.map(|(_, mirrored)| mirrored),
        "fps": { "declared": coded.fps, "measured": measured.fps },
        "pictures": measured.pictures,
        "frames_decoded": probed.frames,
        "measured_s": measured.span.as_secs_f64(),
        "key_frames": {
            "seen": keys.seen,
            "shortest_frames": keys.pictures.map(|(a, _)| a),
            "longest_frames": keys.pictures.map(|(_, b)| b),
            "longest_s": keys.longest.map(|t| t.as_secs_f64()),
        },
        "b_frames": measured.reordered > 0,
        "reordered": measured.reordered,
        "bits_a_second": measured.bits_a_second,
        "quantiser": measured.quantiser,
        "longest_pause_s": measured.longest_pause.as_secs_f64(),
        "first_frame_s": probed.first_frame.map(|t| t.as_secs_f64()),
        "decoding_cpu_ms": probed.cost_ms,
        "findings": findings,
        "error": probed.error.as_ref().map(ToString::to_string),
        "block": probed.first_frame.map(|_| block.text()),
    })
}
