//! Cameras as the centre sees and changes them.

use super::{list, pause, remove, set, snapshot};
use crate::centre::keyring::Role;
use crate::centre::wire::Link;
use crate::command::ops::config::staging::{Answer, Terms};
use crate::command::testkit::Site;
use crate::command::{Caller, ops};
use crate::config;
use crate::domain::{CameraId, Op, Purpose, Reason, TimeMs};
use crate::health::CameraState;

fn id(name: &str) -> CameraId {
    CameraId::new(name).unwrap()
}

const DOOR: &str = "[[camera]]\nid = \"door\"\nnumber = 8\nuri = \"test://smpte\"\n";

#[test]
fn cameras_are_listed_with_their_state_and_without_secrets() {
    let site = Site::with_config(
        "[[camera]]\nid = \"yard\"\nnumber = 4\nuri = \"rtsp://192.0.2.7/a?token=hidden\"\ncredential = \"yard\"\n",
    );
    site.rooms().health.camera(&id("yard")).set_state(CameraState::Paused("paused until then".to_owned()));
    let done = site.run(Op::CameraList, Role::Fleet, &list::Args {}).unwrap();
    assert!(!done.result.windows(6).any(|w| w == b"hidden"));
    let cameras = ops::decode::<list::Answer>(&done.result).unwrap().cameras;
    assert_eq!(cameras.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["gate", "yard"]);
    assert_eq!((cameras[1].state, cameras[1].reason.as_deref()), (Link::Disabled, Some("paused until then")));
    assert_eq!(cameras[1].credential.as_deref(), Some("yard"));
}

#[test]
fn a_camera_is_added_and_taken_out_on_probation() {
    let site = Site::new();
    let args = set::Args { terms: Terms::default(), block: DOOR.to_owned() };
    let done = site.run(Op::CameraSet, Role::Fleet, &args).unwrap();
    assert_eq!(ops::decode::<Answer>(&done.result).unwrap().serial, Some(1));
    assert_eq!(config::load(&site.rooms().config_path).unwrap().cameras.len(), 2);
    let other = Site::new();
    let args = remove::Args { terms: Terms::default(), camera: id("gate") };
    other.run(Op::CameraRemove, Role::Fleet, &args).unwrap();
    assert!(config::load(&other.rooms().config_path).unwrap().cameras.is_empty());
    let none = remove::Args { terms: Terms::default(), camera: id("none") };
    assert_eq!(other.run(Op::CameraRemove, Role::Fleet, &none).unwrap_err().reason, Reason::NotFound);
}

#[test]
fn a_block_with_a_password_or_another_cameras_number_is_refused() {
    for (block, word) in [
        (DOOR.replace("test://smpte", "rtsp://admin:secret@192.0.2.1/"), "credential"),
        (DOOR.replace("= 8", "= 3"), "already"),
        (format!("{DOOR}{DOOR}"), "more than one"),
        (format!("{DOOR}[store]\ncache_mib = 9\n"), "other sections"),
    ] {
        let site = Site::new();
        let args = set::Args { terms: Terms::default(), block };
        let refusal = site.run(Op::CameraSet, Role::Fleet, &args).unwrap_err();
        assert!(refusal.reason == Reason::Verification && refusal.text.contains(word), "{refusal}");
        assert!(!refusal.text.contains("secret"), "{refusal}");
    }
}

#[test]
fn a_camera_is_paused_and_resumed_by_the_wiring() {
    let site = Site::new();
    let ask =
        |until, resume| site.run(Op::CameraPause, Role::Fleet, &pause::Args { camera: id("gate"), until, resume });
    let done = ask(Some(TimeMs(1_900_000_000_000)), None).unwrap();
    assert!(done.facts.contains(&("until", "2030-03-17T17:46:40.000Z".to_owned())), "{:?}", done.facts);
    ask(None, Some(true)).unwrap();
    assert_eq!(ask(Some(TimeMs(1)), Some(true)).unwrap_err().reason, Reason::Arguments);
    let other = pause::Args { camera: id("none"), until: None, resume: None };
    assert_eq!(site.run(Op::CameraPause, Role::Fleet, &other).unwrap_err().reason, Reason::NotFound);
    assert_eq!(site.asked.lines(), ["pause gate", "resume gate"]);
}

#[test]
fn a_snapshot_is_audited_with_its_purpose_and_comes_as_an_attachment() {
    let site = Site::new();
    let args = snapshot::Args { camera: id("gate") };
    let caller = Caller { purpose: Some(Purpose::Maintenance), case: None, ..site.caller(Role::Fleet) };
    let done = site.run_as(Op::CameraSnapshot, caller, &args).unwrap();
    let told: snapshot::Answer = ops::decode(&done.result).unwrap();
    let [attached] = &done.attachments[..] else { panic!() };
    assert_eq!((told.picture.id, told.picture.bytes), (attached.id, 4));
    assert!(done.tells_plates, "it is kept nowhere");
    let (_, details) = site.audit().into_iter().rfind(|(event, _)| event == "picture.viewed").unwrap();
    for (name, value) in [("what", "snapshot"), ("camera", "gate"), ("by", "fleet"), ("purpose", "maintenance")] {
        assert!(details.contains(&(name.to_owned(), value.to_owned())), "{name} in {details:?}");
    }
}
