//! `hit.seen`: an operator has a hit before them; with its pictures, so that they verify it with their own eyes.
//!
//! The first who sees it is noted, at most once a hit. Pictures that are handed out are audited before they leave.

use minicbor::{Decode, Encode};

use super::{Standing, Which, check_shared};
use crate::centre::wire::Attached;
use crate::command::ops::{decode, encode, stored};
use crate::command::{Attachment, Authorised, Done, Refusal, Rooms};
use crate::domain::EventId;
use crate::store::HandlingWish;
use crate::store::audit::Event;

/// Which hit, and whether its pictures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Which.
    #[n(0)]
    pub which: Which,
    /// Send its pictures.
    #[n(1)]
    pub pictures: bool,
}

/// How the hits stand, and their pictures.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Each hit that was meant.
    #[n(0)]
    pub hits: Vec<Standing>,
    /// The plate, JPEG.
    #[n(1)]
    pub crop: Option<Attached>,
    /// The scene, JPEG.
    #[n(2)]
    pub scene: Option<Attached>,
}

/// The pictures that an answer names.
#[must_use]
pub fn attached(result: &[u8]) -> Vec<Attached> {
    decode::<Answer>(result).map(|told| told.crop.into_iter().chain(told.scene).collect()).unwrap_or_default()
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    let cause = args.which.cause()?;
    check_shared(rooms, command, &args.which)?;
    let id = args.which.id;
    let mark = stored::mark(rooms, command.caller());
    let wish = HandlingWish { id, cause, verdict: None, close: false, mark };
    let hits = rooms.recorder.handle(wish, stored::PATIENCE).map_err(stored::refused)?;
    let pictures = if args.pictures { rooms.store.pictures(id).map_err(stored::refused)? } else { None };
    let pictures = pictures.unwrap_or_default();
    let shown = [&pictures.crop, &pictures.scene].into_iter().filter(|picture| !picture.is_empty()).count();
    let facts = vec![("hit", id.to_string()), ("hits", hits.len().to_string()), ("pictures", shown.to_string())];
    let mut details = facts.clone();
    details.extend(stored::persons(command.caller()));
    let note = |event, what: &str| {
        let mut details = details.clone();
        details.insert(0, ("action", what.to_owned()));
        rooms.store.audit(event, &details).map_err(stored::refused)
    };
    note(Event::Judged, "seen")?;
    if shown > 0 {
        note(Event::PictureViewed, "hit.seen")?;
    }
    let mut attachments = Vec::new();
    let crop = attach(&mut attachments, command, rooms, pictures.crop);
    let scene = attach(&mut attachments, command, rooms, pictures.scene);
    let answer = Answer { hits: hits.iter().map(Standing::of).collect(), crop, scene };
    Ok(Done { result: encode(&answer), tells_plates: shown > 0, attachments, facts, ..Done::default() })
}

/// Bytes of the pictures that it would hand out; an error when it would be refused anyhow.
pub(in crate::command::ops) fn weight(rooms: &Rooms, command: &Authorised) -> Result<usize, Refusal> {
    let args: Args = decode(command.args())?;
    args.which.cause()?;
    check_shared(rooms, command, &args.which)?;
    let pictures = if args.pictures { rooms.store.pictures(args.which.id).map_err(stored::refused)? } else { None };
    Ok(pictures.map_or(0, |pictures| pictures.crop.len() + pictures.scene.len()))
}

/// Adds a picture, if there is one; its name is made of the command's id and its place, and tells nothing.
fn attach(to: &mut Vec<Attachment>, command: &Authorised, rooms: &Rooms, bytes: Vec<u8>) -> Option<Attached> {
    if bytes.is_empty() {
        return None;
    }
    let mut seed = command.id().to_vec();
    seed.push(u8::try_from(to.len()).unwrap_or(u8::MAX));
    let digest = ring::digest::digest(&ring::digest::SHA256, &seed);
    let mut random = [0; 10];
    random.iter_mut().zip(digest.as_ref()).for_each(|(r, d)| *r = *d);
    let id = EventId::from_parts(rooms.clock.utc().0, random);
    let attached = Attached::of(id, &bytes);
    to.push(Attachment { id, bytes });
    Some(attached)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::{HitState, Op, Reason, Severity};
    use crate::store::testkit::{hit_entry, id, with_pictures};

    fn site() -> Site {
        let site = Site::new();
        let recorder = site.rooms().recorder;
        recorder.send(with_pictures(hit_entry(1, Severity::Serious), 40)).unwrap();
        recorder.flush(Duration::from_secs(20)).unwrap();
        site
    }

    fn ask(site: &Site, n: u64, pictures: bool) -> Result<Done, Refusal> {
        site.run(Op::HitSeen, Role::Operator, &Args { which: Which::all(id(n)), pictures })
    }

    #[test]
    fn an_operator_sees_a_hit_and_its_pictures_and_that_is_noted_and_audited() {
        let site = site();
        let done = ask(&site, 1, true).unwrap();
        let answer: Answer = decode(&done.result).unwrap();
        assert_eq!((answer.hits[0].state, answer.hits[0].seen_by.as_deref()), (HitState::Seen, Some("operator")));
        assert_eq!(done.attachments.iter().map(|a| a.bytes.len()).collect::<Vec<_>>(), [40, 160]);
        assert_eq!(answer.crop.unwrap().id, done.attachments[0].id);
        assert!(done.tells_plates);
        let events: Vec<_> = site.audit().into_iter().map(|(event, _)| event).collect();
        assert!(events.contains(&"picture.viewed".to_owned()) && events.contains(&"hit.judged".to_owned()));
        assert!(!format!("{:?}", site.audit()).contains("AB123CD"));

        site.sim.advance(Duration::from_mins(1));
        let again: Answer = decode(&ask(&site, 1, false).unwrap().result).unwrap();
        assert_eq!(again.hits[0].seen_at, answer.hits[0].seen_at, "the first one counts");
        assert!(again.crop.is_none());
    }

    #[test]
    fn a_hit_that_is_not_there_is_refused() {
        assert_eq!(ask(&site(), 9, true).unwrap_err().reason, Reason::NotFound);
        let which = Which { list: Some(2), ..Which::all(id(1)) };
        let half = site().run(Op::HitSeen, Role::Operator, &Args { which, pictures: false });
        assert_eq!(half.unwrap_err().reason, Reason::Arguments);
    }
}
