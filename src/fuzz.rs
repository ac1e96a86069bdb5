//! What reads bytes that others wrote, one door each: for the fuzz targets of `tests/fuzz`, and for the property tests
//! below, which throw the same doors altered samples in every test run.
//!
//! A door takes any bytes and panics when something is wrong: a panic in what it tries, or a promise that does not hold
//! (nothing unsigned is taken, what is taken says what was signed, what was read is written the same). Where checksums and
//! signatures would stop all but the first bytes, they are put right, so that what lies behind them is reached.
//! Only with the cargo feature `fuzz`, and in unit tests; no product build has it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a door says what is wrong by a panic"
)]

use std::path::Path;
use std::sync::Arc;

use crate::centre::keyring::{Entry, Keyring, Role};
use crate::centre::keys::{Keys, SigningKey};
use crate::centre::topics::{DEFAULT_ROOT, Topics};
use crate::centre::wire::{self, Message, Order, Wire};
use crate::centre::{cose, note, topics};
use crate::clock::{Challenges, Clock, SimClock};
use crate::command::envelope::Gate;
use crate::config;
use crate::domain::tree::{self, TreeHash};
use crate::domain::{
    BoxId, Checkpoint, ListId, LogId, Op, Ownership, Purpose, Severity, Share, SiteId, TimeMs, TreeHead,
};
use crate::hotlist::package::{self, Header};
use crate::hotlist::{List, ListSettings, delta};
use crate::store;
use crate::store::audit::AuditRecord;
use crate::store::audit::export::Export;
use crate::vision;
use crate::vision::model::Manifest;

/// One door.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// Its name, that of its fuzz target.
    pub name: &'static str,
    /// Tries these bytes.
    pub open: fn(&[u8]),
    /// What a fuzzer begins with: good bytes.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// Every door.
pub const DOORS: &[Door] = &[
    Door { name: "envelope", open: envelope, samples: signed_orders },
    Door { name: "wire", open: wire_message, samples: messages },
    Door { name: "hotlist", open: hotlist, samples: lists },
    Door { name: "config", open: configuration, samples: configurations },
    Door { name: "manifest", open: manifest, samples: manifests },
    Door { name: "outputs", open: vision::fuzz::outputs, samples: vision::fuzz::samples },
    Door { name: "proofs", open: proofs, samples: proven },
    Door { name: "ledger", open: store::fuzz::ledger, samples: store::fuzz::samples },
];

/// Noon of a day.
const NOW: TimeMs = TimeMs(1_767_268_800_000);
const NAME: &str = "a-person";
const ID: [u8; 16] = [7; 16];

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&[byte; 32]).expect("a key")
}

fn ids() -> (SiteId, BoxId) {
    (SiteId::new("north").expect("a site"), BoxId::new("box-1").expect("a box"))
}

fn order(args: Vec<u8>) -> Order {
    let (site, box_id) = ids();
    Order {
        op: Op::ReadsQuery,
        id: ID,
        site,
        box_id,
        issued: NOW,
        lifetime_s: 120,
        challenge: None,
        purpose: Some(Purpose::CrimeInvestigation),
        case: Some("K-1".to_owned()),
        args,
    }
}

fn topic() -> String {
    let (site, box_id) = ids();
    Topics::new(DEFAULT_ROOT, &site, &box_id).expect("topics").command(Op::ReadsQuery, &ID)
}

/// Orders that a box takes: by one person, and by two.
fn signed_orders() -> Vec<Vec<u8>> {
    let sign = |order: &Order, second: Option<&SigningKey>| {
        wire::sign_order(order, &topic(), (&key(1), NAME), second).expect("a signed order")
    };
    vec![sign(&order(vec![0xa0]), None), sign(&order(vec![0xa1, 0x00, 0x01]), Some(&key(2)))]
}

/// A command's envelope: whatever comes, what is taken is what a key of the ring signed.
pub fn envelope(bytes: &[u8]) {
    let entry = |byte, name: &str| Entry {
        key: key(byte).public().clone(),
        name: name.to_owned(),
        role: Role::Investigator,
        org: "north".to_owned(),
        not_before: TimeMs(0),
        not_after: None,
        revoked: None,
        supervisor: false,
    };
    let keyring = Keyring { serial: 1, issued: TimeMs(0), entries: vec![entry(1, NAME), entry(2, "another-person")] };
    let clock = Clock::of(SimClock::at(NOW) as Arc<_>);
    let challenges = Challenges::new(clock.clone());
    let gate = Gate { keyring: &keyring, audience: "north/box-1", clock: &clock, challenges: &challenges };
    if let Ok(signed) = gate.open(bytes, &topic(), (Op::ReadsQuery.as_str(), &ID)) {
        let taken = (signed.verified.args, signed.issued_s, signed.expires_s);
        let (from, until) = (NOW.0 / 1000, NOW.0 / 1000 + 120);
        let asked = [order(vec![0xa0]), order(vec![0xa1, 0x00, 0x01])].map(|order| (order.args, from, until));
        assert!(asked.contains(&taken), "a command was taken that nobody signed");
    }
}

/// Good messages: those that the tests pin.
fn messages() -> Vec<Vec<u8>> {
    const GOLDEN: [&str; 9] = [
        include_str!("../tests/fixtures/golden/ack.hex"),
        include_str!("../tests/fixtures/golden/alert.hex"),
        include_str!("../tests/fixtures/golden/alert-rule.hex"),
        include_str!("../tests/fixtures/golden/camera.hex"),
        include_str!("../tests/fixtures/golden/command.hex"),
        include_str!("../tests/fixtures/golden/health.hex"),
        include_str!("../tests/fixtures/golden/reply.hex"),
        include_str!("../tests/fixtures/golden/shed.hex"),
        include_str!("../tests/fixtures/golden/status.hex"),
    ];
    let bytes = |text: &str| {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).expect("hexadecimal")
    };
    let mut all: Vec<Vec<u8>> = Vec::new();
    for signed in GOLDEN.map(bytes) {
        all.extend(cose::inspect(&signed, cose::MAX_ENVELOPE).map(|opened| opened.payload.clone()));
        all.push(signed);
    }
    all
}

/// A message, its envelope, a topic: what is read as a message is written again as the same bytes, and can be shown.
pub fn wire_message(bytes: &[u8]) {
    fn same<M: Wire>(message: &M, bytes: &[u8]) {
        assert_eq!(wire::encode(message), bytes, "{} has two encodings", M::NAME);
    }
    if let Ok(message) = wire::guess(bytes) {
        let _ = message.to_json().to_string();
        match &message {
            Message::Alert(m) => same(m.as_ref(), bytes),
            Message::Shed(m) => same(m, bytes),
            Message::Ack(m) => same(m, bytes),
            Message::Status(m) => same(m, bytes),
            Message::Camera(m) => same(m, bytes),
            Message::Health(m) => same(m.as_ref(), bytes),
            Message::Reply(m) => same(m.as_ref(), bytes),
            Message::Command(m) => same(m.as_ref(), bytes),
        }
    }
    if let Ok(opened) = cose::inspect(bytes, cose::MAX_ENVELOPE) {
        let _ = wire::guess(&opened.payload);
    }
    let _ = topics::parse(DEFAULT_ROOT, &String::from_utf8_lossy(bytes));
    let _ = Keyring::verify(bytes, Path::new("keyring"), key(3).public());
}

const CSV: &[u8] =
    b"PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\nAB12CDE,,Stolen,,\n7XYZ123,CA,,20260101,20301231\n";
const MORE: &[u8] = b"PlateNumber,PlateState,Category\n7XYZ123,CA,\nQQ99QQ,,Stolen\nB-MW 1234,,Wanted\n";

fn list_settings() -> ListSettings {
    let mut settings = ListSettings::new(ListId::new("stolen").expect("an id"), 1, Severity::Serious);
    settings.owner = Some(Ownership { org: "north".to_owned(), share: Share::default() });
    settings.category_severity = vec![("stolen".to_owned(), Severity::Critical)];
    settings
}

fn packed(csv: &[u8], serial: u32) -> (Header, Vec<u8>) {
    let packed = package::pack(Path::new("list.csv"), csv, &list_settings(), serial, NOW).expect("a package");
    (packed.header, packed.body)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

/// A byte that says what follows, then a file of each kind.
fn lists() -> Vec<Vec<u8>> {
    let (old, new) = (packed(CSV, 1), packed(MORE, 2));
    let (header, body, _) = delta::between((&old.0, &old.1), (&new.0, &new.1)).expect("a delta");
    let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
    vec![
        tagged(0, CSV),
        tagged(0, MORE),
        tagged(1, &old.0.payload()),
        tagged(1, &header.payload()),
        tagged(2, &old.1),
        tagged(2, &new.1),
        tagged(3, &body),
        tagged(4, &package::join(&old.0.payload(), &old.1)),
    ]
}

/// A list as CSV, a package's header, its entries, the entries of a delta, a package as a file.
pub fn hotlist(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => {
            let parsed = List::parse(Path::new("list.csv"), bytes, NOW, &list_settings());
            let packed = package::pack(Path::new("list.csv"), bytes, &list_settings(), 1, NOW);
            assert_eq!(
                parsed.is_ok(),
                packed.is_ok(),
                "one reader takes a list that the other refuses: {:?}",
                packed.err()
            );
            if let (Ok(list), Ok(packed)) = (parsed, packed) {
                let loaded = package::load(&packed.header, &packed.body[..]).expect("what was packed can be loaded");
                let all = loaded.len() + packed.duplicates as usize;
                assert_eq!(list.len(), all, "a package holds what its list holds, each line once");
            }
        }
        1 => {
            if let Ok(header) = Header::parse(bytes) {
                assert_eq!(header.payload(), bytes, "a header has two encodings");
            }
        }
        2 => {
            let header = Header { digest: sha256(bytes), entries: 40, ..packed(CSV, 1).0 };
            let _ = package::load(&header, bytes);
            let _ = package::entry(&header, bytes, 2);
        }
        3 => {
            let ((old, body), (new, _)) = (packed(CSV, 1), packed(MORE, 2));
            let base = package::Base { serial: old.serial, digest: old.digest, delta: sha256(bytes) };
            let header = Header { base: Some(base), ..new };
            let _ = delta::apply(&header, bytes, (&old, &body[..]), &mut std::io::sink());
        }
        _ => {
            if let Ok((envelope, body)) = package::split(bytes) {
                assert_eq!(package::join(envelope, body), bytes, "a package has two forms");
            }
        }
    }
}

fn configurations() -> Vec<Vec<u8>> {
    let text = "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"data\"\n\n[[camera]]\nid = \"gate\"\nnumber = 1\n\
        uri = 'rtsp://192.0.2.7/stream'\nfps = 5\n\n[[camera.zone]]\nid = \"drive\"\npoints = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\n\n\
        [vision]\nregions = [\"de\"]\n\n[store]\nretention = \"UK\"\n\n[decode]\nworkers = \"none\"\n";
    let block = "[[camera]]\nid = \"yard\"\nnumber = 2\nuri = 'file:///a.mp4'\nmotion_gate = false\n";
    vec![
        text.as_bytes().to_vec(),
        block.as_bytes().to_vec(),
        b"[centre]\nbroker = \"mqtts://192.0.2.1:8883\"\n".to_vec(),
    ]
}

/// A configuration, and a camera's block as the centre sends it: what is refused is told with words.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(faults) = config::of_text(&text) {
        assert!(!faults.0.is_empty() && !faults.to_string().is_empty(), "refused without a reason");
    }
    if let Ok((overlay, id)) = config::managed::patch::set_camera("", &text) {
        let again = config::managed::patch::set_camera(&overlay, &text).expect("what was written is taken again");
        assert_eq!(again, (overlay, id), "a block that is set twice is another");
    }
}

fn manifests() -> Vec<Vec<u8>> {
    vision::fuzz::MANIFESTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A model's manifest.
pub fn manifest(bytes: &[u8]) {
    if let Err(faults) = Manifest::parse(&String::from_utf8_lossy(bytes)) {
        assert!(faults.iter().all(|fault| !fault.is_empty()) && !faults.is_empty(), "refused without a reason");
    }
}

fn proven() -> Vec<Vec<u8>> {
    let head = TreeHead { size: 5, root: TreeHash([9; 32]) };
    let checkpoint = Checkpoint { origin: "north/box-1".to_owned(), log: LogId::default(), head };
    let note = note::sign(&checkpoint, &key(4)).unwrap_or_default();
    vec![include_bytes!("../tests/golden/store/audit-range-1.bin").to_vec(), note]
}

/// A range of the audit log with its proof, a signed checkpoint, an entry: nothing is proven that was not signed.
pub fn proofs(bytes: &[u8]) {
    if let Ok(export) = Export::decode(bytes) {
        assert_eq!(export.encode(), bytes, "an export has two forms");
        let _ = export.check();
        let _ = export.range.last();
    }
    let keys: Keys = std::iter::once(key(4).public().clone()).collect();
    if let Ok(checkpoint) = note::open(bytes, "north/box-1", &keys) {
        assert_eq!(checkpoint.head.size, 5, "a checkpoint was taken that nobody signed");
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        // Further lines may follow; what is read of it is read of its own text as well.
        assert_eq!(Checkpoint::parse(&checkpoint.text()).ok(), Some(checkpoint), "a checkpoint changes");
    }
    let _ = AuditRecord::decode(bytes);
    let hashes: Vec<TreeHash> =
        bytes.chunks_exact(32).filter_map(|chunk| chunk.try_into().ok().map(TreeHash)).collect();
    let size = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(3, u64::from_le_bytes);
    let (old, new) =
        (TreeHead { size: size(0), root: TreeHash([1; 32]) }, TreeHead { size: size(8), root: TreeHash([2; 32]) });
    assert!(tree::check_inclusion(&new, size(16), b"never logged", &hashes).is_err(), "a forged proof was taken");
    if old.size > 0 {
        assert!(tree::check_consistency(&old, &new, &hashes).is_err(), "two different logs were taken for one");
    }
    let _ = tree::Edge::of(size(0), &hashes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Changes of a sample: where (a share of its length), what, and a byte for it.
    type Changes = Vec<(u16, u8, u8)>;

    fn altered(sample: &[u8], changes: &Changes) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for (at, what, byte) in changes {
            let at = bytes.len() * usize::from(*at) / (1 << 16);
            match what % 6 {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, *byte),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.extend_from_within(at..),
                _ if at < bytes.len() => bytes[at] = if what % 6 == 4 { *byte } else { bytes[at] ^ (1 << (byte % 8)) },
                _ => {}
            }
            bytes.truncate(1 << 15);
        }
        bytes
    }

    fn try_all(name: &str, bytes: &[u8]) {
        let door = DOORS.iter().find(|door| door.name == name).unwrap();
        (door.open)(bytes);
    }

    #[test]
    fn every_door_takes_its_samples_and_nothing() {
        for door in DOORS {
            let samples = (door.samples)();
            assert!(!samples.is_empty(), "{} has no sample", door.name);
            for sample in &samples {
                (door.open)(sample);
            }
            (door.open)(&[]);
        }
    }

    /// `WATCHPOST_SEEDS=FOLDER` has the samples written there, a folder a target, for a fuzzer to begin with.
    #[test]
    fn samples_are_written_for_the_fuzzers() {
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = std::env::var_os("WATCHPOST_SEEDS").map_or_else(|| elsewhere.path().to_owned(), Into::into);
        for door in DOORS {
            let folder = folder.join(door.name);
            std::fs::create_dir_all(&folder).unwrap();
            for (number, sample) in (door.samples)().iter().enumerate() {
                std::fs::write(folder.join(format!("sample-{number}")), sample).unwrap();
            }
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), (door.samples)().len());
        }
    }

    #[test]
    fn each_door_is_a_fuzz_target() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        let listed = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for door in DOORS {
            let text = std::fs::read_to_string(folder.join(format!("{}.rs", door.name))).unwrap();
            assert!(text.contains(&format!("\"{}\"", door.name)), "{text}");
            assert!(listed.contains(&format!("name = \"{}\"", door.name)), "{} is not in its Cargo.toml", door.name);
        }
    }

    macro_rules! doors {
        ($($test:ident $name:literal)*) => {
            proptest! {
                $(
                    #[test]
                    fn $test(
                        sample in any::<prop::sample::Index>(),
                        changes in prop::collection::vec(any::<(u16, u8, u8)>(), 0..6),
                        strange in prop::collection::vec(any::<u8>(), 0..200),
                    ) {
                        let samples = (DOORS.iter().find(|door| door.name == $name).unwrap().samples)();
                        try_all($name, &altered(&samples[sample.index(samples.len())], &changes));
                        try_all($name, &strange);
                    }
                )*
            }
        };
    }

    doors! {
        no_altered_envelope_is_taken_for_a_command "envelope"
        messages_have_one_encoding_and_break_nothing "wire"
        lists_and_packages_are_read_or_refused "hotlist"
        configurations_are_read_or_refused_with_words "config"
        manifests_are_read_or_refused_with_words "manifest"
        whatever_a_model_says_becomes_finite_boxes_and_texts "outputs"
        nothing_is_proven_that_was_not_signed "proofs"
        ledgers_are_read_or_refused "ledger"
    }
}
