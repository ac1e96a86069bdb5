//! How the figures are told: tables, an answer in plain words, or JSON.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::Mode;
use super::answer::{Carried, LOAD, Need, RATES};
use super::cost::cores;
use super::floor::{Floor, Parts};
use super::spread::Spread;
use super::table::Table;
use super::whole::{Figure, Run};

/// What a floor is made of: key, and where it stands.
type Part = (&'static str, fn(&Parts) -> f64);
const PARTS: [Part; 5] = [
    ("decode_ms", |p| p.decode),
    ("tensor_ms", |p| p.tensor),
    ("detector_ms", |p| p.detector),
    ("look_ms", |p| p.look),
    ("read_ms", |p| p.read),
];
/// Both floors: word, key.
type Kind = (&'static str, &'static str, fn(&Floor) -> Parts);
const KINDS: [Kind; 2] = [("alone", "floor", |f| f.alone), ("in one loop", "loop", |f| f.together)];

/// The runs of one number of cameras in one mode.
#[derive(Debug)]
pub(super) struct Row {
    pub mode: Mode,
    pub cameras: u32,
    pub floors: Vec<Floor>,
    pub runs: Vec<Run>,
}

impl Row {
    pub(super) fn of(mode: Mode, cameras: u32) -> Self {
        Self { mode, cameras, floors: Vec::new(), runs: Vec::new() }
    }

    fn spread(&self, figure: Figure) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.get(figure)))
    }

    /// The plates of all runs.
    fn plates(&self) -> BTreeSet<&str> {
        self.runs.iter().flat_map(|run| run.plates.iter().map(String::as_str)).collect()
    }

    /// Medians of the parts of a floor, in the order of [`PARTS`].
    fn parts(&self, of: fn(&Floor) -> Parts) -> [f64; 5] {
        PARTS.map(|(_, part)| Spread::of(self.floors.iter().map(|floor| part(&of(floor)))).median)
    }
}

/// Everything.
#[derive(Debug)]
pub(super) struct Report {
    pub clip: PathBuf,
    pub size: (u32, u32),
    pub frames: u64,
    pub rows: Vec<Row>,
}

impl Report {
    /// Tables and the answer.
    ///
    /// # Errors
    /// What the output says.
    pub(super) fn write(&self, markdown: bool, out: &mut dyn Write) -> std::io::Result<()> {
        let (width, height) = self.size;
        let runs = self.rows.first().map_or(0, |row| row.runs.len());
        writeln!(
            out,
            "{} {width}×{height}, {} frames a camera, median of {runs} (least–most), CPU ms a frame\n",
            self.clip.display(),
            self.frames
        )?;
        self.stages().write(markdown, out)?;
        self.floors().write(markdown, out)?;
        self.tell_plates(out)?;
        let percent = LOAD * 100.0;
        writeln!(
            out,
            "This box has {} processor cores. Loaded to {percent:.0} %, it carries so many cameras like this clip:\n",
            cores()
        )?;
        self.answer().write(markdown, out)
    }

    fn stages(&self) -> Table {
        let head = self.rows.iter().map(|row| {
            format!("{}, {} camera{}", row.mode.as_str(), row.cameras, if row.cameras == 1 { "" } else { "s" })
        });
        let mut table = Table::of([String::new()].into_iter().chain(head));
        let has_vehicles = self.rows.iter().any(|row| row.spread(Figure::Looks).most > 0.0);
        for figure in Figure::ALL {
            if matches!(figure, Figure::Vehicles | Figure::Looks) && !has_vehicles {
                continue;
            }
            let (_, name, decimals) = figure.told();
            let with_ends =
                matches!(figure, Figure::Whole | Figure::Floor | Figure::Ratio | Figure::Loop | Figure::LoopRatio);
            let told = |row: &Row| row.spread(figure).told(decimals, with_ends && row.runs.len() > 1);
            table.row([name.to_owned()].into_iter().chain(self.rows.iter().map(told)));
        }
        table
    }

    fn floors(&self) -> Table {
        let head =
            ["what the floor is made of, CPU ms", "decoding", "tensor", "detector", "a look for vehicles", "a read"];
        let mut table = Table::of(head.map(str::to_owned));
        let mut told = BTreeSet::new();
        for row in self.rows.iter().filter(|row| told.insert(row.cameras)) {
            for (word, _, kind) in KINDS {
                let parts = row.parts(kind).map(|part| format!("{part:.2}"));
                table.row([format!("{word}, {} at a time", row.cameras)].into_iter().chain(parts));
            }
        }
        table
    }

    fn tell_plates(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for row in &self.rows {
            let plates = row.plates();
            let texts = plates.iter().copied().collect::<Vec<_>>().join(" ");
            writeln!(
                out,
                "plates told with {}, {} at a time: {} {texts}",
                row.mode.as_str(),
                row.cameras,
                plates.len()
            )?;
        }
        writeln!(out)
    }

    fn modes(&self) -> Vec<(Mode, Need)> {
        let mut modes: Vec<Mode> = Vec::new();
        for row in &self.rows {
            if !modes.contains(&row.mode) {
                modes.push(row.mode);
            }
        }
        let measured = |mode: Mode| {
            let rows = self.rows.iter().filter(move |row| row.mode == mode);
            rows.map(|row| (row.cameras, row.spread(Figure::Whole).median, row.spread(Figure::Pss).median))
        };
        modes.into_iter().map(|mode| (mode, Need::of(&measured(mode).collect::<Vec<_>>()))).collect()
    }

    fn answer(&self) -> Table {
        let modes = self.modes();
        let head = modes.iter().map(|(mode, _)| mode.as_str().to_owned());
        let mut table = Table::of(["frames a second".to_owned()].into_iter().chain(head));
        let told = |carried: Carried| match carried.cameras {
            0 => "none".to_owned(),
            n => {
                let bound = if carried.by_memory { ", all there is" } else { "" };
                format!("{n} camera{}, {:.0} MiB{bound}", if n == 1 { "" } else { "s" }, carried.mib)
            }
        };
        for fps in RATES {
            let cells = modes.iter().map(|(_, need)| told(need.carried(fps)));
            table.row([fps.to_string()].into_iter().chain(cells));
        }
        table
    }

    /// The same as one object; every figure with median, least and most.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures: Map<String, Value> = Figure::ALL
                .iter()
                .map(|figure| {
                    let Spread { median, least, most } = row.spread(*figure);
                    (figure.told().0.to_owned(), json!({"median": median, "least": least, "most": most}))
                })
                .collect();
            let floors: Map<String, Value> = KINDS
                .iter()
                .map(|(_, name, kind)| {
                    let parts =
                        PARTS.iter().zip(row.parts(*kind)).map(|((name, _), ms)| ((*name).to_owned(), json!(ms)));
                    ((*name).to_owned(), Value::Object(parts.collect()))
                })
                .collect();
            json!({
                "settings": key(row.mode), "cameras": row.cameras, "runs": row.runs.len(), "figures": figures,
                "floors": floors,
                "plates": row.plates(),
            })
        });
        let carries = self.modes().into_iter().flat_map(|(mode, need)| {
            RATES.map(|fps| need.carried(fps)).map(|carried| {
                json!({
                    "settings": key(mode), "fps": carried.fps, "cameras": carried.cameras, "mib": carried.mib,
                    "bound": if carried.by_memory { "memory" } else { "cpu" },
                })
            })
        });
        json!({
            "clip": self.clip, "width": self.size.0, "height": self.size.1, "frames": self.frames, "cores": cores(),
            "load": LOAD, "rows": rows.collect::<Vec<_>>(), "carries": carries.collect::<Vec<_>>(),
        })
    }
}

fn key(mode: Mode) -> &'static str {
    match mode {
        Mode::Every => "every",
        Mode::Default => "default",
    }
}
