//! Second looks: a pass of which a live camera saw few frames, looked at again from its ring, from the camera to the centre.

use watchpost::domain::{Alert, Stage};

use crate::kit::one_box::{OneBox, Said, camera, hotlist};
use crate::passes::drawn::street::{Clip, Pass, encode, truth};

/// Pictures that the plate is read in when it is looked at once a second, at most, and every time, at least.
const FEW: u16 = 6;
const MANY: u16 = 10;

/// A car with a plate so small and smeared that a few pictures of it leave a doubt, and then nothing until its end is told.
fn film() -> Clip {
    let pass = Pass { seed: 3, from_s: 2.4, lasts_s: 1.4, plate_px: (33.0, 47.0), blur_px: 4.0, ..Pass::default() };
    Clip { size: (640, 360), fps: 12, seconds: 8.0, seed: 3, passes: vec![pass], crf: 32, ..Clip::default() }
}

/// Plays it as a camera of which one picture a second is looked at; what the program said, and the last alert. `None`, said
/// plainly, where the machine is too slow for the clip: pictures that were dropped may have been those of the pass.
async fn played(also: &str) -> Option<(Said, Alert)> {
    let (made, film) = (OneBox::new(), film());
    let _broker = made.broker();
    let centre = made.centre().await;
    let path = made.path("pass.mp4");
    encode(&film, &path).unwrap();
    let text = &truth(&film)[0].text;
    let rows = format!("PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n{text},,info,2025-01-01,\n");
    let list = hotlist("watched", 1, &made.file("list.csv", rows), "info");
    let uri = path.to_str().unwrap();
    made.configure(&[camera("gate", 1, uri, "realtime = true\nfps = 1"), list, also.to_owned()]);
    let said = made.run("run", &["--until-eos"]).await;
    said.expect(0, &["0 waiting"]);
    let row = said.out.lines().find(|line| line.starts_with("gate ")).expect("a row of the camera");
    let dropped = row.split_whitespace().nth(4).expect("a column of what was dropped");
    if dropped != "0" {
        eprintln!("skipped: this machine is too slow now, {dropped} pictures of 96 were dropped");
        return None;
    }
    let heard = centre.look(|log| log.heard.clone());
    assert!(heard.iter().all(|alert| alert.camera == 1), "{heard:?}");
    let end = heard.into_iter().rfind(|alert| alert.stage == Stage::End);
    let end = end.unwrap_or_else(|| panic!("no end: {said:#?}"));
    assert_eq!(end.plate.as_ref().unwrap().to_string(), *text, "{said:#?}");
    Some((said, end))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_of_which_few_pictures_were_looked_at_ends_with_what_all_of_them_say() {
    let Some((said, end)) = played("[vision]\nsecond_look_s = 60\n").await else { return };
    assert!(said.out.contains("second looks: 1,"), "{said:#?}");
    assert!(end.frames.unwrap() >= MANY && end.confidence.unwrap() >= 700, "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_looked_at_again_while_another_camera_is_awake_and_the_end_is_told_all_the_same() {
    let awake = camera("yard", 2, "test://smpte?width=320&height=240&fps=4", "motion_gate = false");
    let Some((said, end)) = played(&format!("{awake}[vision]\nsecond_look_s = 2\n")).await else { return };
    assert!(!said.out.contains("second looks"), "{said:#?}");
    assert!(end.frames.unwrap() <= FEW, "{end:?}");
}
