//! What a camera sees now: looked at for a purpose, for some minutes at a time, each of them in the audit log before the first picture
//! is given.
//!
//! The picture is made as every other that leaves a camera: behind the privacy masks, with the persons that are followed as a few
//! squares, and no wider than the scene that is kept of a hit. A camera that was moved, so that its masks lie wrong, gives none.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::door::Live;
use super::guard::Who;
use super::route::{Shared, refused};
use crate::domain::CameraId;

/// How long one look lasts; the page asks anew while it is still being looked at.
const LASTS: Duration = Duration::from_mins(5);

/// What is asked before the first picture.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    camera: String,
    purpose: String,
}

/// Lets somebody look at a camera.
pub(super) fn look(shared: &Shared, who: &Who, asked: &Look) -> Answer {
    let Ok(camera) = CameraId::new(&asked.camera) else {
        return answer::problem(StatusCode::NOT_FOUND, "there is no such camera");
    };
    match shared.door.look(&camera, asked.purpose.parse().ok()) {
        Ok(()) => {
            shared.guard.lets_look(who, &camera, LASTS);
            answer::json(&json!({ "seconds": LASTS.as_secs() }))
        }
        Err(why) => refused(&why),
    }
}

/// A picture of now.
pub(super) fn picture(shared: &Shared, who: &Who, camera: &str) -> Answer {
    let Ok(camera) = CameraId::new(camera) else {
        return answer::problem(StatusCode::NOT_FOUND, "there is no such camera");
    };
    if !shared.guard.may_look(who, &camera) {
        return answer::problem(StatusCode::FORBIDDEN, "say what for first: nobody looks at this camera here");
    }
    match shared.door.picture(&camera) {
        Ok(live) => {
            let about = about(&live);
            answer::with(answer::body(StatusCode::OK, "image/jpeg", live.jpeg), "watchpost-picture", &about)
        }
        Err(why) => refused(&why),
    }
}

/// Its size and what is followed in it, for the header beside it.
fn about(live: &Live) -> String {
    let round = |share: &f32| (f64::from(*share) * 10_000.0).round() / 10_000.0;
    let mark = |mark: &super::Mark| {
        json!({
            "class": mark.class.as_str(), "sure": mark.confirmed,
            "rect": mark.rect.iter().map(round).collect::<Vec<_>>(),
        })
    };
    // A head is bounded: who follows more than this sees the first.
    let marks: Vec<_> = live.marks.iter().take(64).map(mark).collect();
    json!({ "width": live.size.0, "height": live.size.1, "marks": marks }).to_string()
}
