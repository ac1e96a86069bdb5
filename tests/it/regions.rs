//! Regions, series and two lines, with the model `issuer` of `tests/fixtures/models/families.py`: who paints a row writes its
//! character, and the last columns say the region and the lines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{Class, Detection, Frame, PlateRead, Rect, TimeMs};
use watchpost::vision::model::{Manifest, Runtime};
use watchpost::vision::plate::Reader;
use watchpost::vision::{Error, Patterns};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/issuer")
}

fn manifest() -> Manifest {
    Manifest::load(&folder()).unwrap_or_else(|e| panic!("{e}"))
}

fn load(manifest: Manifest) -> Result<Reader, Error> {
    Reader::load(&Runtime::open(None).unwrap_or_else(|e| panic!("{e}")), manifest, 1)
}

/// What is painted: for each of up to eight steps characters with their brightness, in one line or in two.
#[derive(Default, Clone)]
struct Plate {
    lines: Vec<Vec<Vec<(char, u8)>>>,
    /// Brightness of `none`, `us` and `br`.
    regions: [u8; 3],
}

fn steps(text: &str) -> Vec<Vec<(char, u8)>> {
    text.chars().map(|c| if c == ' ' { Vec::new() } else { vec![(c, 255)] }).collect()
}

impl Plate {
    fn of(lines: &[&str], regions: [u8; 3]) -> Self {
        Self { lines: lines.iter().map(|line| steps(line)).collect(), regions }
    }

    /// Another character beside that of a step of the first line.
    fn doubt(mut self, step: usize, options: &[(char, u8)]) -> Self {
        self.lines[0][step] = options.to_vec();
        self
    }

    /// Brightness at a column of twelve and a share of the height.
    fn at(&self, column: usize, down: f32) -> u8 {
        match column {
            8..=10 => self.regions[column - 8],
            11 => {
                if self.lines.len() == 2 {
                    255
                } else {
                    0
                }
            }
            step => {
                // A line of two has six rows over 0.56 of the height; the inner one belongs to the other line as well.
                let (line, down) = match &self.lines[..] {
                    [one] => (one, down),
                    [top, _] if down < 0.5 => (top, down / 0.56),
                    [_, bottom] => (bottom, (down - 0.44) / 0.56),
                    _ => return 0,
                };
                // Rows between the outermost write A, O, 0 and 1.
                let writes =
                    |c: char| "AO01".find(c).is_some_and(|at| (0.0..1.0).contains(&(down * 6.0 - 1.0 - at as f32)));
                let lit = line.get(step).into_iter().flatten().find(|(c, _)| writes(*c));
                lit.map_or(0, |(_, brightness)| *brightness)
            }
        }
    }

    fn frame(&self) -> Frame {
        let (width, height) = (12 * 24_usize, 6 * 48_usize);
        let rgb: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| [self.at(x / 24, (y as f32 + 0.5) / height as f32); 3])
            .collect();
        let (format, pixels) = OwnedI420::from_rgb(&rgb, width as u32, height as u32);
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
    }

    fn read(&self, patterns: Patterns) -> Option<PlateRead> {
        self.read_by(&load(manifest()).unwrap().expecting(patterns))
    }

    /// As a plate that was found where it is.
    fn read_by(&self, reader: &Reader) -> Option<PlateRead> {
        let frame = self.frame();
        let (width, height) = frame.size();
        let rect = Rect::new(0.0, 0.0, width, height);
        let found = Detection { class: Class::Plate, score: 1.0, rect, corners: None };
        reader.read(&frame, &[found]).unwrap().remove(0)
    }
}

const BR: [u8; 3] = [0, 60, 200];

#[test]
fn the_region_comes_with_the_read() {
    let read = Plate::of(&["AOA0101"], BR).read(Patterns::default()).unwrap();
    assert_eq!((read.text.as_str(), read.region.as_deref()), ("AOA0101", Some("br")));
    assert_eq!(read.regions.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["br", "us", "none"]);
    assert!((read.regions.iter().map(|r| r.1).sum::<f32>() - 1.0).abs() < 1e-4, "{:?}", read.regions);
    let unsure = Plate::of(&["AOA0101"], [80, 80, 80]).read(Patterns::off()).unwrap();
    assert_eq!(unsure.region, None);
}

#[test]
fn what_is_no_plate_is_not_read() {
    let sign = Plate::of(&["AOA0101"], [200, 60, 0]);
    assert_eq!(sign.read(Patterns::default()), None);
    let mut lenient = manifest();
    lenient.thresholds.plate = 1.0;
    assert!(sign.read_by(&load(lenient).unwrap()).is_some());
}

#[test]
fn a_plate_of_two_lines_is_read_line_by_line() {
    let two = Plate::of(&["AOA", "0101"], BR).read(Patterns::default()).unwrap();
    assert_eq!((two.text.as_str(), two.region.as_deref()), ("AOA0101", Some("br")));
    assert!(two.confidence > 0.9 && two.lattice.positions.len() == 7, "{two:?}");
    // A character that ends one line and begins the other is two.
    let same = Plate::of(&["AOA", "A01"], BR).read(Patterns::off()).unwrap();
    assert_eq!(same.text.as_str(), "AOAA01");
    // A doubt in one line is a doubt of the whole.
    let doubt = Plate::of(&["AOA", "0101"], BR).doubt(1, &[('O', 255), ('A', 240)]).read(Patterns::off()).unwrap();
    assert!(doubt.confidence < two.confidence && doubt.lattice.positions[1].options.len() > 1, "{doubt:?}");
}

#[test]
fn series_decide_where_a_character_is_in_doubt_and_the_lattice_stays_as_it_was_seen() {
    // Rather O than 0 by sight, twice, where Brazil has digits in all of its series.
    let plate = Plate::of(&["AOA0101"], BR).doubt(3, &[('O', 255), ('0', 225)]).doubt(5, &[('O', 255), ('0', 225)]);
    let seen = plate.read(Patterns::off()).unwrap();
    assert_eq!(seen.text.as_str(), "AOAO1O1");
    let read = plate.read(Patterns::default()).unwrap();
    assert_eq!(read.text.as_str(), "AOA0101");
    assert!(read.confidence > seen.confidence, "{} {}", read.confidence, seen.confidence);
    assert_eq!(read.lattice.positions[3].options[0].0, 'O');
    assert!(read.char_confidences.iter().all(|p| *p > 0.9), "{:?}", read.char_confidences);
    assert!(read.candidates.iter().map(|c| c.confidence).sum::<f32>() <= 1.0 + 1e-4);
}

#[test]
fn series_make_up_no_character_that_was_not_seen() {
    let read = Plate::of(&["AOA101O"], BR).read(Patterns::default()).unwrap();
    assert_eq!(read.text.as_str(), "AOA101O");
}

#[test]
fn a_camera_that_expects_a_region_reads_its_series() {
    let regions = [0, 120, 120];
    let slovak = Plate::of(&["AO010OA"], regions).doubt(2, &[('A', 255), ('0', 235)]);
    assert_eq!(slovak.read(Patterns::off()).unwrap().text.as_str(), "AOA10OA");
    assert_eq!(slovak.read(Patterns::default().expecting("eu-sk")).unwrap().text.as_str(), "AO010OA");
    let brazilian = Plate::of(&["AOA1O10"], regions).doubt(2, &[('0', 255), ('A', 235)]);
    assert_eq!(brazilian.read(Patterns::off()).unwrap().text.as_str(), "AO01O10");
    assert_eq!(brazilian.read(Patterns::default().expecting("br")).unwrap().text.as_str(), "AOA1O10");
}

#[test]
fn a_manifest_with_more_regions_than_the_model_is_refused_with_both() {
    let mut more = manifest();
    more.regions.push("eu".into());
    let error = load(more).unwrap_err().to_string();
    assert!(error.contains("region") && error.contains("[-1, 3]") && error.contains("[-1, 4]"), "{error}");
}
