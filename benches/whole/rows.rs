//! What was measured: a line of JSON each, medians over the lines that ask the same, and tables of them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

/// What is measured with how many cameras of which kind.
pub type Key = (String, String, u64);
/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// See the module.
pub struct Rows {
    file: File,
    earlier: Vec<Value>,
    own: Vec<Value>,
}

impl Rows {
    /// Appends to `path`; `all`: earlier lines are told as well.
    pub fn open(path: &Path, all: bool) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let earlier: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let own = if all { earlier.clone() } else { Vec::new() };
        Self { file, earlier: if all { Vec::new() } else { earlier }, own }
    }

    /// Adds what was measured, and says it.
    pub fn add(&mut self, what: &str, clip: &str, cameras: usize, figures: &[(&str, f64)]) {
        let figures: Map<String, Value> =
            figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let row = json!({"what": what, "clip": clip, "cameras": cameras, "figures": figures});
        println!("{row}");
        writeln!(self.file, "{row}").unwrap();
        self.own.push(row);
    }

    /// Medians of this run's lines, and of earlier ones where this run has none of the kind.
    pub fn with_earlier(&self) -> BTreeMap<Key, Figures> {
        let mut all = medians(&self.earlier);
        all.extend(medians(&self.own));
        all
    }

    /// Prints the medians of this run.
    pub fn tell(&self, markdown: bool) {
        let all = medians(&self.own);
        let mut last = "";
        for ((what, clip, cameras), figures) in &all {
            if what != last {
                let names: Vec<&str> = figures.keys().map(String::as_str).collect();
                if markdown {
                    println!("\n| {what} | cameras | {} |\n|{}", names.join(" | "), "---|".repeat(names.len() + 2));
                } else {
                    println!("\n{what}: {}", names.join(", "));
                }
                last = what;
            }
            let values: Vec<String> = figures.values().map(|value| told(*value)).collect();
            if markdown {
                println!("| {clip} | {cameras} | {} |", values.join(" | "));
            } else {
                println!("  {clip}, {cameras}: {}", values.join(", "));
            }
        }
    }
}

fn told(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn medians(rows: &[Value]) -> BTreeMap<Key, Figures> {
    let mut all: BTreeMap<Key, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let of = all.entry((text("what"), text("clip"), row["cameras"].as_u64().unwrap_or(0))).or_default();
        for (name, value) in row["figures"].as_object().into_iter().flatten() {
            of.entry(name.clone()).or_default().extend(value.as_f64());
        }
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let figures =
        |of: BTreeMap<String, Vec<f64>>| of.into_iter().map(|(name, values)| (name, middle(values))).collect();
    all.into_iter().map(|(key, of)| (key, figures(of))).collect()
}
