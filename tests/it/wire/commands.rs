//! The bytes of commands, by one and by two people, of replies and of keyrings of both versions, pinned.

use std::path::Path;

use watchpost::centre::cose::two::Envelope;
use watchpost::centre::keyring::Keyring;
use watchpost::centre::keys::SigningKey;
use watchpost::centre::wire::{self, Claims, Order, Reply, Wire as _};
use watchpost::domain::{BoxId, ClockState, CommandStatus, Op, Purpose, Reason, SiteId, TimeMs};

use super::samples::{NOON, key, keys, topics};
use super::{file, hex_lines, hold};

fn order() -> Order {
    Order {
        op: Op::ReadsQuery,
        id: [0xc7; 16],
        site: SiteId::new("north").unwrap(),
        box_id: BoxId::new("box-1").unwrap(),
        issued: NOON,
        lifetime_s: 120,
        challenge: Some([0xcc; 8]),
        purpose: Some(Purpose::StolenVehicle),
        case: Some("K-2026/17".to_owned()),
        args: vec![0xa1, 0x00, 0x01],
    }
}

fn second() -> SigningKey {
    SigningKey::from_seed(&[0x43; 32]).unwrap()
}

fn pinned(name: &str, second: Option<&SigningKey>) {
    let topic = topics().command(order().op, &order().id);
    assert_eq!(topic, format!("watchpost/v1/north/box-1/cmd/reads.query/{}", "c7".repeat(16)));
    let bytes = wire::sign_order(&order(), &topic, (&key(), "investigator"), second).unwrap();
    hold(&format!("{name}.hex"), &hex_lines(&bytes));
    let envelope = Envelope::parse(&bytes, usize::MAX).unwrap();
    for (which, key) in [Some(&key()), second].into_iter().flatten().enumerate() {
        envelope.verify(which, &topic, key.public()).unwrap();
        assert!(envelope.verify(which, &topic.replace("box-1", "box-2"), key.public()).is_err());
    }
    let claims: Claims = wire::decode(envelope.payload()).unwrap();
    assert_eq!(claims, Claims::of(&order(), "investigator"));
    hold("command.json", &(serde_json::to_string_pretty(&claims.to_json()).unwrap() + "\n"));
}

#[test]
fn a_command_of_one_is_pinned() {
    pinned("command", None);
}

#[test]
fn a_command_of_two_is_pinned() {
    pinned("command-two", Some(&second()));
}

#[test]
fn a_reply_is_pinned() {
    let mut reply = Reply::new([0xc7; 16], CommandStatus::Failed, NOON, ClockState::Synced);
    reply = reply.because(Reason::BlobMissing, "2 of 9 chunks are not here: send them and ask again");
    reply.result = Some(vec![0x81, 0x82, 0x03, 0x04]);
    reply.audit = Some(1_204);
    let topic = topics().reply(Op::HotlistPut, &reply.id);
    let bytes = wire::sign(&reply, &topic, &key()).unwrap();
    hold("reply.hex", &hex_lines(&bytes));
    hold("reply.json", &(serde_json::to_string_pretty(&reply.to_json()).unwrap() + "\n"));
    assert_eq!(wire::verify::<Reply>(&bytes, &topic, &keys()).unwrap().0, reply);
    let long = Reply { text: Some("x".repeat(301)), ..reply.clone() };
    assert!(wire::sign(&long, &topic, &key()).is_err());
    assert_eq!(reply.because(Reason::Internal, &"ü".repeat(400)).text.unwrap().len(), 300);
}

#[test]
fn a_keyring_of_version_1_is_still_read_and_knows_no_supervisor() {
    let text = std::fs::read_to_string(file("keyring-1.hex")).unwrap();
    let hex: String = text.split_whitespace().collect();
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let ring = Keyring::verify(&bytes, Path::new("keyring-1"), key().public()).unwrap();
    assert_eq!((ring.serial, ring.entries.len()), (7, 3));
    assert!(ring.entries.iter().all(|entry| !entry.supervisor));
    assert_eq!(ring.issued, TimeMs(NOON.0));
}
