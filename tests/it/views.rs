//! A camera's health by its picture, on the drawn street and on a real recording: each trouble is told as itself and as
//! nothing else, traffic and weather are no trouble, and the picture that shows it comes to whoever may see it.
//!
//! `WATCHPOST_LONG=1` has ten minutes of each kind of traffic and weather instead of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use watchpost::camera::testkit::{RtspServer, Serving};
use watchpost::camera::{self, Next, Settings};
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, Frame, SourceUri};
use watchpost::health::CameraCounters;
use watchpost::vision::mask::Mask;
use watchpost::vision::view::{Trouble, View};

use crate::kit::one_box::{OneBox, camera};
use crate::passes::drawn::street::{self, Clip, Pass, Spoil};

/// What a view tells of frames: begun or over, and when it saw cuts.
#[derive(Debug, Default, PartialEq)]
struct Said {
    news: Vec<(Trouble, bool)>,
    cuts: Vec<Duration>,
}

fn watch(frames: impl Iterator<Item = Frame>) -> Said {
    let (mut view, mask, mut said) = (View::new(None), Mask::default(), Said::default());
    frames.for_each(|frame| look(&mut view, &mask, &frame, &mut said));
    said
}

fn look(view: &mut View, mask: &Mask, frame: &Frame, said: &mut Said) {
    if view.step(frame, mask).unwrap() {
        said.cuts.push(frame.pts);
    }
    said.news.extend(view.take_news().into_iter().map(|news| (news.trouble, news.why.is_some())));
}

/// A street with a vehicle every six seconds, a frame a second.
fn busy(seconds: f32, spoil: Spoil) -> Clip {
    let pass = |n: usize| Pass {
        seed: n as u64,
        from_s: 2.0 + 6.0 * n as f32,
        lasts_s: 2.5,
        plate_px: (28.0, 60.0),
        ..Pass::default()
    };
    let passes = (0..200).map(pass).take_while(|pass| pass.from_s < seconds).collect();
    Clip { size: (640, 360), fps: 1, seconds, passes, spoil, ..Clip::default() }
}

#[test]
fn each_trouble_of_a_camera_is_told_as_itself_and_as_nothing_else() {
    let at = Some(40.0);
    let spoils = [
        (Trouble::Cut, 20.0, Spoil { cut_at_s: at, ..Spoil::default() }),
        (Trouble::Frozen, 50.0, Spoil { frozen_at_s: at, ..Spoil::default() }),
        (Trouble::Black, 20.0, Spoil { black_at_s: at, ..Spoil::default() }),
        (Trouble::Moved, 20.0, Spoil { moved_at_s: at, ..Spoil::default() }),
        (Trouble::Defocused, 60.0, Spoil { defocused_at_s: at, ..Spoil::default() }),
    ];
    for (trouble, lasts, spoil) in spoils {
        let said = watch(street::frames(&busy(40.0 + lasts, spoil)));
        assert_eq!(said.news, [(trouble, true)], "{trouble:?}");
    }
}

#[test]
fn traffic_rain_and_flickering_light_are_no_trouble() {
    let seconds = if std::env::var_os("WATCHPOST_LONG").is_some() { 600.0 } else { 60.0 };
    let kinds = [
        ("traffic", Spoil::default()),
        ("rain", Spoil { rain: true, ..Spoil::default() }),
        ("flicker", Spoil { flicker: 0.2, ..Spoil::default() }),
        ("night", Spoil { dark: 0.8, noise: 3.0, ..Spoil::default() }),
    ];
    for (kind, spoil) in kinds {
        assert_eq!(watch(street::frames(&busy(seconds, spoil))), Said::default(), "{kind}");
    }
}

#[test]
fn the_real_recording_that_was_cut_is_told_of_and_the_others_are_not() {
    let Some(data) = std::env::var_os("WATCHPOST_DATA").map(PathBuf::from) else {
        return eprintln!("WATCHPOST_DATA is not set: the real recordings are not looked at");
    };
    for (file, cut) in [("toll-parkpow.mp4", true), ("street-ahmetozlu.mp4", false)] {
        let said = watch_file(&data.join("videos").join(file));
        let told: &[_] = if cut { &[(Trouble::Cut, true)] } else { &[] };
        assert_eq!(said.news, told, "{file}: {said:?}");
        // Its label says about 8.9 s, its pictures 8.5.
        assert!(said.cuts.iter().all(|at| (8.0..9.2).contains(&at.as_secs_f32())), "{said:?}");
    }
}

fn watch_file(path: &Path) -> Said {
    let settings = Settings::new(CameraId::new("file").unwrap(), 1, SourceUri::from(path));
    let mut source = camera::open(&settings, &Clock::system(), Arc::new(CameraCounters::default())).unwrap();
    let (mut view, mask, mut said) = (View::new(None), Mask::default(), Said::default());
    while let Next::Frame(frame) = source.next(Duration::from_secs(10)).unwrap() {
        look(&mut view, &mask, &frame, &mut said);
    }
    said
}

#[test]
fn a_moved_camera_with_a_privacy_mask_gives_no_picture_and_says_why() {
    let made = OneBox::new();
    let _broker = made.broker();
    let clip = Clip { fps: 2, ..busy(90.0, Spoil { moved_at_s: Some(20.0), ..Spoil::default() }) };
    let path = made.path("knocked.mp4");
    street::encode(&clip, &path).unwrap();
    let server = RtspServer::start(&path, &Serving::default()).unwrap();
    let mask = "privacy_mask = [[[0.0, 0.0], [0.2, 0.0], [0.2, 0.2], [0.0, 0.2]]]";
    made.configure(&[camera("gate", 1, &server.url(), mask)]);
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    let out = made.path("pictures");
    let options =
        ["camera", "snapshot", "gate", "--box", "box-1", "--purpose", "maintenance", "--out", out.to_str().unwrap()];
    let begun = std::time::Instant::now();
    while made.ctl(&options).code != Some(0) {
        assert!(begun.elapsed() < Duration::from_mins(1), "no picture before it is moved: {:#?}", daemon.said());
    }
    daemon.until("something is wrong with the camera's picture");
    assert!(daemon.said().iter().any(|line| line.contains("camera moved")), "{:#?}", daemon.said());
    made.ctl(&options).expect(1, &["gate", "privacy masks lie wrong"]);
}

#[test]
fn the_picture_of_a_covered_camera_comes_to_whoever_may_see_it() {
    let made = OneBox::new();
    let _broker = made.broker();
    let clip = Clip { fps: 2, ..busy(40.0, Spoil { black_at_s: Some(25.0), ..Spoil::default() }) };
    let path = made.path("covered.mp4");
    street::encode(&clip, &path).unwrap();
    made.configure(&[camera("gate", 1, path.to_str().unwrap(), "")]);
    let mut daemon = made.daemon();
    daemon.until("something is wrong with the camera's picture");
    daemon.until("file ended");
    assert!(daemon.said().iter().any(|line| line.contains("picture black")), "{:#?}", daemon.said());

    let said = made.ctl(&["camera", "list", "--json"]);
    let line: serde_json::Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    let id = line["answer"]["cameras"][0]["view"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
    let out = made.path("view.jpg");
    let options = ["evidence", "view", &id, "--out", out.to_str().unwrap()];
    made.ctl(&options).expect(1, &["purpose"]);
    let purpose = ["--purpose", "crime-investigation", "--case", "C-7"];
    let begun = std::time::Instant::now();
    // It is stored beside the analysis.
    while !out.exists() && begun.elapsed() < Duration::from_secs(30) {
        made.ctl(&[&options[..], &purpose].concat());
    }
    let picture = image::load_from_memory(&std::fs::read(&out).unwrap()).unwrap().to_luma8();
    let (wide, high) = picture.dimensions();
    assert_eq!(wide, 2 * 320, "no more of it than where the camera looks");
    let brightest = |from: u32| (from + 8..from + wide / 2 - 8).map(|x| picture.get_pixel(x, high / 2).0[0]).max();
    assert!(brightest(0) > Some(60) && brightest(wide / 2) < Some(40), "the reference beside the black picture");
    // So are the camera's views, at the latest when its file has ended.
    let (view, begun) = (made.config().site.data_dir.join("views/gate.view"), std::time::Instant::now());
    while !view.exists() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{} is not kept", view.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
