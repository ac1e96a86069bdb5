//! Causes of passes that were made up: each limit, each consequence, each verdict.

use std::time::Duration;

use super::*;
use crate::camera;
use crate::camera::probe::Probed;
use crate::cli::doctor::notes::Notes;
use crate::cli::doctor::pass::Cut;
use crate::domain::{CameraId, Class, Detection, Rect};
use crate::vision::analyser::insight::Refusal;
use crate::vision::quality::{Light, Scene};

const FACTS: Facts =
    Facts { threshold: 0.5, usual_threshold: 0.5, tell: 0.8, usual_tell: 0.8, masked: 0.0, live: false };

fn light(ground: f32, letters: f32, burnt: f32) -> Light {
    Light { mean: ground.midpoint(letters), ground, letters, contrast: ground - letters, burnt, drowned: 0.0 }
}

/// What is wrong with a pass.
type Change = Box<dyn Fn(&mut Pass)>;

/// A pass of which nothing is wrong.
fn good() -> Pass {
    Pass {
        track: 1,
        begin: Duration::from_secs(1),
        end: Duration::from_secs(2),
        frames: 20,
        score: 0.85,
        stands: false,
        outcome: Outcome::Read,
        refusal: None,
        text: None,
        confidence: Some(0.98),
        width: 90.0,
        height: 20.0,
        edge: Some(2.1),
        smear: Some(0.0),
        speed: Some(300.0),
        exposure: None,
        light: Some(light(190.0, 40.0, 0.0)),
        roll: Some(1.0),
        shear: Some(-2.0),
        cut: None,
        way: Vec::new(),
        crop: None,
    }
}

/// Six such passes, changed, of which none was read.
fn unread(change: impl Fn(&mut Pass)) -> Observed {
    seen(6, |p| {
        (p.outcome, p.refusal, p.confidence) = (Outcome::Unread, Some(Refusal::NoText), None);
        change(p);
    })
}

fn seen(count: usize, change: impl Fn(&mut Pass)) -> Observed {
    let camera = camera::Settings::new(CameraId::new("gate").unwrap(), 1, "street.mp4".parse().unwrap());
    let mut notes = Notes::new(0.15);
    notes.scenes.push(Scene {
        mean: 100.0,
        dark: 10.0,
        bright: 220.0,
        burnt: 0.0,
        edge: Some(2.5),
        noise: 1.5,
        colour: 9.0,
    });
    notes.size = (1280.0, 720.0);
    let pass = |_| {
        let mut pass = good();
        change(&mut pass);
        pass
    };
    Observed {
        passes: (0..count).map(pass).collect(),
        notes,
        frames: 1500,
        dropped: 0,
        damaged: 0,
        span: Duration::from_mins(1),
        fps: Some(25.0),
        cost: None,
        probed: Probed::nothing(&camera),
        blocks: None,
        error: None,
        interrupted: false,
    }
}

fn kinds(seen: &Observed) -> Vec<Kind> {
    of(seen, &FACTS).iter().map(|c| c.kind).collect()
}

/// Something of this score that goes by, 90 pixels wide.
fn goes_by(score: f32) -> impl Fn(&mut super::super::notes::Shadow) {
    move |shadow| {
        for n in 0..12_u16 {
            let x = f32::from(n) * 20.0;
            let rect = Rect::new(x, 100.0, x + 90.0, 122.0);
            let found = Detection { class: Class::Plate, score, rect, corners: None };
            shadow.step(Duration::from_millis(u64::from(n) * 40), &[found]);
        }
    }
}

#[test]
fn a_camera_whose_passes_are_all_read_is_healthy() {
    let seen = seen(6, |_| {});
    let causes = of(&seen, &FACTS);
    assert_eq!((causes.as_slice(), verdict(&seen, &causes)), (&[][..], Verdict::Healthy));
}

#[test]
fn one_odd_pass_in_many_is_no_cause() {
    let mut seen = seen(12, |_| {});
    seen.passes[0].width = 20.0;
    assert_eq!(kinds(&seen), []);
}

#[test]
fn each_fault_of_a_plates_picture_is_named() {
    let smeared = |p: &mut Pass| (p.smear, p.exposure) = (Some(9.0), Some(Duration::from_millis(30)));
    let faults: [(Kind, Change); 8] = [
        (Kind::Small, Box::new(|p| (p.width, p.height) = (36.0, 8.0))),
        (Kind::Dark, Box::new(|p| p.light = Some(light(30.0, 8.0, 0.0)))),
        (Kind::Bright, Box::new(|p| p.light = Some(light(255.0, 200.0, 0.7)))),
        (Kind::Focus, Box::new(|p| p.edge = Some(7.0))),
        (Kind::Shutter, Box::new(smeared)),
        (Kind::Angle, Box::new(|p| p.roll = Some(-24.0))),
        (Kind::Angle, Box::new(|p| p.shear = Some(30.0))),
        (Kind::Contrast, Box::new(|p| p.light = Some(light(140.0, 115.0, 0.0)))),
    ];
    for (kind, change) in faults {
        let told = unread(&change);
        assert_eq!(kinds(&told), [kind]);
        assert_eq!(verdict(&told, &of(&told, &FACTS)), Verdict::Impaired);
        // Read all the same: a remark, that weighs less.
        let (lost, spite) = (of(&told, &FACTS), of(&seen(6, &change), &FACTS));
        if let [cause] = spite.as_slice() {
            assert!(!cause.costs_reads && cause.weight < lost[0].weight, "{kind:?}");
        }
    }
}

#[test]
fn what_to_change_is_told_in_factors_degrees_and_shutters() {
    let said = |seen: &Observed| {
        let causes = of(seen, &FACTS);
        format!("{} → {}", causes[0].what, causes[0].todo.join(" "))
    };
    let small = said(&unread(|p| p.width = 38.0));
    assert!(small.contains("38 pixels") && small.contains("zoom in by 1.6") && small.contains("63 %"), "{small}");
    let smeared = said(&unread(|p| (p.smear, p.exposure) = (Some(9.0), Some(Duration::from_millis(30)))));
    assert!(smeared.contains("1/33 s") && smeared.contains("to 1/200 s or shorter"), "{smeared}");
    let turned = said(&unread(|p| p.roll = Some(-24.0)));
    assert!(turned.contains("by 24 degrees anticlockwise"), "{turned}");
}

#[test]
fn what_a_mask_the_region_or_the_gate_hides_goes_before_the_small_plates_that_it_leaves() {
    let lost = |cut| unread(move |p| (p.width, p.cut) = (40.0, Some(cut)));
    let masked = Facts { masked: 0.4, ..FACTS };
    let first = |seen: &Observed, facts: &Facts| of(seen, facts)[0].kind;
    assert_eq!(first(&lost(Cut::Mask), &masked), Kind::Mask);
    assert_eq!(first(&lost(Cut::Region), &FACTS), Kind::Region);
    assert_eq!(first(&lost(Cut::Picture), &FACTS), Kind::Small);
    let mut asleep = seen(0, |_| {});
    goes_by(0.8)(&mut asleep.notes.asleep);
    assert_eq!(first(&asleep, &FACTS), Kind::Gate);
    let mut outside = seen(0, |_| {});
    goes_by(0.8)(&mut outside.notes.outside);
    assert_eq!(first(&outside, &FACTS), Kind::Region);
    assert_eq!(first(&seen(0, |_| {}), &masked), Kind::Mask);
}

#[test]
fn a_threshold_that_was_raised_is_named_and_weak_plates_by_the_usual_one_are_a_hint() {
    let mut weak = seen(0, |_| {});
    goes_by(0.7)(&mut weak.notes.weak);
    let raised = Facts { threshold: 0.9, ..FACTS };
    assert_eq!(of(&weak, &raised)[0].kind, Kind::FindThreshold);
    assert!(of(&weak, &raised)[0].todo[0].contains("back to 0.50"));
    let mut weak = seen(0, |_| {});
    goes_by(0.4)(&mut weak.notes.weak);
    assert_eq!(kinds(&weak), [Kind::FindThreshold]);
    // A lamp beside a plate that was read.
    let mut beside = seen(6, |p| (p.begin, p.end) = (Duration::ZERO, Duration::from_secs(1)));
    goes_by(0.4)(&mut beside.notes.weak);
    assert_eq!(kinds(&beside), []);
    let unsure =
        unread(|p| (p.refusal, p.confidence, p.outcome) = (Some(Refusal::Unsure), Some(0.9), Outcome::Doubtful));
    assert_eq!(of(&unsure, &Facts { tell: 0.99, ..FACTS })[0].kind, Kind::ReadThreshold);
}

#[test]
fn the_stream_and_the_box_are_named() {
    let mut few = unread(|p| p.frames = 2);
    few.fps = Some(3.0);
    assert_eq!(kinds(&few), [Kind::FrameRate]);
    let mut squeezed = unread(|_| {});
    squeezed.probed.measured.quantiser = Some(45.0);
    assert_eq!(kinds(&squeezed), [Kind::Compression]);
    let mut blocks = unread(|_| {});
    blocks.blocks = Some(2.4);
    assert_eq!(kinds(&blocks), [Kind::Compression]);
    let mut slow = unread(|_| {});
    (slow.dropped, slow.frames) = (1_200, 300);
    assert_eq!(of(&slow, &Facts { live: true, ..FACTS })[0].kind, Kind::Slow);
    let mut lost = unread(|_| {});
    lost.damaged = 300;
    assert_eq!(kinds(&lost), [Kind::Network]);
}

#[test]
fn without_a_plate_the_scene_is_judged_and_without_anything_the_time() {
    let scene = |change: fn(&mut Scene)| {
        let mut seen = seen(0, |_| {});
        seen.notes.scenes.iter_mut().for_each(change);
        seen
    };
    assert_eq!(kinds(&scene(|s| (s.mean, s.bright) = (8.0, 30.0))), [Kind::Dark]);
    assert_eq!(kinds(&scene(|s| s.burnt = 0.6)), [Kind::Bright]);
    assert_eq!(kinds(&scene(|s| s.edge = Some(9.0))), [Kind::Focus]);
    let still = scene(|_| {});
    assert_eq!(verdict(&still, &of(&still, &FACTS)), Verdict::NothingPassed);
    let mut gone = scene(|_| {});
    (gone.frames, gone.error) = (0, Some("refused".into()));
    let causes = of(&gone, &FACTS);
    assert_eq!((causes[0].kind, verdict(&gone, &causes)), (Kind::NoPicture, Verdict::NoPicture));
}

#[test]
fn what_nothing_explains_is_said_to_be_so() {
    assert_eq!(kinds(&unread(|_| {})), [Kind::Unexplained]);
}

#[test]
fn shares_and_lists_read_well() {
    assert_eq!(
        (of_all(1, 1), of_all(4, 4), of_all(2, 9)),
        ("the one pass".into(), "all 4 passes".into(), "2 of 9 passes".into())
    );
    assert_eq!(listed(&["a".into(), "b".into(), "c".into()]), "a, b and c");
}
