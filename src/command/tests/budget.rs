//! Large answers and the budget of the link that they go by.

use std::sync::atomic::Ordering;

use crate::command::ops::camera::snapshot;
use crate::command::testkit::Site;
use crate::domain::{CameraId, CommandStatus, Op, Reason};

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
