//! What a camera may see and where it looks: masks, region of interest, motion gate, with the real models.

use std::sync::Arc;
use std::time::Duration;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use watchpost::camera::{self, Next, SourceUri};
use watchpost::cli::draw;
use watchpost::clock::Clock;
use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{CameraId, Frame, Polygon, Stage, TimeMs};
use watchpost::health::CameraCounters;
use watchpost::vision::{Analyser, Models, Settings, model};

use crate::kit::one_box::{OneBox, camera, fixture, hotlist};

fn models() -> Models {
    let folder = model::usual_folder().unwrap();
    Models::load(&model::Settings { folder, workers: 1, ..model::Settings::default() }).unwrap()
}

/// The frame of a clip at `index`.
fn still(clip: &str, index: u64) -> RgbImage {
    let settings = camera::Settings::new(CameraId::new("clip").unwrap(), 1, SourceUri::File(fixture(clip)));
    let mut source = camera::open(&settings, &Clock::system(), Arc::new(CameraCounters::default())).unwrap();
    loop {
        match source.next(Duration::from_secs(1)).unwrap() {
            Next::Frame(frame) if frame.index == index => return draw::to_rgb(&frame),
            Next::End => panic!("{clip} has no frame {index}"),
            _ => {}
        }
    }
}

/// The plates that are told of three frames of one picture.
fn told(models: &Models, picture: &RgbImage, settings: Settings) -> Vec<String> {
    let camera = CameraId::new("gate").unwrap();
    let mut analyser = Analyser::new(models, settings, camera, 1);
    let mut events = Vec::new();
    for n in 0..3 {
        let (format, pixels) = OwnedI420::from_rgb(picture.as_raw(), picture.width(), picture.height());
        let frame = Frame::new(format, TimeMs(40 * n), Duration::from_millis(40 * n), n, Box::new(pixels));
        events.extend(analyser.step(&frame).unwrap());
    }
    events.extend(analyser.finish(TimeMs(0)));
    let ends = events.into_iter().filter(|e| e.stage == Stage::End);
    ends.filter_map(|e| e.sighting.read.map(|r| r.text.to_string())).collect()
}

fn square(x1: f64, y1: f64, x2: f64, y2: f64) -> Vec<Polygon> {
    vec![Polygon::new(vec![[x1, y1], [x2, y1], [x2, y2], [x1, y2]])]
}

/// A picture so large that the model for plates sees it a quarter as wide.
const LARGE: (u32, u32) = (3840, 2160);

#[test]
fn a_plate_too_small_for_the_whole_picture_is_found_in_a_region_of_interest() {
    let models = models();
    // The red car of street-a with its plate 60 to 70 pixels wide, ever smaller in a grey picture so large that the model
    // for plates sees it a quarter as wide.
    let street = still("street-a.mp4", 50);
    let seen = |percent: u32, settings| {
        let side = |n: u32| n * percent / 100;
        let small = imageops::resize(&street, side(street.width()), side(street.height()), FilterType::Triangle);
        let mut picture = RgbImage::from_pixel(LARGE.0, LARGE.1, Rgb([110, 112, 115]));
        imageops::replace(&mut picture, &small, 100, 80);
        told(&models, &picture, settings)
    };
    // The left half of what was pasted, as shares of the picture.
    let at = |percent: u32| {
        let (width, height, share) = (f64::from(LARGE.0), f64::from(LARGE.1), f64::from(percent) / 100.0);
        let (x, y) = (100.0 / width, 80.0 / height);
        square(x, y, x + share * 640.0 / width, y + share * 720.0 / height)
    };
    let found = |percent: u32, settings| seen(percent, settings).iter().any(|t| t == "FK418XR");
    assert!(found(200, Settings::default()), "the plate is there");
    let small = [160, 120, 90, 70, 60, 50, 42]
        .into_iter()
        .find(|s| !found(*s, Settings::default()))
        .expect("too small some time");
    let region = Settings { roi: at(small), ..Settings::default() };
    assert!(found(small, region), "at {small} % of its size it is found when nothing else is looked at");
    let elsewhere = Settings { roi: square(0.7, 0.1, 1.0, 0.9), ..Settings::default() };
    assert!(seen(100, elsewhere).is_empty(), "what lies outside is not told");
}

/// The kerb where the parked car of street-a stands.
const KERB: &str = "privacy_mask = [[0.70, 0.18], [0.99, 0.18], [0.99, 0.56], [0.70, 0.56]]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plate_under_a_mask_is_never_read_and_kept_pictures_are_blank_there() {
    let made = OneBox::new();
    let _broker = made.broker();
    let centre = made.centre().await;
    let watched = hotlist("watched", 1, &fixture("hotlist.csv"), "info");
    let street = fixture("street-a.mp4");
    made.configure(&[camera("street", 1, street.to_str().unwrap(), KERB), watched]);
    made.run("check", &["privacy"]).await.expect(0, &["11 % of the picture is blanked"]);
    made.run("run", &["--until-eos"]).await.expect(0, &["0 waiting"]);

    let heard = centre.look(|log| log.heard.clone());
    let mut plates: Vec<String> =
        heard.iter().filter(|a| a.stage == Stage::End).map(|a| a.plate.as_ref().unwrap().to_string()).collect();
    plates.sort();
    assert_eq!(plates, ["FK418XR", "GZ907TE", "HN7302C", "LT26BMH", "PD531LW", "SVB4H37"], "all but the parked car");
    centre.stop().await;

    let store = made.store();
    let ends: Vec<_> = heard.iter().filter(|a| a.stage == Stage::End).map(|a| a.id).collect();
    for id in ends {
        let pictures = store.pictures(id).unwrap().expect("pictures of each hit");
        let scene = image::load_from_memory(&pictures.scene).unwrap().to_luma8();
        let part = |x: u32, y: u32| (x * scene.width() / 100, y * scene.height() / 100);
        // A JPEG block away from the edges, whose rings reach inwards.
        let ((x1, y1), (x2, y2)) = (part(70, 18), part(99, 56));
        let hidden = (y1 + 9..y2 - 9).flat_map(|y| (x1 + 9..x2 - 9).map(move |x| (x, y)));
        let brightest = hidden.map(|(x, y)| scene.get_pixel(x, y).0[0]).max().unwrap();
        assert!(brightest < 8, "{brightest}");
        let open = scene.get_pixel(x1 / 2, y2 - 4).0[0];
        assert!(open > 30, "the rest can be seen: {open}");
    }
}
