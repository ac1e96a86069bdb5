//! Which pictures are given out, to whom, and what is written down of it.

use std::time::Duration;

use super::super::testing::{Told, detail};
use super::*;
use crate::command::testkit::Site;
use crate::domain::{CameraId, Media, Op, Severity, Share};
use crate::store;

fn words(done: &Done) -> Vec<Picture> {
    let answer: Answer = ops::decode(&done.result).unwrap();
    assert_eq!(attached(&done.result).len(), answer.pictures.len());
    for (given, attachment) in answer.pictures.iter().zip(&done.attachments) {
        assert_eq!((given.attached.id, given.attached.bytes), (attachment.id, attachment.bytes.len() as u64));
        let wanted: &[u8] = if given.picture == Picture::Crop { b"a crop" } else { b"a scene" };
        assert_eq!(attachment.bytes, wanted);
    }
    answer.pictures.iter().map(|given| given.picture).collect()
}

#[test]
fn pictures_are_given_out_and_audited_and_scenes_only_with_a_hit_that_may_be_seen() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.read(1, "AB123CD");
    told.hit(2, "AB123CD", Severity::Serious, Some(("north", Share::None)));
    told.hit(3, "AB123CD", Severity::Serious, Some(("south", Share::None)));
    told.hit(4, "AB123CD", Severity::Serious, Some(("south", Share::All)));
    let ask = |ago: u64| {
        told.ask(
            Op::EvidenceGet,
            "investigator",
            None,
            &Args { id: told.id(ago), pictures: None, rows: None, clip: None },
        )
        .unwrap()
    };
    assert_eq!(words(&ask(1)), [Picture::Crop]);
    assert_eq!(words(&ask(2)), [Picture::Crop, Picture::Scene]);
    assert_eq!(words(&ask(3)), [Picture::Crop], "the scene of a hit that is not shared");
    assert_eq!(told.audited("picture.viewed").len(), 3);
    assert_eq!(words(&ask(4)), [Picture::Crop, Picture::Scene]);
    let records = told.audited("picture.viewed");
    assert_eq!(records.len(), 5, "one more for the owner");
    assert_eq!((detail(&records[3], "pictures"), detail(&records[4], "owner")), ("crop scene", "south"));
    assert_eq!(detail(&records[3], "sighting"), told.id(4).to_string());
    let only = Args { id: told.id(2), pictures: Some(vec![Picture::Scene]), rows: None, clip: None };
    assert_eq!(words(&told.ask(Op::EvidenceGet, "investigator", None, &only).unwrap()), [Picture::Scene]);
}

#[test]
fn what_is_not_there_or_too_long_ago_is_refused() {
    let site = Site::new();
    let told = Told::new(&site, 60 * 24);
    told.read(50 * 24, "AB123CD");
    let args = |ago| Args { id: told.id(ago), pictures: None, rows: None, clip: None };
    let refused = |args: &Args| told.ask(Op::EvidenceGet, "investigator", None, args).unwrap_err().reason;
    assert_eq!(refused(&args(7)), Reason::NotFound);
    assert_eq!(refused(&args(50 * 24)), Reason::Supervisor);
    assert_eq!(
        refused(&Args { id: told.id(7), pictures: Some(Vec::new()), rows: None, clip: None }),
        Reason::Arguments
    );
    assert!(told.ask(Op::EvidenceGet, "investigator", Some("supervisor"), &args(50 * 24)).is_ok());
    assert_eq!(told.audited("picture.viewed").len(), 1);
}

#[test]
fn rows_come_with_what_opens_their_commitments_and_are_audited() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    for ago in [5, 4, 2] {
        told.hit(ago, "AB123CD", Severity::Serious, Some(("north", Share::None)));
    }
    told.hit(3, "AB123CD", Severity::Serious, Some(("south", Share::None)));
    let ask = |ago: u64| -> Rows {
        let args = Args { id: told.id(ago), pictures: None, rows: Some(true), clip: None };
        told.answer::<Answer>(Op::EvidenceGet, "investigator", None, &args).rows.unwrap()
    };
    for ago in [5, 4, 2] {
        let rows = ask(ago);
        let [hit] = &rows.hits[..] else { panic!("one hit") };
        let alert: crate::domain::Alert = ops::decode(&hit.alert).unwrap();
        assert_eq!((alert.id, rows.read.id, hit.row.read.id), (told.id(ago), told.id(ago), told.id(ago)));
        let records = crate::store::audit::read(site.store.dir()).unwrap();
        let record = records.iter().find(|record| Some(record.number) == hit.record).unwrap();
        let commitment = crate::store::accounting::commitment(hit.salt.unwrap(), &alert);
        assert!(crate::store::accounting::accounts_for(record, alert.epoch, alert.seq, &commitment));
        // The plate at .1 to .3 of the width and .2 to .4 of the height, grown.
        assert_eq!(rows.rect.map(|edge| edge / 100), [0, 0, 262, 393]);
    }
    assert_eq!(ask(3).hits, [], "of a list that is not shared");
    let records = told.audited("picture.viewed");
    let hits: Vec<&str> = records.iter().map(|record| detail(record, "hits")).collect();
    assert_eq!(hits, ["1", "1", "1", "0"]);
}

fn attach(told: &Told<'_>, ago: u64, bytes: &[u8], note: Option<&str>) {
    let about = Footage {
        camera: CameraId::new("gate").unwrap(),
        from: told.at(ago),
        to: told.at(ago),
        media: Media::Mp4,
        masked: true,
        note: note.map(str::to_owned),
    };
    let clip = store::Attached { id: told.id(ago), what: AttachedKind::Clip, about, bytes: bytes.to_vec() };
    assert!(told.site.rooms().recorder.attach(&clip, Duration::from_mins(1)).unwrap());
}

#[test]
fn a_clip_is_given_out_and_audited_as_scenes_are_and_its_absence_is_explained() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.hit(2, "AB123CD", Severity::Serious, None);
    told.hit(3, "AB123CD", Severity::Serious, Some(("south", Share::None)));
    told.hit(4, "AB123CD", Severity::Serious, Some(("south", Share::All)));
    told.hit(5, "AB123CD", Severity::Serious, None);
    told.hit(6, "AB123CD", Severity::Serious, None);
    for ago in 2..=4 {
        attach(&told, ago, b"an mp4", Some("it ends early"));
    }
    attach(&told, 5, b"", Some("there is no encoder"));
    let ask = |ago: u64| {
        let args = Args { id: told.id(ago), pictures: Some(Vec::new()), rows: None, clip: Some(true) };
        let done = told.ask(Op::EvidenceGet, "investigator", None, &args).unwrap();
        let answer: Answer = ops::decode(&done.result).unwrap();
        assert!(answer.pictures.is_empty());
        assert_eq!(attached(&done.result).len(), done.attachments.len());
        (answer.clip.unwrap(), done.attachments)
    };
    let (clip, attachments) = ask(2);
    assert_eq!((attachments[0].bytes.as_slice(), clip.attached.unwrap().bytes), (&b"an mp4"[..], 6));
    let about = clip.about.unwrap();
    assert_eq!((about.masked, about.note.as_deref(), clip.why), (true, Some("it ends early"), None));
    assert_eq!(detail(&told.audited("picture.viewed")[0], "pictures"), "clip");
    let (hidden, attachments) = ask(3);
    assert!(attachments.is_empty() && hidden.about.is_none() && hidden.why.unwrap().contains("no clip was made"));
    assert_eq!(told.audited("picture.viewed").len(), 1, "nothing was given out");
    ask(4);
    assert_eq!(detail(&told.audited("picture.viewed")[2], "owner"), "south");
    assert_eq!(ask(5).0.why.as_deref(), Some("there is no encoder"));
    assert!(ask(6).0.why.unwrap().contains("still being made"));
    let rows: super::super::hits::Answer =
        told.answer(Op::HitsQuery, "investigator", None, &super::super::hits::Args::default());
    let clips: Vec<Option<bool>> = rows.rows.iter().map(|row| row.clip).collect();
    assert_eq!(clips, [Some(true), Some(true), Some(false), None], "newest first, the hidden one left out");
}

#[test]
fn the_picture_of_a_cameras_health_is_given_out_by_its_own_id() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    let about = Footage {
        camera: CameraId::new("gate").unwrap(),
        from: told.at(1),
        to: told.at(1),
        media: Media::Jpeg,
        masked: false,
        note: Some("it is dark".to_owned()),
    };
    let view = store::Attached { id: told.id(1), what: AttachedKind::View, about, bytes: b"jpeg".to_vec() };
    assert!(site.rooms().recorder.attach(&view, Duration::from_mins(1)).unwrap());
    let args = Args { id: told.id(1), pictures: None, rows: None, clip: None };
    let done = told.ask(Op::EvidenceGet, "investigator", None, &args).unwrap();
    let answer: Answer = ops::decode(&done.result).unwrap();
    assert_eq!((answer.pictures[0].picture, done.attachments[0].bytes.as_slice()), (Picture::View, &b"jpeg"[..]));
    assert_eq!(detail(&told.audited("picture.viewed")[0], "camera"), "gate");
}
