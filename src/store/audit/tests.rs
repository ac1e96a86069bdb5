//! The log on real files: as drawn, after crashes, and after every kind of tampering.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::proof::Range;
use super::record::frame;
use super::*;
use crate::domain::{Checkpoint, tree};
use crate::store::disk::RealDisk;

const ORIGIN: &str = "watchpost/north/box-1";

fn log_as(dir: &Path, id: u8) -> Audit {
    let log = Audit::open_as(Arc::new(RealDisk), &dir.join("audit.log"), TimeMs(7), LogId([id; 8])).unwrap();
    log.sign_with(Box::new(|log, head| {
        let text = Checkpoint { origin: ORIGIN.to_owned(), log, head: *head }.text();
        format!("{text}\n— {ORIGIN} c2lnbmVkIGJ5IG5vYm9keQ==\n").into_bytes()
    }));
    log
}

fn log(dir: &Path) -> Audit {
    log_as(dir, 0xab)
}

/// Three records, of which the first says that the log begins.
fn filled(dir: &Path) -> Vec<u8> {
    log(dir).append(TimeMs(1_767_225_600_000), Event::Started, &[("version", "0.1.0".to_owned())]).unwrap();
    log(dir).append(TimeMs(1_767_225_601_000), Event::Shed, &[("copies", "3".to_owned())]).unwrap();
    fs::read(dir.join("audit.log")).unwrap()
}

/// A log of `n` records, closed.
fn grown(dir: &Path, n: u64) -> TreeHead {
    let log = log(dir);
    while log.head().size < n {
        let number = log.head().size;
        log.append(TimeMs(1_000 + number), Event::CommandDone, &[("op", format!("op-{number}"))]).unwrap();
    }
    log.head()
}

fn events(dir: &Path) -> Vec<String> {
    read(dir).unwrap().into_iter().map(|record| record.event).collect()
}

/// Bytes of the leaves.
fn leaves(dir: &Path) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    scan(&dir.join("audit.log"), &mut |_, leaf| leaves.push(leaf)).unwrap();
    leaves
}

/// Writes a log of these leaves, each with its right checksum.
fn write(dir: &Path, leaves: &[Vec<u8>]) {
    let mut bytes = MAGIC.to_vec();
    for leaf in leaves {
        frame(leaf, &mut bytes);
    }
    fs::write(dir.join("audit.log"), bytes).unwrap();
}

/// Opens, and gives the first record of the log that follows; the one before must lie aside, whole.
fn set_aside(dir: &Path) -> AuditRecord {
    let before = fs::read(dir.join("audit.log")).ok();
    log_as(dir, 0xcd).append(TimeMs(9), Event::Started, &[]).unwrap();
    if let Some(before) = before {
        assert_eq!(fs::read(dir.join("audit.damaged-7")).unwrap(), before);
    }
    let records = read(dir).unwrap();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[0].detail("log"), Some("cdcdcdcdcdcdcdcd"));
    records[0].clone()
}

#[test]
fn log_and_hashes_are_as_drawn() {
    let dir = tempfile::tempdir().unwrap();
    crate::store::golden("audit-2.bin", &filled(dir.path()));
    crate::store::golden("audit-hashes-1.bin", &fs::read(dir.path().join("audit.hashes")).unwrap());
    assert_eq!(events(dir.path()), ["audit.begun", "store.started", "outbox.shed"]);
    assert_eq!(read(dir.path()).unwrap()[0].detail("log"), Some("abababababababab"));
}

#[test]
fn a_range_is_as_drawn() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let range = log(dir.path()).range((2, 3), usize::MAX, None, TimeMs(9)).unwrap();
    crate::store::golden("audit-range-1.bin", &row::encode(&range));
}

#[test]
fn what_may_wait_is_durable_with_the_next_record_and_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    log.later(TimeMs(1), Event::Dropped, &[]);
    assert_eq!(log.head().size, 0);
    assert_eq!(log.append(TimeMs(2), Event::Queried, &[]).unwrap(), 3);
    log.later(TimeMs(3), Event::Lost, &[]);
    log.flush().unwrap();
    assert_eq!(events(dir.path()), ["audit.begun", "frames.dropped", "queried", "record.lost"]);
}

#[test]
fn an_unfinished_end_is_cut_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = filled(dir.path());
    let hashes = fs::read(dir.path().join("audit.hashes")).unwrap();
    let whole = MAGIC.len() + leaves(dir.path())[..2].iter().map(|leaf| leaf.len() + 8).sum::<usize>();
    for len in whole + 1..bytes.len() {
        fs::write(dir.path().join("audit.log"), &bytes[..len]).unwrap();
        // Only the first two records had been on the medium for sure: three hashes.
        fs::write(dir.path().join("audit.hashes"), &hashes[..8 + 3 * 32]).unwrap();
        log(dir.path()).append(TimeMs(9), Event::Stopped, &[]).unwrap();
        assert_eq!(events(dir.path()), ["audit.begun", "store.started", "audit.repaired", "store.stopped"], "{len}");
        assert!(read(dir.path()).unwrap()[2].detail("torn").unwrap().contains("never finished"));
    }
}

#[test]
fn missing_hashes_are_made_anew_without_a_word_and_wrong_ones_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let head = grown(dir.path(), 300);
    let path = dir.path().join("audit.hashes");
    let right = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!((log(dir.path()).head(), fs::read(&path).unwrap()), (head, right.clone()));
    fs::write(&path, &right[..right.len() - 700]).unwrap();
    assert_eq!((log(dir.path()).head(), fs::read(&path).unwrap()), (head, right.clone()));

    let mut edited = right.clone();
    edited[8 + 32 * 40] ^= 1;
    fs::write(&path, &edited).unwrap();
    let opened = log(dir.path());
    opened.append(TimeMs(9), Event::Started, &[]).unwrap();
    let records = read(dir.path()).unwrap();
    assert_eq!(records[300].event, "audit.repaired");
    assert!(records[300].detail("hashes").unwrap().starts_with("wrong from record "), "{:?}", records[300]);
    assert_eq!(opened.hash_count(), tlog_tiles::tlog::stored_hash_count(302));
    assert_eq!(fs::read(&path).unwrap()[..right.len()], right);
}

#[test]
fn a_log_of_the_first_version_is_taken_over_and_its_head_named() {
    let dir = tempfile::tempdir().unwrap();
    let old = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/audit-1.bin")).unwrap();
    fs::write(dir.path().join("audit.log"), &old).unwrap();
    log(dir.path()).append(TimeMs(9), Event::Started, &[]).unwrap();
    let begun = &read(dir.path()).unwrap()[0];
    assert_eq!((begun.detail("old_size"), begun.detail("aside")), (Some("2"), Some("audit.v1")));
    // SHA-256 of the CBOR of the last record.
    let last = &old[old.len() - 8 - (old.len() - 8 - old_second(&old)) + 8..];
    let digest = ring::digest::digest(&ring::digest::SHA256, last);
    assert_eq!(begun.detail("old_head"), Some(data_encoding::HEXLOWER.encode(digest.as_ref()).as_str()));
    assert_eq!((fs::read(dir.path().join("audit.v1")).unwrap(), begun.detail("damaged_at")), (old, None));
}

/// Where the second record of the golden log of the first version begins.
fn old_second(bytes: &[u8]) -> usize {
    16 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize
}

/// A log of five records, of which a copy of the files was kept, and what is done to it.
fn tampered(with: impl FnOnce(&Path, Vec<Vec<u8>>)) -> (tempfile::TempDir, TreeHead) {
    let dir = tempfile::tempdir().unwrap();
    let head = grown(dir.path(), 5);
    let leaves = leaves(dir.path());
    with(dir.path(), leaves);
    (dir, head)
}

#[test]
fn a_deleted_record_is_found_and_named() {
    let (dir, head) = tampered(|dir, mut leaves| {
        leaves.remove(2);
        write(dir, &leaves);
    });
    assert!(read(dir.path()).unwrap_err().to_string().contains("record 4 stands where 3 has to be"));
    let begun = set_aside(dir.path());
    assert!(begun.detail("why").unwrap().contains("taken out, put in or moved"), "{begun:?}");
    assert_eq!(begun.detail("old_size"), Some("5"));
    assert_eq!(begun.detail("old_root"), Some(head.root.to_string().as_str()));
    assert_eq!((begun.detail("known_from"), begun.detail("old_log")), (Some("hashes"), Some("abababababababab")));
}

#[test]
fn moved_and_inserted_records_are_found_and_named() {
    let (dir, _) = tampered(|dir, mut leaves| {
        leaves.swap(1, 3);
        write(dir, &leaves);
    });
    assert!(set_aside(dir.path()).detail("why").unwrap().starts_with("record 4 stands where 2 has to be"));
    let (dir, _) = tampered(|dir, mut leaves| {
        let copy = leaves[1].clone();
        leaves.insert(3, copy);
        write(dir, &leaves);
    });
    assert!(set_aside(dir.path()).detail("why").unwrap().starts_with("record 2 stands where 4 has to be"));
}

/// The leaves with another time in record 3.
fn edited(leaves: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut leaves = leaves.to_vec();
    let mut record = AuditRecord::decode(&leaves[2]).unwrap();
    record.at = TimeMs(record.at.0 + 60_000);
    leaves[2] = row::encode(&record);
    leaves
}

#[test]
fn an_edited_record_is_found_also_when_its_checksum_was_made_to_fit() {
    let (dir, _) = tampered(|dir, leaves| {
        let bytes = fs::read(dir.join("audit.log")).unwrap();
        let at = bytes.windows(leaves[2].len()).position(|w| w == leaves[2]).unwrap();
        let mut bad = bytes;
        bad[at + 9] ^= 1;
        fs::write(dir.join("audit.log"), bad).unwrap();
    });
    assert!(set_aside(dir.path()).detail("why").unwrap().starts_with("record 3 does not fit its checksum"));
    let (dir, _) = tampered(|dir, leaves| write(dir, &edited(&leaves)));
    assert!(set_aside(dir.path()).detail("why").unwrap().contains("record 3 is not the one whose hash was kept"));
}

#[test]
fn an_edit_with_all_hashes_made_to_fit_is_found_by_the_last_checkpoint() {
    let (dir, head) = tampered(|dir, leaves| {
        log(dir).checkpoint().unwrap();
        write(dir, &edited(&leaves));
        fs::remove_file(dir.join("audit.hashes")).unwrap();
    });
    let begun = set_aside(dir.path());
    assert!(begun.detail("why").unwrap().contains("changed since they were signed"), "{begun:?}");
    assert_eq!(begun.detail("old_root"), Some(head.root.to_string().as_str()));
    assert_eq!(begun.detail("known_from"), Some("checkpoint"));
}

#[test]
fn a_truncated_log_is_found_and_a_missing_one_as_well() {
    let (dir, _) = tampered(|dir, leaves| write(dir, &leaves[..3]));
    let begun = set_aside(dir.path());
    assert!(begun.detail("why").unwrap().contains("it ends with record 3, and had 5"), "{begun:?}");
    let (dir, _) = tampered(|dir, leaves| {
        log(dir).checkpoint().unwrap();
        write(dir, &leaves[..3]);
        fs::remove_file(dir.join("audit.hashes")).unwrap();
    });
    assert_eq!(set_aside(dir.path()).detail("known_from"), Some("checkpoint"));
    let (dir, head) = tampered(|dir, _| fs::remove_file(dir.join("audit.log")).unwrap());
    let begun = set_aside(dir.path());
    assert_eq!((begun.detail("why"), begun.detail("old_size")), (Some("the log's file is gone"), Some("5")));
    assert_eq!(begun.detail("old_root"), Some(head.root.to_string().as_str()));
}

#[test]
fn tampering_while_the_box_runs_hands_out_nothing_and_edited_hashes_are_mended() {
    let dir = tempfile::tempdir().unwrap();
    grown(dir.path(), 40);
    let open = log(dir.path());
    let hashes = dir.path().join("audit.hashes");
    let mut bytes = fs::read(&hashes).unwrap();
    bytes[8 + 32 * 3] ^= 1;
    fs::write(&hashes, bytes).unwrap();
    // The proof of record 4 needs the hash of record 3.
    let proof = open.prove_inclusion(4, None, TimeMs(9)).unwrap();
    assert_eq!(tree::check_inclusion(&proof.head, 4, &proof.leaf, &proof.proof), Ok(()));
    assert_eq!(read(dir.path()).unwrap()[40].event, "audit.repaired");

    write(dir.path(), &edited(&leaves(dir.path())));
    let error = open.prove_inclusion(3, None, TimeMs(9)).unwrap_err();
    assert!(matches!(error, Error::AuditChanged { .. }), "{error}");
    assert!(open.range((1, 10), usize::MAX, None, TimeMs(9)).is_err());
}

#[test]
fn a_range_is_proven_without_the_rest_and_one_changed_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let head = grown(dir.path(), 300);
    let log = log(dir.path());
    for (first, last) in [(1, 1), (1, 300), (256, 290), (300, 300), (3, 4)] {
        let range = log.range((first, last), usize::MAX, None, TimeMs(9)).unwrap();
        assert_eq!((range.head, range.last()), (head, last));
        let records = range.check().unwrap();
        assert_eq!((records[0].number, records.len() as u64), (first, last - first + 1));
        let bytes = row::encode(&range);
        for bit in (0..bytes.len() * 8).step_by(1 + bytes.len() / 16) {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let believed = minicbor::decode::<Range>(&bad).is_ok_and(|r| r.head == head && r.check().is_ok());
            // Numbers and lengths have other encodings that decode to the same; the form is held where files are read.
            assert!(!believed || minicbor::decode::<Range>(&bad).unwrap() == range, "bit {bit} of {first}..{last}");
        }
    }
    assert!(matches!(log.range((301, 400), 9, None, TimeMs(9)), Err(Error::AuditSize { asked: 301, size: 300 })));
    let part = log.range((1, 300), 1_000, None, TimeMs(9)).unwrap();
    assert!((10..50).contains(&part.last()), "as many as fit: {}", part.last());
    assert_eq!(log.range((9, 300), 1, None, TimeMs(9)).unwrap().last(), 9, "at least one");
}

#[test]
fn consistency_of_any_two_sizes_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    let heads: Vec<TreeHead> = (2..40).map(|n| grown(dir.path(), n)).collect();
    let log = log(dir.path());
    for (old, new) in [(2, 39), (7, 8), (39, 39), (16, 33)] {
        let proof = log.prove_consistency(old, Some(new), TimeMs(9)).unwrap();
        let of = |size| *heads.iter().find(|head| head.size == size).unwrap();
        assert_eq!((proof.old, proof.head), (of(old), of(new)));
        assert_eq!(tree::check_consistency(&proof.old, &proof.head, &proof.proof), Ok(()));
    }
    assert!(log.prove_consistency(0, None, TimeMs(9)).is_err());
    assert!(log.prove_consistency(40, None, TimeMs(9)).is_err());
}

#[test]
fn a_checkpoint_is_signed_anew_when_the_log_grew_and_is_on_disk_first() {
    let dir = tempfile::tempdir().unwrap();
    grown(dir.path(), 3);
    let log = log(dir.path());
    let (first, _) = log.checkpoint().unwrap();
    assert_eq!(fs::read(dir.path().join("audit.checkpoint")).unwrap(), first);
    assert_eq!(log.checkpoint().unwrap(), (first, log.head()));
    log.later(TimeMs(9), Event::Lost, &[]);
    let next = String::from_utf8(log.checkpoint().unwrap().0).unwrap();
    assert_eq!(Checkpoint::parse(&next).unwrap().head, log.head());
    assert_eq!(log.head().size, 4);
    let unsigned = Audit::open(Arc::new(RealDisk), &dir.path().join("other.log"), TimeMs(1)).unwrap();
    assert!(matches!(unsigned.checkpoint(), Err(Error::NoSigner)));
}

#[test]
fn one_record_is_found_by_its_time_and_also_when_a_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let mut wanted = 0;
    for n in 1..=700_u64 {
        // The clock goes back by far in the middle.
        let at = TimeMs(if n < 350 { 1_000_000 + n } else { n });
        let number = log.append(at, Event::CommandDone, &[("op", format!("op-{n}"))]).unwrap();
        wanted = if n == 600 { number } else { wanted };
    }
    let op = |n: u64| move |record: &AuditRecord| record.detail("op") == Some(format!("op-{n}").as_str());
    for since in [0, 600, 601, 1_000_100, 2_000_000] {
        assert_eq!(log.find(TimeMs(since), &op(600)).unwrap(), Some(wanted), "since {since}");
    }
    assert_eq!(log.find(TimeMs(0), &op(701)).unwrap(), None);
}
