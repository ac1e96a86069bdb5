//! What a camera sees now: looked at for a purpose, for some minutes at a time, each of them in the audit log before the first picture
//! is given ([`looks`](super::looks)).
//!
//! The picture is made as every other that leaves a camera: behind the privacy masks, with the persons that are followed as a few
//! squares, and no wider than the scene that is kept of a hit. A camera that was moved, so that its masks lie wrong, gives none.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::door::Live;
use super::guard::{ALONE, NoLook, Who};
use super::looks::LASTS;
use super::route::{Shared, refused};
use crate::domain::CameraId;

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
    if !shared.guard.is_attended(who) {
        let words = format!(
            "nobody has used this page for {} minutes: press a key or move the pointer, then look on",
            ALONE.as_secs() / 60
        );
        return answer::problem(StatusCode::CONFLICT, words);
    }
    // Without one it is refused behind the door, where such things are decided.
    let purpose = asked.purpose.parse().ok();
    match shared.guard.look(who, (&camera, purpose), || shared.door.look(&camera, purpose, LASTS)) {
        Ok(lasts) => answer::json(&json!({ "seconds": lasts.as_secs() })),
        Err(NoLook::TooMany(wait)) => {
            let seconds = wait.as_secs() + 1;
            let words = format!(
                "too many looks were begun lately, and each stands in the audit log: wait {seconds} s, or look on at what is open"
            );
            answer::with(answer::problem(StatusCode::TOO_MANY_REQUESTS, words), "retry-after", &seconds.to_string())
        }
        Err(NoLook::Refused(why)) => refused(&why),
    }
}

/// A picture of now.
pub(super) fn picture(shared: &Shared, who: &Who, camera: &str) -> Answer {
    let Ok(camera) = CameraId::new(camera) else {
        return answer::problem(StatusCode::NOT_FOUND, "there is no such camera");
    };
    let nobody = || answer::problem(StatusCode::FORBIDDEN, "say what for first: nobody looks at this camera here");
    if !shared.guard.may_look(who, &camera) {
        return nobody();
    }
    match shared.door.picture(&camera) {
        // It took its time: what the record says may be over.
        Ok(_) if !shared.guard.may_look(who, &camera) => nobody(),
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
