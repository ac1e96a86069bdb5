//! Reads, crops and clips: asked for as from everywhere else, by a command that is signed, authorised by role, purpose and case,
//! and in the audit log before it is executed.
//!
//! The console signs with a key of the keyring that the box's admin gave it: the centre says whether there is such a person, and
//! can revoke it. Without one there are no reads here.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{self, Answer, Problem};
use super::route::Shared;
use crate::centre::ask::{self, Outcome, Question};
use crate::command::Refusal;
use crate::command::ops;
use crate::command::ops::query::{Asked, ReadRow, evidence, reads};
use crate::domain::{CameraId, EventId, Op, Picture, Reason};

/// Rows of a page.
const ROWS: u16 = 50;
/// Longest case number, bytes.
const CASE: usize = 64;

/// Largest picture or clip that is taken into memory, bytes: more than any that is kept with the usual `clip_mib`.
const LARGEST: usize = 64 << 20;
/// Most of them that is on its way to browsers at once, MiB.
pub(super) const ON_THE_WAY_MIB: usize = 128;

/// Why a picture is not there.
const NOT_KEPT: &str = "none is kept of it: scenes and clips are kept of hits alone";

/// What for, and by which case.
#[derive(Deserialize)]
pub(super) struct Why {
    purpose: String,
    case: String,
}

/// The last reads.
#[derive(Deserialize)]
pub(super) struct Reads {
    #[serde(flatten)]
    why: Why,
    camera: Option<String>,
    cursor: Option<String>,
}

/// One picture, or the clip, of a sighting.
#[derive(Deserialize)]
pub(super) struct Evidence {
    #[serde(flatten)]
    why: Why,
    id: String,
    which: String,
}

fn with(question: Question, why: &Why) -> Result<Question, Problem> {
    let purpose = why.purpose.parse().ok();
    if purpose.is_none() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "choose a purpose"));
    }
    let case = why.case.trim();
    if case.is_empty() || case.len() > CASE {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "give a case number of 1 to 64 bytes"));
    }
    Ok(Question { purpose, case: Some(case.to_owned()), ..question })
}

/// What the executor said, or why not, as the page is to be told.
fn asked(shared: &Shared, question: Question) -> Result<ask::Answer, Problem> {
    match shared.door.ask(question) {
        Ok(Outcome::Answered(answer)) => Ok(answer),
        Ok(Outcome::Refused(reply)) => {
            let status = match reply.reason {
                Some(Reason::NotFound) => StatusCode::NOT_FOUND,
                Some(Reason::Rate | Reason::Busy) => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::FORBIDDEN,
            };
            let reason = reply.reason.map(|r| r.to_string()).unwrap_or_default();
            let text = reply.text.unwrap_or_default();
            Err(Problem::new(status, format!("{reason}: {text}")))
        }
        Ok(Outcome::Silent | Outcome::Offline) => {
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "the box did not answer in time: ask again"))
        }
        Ok(Outcome::Unbelieved(why)) | Err(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

fn decoded<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(answer: &ask::Answer) -> Result<T, Problem> {
    ops::decode(answer.reply.result.as_deref().unwrap_or_default())
        .map_err(|why: Refusal| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why.text))
}

/// The newest reads, a page.
pub(super) fn last(shared: &Shared, wanted: &Reads) -> Result<Answer, Problem> {
    let wrong = |what: &str| Problem::new(StatusCode::BAD_REQUEST, what);
    let camera = wanted.camera.as_deref().filter(|id| !id.is_empty()).map(CameraId::new).transpose();
    let camera = camera.map_err(|_| wrong("there is no such camera"))?;
    let cursor = wanted.cursor.as_ref().map(|text| data_encoding::HEXLOWER.decode(text.as_bytes())).transpose();
    let cursor = cursor.map_err(|_| wrong("begin anew: that page is none"))?;
    let sought = Asked { cameras: camera.map(|camera| vec![camera]), ..Asked::default() };
    let args = reads::Args { asked: sought, limit: Some(ROWS), cursor };
    let question = with(Question::new(Op::ReadsQuery, ops::encode(&args)), &wanted.why)?;
    let told: reads::Answer = decoded(&asked(shared, question)?)?;
    let rows: Vec<Value> = told.rows.iter().map(row).collect();
    let next = told.page.cursor.as_ref().map(|cursor| data_encoding::HEXLOWER.encode(cursor));
    Ok(answer::json(&json!({ "rows": rows, "next": next })))
}

fn row(read: &ReadRow) -> Value {
    json!({
        "id": read.id.to_string(),
        "at": read.begin.to_string(),
        "camera": read.camera.to_string(),
        "class": read.class.as_str(),
        "plate": read.plate.as_ref().map(ToString::to_string),
        "permille": read.permille,
        "region": read.region,
        "frames": read.frames,
    })
}

/// A crop, a scene or a clip.
pub(super) fn evidence(shared: &Shared, wanted: &Evidence) -> Result<Answer, Problem> {
    let wrong = |what: &str| Problem::new(StatusCode::BAD_REQUEST, what);
    let id = uuid::Uuid::parse_str(&wanted.id).map_err(|_| wrong("there is no such read"))?;
    let id = EventId(id.into_bytes());
    let (pictures, clip) = match wanted.which.as_str() {
        "crop" => (vec![Picture::Crop], false),
        "scene" => (vec![Picture::Scene], false),
        "clip" => (Vec::new(), true),
        _ => return Err(wrong("name crop, scene or clip")),
    };
    let args = evidence::Args { id, pictures: Some(pictures), rows: None, clip: Some(clip) };
    let question = Question::new(Op::EvidenceGet, ops::encode(&args)).attached(evidence::attached).at_most(LARGEST);
    let answer = asked(shared, with(question, &wanted.why)?)?;
    let told: evidence::Answer = decoded(&answer)?;
    if let Some(bytes) = answer.attachments.into_values().next() {
        let kind = if clip { "video/mp4" } else { "image/jpeg" };
        return Ok(answer::body(StatusCode::OK, kind, on_its_way(&shared.on_the_way, bytes)?));
    }
    let why = told.clip.and_then(|clip| clip.why).unwrap_or_else(|| NOT_KEPT.to_owned());
    Err(Problem::new(StatusCode::NOT_FOUND, why))
}

/// Bytes that give their room back when the browser has them, or is gone.
struct OnItsWay {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn on_its_way(room: &Arc<Semaphore>, bytes: Vec<u8>) -> Result<Bytes, Problem> {
    let mib = u32::try_from(bytes.len().div_ceil(1 << 20)).unwrap_or(u32::MAX);
    let room = Arc::clone(room).try_acquire_many_owned(mib);
    let full = "other pictures and clips are still on their way to browsers: ask again in a minute";
    let room = room.map_err(|_| Problem::new(StatusCode::TOO_MANY_REQUESTS, full))?;
    Ok(Bytes::from_owner(OnItsWay { bytes, _room: room }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_when_what_was_on_its_way_is_gone() {
        let room = Arc::new(Semaphore::new(ON_THE_WAY_MIB));
        let clip = || vec![0; 50 << 20];
        let (first, second) = (on_its_way(&room, clip()).ok().unwrap(), on_its_way(&room, clip()).ok());
        assert!(second.is_some_and(|bytes| bytes.len() == 50 << 20));
        let (second, small) = (on_its_way(&room, clip()).ok().unwrap(), on_its_way(&room, vec![1]).ok().unwrap());
        assert!(on_its_way(&room, clip()).is_err());
        let part = first.slice(10..20);
        drop(first);
        assert!(on_its_way(&room, clip()).is_err(), "a part of it is still being sent");
        drop(part);
        assert!(on_its_way(&room, clip()).is_ok());
        drop((second, small));
        assert_eq!(room.available_permits(), ON_THE_WAY_MIB);
    }
}
