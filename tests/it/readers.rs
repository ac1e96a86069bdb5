//! Readers that others export: the models of `tests/fixtures/models/families.py` read what is painted, a row a class.

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{Class, Detection, Frame, PlateRead, Rect, TimeMs};
use watchpost::vision::Error;
use watchpost::vision::model::{Manifest, Runtime};
use watchpost::vision::plate::Reader;

const WHITE: [u8; 3] = [255; 3];
const BLACK: [u8; 3] = [0; 3];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn manifest(name: &str) -> Manifest {
    Manifest::load(&fixture(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn load(manifest: Manifest) -> Result<Reader, Error> {
    Reader::load(&Runtime::open(None).unwrap_or_else(|e| panic!("{e}")), manifest, 1)
}

/// A picture of `rows` rows and as many columns as there are letters, 24 pixels each: in every column the row of its letter
/// is of one colour, all else of another.
fn written(letters: &[usize], rows: usize, (ink, paper): ([u8; 3], [u8; 3])) -> Frame {
    let (width, height) = (letters.len() * 24, rows * 24);
    let rgb: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| if letters[x / 24] == y / 24 { ink } else { paper })
        .collect();
    let (width, height) = (width as u32, height as u32);
    let (format, pixels) = OwnedI420::from_rgb(&rgb, width, height);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
}

fn read(reader: &Reader, frame: &Frame) -> PlateRead {
    let (width, height) = frame.size();
    let rect = Rect::new(0.0, 0.0, width, height);
    let plate = Detection { class: Class::Plate, score: 1.0, rect, corners: None };
    // Three at once: what is read does not depend on its place in a batch.
    let mut reads = reader.read(frame, &[plate.clone(), plate.clone(), plate]).unwrap();
    assert!(reads.iter().all(|r| r.is_some() && *r == reads[0]), "{reads:?}");
    reads.remove(0).unwrap()
}

#[test]
fn paddles_classes_are_blank_dictionary_and_space_and_the_plate_keeps_its_shape() {
    let reader = load(manifest("paddle")).unwrap();
    // Blank 0, A 1, b 2, a sign 3, "1" 4, space 5. The plate is 16 steps wide, the input 24: the rest is dark, so blank.
    let letters = [1, 1, 0, 1, 3, 3, 2, 2, 0, 5, 4, 0, 2, 0, 0, 0];
    let read = read(&reader, &written(&letters, 6, (WHITE, BLACK)));
    assert_eq!(read.text.as_str(), "AAB1B");
    assert_eq!(read.lattice.positions.len(), 5);
    assert!(read.lattice.positions.iter().flat_map(|p| &p.options).all(|(c, _)| "AB1\0".contains(*c)), "{read:?}");
}

#[test]
fn a_dictionary_that_was_changed_or_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["manifest.toml", "paddle.onnx"] {
        std::fs::copy(fixture("paddle").join(file), dir.path().join(file)).unwrap();
    }
    let missing = Manifest::load(dir.path()).unwrap_err();
    assert!(matches!(missing, Error::Unreadable { .. }) && missing.to_string().contains("dictionary.txt"), "{missing}");
    std::fs::write(dir.path().join("dictionary.txt"), "B\nA\n").unwrap();
    let changed = Manifest::load(dir.path()).unwrap_err();
    assert!(matches!(changed, Error::Digest { .. }) && changed.to_string().contains("dictionary.txt"), "{changed}");
}

#[test]
fn a_dictionary_of_another_length_than_the_models_classes_is_refused_with_both() {
    let mut shorter = manifest("paddle");
    shorter.characters.pop();
    let error = load(shorter).unwrap_err();
    assert!(error.to_string().contains("[-1, 24, 6]") && error.to_string().contains("[-1, -1, 5]"), "{error}");
}

#[test]
fn lprnets_signs_of_provinces_are_left_out_and_the_last_class_is_the_blank() {
    let reader = load(manifest("strip")).unwrap();
    // The sign 0, A 1, B 2, "1" 3, blank 4.
    let one = read(&reader, &written(&[0, 1, 2, 2, 4, 2, 3, 4], 5, (WHITE, BLACK)));
    assert_eq!(one.text.as_str(), "ABB1");
    assert!(one.confidence > 0.9, "{one:?}");
    // Between two equal characters the sign separates, as it does on the plate.
    let two = read(&reader, &written(&[1, 0, 1, 2, 3, 4, 4, 4], 5, (WHITE, BLACK)));
    assert_eq!(two.text.as_str(), "AAB1");
}

#[test]
fn slots_are_read_one_by_one_and_pads_left_out() {
    for name in ["slots", "slots-flat"] {
        let reader = load(manifest(name)).unwrap();
        let one = read(&reader, &written(&[0, 0, 1, 2, 2, 3, 3, 3], 4, (WHITE, BLACK)));
        assert_eq!(one.text.as_str(), "AAB11", "{name}");
        assert_eq!(one.lattice.positions.len(), 5);
        assert!(one.confidence > 0.9 && one.char_confidences.iter().all(|p| *p > 0.9), "{name}: {one:?}");
    }
}

#[test]
fn a_doubtful_slot_is_an_alternative_in_the_lattice() {
    let reader = load(manifest("slots")).unwrap();
    // The third slot is mostly B and a little less 1.
    let rgb: Vec<u8> = (0..96)
        .flat_map(|y| (0..192).map(move |x| (x / 24, y / 24)))
        .flat_map(|(x, y)| match (x, y) {
            (0 | 1, 0) | (3, 2) | (4.., 3) | (2, 1) => [255; 3],
            (2, 2) => [230; 3],
            _ => [0; 3],
        })
        .collect();
    let (format, pixels) = OwnedI420::from_rgb(&rgb, 192, 96);
    let one = read(&reader, &Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels)));
    assert_eq!(one.text.as_str(), "AAB1");
    let third: Vec<char> = one.lattice.positions[2].options.iter().map(|(c, _)| *c).collect();
    assert_eq!(third[..2], ['B', '1'], "{one:?}");
    assert_eq!(one.candidates[1].text.as_str(), "AA11");
}

#[test]
fn a_reader_of_colour_is_given_the_plates_colours() {
    let reader = load(manifest("slots")).unwrap();
    // Red letters on a green that is brighter than they are: by luma alone they would be the paper.
    let one = read(&reader, &written(&[0, 1, 2, 1, 0, 2, 3, 3], 4, ([250, 0, 0], [0, 170, 0])));
    assert_eq!(one.text.as_str(), "AB1BA1");
}

#[test]
fn logits_that_a_manifest_takes_for_probabilities_are_refused_with_both() {
    let mut wrong = manifest("strip");
    wrong.decode.scores = Some(watchpost::vision::model::Scores::Probabilities);
    let frame = written(&[0, 1, 2, 2, 4, 2, 3, 4], 5, (WHITE, BLACK));
    let error = load(wrong).unwrap().read_crop(&frame).unwrap_err();
    assert!(matches!(error, Error::Values { .. }) && error.to_string().contains("decode.scores"), "{error}");
}

#[test]
fn what_lists_fold_readers_fold_too() {
    use watchpost::hotlist::normalise::normalise;
    // A list may name a plate in Cyrillic; a reader that knows Cyrillic gives the same text.
    let text = std::fs::read_to_string(fixture("strip/manifest.toml")).unwrap().replace("京AB1", "京АВ1");
    let mut cyrillic = Manifest::parse(&text).unwrap();
    cyrillic.folder = fixture("strip");
    let one = read(&load(cyrillic).unwrap(), &written(&[0, 1, 2, 2, 4, 2, 3, 4], 5, (WHITE, BLACK)));
    assert_eq!(one.text, normalise("АВВ1").unwrap());
}

#[test]
fn alphabets_without_our_characters_and_slots_without_a_pad_are_faults() {
    let faults = |name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(fixture(name).join("manifest.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        Manifest::parse(&text.replace(from, to)).unwrap_err()
    };
    assert!(faults("strip", "京AB1", "京字")[0].contains("two or more must be"));
    assert!(faults("strip", "京AB1", "京ABA")[0].contains("each character once"));
    assert!(faults("slots", "pad = \"_\"", "pad = \"-\"")[0].starts_with("decode.pad"));
    assert!(faults("slots", "slots = 8, ", "")[0].starts_with("decode.slots"));
    assert!(faults("paddle", "alphabet_sha256 = \"", "alphabet_sha256 = \"x")[0].starts_with("alphabet_sha256"));
}
