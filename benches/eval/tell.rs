//! The report: tables for people, and the same numbers as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::clips::Counted;
use super::run::{Case, End, Outcome};
use super::score::{Measures, Tally, share};
use super::traits::{AXES, FRAME_WIDTH};
use super::widths;

/// Text of tables and the value of the JSON.
#[derive(Debug, Default)]
pub struct Report {
    pub text: String,
    pub json: serde_json::Map<String, Value>,
}

/// Rows of cells with the first column to the left and the others to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let wide = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|c| c.chars().count());
        cells.chain(head.get(at).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.enumerate().map(|(at, cell)| {
            let width = wide(at);
            if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A share with three digits, a dash for none.
pub fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"))
}

/// Regions by name, the total last.
fn sorted(tallies: &BTreeMap<String, Tally>) -> Vec<(&str, Measures)> {
    let mut all: Vec<(&str, Measures)> = tallies.iter().map(|(name, t)| (name.as_str(), t.measures())).collect();
    all.sort_by_key(|(name, _)| (*name == "total", *name));
    all
}

impl Report {
    /// A heading.
    pub fn head(&mut self, text: &str) {
        let _ = writeln!(self.text, "\n## {text}\n");
    }

    /// One set: measures by region, reliability, CPU, breakdowns.
    pub fn set(&mut self, name: &str, outcome: &Outcome) {
        self.head(&format!("{name}: {} pictures", outcome.pictures));
        let measures = sorted(&outcome.tallies);
        self.text.push_str(&measured(&measures));
        let once = sorted(&outcome.once);
        self.once(&measures, &once);
        let reliability = self.reliability(&measures);
        let cpu = self.cpu(outcome);
        let mut broken = serde_json::Map::new();
        // Nothing is looked for in a crop, and no camera's frame is known.
        for axis in AXES.iter().filter(|a| !outcome.crops || a.name != FRAME_WIDTH) {
            broken.insert(axis.name.to_owned(), self.broken(axis, &outcome.cases, !outcome.crops));
        }
        let regions = |all: &[(&str, Measures)]| {
            Value::Object(all.iter().map(|(name, m)| ((*name).to_owned(), json!(m))).collect())
        };
        self.json.insert(
            name.to_owned(),
            json!({
                "pictures": outcome.pictures, "regions": regions(&measures), "first_look_alone": regions(&once),
                "reliability": reliability, "cpu_ms_a_picture": cpu, "by": broken,
            }),
        );
    }

    fn once(&mut self, measures: &[(&str, Measures)], once: &[(&str, Measures)]) {
        if measures.iter().all(|(_, m)| m.exact.is_none()) || once.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = once
            .iter()
            .zip(measures)
            .map(|((name, first), (_, all))| {
                let cells = [first.exact, all.exact, first.wrong_confident, all.wrong_confident, first.ece, all.ece];
                std::iter::once((*name).to_owned()).chain(cells.map(cell)).collect()
            })
            .collect();
        self.text.push_str("\nwhat the second look brings (first look alone, then all)\n");
        let head = ["region", "exact 1", "exact", "wrong>=.9 1", "wrong>=.9", "ece 1", "ece"];
        self.text.push_str(&table(&head, &rows));
    }

    fn reliability(&mut self, measures: &[(&str, Measures)]) -> Value {
        let Some((_, total)) = measures.last().filter(|(_, m)| !m.reliability.is_empty()) else { return Value::Null };
        let row = |b: &super::score::Bin| {
            vec![format!("{:.1}", b.from), b.reads.to_string(), cell(Some(b.mean_confidence)), cell(Some(b.right))]
        };
        let rows: Vec<Vec<String>> = total.reliability.iter().map(row).collect();
        self.text.push_str("\nhow often reads of a confidence are right\n");
        self.text.push_str(&table(&["from", "reads", "confidence", "right"], &rows));
        json!(total.reliability)
    }

    fn cpu(&mut self, outcome: &Outcome) -> Value {
        let n = outcome.pictures.max(1) as f64;
        let [detect, read, again] =
            [outcome.cpu.detect, outcome.cpu.read, outcome.cpu.again].map(|d| d.as_secs_f64() * 1000.0 / n);
        let all = detect + read + again;
        let _ = writeln!(
            self.text,
            "\nCPU ms a picture, without decoding: detect {detect:.2}, rectify and read {read:.2}, second look {again:.2}, \
             all {all:.2}"
        );
        json!({"detect": detect, "read": read, "second_look": again, "all": all})
    }

    /// The labelled plates by one of their traits.
    fn broken(&mut self, axis: &super::traits::Axis, cases: &[Case], looked: bool) -> Value {
        let mut bins: BTreeMap<usize, Group> = BTreeMap::new();
        for case in cases.iter().filter(|c| c.end != End::False) {
            if let Some(bin) = axis.bin(&case.traits) {
                bins.entry(bin).or_default().add(case);
            }
        }
        if bins.is_empty() {
            return Value::Null;
        }
        let rows: Vec<Vec<String>> = bins.iter().map(|(bin, group)| group.row(&axis.label(*bin), looked)).collect();
        let _ = writeln!(self.text, "\nby {}", axis.name);
        let head = ["", "plates", "seen", "read", "texts", "exact", "edit", "wrong>=.9"];
        self.text.push_str(&table(&head, &rows));
        Value::Array(bins.iter().map(|(bin, group)| group.json(&axis.label(*bin))).collect())
    }

    /// Counted of clips.
    pub fn clips(&mut self, clips: &[Counted]) {
        self.head("clips: finished tracks against labelled passes");
        let row = |c: &Counted| {
            let numbers = [c.passes, c.found, c.misread, c.missed, c.top3, c.duplicates, c.spurious];
            std::iter::once(c.clip.clone()).chain(numbers.map(|n| n.to_string())).collect()
        };
        let head = ["clip", "passes", "found", "misread", "missed", "top3", "duplicates", "spurious"];
        self.text.push_str(&table(&head, &clips.iter().map(row).collect::<Vec<_>>()));
        self.json.insert("clips".to_owned(), json!(clips));
    }

    /// Found and read by width.
    pub fn widths(&mut self, of: &str, rows: &[widths::Row]) {
        self.head(&format!("{of} by width of the plate in a frame of 1280×720: shrunk and pasted"));
        let mut ordered: Vec<&widths::Row> = rows.iter().collect();
        ordered.sort_by_key(|r| (r.region == "total", r.region.clone(), r.width));
        let row = |r: &&widths::Row| {
            let shares = [r.seen, r.seen_centre, r.exact, r.exact_of_found].map(cell);
            [r.region.clone(), r.width.to_string(), r.plates.to_string()].into_iter().chain(shares).collect()
        };
        let cells: Vec<Vec<String>> = ordered.iter().map(row).collect();
        let head = ["region", "width", "plates", "det.iou", "det.ctr", "exact", "exact of found"];
        self.text.push_str(&table(&head, &cells));
        self.json.insert("widths".to_owned(), json!({"of": of, "rows": rows}));
    }
}

fn measured(measures: &[(&str, Measures)]) -> String {
    let row = |(name, m): &(&str, Measures)| {
        let n = m.counts;
        let interval = m.exact_ci95.map_or_else(|| "-".to_owned(), |[low, high]| format!("[{low:.2},{high:.2}]"));
        let two = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        vec![
            (*name).to_owned(),
            n.images.to_string(),
            n.boxes.to_string(),
            cell(m.seen),
            cell(m.det_iou),
            cell(m.det_centre),
            cell(m.false_per_image),
            n.texts.to_string(),
            cell(m.exact),
            interval,
            cell(m.strict),
            cell(m.top3),
            two(m.edit),
            two(m.edit_read),
            cell(m.wrong_confident),
            cell(m.ece),
        ]
    };
    let head = [
        "region",
        "images",
        "plates",
        "seen",
        "det.iou",
        "det.ctr",
        "false/img",
        "texts",
        "exact",
        "[lo,hi]",
        "strict",
        "top3",
        "edit",
        "edit|read",
        "wrong>=.9",
        "ece",
    ];
    table(&head, &measures.iter().map(row).collect::<Vec<_>>())
}

/// Plates of one bin.
#[derive(Debug, Default)]
struct Group {
    plates: usize,
    seen: usize,
    read: usize,
    texts: usize,
    exact: usize,
    edits: usize,
    wrong: usize,
}

impl Group {
    fn add(&mut self, case: &Case) {
        self.plates += 1;
        self.seen += usize::from(case.seen);
        self.read += usize::from(case.end != End::Missed);
        self.texts += usize::from(case.truth.is_some());
        self.exact += usize::from(case.end == End::Exact);
        self.edits += case.edits();
        self.wrong += usize::from(case.end == End::Misread && case.confidence() >= super::score::CONFIDENT);
    }

    fn row(&self, label: &str, looked: bool) -> Vec<String> {
        let mut cells = vec![label.to_owned(), self.plates.to_string()];
        let seen = share(self.seen, self.plates).filter(|_| looked);
        cells.extend([seen, share(self.read, self.plates)].map(cell));
        cells.push(self.texts.to_string());
        let edit = share(self.edits, self.texts).map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        cells.extend([cell(share(self.exact, self.texts)), edit, self.wrong.to_string()]);
        cells
    }

    fn json(&self, label: &str) -> Value {
        json!({
            "bin": label, "plates": self.plates, "seen": share(self.seen, self.plates), "read": share(self.read, self.plates),
            "texts": self.texts, "exact": share(self.exact, self.texts), "edit": share(self.edits, self.texts),
            "wrong_confident": self.wrong,
        })
    }
}
