//! Large answers and the budget of the link that they go by.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::centre::keyring::Role;
use crate::command::ops::camera::snapshot;
use crate::command::ops::hit::{Which, seen};
use crate::command::testkit::Site;
use crate::domain::{CameraId, CommandStatus, HitState, Op, Reason, Severity};
use crate::store::testkit::{hit_entry, id, with_pictures};

#[test]
fn a_large_answer_that_the_link_has_no_room_for_is_refused_and_comes_when_it_is_asked_for_again() {
    let site = Site::new();
    let desk = site.desk();
    let ask = || {
        let args = snapshot::Args { camera: CameraId::new("gate").unwrap() };
        desk.send(&desk.order(Op::CameraSnapshot, &args), "fleet", None)
    };
    desk.tray.narrow.store(true, Ordering::SeqCst);
    let reply = ask();
    assert_eq!((reply.status, reply.reason, &reply.result), (CommandStatus::Failed, Some(Reason::Budget), &None));
    assert_eq!(reply.text.as_deref(), Some("4 bytes are too much now"));
    assert_eq!(desk.tray.attachments(), 0);
    let (event, details) = site.audit().pop().unwrap();
    assert_eq!(event, "command.done");
    assert!(details.contains(&("reason".to_owned(), "budget".to_owned())), "{details:?}");
    desk.tray.narrow.store(false, Ordering::SeqCst);
    assert_eq!(ask().status, CommandStatus::Successful);
    assert_eq!(desk.tray.attachments(), 1);
}

#[test]
fn a_hit_whose_pictures_find_no_room_is_not_marked_as_seen() {
    let site = Site::new();
    let recorder = site.rooms().recorder;
    recorder.send(with_pictures(hit_entry(1, Severity::Serious), 40)).unwrap();
    recorder.flush(Duration::from_secs(20)).unwrap();
    let desk = site.desk();
    let ask = |pictures| {
        let args = seen::Args { which: Which::all(id(1)), pictures };
        desk.send(&desk.order(Op::HitSeen, &args), Role::Operator.as_str(), None)
    };
    desk.tray.narrow.store(true, Ordering::SeqCst);
    let reply = ask(true);
    assert_eq!((reply.status, reply.reason), (CommandStatus::Failed, Some(Reason::Budget)));
    let state = || site.rooms().store.hits_of(id(1)).unwrap()[0].state;
    assert_eq!(state(), HitState::New);
    assert!(site.audit().iter().all(|(event, _)| event != "picture.viewed" && event != "hit.judged"));
    assert_eq!(ask(false).status, CommandStatus::Successful, "without pictures there is room");
    assert_eq!(state(), HitState::Seen);
}
