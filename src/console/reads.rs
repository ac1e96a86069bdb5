//! Reads, crops and clips: asked for as from everywhere else, by a command that is signed, authorised by role, purpose and case,
//! and in the audit log before it is executed.
//!
//! The console signs with a key of the keyring that the box's admin gave it: the centre says whether there is such a person, and
//! can revoke it. Without one there are no reads here.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

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
    let question = Question::new(Op::EvidenceGet, ops::encode(&args)).attached(evidence::attached);
    let answer = asked(shared, with(question, &wanted.why)?)?;
    let told: evidence::Answer = decoded(&answer)?;
    if let Some(bytes) = answer.attachments.into_values().next() {
        let kind = if clip { "video/mp4" } else { "image/jpeg" };
        return Ok(answer::body(StatusCode::OK, kind, bytes));
    }
    let why = told.clip.and_then(|clip| clip.why).unwrap_or_else(|| NOT_KEPT.to_owned());
    Err(Problem::new(StatusCode::NOT_FOUND, why))
}
