//! One tiny model a family (`tests/fixtures/models/families.py`) that looks at the picture: where it is lit, and in which
//! colour, foretells box, score and class.

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{Class, Detection, Frame, Rect, TimeMs};
use watchpost::vision::Error;
use watchpost::vision::detect::Detector;
use watchpost::vision::model::{Manifest, Runtime};

const RED: [u8; 3] = [200, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 230];

fn manifest(name: &str) -> Manifest {
    let fixtures: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    Manifest::load(&fixtures.join(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn load(manifest: Manifest) -> Result<Detector, Error> {
    Detector::load(&Runtime::open(None).unwrap_or_else(|e| panic!("{e}")), manifest, 1)
}

fn detector(name: &str) -> Detector {
    load(manifest(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn frame(side: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Frame {
    let rgb: Vec<u8> = (0..side).flat_map(|y| (0..side).map(move |x| (x, y))).flat_map(|(x, y)| colour(x, y)).collect();
    let (format, pixels) = OwnedI420::from_rgb(&rgb, side, side);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
}

/// A black picture of 128x128 with cells of the model lit. In the input of 64x32 it fills columns 16 to 48, at a quarter
/// of its size, so that cells 2 to 5 of each row see it.
fn lit(cells: &[((u32, u32), [u8; 3])]) -> Frame {
    frame(128, |x, y| {
        let near = |at: u32, middle: u32| at + 8 >= middle && at < middle + 8;
        let hit =
            |((c, r), _): &&((u32, u32), [u8; 3])| near(x, (8 * c + 4 - 16) * 4 + 2) && near(y, (8 * r + 4) * 4 + 2);
        cells.iter().find(hit).map_or([0; 3], |(_, colour)| *colour)
    })
}

/// What the models say of a cell: 12x6 pixels around its middle pixel, four times as large in the picture.
fn box_of((c, r): (u8, u8)) -> Rect {
    let (x, y) = ((f32::from(c) * 8.0 + 4.0 - 16.0) * 4.0, (f32::from(r) * 8.0 + 4.0) * 4.0);
    Rect::new(x - 24.0, y - 12.0, x + 24.0, y + 12.0)
}

fn same(found: &Detection, class: Class, score: f32, rect: Rect) -> bool {
    let near = |a: f32, b: f32, by: f32| (a - b).abs() < by;
    let r = found.rect;
    let sides = [(r.x1, rect.x1), (r.y1, rect.y1), (r.x2, rect.x2), (r.y2, rect.y2)];
    found.class == class && near(found.score, score, 0.04) && sides.iter().all(|(a, b)| near(*a, *b, 0.05))
}

/// A red, a green and a blue cell: a car, a dog, which is not reported, and a plate, surest first.
fn tells_car_and_plate(name: &str, factor: f32, score: impl Fn(f32) -> f32) {
    let found = detector(name).detect(&lit(&[((3, 1), RED), ((4, 3), GREEN), ((4, 0), BLUE)])).unwrap();
    let [plate, car] = &found[..] else { panic!("{name}: {found:?}") };
    assert!(same(plate, Class::Plate, score(230.0 / 255.0) * factor, box_of((4, 0))), "{name}: {plate:?}");
    assert!(same(car, Class::Car, score(200.0 / 255.0) * factor, box_of((3, 1))), "{name}: {car:?}");
}

#[test]
fn yolov5_rows_count_by_objectness_times_class() {
    tells_car_and_plate("v5", 0.9, |p| p);
}

#[test]
fn yolox_that_decodes_in_its_graph_is_read_so() {
    tells_car_and_plate("in-graph", 0.9, |p| p);
}

#[test]
fn yolov8_planes_are_boxes_and_classes() {
    tells_car_and_plate("v8", 1.0, |p| p);
}

#[test]
fn a_model_of_bytes_row_by_row_sees_the_same_colours() {
    tells_car_and_plate("bytes", 1.0, |p| p);
}

#[test]
fn rows_that_are_detections_already_are_taken_as_they_are() {
    tells_car_and_plate("kept", 1.0, |p| p);
}

#[test]
fn a_graph_that_suppresses_gives_as_many_rows_as_things() {
    tells_car_and_plate("ended", 1.0, |p| p);
    assert!(detector("ended").detect(&lit(&[])).unwrap().is_empty());
}

#[test]
fn rt_detr_queries_are_shares_and_logits() {
    tells_car_and_plate("queries", 1.0, |p| 1.0 / (1.0 + (6.0 - 12.0 * p).exp()));
}

#[test]
fn rt_detr_rows_hold_box_and_scores() {
    tells_car_and_plate("query-rows", 1.0, |p| p);
}

#[test]
fn rt_detr_as_it_is_deployed_is_told_the_size() {
    tells_car_and_plate("deployed", 1.0, |p| p);
}

#[test]
fn nanodet_distances_are_means_of_distributions() {
    let found = detector("spread").detect(&lit(&[((3, 1), RED)])).unwrap();
    let [car] = &found[..] else { panic!("{found:?}") };
    // From the cell's corner at 24, 8: half a stride left, one up, two right, a quarter down.
    let (left, top, right, bottom) = (24.0 - 4.0, 8.0 - 8.0, 24.0 + 16.0, 8.0 + 2.0);
    let want = Rect::new((left - 16.0) * 4.0, top * 4.0, (right - 16.0) * 4.0, bottom * 4.0);
    assert!(same(car, Class::Car, 200.0 / 255.0, want), "{car:?}");
}

#[test]
fn nanodet_cells_may_be_counted_from_their_middle() {
    let mut older = manifest("spread");
    older.decode.offset = Some(0.5);
    let found = load(older).unwrap().detect(&lit(&[((3, 1), RED)])).unwrap();
    assert!((found[0].rect.x1 - (20.0 + 4.0 - 16.0) * 4.0).abs() < 0.05, "{found:?}");
}

#[test]
fn text_maps_become_rectangles_along_the_text() {
    let text = detector("text");
    // 256x256 lies in 128x64 as 64x64, from column 32; a cell of the map is 8 pixels of the picture.
    let bar = |x: u32, y: u32, slope: f64| {
        let (dx, dy) = (f64::from(x) - 128.0, f64::from(y) - 128.0);
        let down = dy - slope * dx;
        dx.abs() <= 80.0 && down.abs() <= 20.0
    };
    let level = text.detect(&frame(256, |x, y| if bar(x, y, 0.0) { [255, 0, 0] } else { [0; 3] })).unwrap();
    let [one] = &level[..] else { panic!("{level:?}") };
    // 160x40 moved outwards by 160 * 40 * 1.5 / 400 = 24.
    let near = |got: f32, want: f32| (got - want).abs() < 9.0;
    let r = one.rect;
    assert!(near(r.x1, 24.0) && near(r.x2, 232.0) && near(r.y1, 84.0) && near(r.y2, 172.0), "{one:?}");
    assert!(one.class == Class::Plate && one.score > 0.8, "{one:?}");
    let slanted = text.detect(&frame(256, |x, y| if bar(x, y, 0.4) { [255, 0, 0] } else { [0; 3] })).unwrap();
    let quad = slanted[0].corners.unwrap();
    let [tl, tr, ..] = quad.points;
    assert!(((tr.y - tl.y) / (tr.x - tl.x) - 0.4).abs() < 0.06, "{quad:?}");
    assert!(text.detect(&frame(256, |_, _| [60, 60, 60])).unwrap().is_empty());
}

#[test]
fn families_that_suppress_keep_the_surer_of_two_and_those_that_do_not_keep_both() {
    // Neighbours across overlap by 4 of 12 pixels, a third of either.
    let both = [((3, 1), RED), ((4, 1), [255, 0, 0])];
    for (name, suppresses) in [("v5", true), ("in-graph", true), ("v8", true), ("kept", false), ("queries", false)] {
        let mut strict = manifest(name);
        strict.thresholds.nms = 0.1;
        let found = load(strict).unwrap().detect(&lit(&both)).unwrap();
        assert_eq!(found.len(), if suppresses { 1 } else { 2 }, "{name}: {found:?}");
        assert!((found[0].rect.x1 - box_of((4, 1)).x1).abs() < 0.05, "{name}: {found:?}");
    }
    // A car and a plate in the same place are two things.
    let mut strict = manifest("v8");
    strict.thresholds.nms = 0.1;
    let found = load(strict).unwrap().detect(&lit(&[((3, 1), RED), ((4, 1), BLUE)])).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn the_threshold_is_the_manifests() {
    let frame = lit(&[((3, 1), RED)]);
    for name in ["v5", "v8", "kept", "queries", "query-rows", "deployed", "spread"] {
        let mut high = manifest(name);
        high.thresholds.score = 0.99;
        assert!(load(high).unwrap().detect(&frame).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn logits_that_a_manifest_takes_for_probabilities_are_refused_with_both() {
    let mut wrong = manifest("queries");
    wrong.decode.scores = None;
    let error = load(wrong).unwrap().detect(&lit(&[((3, 1), RED)])).unwrap_err();
    assert!(matches!(error, Error::Values { .. }) && error.to_string().contains("decode.scores"), "{error}");
}

#[test]
fn a_class_beyond_those_that_are_named_is_refused_with_both() {
    let mut wrong = manifest("kept");
    wrong.classes.truncate(2);
    let error = load(wrong).unwrap().detect(&lit(&[((3, 1), BLUE)])).unwrap_err();
    assert!(error.to_string().contains("class number 2") && error.to_string().contains("2 classes"), "{error}");
}

#[test]
fn one_family_is_not_taken_for_another() {
    use watchpost::vision::model::Family;
    let pairs = [
        ("v5", Family::Yolov8, "output0"),
        ("v8", Family::Yolov5, "output0"),
        ("kept", Family::Yolov8, "output0"),
        ("spread", Family::Yolox, "output"),
        ("query-rows", Family::End2end, "output0"),
    ];
    for (name, family, output) in pairs {
        let mut wrong = manifest(name);
        wrong.family = family;
        wrong.output.grid = Some(output.to_owned());
        let error = load(wrong).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{name} as {}: {error}", family.as_str());
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn an_input_that_nobody_feeds_and_a_type_that_is_not_fed_are_named() {
    let mut alone = manifest("deployed");
    alone.input.size_tensor = None;
    let error = load(alone).unwrap_err();
    assert!(matches!(&error, Error::MoreInputs { name, .. } if name == "orig_target_sizes"), "{error}");
    let mut floats = manifest("bytes");
    floats.input.kind = watchpost::vision::model::Kind::F32;
    let error = load(floats).unwrap_err();
    assert!(matches!(error, Error::Type { what: "input", .. }), "{error}");
    let mut turned = manifest("bytes");
    turned.input.layout = watchpost::vision::model::Layout::Nchw;
    let error = load(turned).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "input", .. }), "{error}");
}

#[test]
fn keys_that_a_family_does_not_have_are_faults_of_its_manifest() {
    let text = std::fs::read_to_string(manifest("v8").folder.join("manifest.toml")).unwrap();
    let more = |keys: &str| Manifest::parse(&text.replace("\n[input]", &format!("\n{keys}\n[input]"))).unwrap_err();
    let faults = more("decode.reg_max = 7\ndecode.rows = \"box-score-class\"\noutput.heat = \"heat\"");
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|f| f.contains("family yolov8")), "{faults:?}");
    assert!(more("decode.regmax = 7")[0].contains("regmax"));
    let bytes = std::fs::read_to_string(manifest("bytes").folder.join("manifest.toml")).unwrap();
    let scaled = Manifest::parse(&bytes.replace("scale = 1.0\n", "")).unwrap_err();
    assert!(scaled[0].starts_with("input.type"), "{scaled:?}");
}

#[test]
fn the_manifests_in_the_docs_are_good_ones() {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md")).unwrap();
    let examples: Vec<&str> = docs.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let mut families = std::collections::BTreeSet::new();
    for example in examples.iter().filter(|e| e.contains("family = ")) {
        let digest = "0".repeat(64);
        let head = format!("version = \"1\"\nfile = \"model.onnx\"\nsha256 = \"{digest}\"\nlicence = \"MIT\"\n");
        let manifest = Manifest::parse(&(head + example)).unwrap_or_else(|faults| panic!("{faults:#?} in\n{example}"));
        families.insert(manifest.family.as_str());
    }
    let others = ["yolov5", "yolov8", "end2end", "yolox", "rt-detr", "nanodet", "db", "ctc", "lprnet", "slots"];
    assert!(others.iter().all(|family| families.contains(family)), "{families:?}");
}
