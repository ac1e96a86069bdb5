//! Envelopes that were good once: altered in bytes, and in meaning with every byte in its place. None is executed.
//!
//! `WATCHPOST_MUTATIONS=1000000 cargo test --release --no-default-features --lib mutated -- --nocapture` runs the million.

use coset::{CborSerializable as _, CoseSign, CoseSign1, HeaderBuilder, iana};

use crate::centre::wire::{self, Claims, Order};
use crate::command::executor::Work;
use crate::command::ops::key_rotate;
use crate::command::testkit::{self, Site};
use crate::command::{Incoming, Via};
use crate::domain::{CommandStatus, Op};

/// SplitMix64: the same envelopes in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// One to four bytes changed, put in, taken out, cut off or doubled.
fn bytes_altered(mut bytes: Vec<u8>, draw: &mut Draw) -> Vec<u8> {
    for _ in 0..=draw.below(4) {
        let at = draw.below(bytes.len());
        match draw.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= draw.byte(),
            2 => bytes.insert(at.min(bytes.len()), draw.byte()),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => bytes.extend_from_within(at.min(bytes.len())..),
        }
    }
    bytes
}

/// Claims that would be taken, had anybody signed them.
fn claims_altered(claims: &mut Claims, draw: &mut Draw) {
    match draw.below(7) {
        0 => claims.issued_s += 1 + draw.below(20) as u64,
        1 => claims.expires_s += 1 + draw.below(100) as u64,
        2 => claims.args = vec![draw.byte(); 1 + draw.below(40)],
        3 => claims.case = Some(format!("K-{}", draw.below(1_000_000) + 2)),
        4 => claims.purpose = None,
        5 => claims.challenge = Some([draw.byte(); 8]),
        _ => claims.issuer = ["custodian-2", "supervisor", "operator"][draw.below(3)].to_owned(),
    }
}

const PEOPLE: [&str; 6] = ["delivery", "lists", "operator", "auditor", "custodian-2", "supervisor"];

fn header(kid: &[u8]) -> coset::ProtectedHeader {
    let header = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(kid.to_vec()).build();
    coset::ProtectedHeader { original_data: None, header }
}

/// Well formed, in deterministic encoding, with signatures that fit no more.
fn meaning_altered(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    if let Ok(mut one) = CoseSign1::from_slice(bytes) {
        match draw.below(3) {
            0 => one.signature = (0..64).map(|_| draw.byte()).collect(),
            1 => one.protected = header(&testkit::key_of(PEOPLE[draw.below(6)]).kid().0),
            _ => {
                let mut claims: Claims = wire::decode(one.payload.as_ref().unwrap()).unwrap();
                claims_altered(&mut claims, draw);
                one.payload = Some(wire::encode(&claims));
            }
        }
        return one.to_vec().unwrap();
    }
    let mut two = CoseSign::from_slice(bytes).unwrap();
    match draw.below(6) {
        0 => two.signatures.swap(0, 1),
        1 => two.signatures.truncate(draw.below(2)),
        2 => two.signatures[1] = two.signatures[0].clone(),
        3 => two.signatures[draw.below(2)].signature = (0..64).map(|_| draw.byte()).collect(),
        4 => two.signatures[draw.below(2)].protected = header(&testkit::key_of(PEOPLE[draw.below(6)]).kid().0),
        _ => {
            let mut claims: Claims = wire::decode(two.payload.as_ref().unwrap()).unwrap();
            claims_altered(&mut claims, draw);
            two.payload = Some(wire::encode(&claims));
        }
    }
    two.to_vec().unwrap()
}

#[test]
fn no_mutated_envelope_is_executed_and_none_panics() {
    let count: u64 = std::env::var("WATCHPOST_MUTATIONS").map_or(20_000, |text| text.parse().unwrap());
    let site = Site::new();
    let (parts, tray) = site.parts();
    let desk = site.desk();
    let orders = [
        (desk.order(Op::KeyRotate, &key_rotate::Args::default()), "custodian", None),
        (desk.order(Op::BoxRestart, &()), "fleet", None),
        (desk.order(Op::BoxWipe, &()), "fleet", Some("custodian")),
        (Order { purpose: None, ..desk.order(Op::HoldRelease, &()) }, "custodian", Some("custodian-2")),
    ];
    let good: Vec<(String, Vec<u8>)> =
        orders.iter().map(|(order, by, second)| (desk.topic(order), desk.sign(order, by, *second))).collect();
    desk.executor.stop();
    let mut work = Work::open(parts).unwrap();
    let mut draw = Draw(42);
    let (mut altered, mut well_formed) = (0_u64, 0_u64);
    while altered < count {
        let (topic, bytes) = &good[draw.below(good.len())];
        let in_meaning = draw.below(2) == 0;
        let bad = if in_meaning { meaning_altered(bytes, &mut draw) } else { bytes_altered(bytes.clone(), &mut draw) };
        // The same bytes under the topic of another order are altered as well.
        let topic = if draw.below(16) == 0 { &good[draw.below(good.len())].0 } else { topic };
        if good.iter().any(|(t, b)| t == topic && *b == bad) {
            continue;
        }
        altered += 1;
        well_formed += u64::from(crate::centre::cose::two::Envelope::parse(&bad, usize::MAX).is_ok());
        work.take(&Incoming { topic: topic.clone(), bytes: bad, response: None, via: Via::Mqtt });
    }
    let bad = |status: CommandStatus| !matches!(status, CommandStatus::Denied | CommandStatus::Failed);
    let executed: Vec<_> = tray.all().into_iter().filter(|reply| bad(reply.status)).collect();
    assert!(executed.is_empty(), "{executed:?}");
    let audit = site.audit();
    assert!(audit.iter().all(|(event, _)| event != "command.accepted" && event != "command.done"));
    assert!(well_formed > altered / 4, "{well_formed} of {altered} came to the signature");
    eprintln!("{altered} envelopes, {well_formed} well formed, none executed");
    // The untouched ones are: the gate is not simply shut, and nobody has used up the rate of those who signed them.
    for (topic, bytes) in &good {
        work.take(&Incoming { topic: topic.clone(), bytes: bytes.clone(), response: None, via: Via::Mqtt });
    }
    let all = tray.all();
    assert_eq!(all.iter().filter(|r| r.status == CommandStatus::Accepted).count(), good.len(), "{:?}", all.last());
}
