//! `audit.export`: records of the audit log with their proof, to read them without trusting the box.
//!
//! Small ranges are in the result, others are attached; at most [`MOST_BYTES`] of records at a time, the client asks for the
//! rest. That the log was read is in the log.

use minicbor::{Decode, Encode};

use super::refused;
use crate::centre::wire::Attached;
use crate::command::ops::{new_id, sha256};
use crate::command::{Attachment, Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{LogId, Reason};
use crate::store::audit::export::Export;

/// Bytes of records in one answer; one more record may stand above it.
const MOST_BYTES: u64 = 8 << 20;
/// An export up to this size is in the result itself.
const INLINE: usize = 40 << 10;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Number of the first record; left out with `newest`.
    #[n(0)]
    pub first: Option<u64>,
    /// Number of the last; left out: up to the end.
    #[n(1)]
    pub last: Option<u64>,
    /// So many of the newest, instead of the two.
    #[n(2)]
    pub newest: Option<u64>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// Number of the first record that is here.
    #[n(1)]
    pub first: u64,
    /// Number of the last one.
    #[n(2)]
    pub last: u64,
    /// Records of the log.
    #[n(3)]
    pub size: u64,
    /// The export, when it is small.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub export: Option<Vec<u8>>,
    /// Where it is, when it is not.
    #[n(5)]
    pub attached: Option<Attached>,
}

/// The attachments that an answer names; for clients.
#[must_use]
pub fn attached(result: &[u8]) -> Vec<Attached> {
    let answer: Option<Answer> = minicbor::decode(result).ok();
    answer.and_then(|answer| answer.attached).into_iter().collect()
}

/// Gives records out.
///
/// # Errors
/// [`Reason::Arguments`], [`Reason::NotFound`], [`Reason::Internal`].
pub fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let (checkpoint, head) = rooms.store.signed_head().map_err(|e| refused(&e))?;
    let (first, last) = match (args.first, args.last, args.newest) {
        (Some(first), last, None) => (first, last.unwrap_or(head.size).min(head.size)),
        (None, None, Some(n)) if n > 0 => (head.size.saturating_sub(n) + 1, head.size),
        _ => return Err(Refusal::new(Reason::Arguments, "name a first record, or how many of the newest")),
    };
    let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let range = rooms.store.audit_range(first, last, most, Some(head.size)).map_err(|e| refused(&e))?;
    let (first, last, size) = (range.first, range.last(), range.head.size);
    let bytes = Export::new(checkpoint, range).encode();
    let mut answer = Answer { log: rooms.store.audit_log(), first, last, size, export: None, attached: None };
    let mut attachments = Vec::new();
    if bytes.len() <= INLINE {
        answer.export = Some(bytes);
    } else {
        let attachment = Attachment { id: new_id(rooms.clock.utc())?, bytes };
        answer.attached = Some(Attached {
            id: attachment.id,
            bytes: attachment.bytes.len() as u64,
            sha256: sha256(&attachment.bytes),
        });
        attachments.push(attachment);
    }
    let facts = vec![("first", first.to_string()), ("last", last.to_string())];
    Ok(Done { result: ops::encode(&answer), attachments, facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::Op;
    use crate::store::audit::Event;

    fn ask(site: &Site, args: &Args) -> Result<(Answer, Export), Refusal> {
        let done = site.run(Op::AuditExport, Role::Auditor, args)?;
        let answer: Answer = ops::decode(&done.result).unwrap();
        let bytes = answer.export.clone().unwrap_or_else(|| done.attachments[0].bytes.clone());
        assert_eq!(attached(&done.result).len(), done.attachments.len());
        Ok((answer, Export::decode(&bytes).unwrap()))
    }

    fn site(records: u64) -> Site {
        let site = Site::new();
        for n in 0..records {
            site.store.audit_later(Event::Queried, &[("rows", n.to_string()), ("digest", "0".repeat(64))]);
        }
        site.store.audit_flush().unwrap();
        site
    }

    #[test]
    fn a_small_range_is_in_the_answer_and_a_large_one_attached_and_both_check() {
        let site = site(1_000);
        let (answer, export) = ask(&site, &Args { newest: Some(5), ..Args::default() }).unwrap();
        assert!(answer.export.is_some());
        let (checkpoint, records) = export.check().unwrap();
        assert_eq!((records.len(), checkpoint.head.size), (5, answer.last));
        let (answer, export) = ask(&site, &Args { first: Some(1), ..Args::default() }).unwrap();
        assert!(answer.attached.is_some());
        assert_eq!(export.check().unwrap().1.len() as u64, answer.size);
        let (answer, _) = ask(&site, &Args { first: Some(3), last: Some(4), ..Args::default() }).unwrap();
        assert_eq!((answer.first, answer.last), (3, 4));
    }

    #[test]
    fn one_changed_bit_of_an_export_is_refused() {
        let site = site(3);
        let (_, export) = ask(&site, &Args { newest: Some(4), ..Args::default() }).unwrap();
        let bytes = export.encode();
        let wanted = export.check().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // What is left standing is a checkpoint whose signature does not fit any more, which is checked by its note.
            let believed = Export::decode(&bad).and_then(|e| e.check().map(|c| (e.checkpoint, c)));
            assert!(
                believed.is_err() || believed.is_ok_and(|(note, c)| note != export.checkpoint && c.1 == wanted.1),
                "{bit}"
            );
        }
    }

    #[test]
    fn what_is_not_there_says_so() {
        let site = site(1);
        let reason = |args: Args| ask(&site, &args).unwrap_err().reason;
        assert_eq!(reason(Args { first: Some(99), ..Args::default() }), Reason::NotFound);
        assert_eq!(reason(Args { first: Some(3), last: Some(2), ..Args::default() }), Reason::NotFound);
        assert_eq!(reason(Args::default()), Reason::Arguments);
        assert_eq!(reason(Args { first: Some(1), newest: Some(2), ..Args::default() }), Reason::Arguments);
    }
}
