//! The clip of a hit, from the camera to the one who asks: real streams, the daemon, the broker, and a player at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{RtspServer, Serving};
use watchpost::camera::{self, Next, Settings};
use watchpost::clock::Clock;
use watchpost::domain::CameraId;

use crate::kit::camera as kit_camera;
use crate::kit::one_box::{OneBox, camera, fixture, hotlist};
use crate::kit::pauses::Pauses;

const FOR: [&str; 6] = ["--box", "box-1", "--purpose", "crime-investigation", "--case", "K-17"];
/// Long enough for a clip behind the first hit, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_mins(3);

/// What is seen of each picture of a file: its place in ms, and the brightest pixel of its lower left eighth.
fn played(path: &Path) -> Vec<(u64, u8)> {
    let settings = Settings::new(CameraId::new("clip").unwrap(), 1, path.to_str().unwrap().parse().unwrap());
    let mut source = camera::open(&settings, &Clock::system(), std::sync::Arc::default()).unwrap();
    let mut out = Vec::new();
    loop {
        match source.next(Duration::from_mins(1)).unwrap() {
            Next::Frame(frame) => {
                let luma = frame.luma();
                let rows = luma.height * 7 / 8 + 2..luma.height;
                let brightest = rows.filter_map(|y| luma.row(y)?[..luma.width / 8 - 2].iter().copied().max()).max();
                out.push((u64::try_from(frame.pts.as_millis()).unwrap(), brightest.unwrap()));
            }
            Next::Idle => panic!("it does not play on"),
            Next::End => return out,
        }
    }
}

/// Rows of hits, as `query hits --json` tells them. Each time for a case of its own: rows are counted.
fn hits(made: &OneBox, time: usize) -> Vec<serde_json::Value> {
    let case = format!("K-{time}");
    let why = ["--box", "box-1", "--purpose", "crime-investigation", "--case", &case];
    let said = made.ctl(&[&["query", "hits", "--json"][..], &why].concat());
    said.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_of_a_network_camera_has_a_clip_that_plays_and_a_masked_camera_one_with_its_masks() {
    let made = OneBox::new();
    let _broker = made.broker();
    let server = RtspServer::start(&fixture("street-a.mp4"), &Serving { looped: true, ..Serving::default() }).unwrap();
    let corner = "privacy_mask = [[[0.0, 0.875], [0.125, 0.875], [0.125, 1.0], [0.0, 1.0]]]\nfps = 5";
    made.configure(&[
        camera("gate", 1, &server.url(), "fps = 5"),
        camera("yard", 2, &server.url(), corner),
        hotlist("watched", 1, &fixture("hotlist.csv"), "info"),
        "[store]\nclip_before_s = 1\nclip_after_s = 1\n".to_owned(),
    ]);
    let pauses = Pauses::watch();
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    let (begun, mut times) = (Instant::now(), 0);
    let found = loop {
        times += 1;
        let rows = hits(&made, times);
        let of = |name: &str| {
            let with = |row: &&serde_json::Value| row["read"]["camera"] == name || row["camera"] == name;
            rows.iter().filter(with).find(|row| row["clip"] == true).cloned()
        };
        if let Some(both) = of("gate").zip(of("yard")) {
            break both;
        }
        if begun.elapsed() > PATIENCE {
            daemon.until("a hit has no clip");
            panic!("{rows:#?} {:#?}", daemon.said());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    for (row, masked) in [(&found.0, false), (&found.1, true)] {
        let id = row["id"].as_str().or(row["read"]["id"].as_str()).unwrap();
        let path = made.path(&format!("{id}.mp4"));
        let options = ["evidence", "clip", id, "--out", path.to_str().unwrap()];
        let said = made.ctl(&[&options[..], &FOR].concat());
        said.expect(0, &["bytes in", if masked { "with the camera's masks" } else { "" }]);
        let pictures = played(&path);
        // From before the hit to after it, as the camera sent them: 25 a second, none missing.
        assert!(!pictures.is_empty(), "{id}: {said:?}");
        let steps = pictures.iter().zip(pictures.iter().skip(1)).map(|(a, b)| b.0 - a.0);
        // A second in which the camera could send nothing is a gap of its stream.
        if !pauses.spoil("whether pictures are missing") {
            assert!(pictures.len() >= 30, "{id}: {} pictures, {said:?}", pictures.len());
            assert!(steps.max().unwrap() <= 100, "{id}: a gap");
        }
        let dark = pictures.iter().filter(|(_, brightest)| *brightest <= 24).count();
        assert_eq!(dark, if masked { pictures.len() } else { 0 }, "{id}: masked pictures");
        // Its owner's alone, and never written over.
        made.ctl(&[&options[..], &FOR].concat()).expect(1, &["is there already"]);
    }
    let none = "019b7a3c-0000-7000-8000-000000000000";
    let out = made.path("none.mp4");
    let options = ["evidence", "clip", none, "--out", out.to_str().unwrap()];
    made.ctl(&[&options[..], &FOR].concat()).expect(1, &["nothing is kept of sighting"]);
    assert!(!out.exists());
}

#[test]
fn the_clip_of_a_network_camera_plays_whatever_its_pictures_are_coded_with() {
    let dir = tempfile::tempdir().unwrap();
    let text = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! jpegenc \
                ! rtpjpegpay name=pay0 pt=26";
    for codec in ["video/x-h265", "image/jpeg"] {
        let server = if codec == "image/jpeg" {
            RtspServer::start_text(text, &kit_camera::looped())
        } else {
            RtspServer::start(&fixture("street-b.mp4"), &kit_camera::looped())
        };
        let (server, pauses) = (server.unwrap(), Pauses::watch());
        let settings = kit_camera::settings(&server.url()).with_ring();
        kit_camera::frames(&settings, 40);
        let stood_still = pauses.spoil("whether pictures are missing");
        let span = settings.ring.as_ref().unwrap().span(Duration::ZERO, Duration::MAX).unwrap();
        assert!(span.caps.to_string().starts_with(codec), "{}", span.caps);
        let made = camera::clip::remuxed(&span, camera::Rotation::None).unwrap();
        let path = dir.path().join("made.mp4");
        std::fs::write(&path, &made.bytes).unwrap();
        let pictures = played(&path);
        assert!(pictures.len() >= 35 && pictures.len() == made.pictures, "{codec}: {made:?}, {}", pictures.len());
        let steps = pictures.iter().zip(pictures.iter().skip(1)).map(|(a, b)| b.0 - a.0);
        assert!(stood_still || steps.max().unwrap() <= 200, "{codec}: a gap");
    }
}
