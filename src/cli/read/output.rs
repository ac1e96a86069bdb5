//! How `watchpost read` tells what it read: a table for people, JSON lines for programs.

use std::io::{ErrorKind, Write};

use anyhow::Result;
use serde::Serialize;

use super::progress::Progress;
use crate::domain::{Class, PlateRead, VehicleColour};

/// One line of `--json`: a picture, a frame, or a finished track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    /// The file as it was named.
    pub file: String,
    /// Milliseconds from the video's start to the frame, or to the track's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// Milliseconds from the video's start to the track's last frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<u64>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The surest first.
    pub reads: Vec<One>,
    /// Vehicles and persons of a picture or frame, the surest first; absent when they are not looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicles: Option<Vec<Object>>,
}

/// A vehicle or person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Object {
    pub class: &'static str,
    pub confidence: f32,
    /// A vehicle's colour with its probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<(&'static str, f32)>,
    /// Left, top, right, bottom as shares of the picture.
    #[serde(rename = "box")]
    pub rect: [f32; 4],
}

impl Object {
    pub(super) fn new(class: Class, confidence: f32, rect: [f32; 4]) -> Self {
        Self { class: class.as_str(), confidence: rounded(confidence), colour: None, rect: rect.map(rounded) }
    }

    /// The same with its colour.
    pub(super) fn with_colour(self, colour: Option<VehicleColour>) -> Self {
        Self { colour: colour.map(|c| (c.colour.as_str(), rounded(c.confidence))), ..self }
    }
}

/// One read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct One {
    pub plate: String,
    pub confidence: f32,
    /// Left, top, right, bottom as shares of the picture.
    #[serde(rename = "box")]
    pub rect: [f32; 4],
    /// Top left, top right, bottom right, bottom left as shares of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corners: Option<[[f32; 2]; 4]>,
    /// Texts with their probabilities, the most probable first.
    pub candidates: Vec<(String, f32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// One a character of `plate`.
    pub char_confidences: Vec<f32>,
    /// The vehicle that carries the plate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<Object>,
}

impl One {
    /// A read at its place.
    pub(super) fn new(
        read: &PlateRead,
        rect: [f32; 4],
        corners: Option<[[f32; 2]; 4]>,
        vehicle: Option<Object>,
    ) -> Self {
        Self {
            plate: read.text.to_string(),
            confidence: rounded(read.confidence),
            rect: rect.map(rounded),
            corners: corners.map(|q| q.map(|p| p.map(rounded))),
            candidates: read.candidates.iter().map(|c| (c.text.to_string(), rounded(c.confidence))).collect(),
            region: read.region.clone(),
            char_confidences: read.char_confidences.iter().map(|c| rounded(*c)).collect(),
            vehicle,
        }
    }
}

/// Five digits after the point: a twentieth of a pixel in the largest frame.
fn rounded(v: f32) -> f32 {
    (v * 1e5).round() / 1e5
}

/// Nobody reads our output any more.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub(super) struct Closed;

/// Where lines go.
pub(super) struct Output {
    json: bool,
    vehicles: bool,
    headed: bool,
    pub progress: Progress,
}

impl Output {
    /// JSON lines or a table; `vehicles`: the table has a column for them.
    pub(super) fn new(json: bool, vehicles: bool, progress: Progress) -> Self {
        Self { json, vehicles, headed: false, progress }
    }

    /// Prints one line of JSON, or a row a read.
    ///
    /// # Errors
    /// [`Closed`] when the reader went away, or what writing says.
    pub(super) fn line(&mut self, line: &Line) -> Result<()> {
        let mut text = String::new();
        if self.json {
            text = serde_json::to_string(line)?;
            text.push('\n');
        } else {
            if !self.headed {
                text.push_str(&row(["PLATE", "CONF", "BOX", "ALSO", "FILE"], self.vehicles.then_some("VEHICLE")));
                self.headed = true;
            }
            rows(line, self.vehicles, &mut text);
        }
        self.progress.clear();
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
            other => Ok(other?),
        }
    }

    /// Tells of something wrong, or of what was measured.
    pub(super) fn fault(&mut self, text: &str) {
        self.progress.clear();
        // Nothing is left to be told when stderr is closed.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

fn row([plate, confidence, place, also, file]: [&str; 5], vehicle: Option<&str>) -> String {
    let vehicle = vehicle.map_or_else(String::new, |v| format!("{v:<17}  "));
    format!("{plate:<10} {confidence:>5}  {place:<19}  {vehicle}{also:<26}  {file}\n")
}

fn rows(line: &Line, vehicles: bool, text: &mut String) {
    let file = match (line.at_ms, line.end_ms) {
        (Some(from), Some(to)) => format!("{} {}-{}", line.file, seconds(from), seconds(to)),
        (Some(at), None) => format!("{} {}", line.file, seconds(at)),
        _ => line.file.clone(),
    };
    if line.reads.is_empty() {
        text.push_str(&row(["-", "", "", "", &file], vehicles.then_some("")));
    }
    #[expect(clippy::cast_precision_loss, reason = "sides of a picture")]
    let (width, height) = (line.width as f32, line.height as f32);
    for read in &line.reads {
        let [x1, y1, x2, y2] = read.rect;
        let place = format!("{:.0},{:.0} {:.0}x{:.0}", x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
        let also: Vec<String> = read
            .candidates
            .iter()
            .filter(|(text, p)| *text != read.plate && *p >= 0.01)
            .take(2)
            .map(|(text, p)| format!("{text} {p:.2}"))
            .collect();
        let vehicle = read.vehicle.as_ref().map_or_else(String::new, |v| {
            let colour = v.colour.map_or_else(String::new, |(name, _)| format!("{name} "));
            format!("{colour}{} {:.2}", v.class, v.confidence)
        });
        let columns = [&read.plate, &format!("{:.2}", read.confidence), &place, &also.join("  "), &file];
        text.push_str(&row(columns.map(String::as_str), vehicles.then_some(&vehicle)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(ms: u64) -> String {
    format!("{:.1}s", ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Candidate, Colour, Lattice, PlateText};

    fn line() -> Line {
        let text = |t: &str| PlateText::from_raw(t).unwrap();
        let read = PlateRead {
            text: text("AB12"),
            confidence: 0.9,
            char_confidences: vec![1.0, 0.99, 0.95, 0.97],
            candidates: vec![
                Candidate { text: text("AB12"), confidence: 0.9 },
                Candidate { text: text("A812"), confidence: 0.05 },
            ],
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 1,
        };
        let reads = vec![One::new(&read, [0.1, 0.2, 0.3, 0.4], None, None)];
        Line { file: "a.jpg".into(), at_ms: None, end_ms: None, width: 100, height: 50, reads, vehicles: None }
    }

    #[test]
    fn json_has_the_fields_of_the_docs_and_leaves_out_what_is_unknown() {
        let json = serde_json::to_string(&line()).unwrap();
        assert_eq!(
            json,
            r#"{"file":"a.jpg","width":100,"height":50,"reads":[{"plate":"AB12","confidence":0.9,"box":[0.1,0.2,0.3,0.4],"candidates":[["AB12",0.9],["A812",0.05]],"char_confidences":[1.0,0.99,0.95,0.97]}]}"#
        );
        let empty = Line { reads: Vec::new(), at_ms: Some(40), ..line() };
        assert!(serde_json::to_string(&empty).unwrap().ends_with(r#""at_ms":40,"width":100,"height":50,"reads":[]}"#));
    }

    #[test]
    fn vehicles_stand_in_the_line_and_the_carrier_at_its_read() {
        let bus = Object::new(Class::Bus, 0.875, [0.0, 0.1, 0.5, 1.0]);
        let mut line = Line { vehicles: Some(vec![bus.clone()]), ..line() };
        line.reads[0].vehicle = Some(bus);
        let json = serde_json::to_string(&line).unwrap();
        let told = r#"{"class":"bus","confidence":0.875,"box":[0.0,0.1,0.5,1.0]}"#;
        assert!(json.contains(&format!(r#""vehicle":{told}}}],"vehicles":[{told}]}}"#)), "{json}");
        let mut text = String::new();
        rows(&line, true, &mut text);
        assert!(text.contains("  bus 0.88  "), "{text}");
        let red = VehicleColour { colour: Colour::Red, confidence: 0.75 };
        line.reads[0].vehicle = line.reads[0].vehicle.take().map(|v| v.with_colour(Some(red)));
        assert!(serde_json::to_string(&line).unwrap().contains(r#""confidence":0.875,"colour":["red",0.75],"box""#));
        text.clear();
        rows(&line, true, &mut text);
        assert!(text.contains("red bus 0.88"), "{text}");
    }

    #[test]
    fn the_table_has_a_row_a_read_and_one_for_a_picture_without() {
        let mut text = String::new();
        rows(&line(), false, &mut text);
        rows(&Line { reads: Vec::new(), ..line() }, false, &mut text);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].starts_with("AB12") && rows[0].contains("10,10 20x10") && rows[0].contains("A812 0.05"));
        assert!(rows[1].starts_with("- ") && rows[1].ends_with("a.jpg"));
    }
}
