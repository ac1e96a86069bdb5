//! Models run by the real inference library: the tiny ones of `tests/fixtures/models`, whose outputs are known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{Class, Detection, Frame, Point, Rect, TimeMs};
use watchpost::vision::detect::Detector;
use watchpost::vision::model::{Corrector, Manifest, Models, Runtime, Settings, Vehicles};
use watchpost::vision::plate::Reader;
use watchpost::vision::{Area, Error};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

fn runtime() -> Runtime {
    Runtime::open(None).unwrap_or_else(|e| panic!("{e}"))
}

fn manifest(name: &str) -> Manifest {
    Manifest::load(&fixtures().join(name)).unwrap()
}

fn detector(name: &str) -> Result<Detector, Error> {
    Detector::load(&runtime(), manifest(name), 1)
}

/// A full-range grey frame, its pixels by `luma(x, y)`.
fn frame(width: u32, height: u32, luma: impl Fn(u32, u32) -> u8) -> Frame {
    let rgb: Vec<u8> =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| [luma(x, y); 3]).collect();
    let (format, pixels) = OwnedI420::from_rgb(&rgb, width, height);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() < 0.01
}

#[test]
fn a_peak_in_a_known_cell_is_a_known_box_of_the_frame() {
    let spot = detector("spot").unwrap();
    // 128x128 lies in the input of 64x32 as 32x32 from column 16: a quarter in size. The model looks at pixel (4, 4) of
    // each cell; cell (1, 4) is lit there, at 36,12 of the input, which is 80..84, 48..52 of the frame.
    let frame = frame(128, 128, |x, y| if (80..84).contains(&x) && (48..52).contains(&y) { 230 } else { 20 });
    let found = spot.detect(&frame).unwrap();
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(one.class, Class::Plate);
    assert!(near(one.score, 230.0 / 255.0), "{one:?}");
    // The cell's middle is 36,12 of the input; 6 left, 4 up, 10 right, 4 down.
    let back = |x: f32, y: f32| ((x - 16.0) * 4.0, y * 4.0);
    let ((x1, y1), (x2, y2)) = (back(30.0, 8.0), back(46.0, 16.0));
    assert!(
        near(one.rect.x1, x1) && near(one.rect.y1, y1) && near(one.rect.x2, x2) && near(one.rect.y2, y2),
        "{one:?}"
    );
    let corners = one.corners.unwrap().points;
    for (got, (x, y)) in corners.iter().zip([back(30.0, 8.0), back(46.0, 9.0), back(46.0, 17.0), back(30.0, 16.0)]) {
        assert!(near(got.x, x) && near(got.y, y), "{corners:?}");
    }
}

#[test]
fn boxes_end_at_the_pictures_edge() {
    let spot = detector("spot").unwrap();
    let frame = frame(64, 32, |x, y| if x == 4 && y == 28 { 255 } else { 0 });
    let found = spot.detect(&frame).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rect, Rect::new(0.0, 24.0, 14.0, 32.0));
}

#[test]
fn of_overlapping_boxes_the_surer_one_stays() {
    let spot = detector("spot").unwrap();
    // Two cells apart is no neighbour, yet boxes of 16 pixels that start 16 apart only touch: cells 1 and 3 both stay.
    let apart = frame(64, 32, |x, y| if y == 12 && (x == 12 || x == 28) { 200 } else { 0 });
    assert_eq!(spot.detect(&apart).unwrap().len(), 2);
    // Neighbours are one peak.
    let close = frame(64, 32, |x, y| {
        if y == 12 {
            if x == 12 {
                200
            } else if x == 20 {
                240
            } else {
                0
            }
        } else {
            0
        }
    });
    let found = spot.detect(&close).unwrap();
    assert_eq!(found.len(), 1);
    assert!(near(found[0].score, 240.0 / 255.0));
}

#[test]
fn yolox_cells_become_boxes_and_classes_that_are_not_ours_are_dropped() {
    let grid = detector("grid").unwrap();
    let found = grid.detect(&frame(128, 64, |_, _| 90)).unwrap();
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.class, one.corners), (Class::Car, None));
    assert!(near(one.score, 0.81));
    // Middle 28,12 and 16x8 of the input, at twice the size.
    assert!(near(one.rect.x1, 40.0) && near(one.rect.y1, 16.0) && near(one.rect.x2, 72.0) && near(one.rect.y2, 32.0));
}

#[test]
fn two_heads_of_one_pass_have_their_own_classes_strides_and_thresholds() {
    let both = detector("both").unwrap();
    // Cell 2,1 of the first head is bright at its middle, 20,12; of the second, cell 1,0 at 24,8. All else is between.
    let lit = |x: u32, y: u32| match (x, y) {
        (20, 12) => 150,
        (24, 8) => 230,
        _ => 100,
    };
    let found = both.detect(&frame(64, 32, lit)).unwrap();
    let [bus, plate] = &found[..] else { panic!("{found:?}") };
    assert_eq!((bus.class, bus.rect, bus.corners), (Class::Bus, Rect::new(12.0, 0.0, 36.0, 20.0), None));
    assert_eq!((plate.class, plate.rect), (Class::Plate, Rect::new(14.0, 8.0, 30.0, 16.0)));
    assert!(near(bus.score, 230.0 / 255.0) && near(plate.score, 150.0 / 255.0));
    // Where the second head's pixel is dark there is a person; neighbours of equal score are one.
    let dark = both.detect(&frame(64, 32, |x, y| if (x, y) == (56, 24) { 10 } else { 100 })).unwrap();
    let [person] = &dark[..] else { panic!("{dark:?}") };
    assert_eq!((person.class, person.rect), (Class::Person, Rect::new(44.0, 12.0, 64.0, 32.0)));
}

#[test]
fn a_head_whose_cells_do_not_divide_the_input_is_refused_by_name() {
    let error = detector("uneven").unwrap_err();
    assert!(matches!(&error, Error::Stride { columns: 5, .. }), "{error}");
    for part in ["object_heat", "5x2", "64x32"] {
        assert!(error.to_string().contains(part), "{part} is missing in {error}");
    }
}

/// A plate of 8x4 pixels a letter row: column by column the brightest row is the class; 25 times enlarged.
fn written(columns: [usize; 8], second: Option<(usize, usize, u8)>) -> Frame {
    frame(200, 100, |x, y| {
        let (step, row) = ((x / 25) as usize, (y / 25) as usize);
        match second {
            Some((at, other, level)) if at == step && other == row => level,
            _ if columns[step] == row => 255,
            _ => 0,
        }
    })
}

#[test]
fn what_is_written_is_read_with_candidates_and_a_lattice() {
    let reader = Reader::load(&runtime(), manifest("scribe"), 1).unwrap();
    let plate = Detection { class: Class::Plate, score: 1.0, rect: Rect::new(0.0, 0.0, 200.0, 100.0), corners: None };
    let car = Detection { class: Class::Car, ..plate.clone() };
    let small = Detection { rect: Rect::new(0.0, 0.0, 7.0, 3.0), ..plate.clone() };
    // A A - B C - A A, where the C may as well be an A.
    let frame = written([1, 1, 0, 2, 3, 0, 1, 1], Some((4, 1, 220)));
    let reads =
        reader.read(&frame, &[car, plate.clone(), small, plate.clone(), plate.clone(), plate.clone(), plate]).unwrap();
    assert!(reads[0].is_none() && reads[2].is_none());
    for read in [1, 3, 4, 5, 6].map(|i: usize| reads[i].as_ref().unwrap()) {
        assert_eq!(read.text.as_str(), "ABCA");
        assert_eq!(read.candidates[1].text.as_str(), "ABAA");
        assert!(read.confidence > 0.6 && read.confidence > read.candidates[1].confidence);
        assert_eq!(read.lattice.positions[2].options[1].0, 'A');
        assert!(read.char_confidences[0] > 0.99 && read.char_confidences[2] < 0.8, "{:?}", read.char_confidences);
    }
    assert_eq!(reader.read_crop(&frame).unwrap().unwrap().text.as_str(), "ABCA");
}

#[test]
fn corners_are_straightened_before_reading() {
    let reader = Reader::load(&runtime(), manifest("scribe"), 1).unwrap();
    // The plate is sheared: each column of the writing lies 25 pixels lower than the one before.
    let columns = [1_i64, 1, 0, 2, 0, 3, 3, 0];
    let frame = frame(200, 275, |x, y| {
        let row = (i64::from(y) - i64::from(x) * 175 / 200) / 25;
        if columns[(x / 25) as usize] == row && i64::from(y) >= i64::from(x) * 175 / 200 { 255 } else { 0 }
    });
    let points = [(0.0, 0.0), (200.0, 175.0), (200.0, 275.0), (0.0, 100.0)].map(|(x, y)| Point { x, y });
    let rect = Rect::new(0.0, 0.0, 200.0, 275.0);
    let plate = Detection { class: Class::Plate, score: 1.0, rect, corners: Some(watchpost::domain::Quad { points }) };
    let read = reader.read(&frame, std::slice::from_ref(&plate)).unwrap().remove(0).unwrap();
    assert_eq!(read.text.as_str(), "ABC");
    let boxed = reader.read(&frame, &[Detection { corners: None, ..plate }]).unwrap().remove(0);
    assert_ne!(boxed.map(|r| r.text.to_string()).as_deref(), Some("ABC"));
}

#[test]
fn a_plate_whose_corners_are_off_is_read_by_its_box() {
    let reader = Reader::load(&runtime(), manifest("scribe"), 1).unwrap();
    let frame = written([1, 1, 0, 2, 0, 3, 3, 0], None);
    // Half a letter's column too far to the right: every step sees two columns at once.
    let off = Rect::new(12.0, 0.0, 212.0, 100.0);
    let corners = Some(watchpost::domain::Quad::from_rect(&off));
    let alone = Detection { class: Class::Plate, score: 1.0, rect: off, corners };
    let boxed = Detection { rect: Rect::new(0.0, 0.0, 200.0, 100.0), ..alone.clone() };
    let reads = reader.read(&frame, &[alone, boxed]).unwrap();
    let of_abc = |at: usize| {
        let candidates = reads[at].iter().flat_map(|r| &r.candidates);
        candidates.filter(|c| c.text.as_str() == "ABC").map(|c| c.confidence).fold(0.0, f32::max)
    };
    assert_eq!(reads[1].as_ref().unwrap().text.as_str(), "ABC");
    // The mean of two looks, of which one is certain.
    assert!(of_abc(1) > 0.45 && of_abc(1) > of_abc(0) + 0.1, "{} {}", of_abc(1), of_abc(0));
}

#[test]
fn a_plate_with_fewer_than_three_letters_is_no_read() {
    let reader = Reader::load(&runtime(), manifest("scribe"), 1).unwrap();
    assert!(reader.read_crop(&written([1, 1, 0, 2, 2, 0, 0, 0], None)).unwrap().is_none());
}

#[test]
fn a_model_that_gives_no_number_is_named() {
    let error = detector("nan").unwrap().detect(&frame(64, 32, |_, _| 0)).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { output, .. } if output == "heat"), "{error}");
    assert!(error.to_string().contains("\"nan\""), "{error}");
}

#[test]
fn a_model_that_swells_while_it_runs_fails_alone() {
    let (spot, swell) = (detector("spot").unwrap(), detector("swell").unwrap());
    let lit = frame(64, 32, |x, y| if (x, y) == (12, 12) { 250 } else { 0 });
    for _ in 0..3 {
        let error = swell.detect(&lit).unwrap_err();
        assert!(matches!(error, Error::Run { .. }) && error.to_string().contains("memory"), "{error}");
        assert_eq!(spot.detect(&lit).unwrap().len(), 1);
    }
}

#[test]
fn a_model_whose_tensors_do_not_fit_its_manifest_is_refused_with_both() {
    let shape = detector("shape").unwrap_err();
    assert!(matches!(shape, Error::Shape { .. }) && shape.to_string().contains("[1, 4, 4, 8]"), "{shape}");
    assert!(shape.to_string().contains("[1, 4, 5, 8]"), "{shape}");
    let wide = detector("wide").unwrap_err();
    assert!(matches!(&wide, Error::Type { name, .. } if name == "heat"), "{wide}");
    let names = detector("names").unwrap_err();
    assert!(matches!(&names, Error::NoSuchTensor { has, .. } if has.contains(&"hot".to_owned())), "{names}");
    let role = Reader::load(&runtime(), manifest("spot"), 1).unwrap_err();
    assert!(role.to_string().contains("can't be the reader"), "{role}");
}

#[test]
fn a_manifest_that_claims_another_input_size_is_refused() {
    let mut larger = manifest("spot");
    larger.input.size = [128, 32];
    let error = Detector::load(&runtime(), larger, 1).unwrap_err();
    assert!(matches!(&error, Error::Shape { what: "input", .. }), "{error}");
}

#[test]
fn changed_and_missing_model_files_are_named_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["manifest.toml", "spot.onnx"] {
        std::fs::copy(fixtures().join("spot").join(name), at(name)).unwrap();
    }
    let load = || Detector::load(&runtime(), Manifest::load(dir.path()).unwrap(), 1).unwrap_err();
    let mut bytes = std::fs::read(at("spot.onnx")).unwrap();
    bytes[100] ^= 1;
    std::fs::write(at("spot.onnx"), &bytes).unwrap();
    let changed = load();
    assert!(matches!(changed, Error::Digest { .. }) && changed.to_string().contains("spot.onnx"), "{changed}");

    std::fs::remove_file(at("spot.onnx")).unwrap();
    let missing = load();
    assert!(matches!(missing, Error::Unreadable { .. }) && missing.to_string().contains("spot.onnx"), "{missing}");
}

#[test]
fn a_model_larger_than_any_model_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixtures().join("spot/manifest.toml"), dir.path().join("manifest.toml")).unwrap();
    let file = std::fs::File::create(dir.path().join("spot.onnx")).unwrap();
    file.set_len(watchpost::vision::model::MAX_MODEL_BYTES + 1).unwrap();
    let error = Detector::load(&runtime(), Manifest::load(dir.path()).unwrap(), 1).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn cameras_share_two_sessions_and_all_get_their_answers() {
    let spot = Detector::load(&runtime(), manifest("spot"), 2).unwrap();
    std::thread::scope(|scope| {
        for camera in 0..6_u32 {
            let spot = &spot;
            scope.spawn(move || {
                let (x, y) = (camera * 8 + 4, 12);
                let frame = frame(64, 32, |px, py| if (px, py) == (x, y) { 250 } else { 0 });
                for _ in 0..20 {
                    let found = spot.detect(&frame).unwrap();
                    assert_eq!(found.len(), 1);
                    assert!(near(found[0].rect.x2, (camera * 8 + 14) as f32));
                }
            });
        }
    });
    assert_eq!(spot.net().waiting(), 0);
}

#[test]
fn models_are_loaded_by_name_from_one_folder() {
    let settings =
        Settings { folder: fixtures(), detector: "spot".into(), reader: "scribe".into(), ..Settings::default() };
    let models = Models::load(&settings).unwrap();
    assert_eq!(models.reader.net().manifest().name, "scribe");
    let error = Models::load(&Settings { reader: "absent".into(), ..settings }).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn corners_are_corrected_where_the_folder_has_a_model_for_it_and_by_no_other_model() {
    let with = |folder, corners| {
        Models::load(&Settings {
            folder,
            detector: "spot".into(),
            reader: "scribe".into(),
            corners,
            ..Settings::default()
        })
    };
    assert!(with(fixtures(), Corrector::Usual).unwrap().reader.corners().is_none(), "folders of others lack it");
    let absent = with(fixtures(), Corrector::Named("absent".into())).unwrap_err();
    assert!(absent.to_string().contains("absent"), "{absent}");
    let reader = with(fixtures(), Corrector::Named("scribe".into())).unwrap_err();
    assert!(
        reader.to_string().contains("family \"ctc\"") && reader.to_string().contains("[vision] corners"),
        "{reader}"
    );
    let shipped = |corners| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        Models::load(&Settings { folder, corners, ..Settings::default() }).unwrap()
    };
    assert!(shipped(Corrector::Usual).manifests().any(|m| m.name == Corrector::USUAL));
    assert!(shipped(Corrector::Off).reader.corners().is_none());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let detector = Settings { folder, detector: Corrector::USUAL.into(), ..Settings::default() };
    let error = Models::load(&detector).unwrap_err();
    assert!(error.to_string().contains("[vision] detector"), "{error}");
}

#[test]
fn vehicles_have_a_model_of_their_own_or_come_with_the_plates() {
    let settings = |detector: &str, vehicles: Option<&str>| Settings {
        folder: fixtures(),
        detector: detector.into(),
        reader: "scribe".into(),
        vehicles: vehicles.map(Into::into),
        ..Settings::default()
    };
    let load = |detector, vehicles| Models::load(&settings(detector, vehicles));
    assert!(matches!(load("both", None).unwrap().vehicles, Vehicles::Off));
    assert!(matches!(load("both", Some("both")).unwrap().vehicles, Vehicles::SamePass));
    let two = load("spot", Some("grid")).unwrap();
    assert!(matches!(&two.vehicles, Vehicles::Own(finder) if finder.net().manifest().name == "grid"));
    let names: Vec<&str> = two.manifests().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["spot", "scribe", "grid"]);
    let blind = load("spot", Some("spot")).unwrap_err();
    for part in ["\"spot\"", "no vehicles", "[\"plate\"]", "[vision] vehicles"] {
        assert!(blind.to_string().contains(part), "{part} is missing in {blind}");
    }
    let plates = load("grid", None).unwrap_err();
    assert!(plates.to_string().contains("no plates") && plates.to_string().contains("[vision] detector"), "{plates}");
}

/// The tiny detector of this name, whose runs are watched.
fn moody(detector: &str, within: Duration) -> Models {
    let settings = Settings {
        folder: fixtures(),
        detector: detector.into(),
        reader: "scribe".into(),
        corners: Corrector::Off,
        run_within: Some(within),
        ..Settings::default()
    };
    Models::load(&settings).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_run_that_does_not_come_back_is_ended_and_the_next_one_is_as_good_as_before() {
    let models = moody("hang", Duration::from_secs(2));
    let (dark, bright) = (frame(64, 32, |x, y| if (x, y) == (36, 12) { 230 } else { 0 }), frame(64, 32, |_, _| 90));
    assert_eq!(models.detector.detect(&dark).unwrap().len(), 1);
    let begun = std::time::Instant::now();
    let error = models.detector.detect(&bright).unwrap_err();
    assert!(matches!(error, Error::Hung { .. }) && error.to_string().contains("\"hang\" did not come back"), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "{:?}", begun.elapsed());
    assert_eq!(models.hung(), 1);
    assert_eq!(models.detector.detect(&dark).unwrap().len(), 1);
    let dazed = moody("dazed", Duration::from_mins(1));
    assert_eq!(dazed.detector.detect(&dark).unwrap().len(), 1);
    assert!(matches!(dazed.detector.detect(&bright).unwrap_err(), Error::NotFinite { .. }));
    assert_eq!(dazed.hung(), 0);
}

#[test]
fn who_waits_for_a_model_that_is_given_up_waits_no_longer() {
    let models = moody("hang", Duration::from_mins(10));
    let net = models.detector.net();
    std::thread::scope(|scope| {
        let ask = || scope.spawn(|| models.detector.detect(&frame(64, 32, |_, _| 90)).unwrap_err());
        let asking = [ask(), ask(), ask()];
        while net.waiting() < 2 {
            std::thread::yield_now();
        }
        models.give_up();
        for error in asking.map(|thread| thread.join().unwrap()) {
            assert!(matches!(error, Error::GivenUp { .. }), "{error}");
        }
    });
    assert_eq!(models.hung(), 0, "nobody waited so long");
}

#[test]
fn a_part_of_a_picture_shows_the_plates_that_the_whole_shows_and_no_half_ones() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let manifest = Manifest::load(&models.join("plates-1")).unwrap();
    let plates = Detector::load(&runtime(), manifest.clone(), 1).unwrap();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/one-plate.jpg");
    let frame = watchpost::camera::still::load(&picture).unwrap();
    let whole = plates.detect(&frame).unwrap();
    let [plate] = &whole[..] else { panic!("{whole:?}") };
    let grid = plates.grid(Area::whole(&frame)).unwrap();
    let around = grid.around(&plate.rect, 1.0).unwrap();
    let [width, height] = grid.size(&around);
    assert!(width * height < manifest.input.size[0] * manifest.input.size[1] / 3, "{width}x{height}");
    let found = plates.detect_parts(&frame, &grid, &[around]).unwrap();
    let [one] = &found[..] else { panic!("{found:?}") };
    assert!(one.rect.iou(&plate.rect) > 0.75 && (one.score - plate.score).abs() < 0.2, "{one:?} and {plate:?}");
    // A part that ends within the plate tells nothing of it, and one beside it has none.
    let whole = Area::whole(&frame).rect();
    let mut halves = 0;
    for from in (0..32_u16).map(|n| f32::from(n) * 6.0).take_while(|from| *from < plate.rect.x1 - 8.0) {
        // Grids that begin elsewhere: one of their borders goes through the plate somewhere.
        let area = Area::around(&Rect::new(from, 0.0, whole.x2, whole.y2), &frame).unwrap();
        let grid = plates.grid(area).unwrap();
        let left = Rect::new(from, plate.rect.y1 - 40.0, plate.rect.centre().x, plate.rect.y2 + 40.0);
        let half = grid.around(&left, 0.0).unwrap();
        let place = grid.place(&half, &frame).unwrap();
        let sees = plates.detect_in(&frame, place).unwrap();
        halves += sees.iter().filter(|d| grid.is_cut(&d.rect, place)).count();
        let told = plates.detect_parts(&frame, &grid, &[half]).unwrap();
        assert!(told.iter().all(|d| !grid.is_cut(&d.rect, place)), "{told:?} in {place:?}");
    }
    assert!(halves > 0, "the model finds the half of a plate that it sees");
}

#[test]
fn a_graph_of_one_size_is_refused_as_one_whose_sides_are_free() {
    let mut fixed = manifest("spot");
    fixed.input.unit = Some(8);
    let error = Detector::load(&runtime(), fixed, 1).unwrap_err().to_string();
    assert!(error.contains("spot") && error.contains("-1"), "{error}");
    let whole = detector("spot").unwrap();
    assert!(whole.grid(Area::whole(&frame(64, 32, |_, _| 0))).is_none());
}
