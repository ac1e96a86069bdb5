//! `evidence.get`: the pictures of one sighting, and its clip, as attachments; and, where they are asked for, its rows with what opens
//! the commitments to its hits in the audit log: what a bundle for a court is made of.
//!
//! Reads are open to every investigator, and so are their crops. Scene and clip are kept because of a hit: where every hit
//! of the sighting belongs to organisations that do not share, they are not given out, as if they were not there. What is
//! given out is audited first. The id of a view gives the picture of a camera whose health was told.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::hits::{HitRow, has_clip, other_owner, shows_to};
use super::{ReadRow, audit, check_days, internal, wrong};
use crate::centre::wire::Attached;
use crate::command::{Attachment, Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{EventId, Footage, Picture, Reason, Sighting};
use crate::store::audit::Event;
use crate::store::{AttachedKind, Salt, StoredHit, share16};

/// What the audit log calls a clip.
const CLIP: &str = "clip";
/// What is kept because of a hit.
const OF_A_HIT: [&str; 2] = ["scene", CLIP];
/// Most hits of a sighting that are told.
pub const HITS: usize = 64;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The sighting.
    #[n(0)]
    pub id: EventId,
    /// Which pictures; all where it is left out.
    #[n(1)]
    pub pictures: Option<Vec<Picture>>,
    /// Whether its rows are wanted as well.
    #[n(2)]
    pub rows: Option<bool>,
    /// Whether its clip is wanted as well; with it no picture need be.
    #[n(3)]
    pub clip: Option<bool>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The sighting.
    #[n(0)]
    pub id: EventId,
    /// What there is of it; none is kept for some.
    #[n(1)]
    pub pictures: Vec<Given>,
    /// Its rows, where they were asked for.
    #[n(2)]
    pub rows: Option<Rows>,
    /// Its clip, or why there is none, where it was asked for.
    #[n(3)]
    pub clip: Option<GivenClip>,
}

/// The clip of a sighting, as far as there is one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GivenClip {
    /// Where the file is; left out where there is none.
    #[n(0)]
    pub attached: Option<Attached>,
    /// What it shows, or was to show; its note says what is missing of it.
    #[n(1)]
    pub about: Option<Footage>,
    /// Why there is none.
    #[n(2)]
    pub why: Option<String>,
}

/// The read of a sighting and the hits of it that may be seen.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rows {
    /// The read.
    #[n(0)]
    pub read: ReadRow,
    /// What of the scene is its vehicle, or else its plate with what is around it: left, top, right, bottom, 0..65535.
    #[n(1)]
    pub rect: [u16; 4],
    /// The hits, at most [`HITS`].
    #[n(2)]
    pub hits: Vec<Committed>,
}

/// A hit, and what proves that its alert was made then and said this.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Committed {
    /// The hit: match, verdict, handling.
    #[n(0)]
    pub row: HitRow,
    /// CBOR of its newest alert, as it was sent.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub alert: Vec<u8>,
    /// Opens the commitment to that alert; hits from before commitments have none.
    #[n(2)]
    pub salt: Option<Salt>,
    /// Number of the audit record with the commitment.
    #[n(3)]
    pub record: Option<u64>,
}

/// A picture that is given out: JPEG.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Given {
    /// Which.
    #[n(0)]
    pub picture: Picture,
    /// Where it is.
    #[n(1)]
    pub attached: Attached,
}

/// The attachments that an answer names; for clients.
#[must_use]
pub fn attached(result: &[u8]) -> Vec<Attached> {
    let answer: Option<Answer> = minicbor::decode(result).ok();
    let Some(answer) = answer else { return Vec::new() };
    let clip = answer.clip.and_then(|clip| clip.attached);
    answer.pictures.into_iter().map(|given| given.attached).chain(clip).collect()
}

/// Hands pictures out.
///
/// # Errors
/// [`Reason::NotFound`], [`Reason::Supervisor`], [`Reason::Arguments`], [`Reason::Internal`].
pub fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let mut wanted = args.pictures.clone().unwrap_or_else(|| Picture::ALL.to_vec());
    let wants_clip = args.clip == Some(true);
    if (wanted.is_empty() && !wants_clip) || wanted.len() > Picture::ALL.len() {
        return Err(wrong("name crop, scene, or leave both out"));
    }
    let not_there = || Refusal::new(Reason::NotFound, format!("nothing is kept of sighting {}", args.id));
    let Some(sighting) = rooms.store.sighting(args.id).map_err(internal)? else {
        return view(rooms, command, args.id)?.ok_or_else(not_there);
    };
    check_days(command, sighting.begin, rooms.clock.utc())?;
    let hits = rooms.store.hits_of(args.id).map_err(internal)?;
    let org = &command.caller().person.org;
    let hidden = !hits.is_empty() && !hits.iter().any(|hit| shows_to(hit, org));
    wanted.retain(|picture| *picture == Picture::Crop || !hidden);
    let pictures = rooms.store.pictures(args.id).map_err(internal)?.ok_or_else(not_there)?;

    let (mut given, mut attachments, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for (picture, bytes) in [(Picture::Crop, pictures.crop), (Picture::Scene, pictures.scene)] {
        if bytes.is_empty() || !wanted.contains(&picture) {
            continue;
        }
        let attachment = Attachment { id: new_id(rooms)?, bytes };
        given.push(Given { picture, attached: named(&attachment) });
        attachments.push(attachment);
        words.push(picture.as_str());
    }
    let clip = wants_clip.then(|| clip_of(rooms, args.id, hidden, &mut attachments)).transpose()?;
    if clip.as_ref().is_some_and(|clip| clip.attached.is_some()) {
        words.push(CLIP);
    }
    let seen: Vec<&StoredHit> = hits.iter().filter(|hit| shows_to(hit, org)).take(HITS).collect();
    let wants_rows = args.rows == Some(true);
    if !words.is_empty() || wants_rows {
        let mut details = vec![("sighting", args.id.to_string()), ("pictures", words.join(" "))];
        if wants_rows {
            details.push(("hits", seen.len().to_string()));
        }
        audit(rooms, command, Event::PictureViewed, &details)?;
        let visible = hits.iter().filter(|hit| shows_to(hit, org));
        let owners: BTreeSet<&str> = visible.filter_map(|hit| other_owner(hit, org)).collect();
        for owner in owners.into_iter().filter(|_| wants_rows || words.iter().any(|word| OF_A_HIT.contains(word))) {
            let details = [("sighting", args.id.to_string()), ("owner", owner.to_owned())];
            audit(rooms, command, Event::PictureViewed, &details)?;
        }
    }
    let facts = vec![("pictures", given.len().to_string())];
    let told = if wants_rows { Some(Rows::of(rooms, &sighting, &seen)?) } else { None };
    let result = ops::encode(&Answer { id: args.id, pictures: given, rows: told, clip });
    Ok(Done { result, attachments, tells_plates: true, facts, ..Done::default() })
}

/// The clip, attached, or why there is none.
fn clip_of(rooms: &Rooms, id: EventId, hidden: bool, attachments: &mut Vec<Attachment>) -> Result<GivenClip, Refusal> {
    let none = |about: Option<Footage>, why: &str| GivenClip { attached: None, about, why: Some(why.to_owned()) };
    let kept = if hidden { None } else { rooms.store.attachment(id, AttachedKind::Clip).map_err(internal)? };
    let Some((kept, bytes)) = kept else {
        return Ok(none(
            None,
            "no clip was made of it: it became no hit of a severity that gets one, or its clip is still being made",
        ));
    };
    if kept.bytes == 0 {
        let why = kept.about.note.clone().unwrap_or_else(|| "no clip could be made".to_owned());
        return Ok(none(Some(kept.about), &why));
    }
    if bytes.is_empty() {
        return Ok(none(Some(kept.about), "its file is gone from the disk"));
    }
    let attachment = Attachment { id: new_id(rooms)?, bytes };
    let attached = Some(named(&attachment));
    attachments.push(attachment);
    Ok(GivenClip { attached, about: Some(kept.about), why: None })
}

/// The picture of a camera whose health was told, where `id` is that of one.
fn view(rooms: &Rooms, command: &Authorised, id: EventId) -> Result<Option<Done>, Refusal> {
    let Some((kept, bytes)) = rooms.store.attachment(id, AttachedKind::View).map_err(internal)? else {
        return Ok(None);
    };
    check_days(command, kept.about.from, rooms.clock.utc())?;
    let details = [("view", id.to_string()), ("camera", kept.about.camera.to_string())];
    audit(rooms, command, Event::PictureViewed, &details)?;
    let attachment = Attachment { id: new_id(rooms)?, bytes };
    let pictures = vec![Given { picture: Picture::View, attached: named(&attachment) }];
    let result = ops::encode(&Answer { id, pictures, rows: None, clip: None });
    let facts = vec![("pictures", "1".to_owned())];
    Ok(Some(Done { result, attachments: vec![attachment], tells_plates: true, facts, ..Done::default() }))
}

impl Rows {
    fn of(rooms: &Rooms, sighting: &Sighting, hits: &[&StoredHit]) -> Result<Self, Refusal> {
        let committed = |hit: &&StoredHit| {
            let record = rooms.store.accounted_by(hit).map_err(internal)?;
            let clip = has_clip(rooms, sighting.id)?;
            Ok(Committed {
                row: HitRow { clip, ..HitRow::of(hit, sighting) },
                alert: ops::encode(&hit.alert),
                salt: hit.salt,
                record,
            })
        };
        Ok(Self {
            read: ReadRow::of(sighting),
            rect: own(sighting).map(share16),
            hits: hits.iter().map(committed).collect::<Result<_, Refusal>>()?,
        })
    }
}

/// Where in the scene the vehicle is; where none was tied to the plate, the plate with half its width and its own height
/// around it.
fn own(sighting: &Sighting) -> [f32; 4] {
    sighting.vehicle.map_or_else(
        || {
            let [left, top, right, bottom] = sighting.rect;
            let (wide, high) = ((right - left) / 2.0, bottom - top);
            [left - wide, top - high, right + wide, bottom + high]
        },
        |vehicle| vehicle.rect,
    )
}

/// What the result says of an attachment.
fn named(attachment: &Attachment) -> Attached {
    let mut sha256 = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, &attachment.bytes);
    sha256.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    Attached { id: attachment.id, bytes: attachment.bytes.len() as u64, sha256 }
}

/// A name for an attachment that nobody else has.
fn new_id(rooms: &Rooms) -> Result<EventId, Refusal> {
    let mut random = [0; 10];
    SystemRandom::new().fill(&mut random).map_err(|_| internal("the system gave no random bytes"))?;
    Ok(EventId::from_parts(rooms.clock.utc().0, random))
}

#[cfg(test)]
mod tests;
