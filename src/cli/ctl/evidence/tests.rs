//! Bundles of a real store's answers: what is in them, and that one changed bit anywhere is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use image::{Rgb, RgbImage};

use super::bundle::{Bundle, PIXELATED, Parts, SCENE};
use super::check::{Trust, check};
use crate::centre::ask::{Answer, Signed};
use crate::centre::keyring::Role;
use crate::centre::keys::PublicKey;
use crate::centre::topics::{DEFAULT_ROOT, Kind, Topics};
use crate::centre::wire::{self, Reply};
use crate::command::ops;
use crate::command::ops::audit;
use crate::command::ops::query::evidence;
use crate::command::testkit::{ORG, Site, key_of, start};
use crate::domain::{ClockState, CommandStatus, EventId, HitCause, Op, Ownership, Pictures, Severity, Share, Stage};
use crate::store::Entry;
use crate::store::testkit::{event, id, list_hit};

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([if (x / 2 + y / 2) % 2 == 0 { 0 } else { 255 }; 3]));
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 95).encode_image(&picture).unwrap();
    out
}

/// A site with many batches, the third of them the one that is asked for.
fn site() -> (Site, EventId) {
    let site = Site::new();
    let recorder = site.rooms().recorder;
    for n in 1..=5 {
        let mut event = event(n, Stage::End, Some("AB123CD"));
        event.pictures = Some(Pictures { crop: jpeg(64, 16), scene: jpeg(320, 180) });
        let mut hits = vec![list_hit(&event, 7, Severity::Serious), list_hit(&event, 8, Severity::Info)];
        if let HitCause::List(m) = &mut hits[1].cause {
            m.owner = Some(Ownership { org: "south".to_owned(), share: Share::None });
        }
        recorder.send(Entry { event, hits }).unwrap();
        recorder.flush(Duration::from_mins(1)).unwrap();
    }
    (site, id(3))
}

/// What the box answers to an investigator, signed as it signs.
fn answer(site: &Site, sighting: EventId) -> Answer {
    let args = evidence::Args { id: sighting, pictures: None, rows: Some(true), clip: Some(true) };
    let done = site.run(Op::EvidenceGet, Role::Investigator, &args).unwrap();
    let mut reply = Reply::new([0x1d; 16], CommandStatus::Successful, start(), ClockState::Synced);
    reply.result = Some(done.result);
    let (at, box_id) = site.ids();
    let kind = Kind::Reply { op: Op::EvidenceGet.to_string(), id: crate::centre::keys::hex(&reply.id) };
    let topic = Topics::new(DEFAULT_ROOT, &at, &box_id).unwrap().of(&kind);
    let bytes = wire::sign(&reply, &topic, &site.rooms().box_key.current()).unwrap();
    let attachments = done.attachments.into_iter().map(|a| (a.id, a.bytes)).collect();
    Answer { reply, attachments, missing: Vec::new(), signed: Signed { topic, bytes } }
}

fn hits(answer: &Answer) -> Vec<evidence::Committed> {
    let told: evidence::Answer = ops::decode(answer.reply.result.as_deref().unwrap()).unwrap();
    told.rows.unwrap().hits
}

/// The record's export, as the auditor gets it.
fn proofs(site: &Site, answer: &Answer) -> BTreeMap<u64, Vec<u8>> {
    let number = hits(answer)[0].record.unwrap();
    let args = audit::export::Args { first: Some(number), last: Some(number), newest: None };
    let done = site.run(Op::AuditExport, Role::Auditor, &args).unwrap();
    let told: audit::export::Answer = ops::decode(&done.result).unwrap();
    BTreeMap::from([(number, told.export.unwrap())])
}

fn box_key(site: &Site) -> PublicKey {
    site.rooms().box_key.current().public().clone()
}

fn bundle(site: &Site, answer: &Answer, proofs: Result<BTreeMap<u64, Vec<u8>>, String>, unsealed: bool) -> Bundle {
    let by = key_of("investigator");
    let parts = Parts {
        whose: site.ids(),
        box_key: &box_key(site),
        root: site.root.public(),
        keyring: std::fs::read(site.dir.path().join("keyring.cbor")).unwrap(),
        topic_root: DEFAULT_ROOT,
        answer,
        proofs,
        by: (&by, "investigator"),
        why: (None, Some("K-1".to_owned())),
        made: start(),
        unsealed,
    };
    Bundle::make(parts).unwrap()
}

fn trust(site: &Site) -> Trust {
    Trust { root: Some(site.root.public().clone()), box_key: Some(box_key(site)) }
}

fn said(bytes: &[u8], trust: &Trust) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    check(bytes, trust, &mut |line| lines.push(line))?;
    Ok(lines.join("\n"))
}

#[test]
fn a_bundle_verifies_offline_and_shows_the_hit_of_its_own_organisation_alone() {
    let (site, sighting) = site();
    let answer = answer(&site, sighting);
    assert_eq!(hits(&answer).len(), 1, "the other is not shared");
    let proofs = proofs(&site, &answer);
    let sealed = bundle(&site, &answer, Ok(proofs.clone()), false);
    let text = said(&sealed.encode(), &trust(&site)).unwrap();
    assert!(text.contains("is accounted for by record") && text.contains("derived by investigator"), "{text}");
    assert!(text.contains(ORG) && text.contains("case K-1") && !text.contains("NO PROOF"), "{text}");
    assert!(sealed.files.contains_key(PIXELATED) && !sealed.files.contains_key(SCENE));
    let unsealed = bundle(&site, &answer, Ok(proofs), true);
    assert!(said(&unsealed.encode(), &trust(&site)).unwrap().contains("scene.jpg: the picture that the box signed"));
    let unproven = bundle(&site, &answer, Err("nobody asked".to_owned()), false);
    assert!(said(&unproven.encode(), &trust(&site)).unwrap().contains("NO PROOF"));
    assert!(site.audit().iter().any(|(e, d)| e == "picture.viewed" && d.iter().any(|(n, v)| n == "hits" && v == "1")));
}

#[test]
fn one_changed_bit_anywhere_is_refused() {
    let (site, sighting) = site();
    let answer = answer(&site, sighting);
    let whole = bundle(&site, &answer, Ok(proofs(&site, &answer)), false);
    let (bytes, trust) = (whole.encode(), trust(&site));
    let mut places: Vec<usize> = (0..bytes.len()).step_by((bytes.len() / 400).max(1)).collect();
    for part in whole.files.values().map(|file| file.as_slice()).chain([whole.manifest.as_slice()]) {
        let at = bytes.windows(part.len()).position(|window| window == part).unwrap();
        places.extend([at.saturating_sub(1), at, at + part.len() / 2, at + part.len() - 1]);
    }
    places.extend([0, 1, 2, bytes.len() - 1]);
    assert!(places.len() > 400);
    for (n, at) in places.into_iter().enumerate() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (n % 8);
        assert!(said(&bad, &trust).is_err(), "byte {at}, bit {}", n % 8);
        // Nor when nothing is trusted beforehand but what the bundle says itself.
        assert!(said(&bad, &Trust::default()).is_err(), "byte {at}, bit {}, own keys", n % 8);
    }
    assert!(said(&[&bytes[..], &[0]].concat(), &trust).is_err());
    assert!(said(&bytes[..bytes.len() - 1], &trust).is_err());
}

#[test]
fn what_an_investigator_signs_over_does_not_become_true() {
    let (site, sighting) = site();
    let (answer, other) = (answer(&site, sighting), answer(&site, id(4)));
    let refused = |answer: &Answer, proofs: BTreeMap<u64, Vec<u8>>, trust: &Trust| {
        crate::causes::line(&said(&bundle(&site, answer, Ok(proofs), true).encode(), trust).unwrap_err())
    };
    let trusted = trust(&site);
    // The record of another hit under this one's number.
    let number = hits(&answer)[0].record.unwrap();
    let wrong = BTreeMap::from([(number, proofs(&site, &other).into_values().next().unwrap())]);
    assert!(refused(&answer, wrong, &trusted).contains("holds no commitment"));
    assert!(refused(&answer, BTreeMap::new(), &trusted).contains("is not in the bundle"));
    // Another picture than the box named.
    let mut swapped = answer.clone();
    swapped.attachments.values_mut().for_each(|bytes| *bytes = jpeg(32, 32));
    assert!(refused(&swapped, proofs(&site, &answer), &trusted).contains("is not the picture"));
    // An answer that somebody else signed.
    let mut forged = answer.clone();
    forged.signed.bytes = wire::sign(&forged.reply, &forged.signed.topic, &key_of("fleet")).unwrap();
    assert!(refused(&forged, proofs(&site, &answer), &trusted).contains("not trusted"));
    // Another root, another box.
    let other_root = Trust { root: Some(key_of("fleet").public().clone()), box_key: None };
    assert!(refused(&answer, proofs(&site, &answer), &other_root).contains("root key"));
    let other_box = Trust { box_key: Some(key_of("fleet").public().clone()), ..trusted };
    assert!(refused(&answer, proofs(&site, &answer), &other_box).contains("given is"));
}

#[test]
fn all_but_the_vehicle_is_pixelated() {
    let rect = [16_384, 16_384, 49_152, 49_152];
    let picture = image::load_from_memory(&super::scene::pixelated(&jpeg(640, 480), rect).unwrap()).unwrap().to_luma8();
    let spread = |left: u32, top: u32| {
        let places = (0..16).flat_map(|y| (0..16).map(move |x| (left + x, top + y)));
        let values: Vec<u8> = places.map(|(x, y)| picture.get_pixel(x, y).0[0]).collect();
        values.iter().max().unwrap() - values.iter().min().unwrap()
    };
    assert!(spread(312, 232) > 150, "inside it is as it was");
    for (left, top) in [(8, 8), (600, 8), (8, 440), (312, 60), (60, 232)] {
        assert!(spread(left, top) < 30, "{left} {top}: {}", spread(left, top));
    }
    assert!(super::scene::pixelated(b"no picture", rect).is_err());
}
