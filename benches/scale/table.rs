//! What was measured, for people and for programs.

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::rig::Row;

/// What the columns are.
pub fn heading(asked: &Asked) -> String {
    format!(
        "{} boxes with {} cameras each, an alert each {} s where it is steady; stores in {}\n\
         latency is from hit to centre, CPU of the whole phase, memory at its end; of the boxes' process a box's share\n\n\
         {:<30} {:>6} {:>7} {:>5} {:>6} {:>7} {:>7} {:>7} | {:>16} | {:>16} | {:>18}",
        asked.boxes,
        asked.cameras,
        asked.every.as_secs_f64(),
        asked.dir.display(),
        "phase",
        "s",
        "alerts",
        "lost",
        "copies",
        "p50 ms",
        "p99 ms",
        "max ms",
        "broker s, MiB",
        "centre s, MiB",
        "a box ms, KiB",
    )
}

/// A phase.
pub fn line(row: &Row, boxes: usize) -> String {
    let [p50, p99, max] = row.latency_ms;
    let [broker, centre, all] = row.used;
    let process =
        |used: crate::measure::Used| format!("{:.2} {:.1}", used.cpu_ms as f64 / 1e3, used.rss_kib as f64 / 1024.0);
    let more: Vec<String> = row.more.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
    format!(
        "{:<30} {:>6.1} {:>7} {:>5} {:>6} {:>7} {:>7} {:>7} | {:>16} | {:>16} | {:>18}\n    {}",
        row.name,
        row.seconds,
        row.alerts,
        row.lost,
        row.duplicates,
        p50,
        p99,
        max,
        process(broker),
        process(centre),
        format!("{:.1} {:.0}", all.cpu_ms as f64 / boxes as f64, all.rss_kib as f64 / boxes as f64),
        more.join(", "),
    )
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// All of it as one object.
pub fn json(asked: &Asked, rows: &[Row], faults: &[String]) -> Value {
    json!({
        "bench": "scale",
        "boxes": asked.boxes,
        "cameras": asked.cameras,
        "checkpoints": asked.checkpoints,
        "every_s": asked.every.as_secs_f64(),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "phases": rows,
        "faults": faults,
    })
}
