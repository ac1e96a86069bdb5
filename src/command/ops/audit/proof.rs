//! `audit.proof`: that the log began as it was said to, or that one record is in it, without the other records.

use minicbor::{Decode, Encode};

use super::refused;
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{LogId, Reason, TreeHash, TreeHead};

/// What is asked: one of the first two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Size of an earlier log that this one should begin with.
    #[n(0)]
    pub old: Option<u64>,
    /// Number of a record.
    #[n(1)]
    pub record: Option<u64>,
    /// Size of the log that it is about; left out: the whole log as it is now.
    #[n(2)]
    pub size: Option<u64>,
    /// The log that is meant; left out: the one that there is.
    #[n(3)]
    pub log: Option<LogId>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// The head that the proof is about.
    #[n(1)]
    pub head: TreeHead,
    /// The signed checkpoint of that head, where it is the whole log.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub checkpoint: Option<Vec<u8>>,
    /// The earlier head, where that was asked.
    #[n(3)]
    pub old: Option<TreeHead>,
    /// The record, where that was asked.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub leaf: Option<Vec<u8>>,
    /// RFC 6962, 2.1.1 for a record, 2.1.2 for an earlier log.
    #[n(5)]
    pub proof: Vec<TreeHash>,
}

/// Proves.
///
/// # Errors
/// [`Reason::Arguments`], [`Reason::NotFound`], [`Reason::Conflict`] when another log is meant, [`Reason::Internal`] when
/// the log was tampered with.
pub fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let store = &rooms.store;
    let log = store.audit_log();
    if let Some(meant) = args.log.filter(|meant| *meant != log) {
        let text = format!("the log {meant} is not here, the log is {log}: its first record (--record 1) tells why");
        return Err(Refusal::new(Reason::Conflict, text));
    }
    // The whole log: of the head that a checkpoint says, though more is written meanwhile.
    let (checkpoint, size) = if let Some(size) = args.size {
        (None, size)
    } else {
        let (note, head) = store.signed_head().map_err(|e| refused(&e))?;
        (Some(note), head.size)
    };
    let answer = match (args.old, args.record) {
        (Some(old), None) => {
            let proven = store.audit_consistency(old, Some(size)).map_err(|e| refused(&e))?;
            Answer { log, head: proven.head, checkpoint, old: Some(proven.old), leaf: None, proof: proven.proof }
        }
        (None, Some(record)) => {
            let proven = store.audit_inclusion(record, Some(size)).map_err(|e| refused(&e))?;
            Answer { log, head: proven.head, checkpoint, old: None, leaf: Some(proven.leaf), proof: proven.proof }
        }
        _ => return Err(Refusal::new(Reason::Arguments, "name either an earlier size or a record")),
    };
    let what = args.record.map_or_else(|| ("old", args.old.unwrap_or(0)), |record| ("record", record));
    let facts = vec![(what.0, what.1.to_string()), ("size", size.to_string())];
    Ok(Done { result: ops::encode(&answer), facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::{Checkpoint, Op, tree};
    use crate::store::audit::{AuditRecord, Event};

    fn ask(site: &Site, args: &Args) -> Result<Answer, Refusal> {
        site.run(Op::AuditProof, Role::Auditor, args).map(|done| ops::decode(&done.result).unwrap())
    }

    fn site() -> Site {
        let site = Site::new();
        for n in 0..20 {
            site.store.audit(Event::Queried, &[("rows", n.to_string())]).unwrap();
        }
        site
    }

    #[test]
    fn a_record_is_proven_against_the_signed_checkpoint_without_the_others() {
        let site = site();
        let answer = ask(&site, &Args { record: Some(7), ..Args::default() }).unwrap();
        let note = String::from_utf8(answer.checkpoint.unwrap()).unwrap();
        let checkpoint = Checkpoint::parse(&note).unwrap();
        assert_eq!((checkpoint.head, checkpoint.log), (answer.head, site.store.audit_log()));
        let leaf = answer.leaf.unwrap();
        assert_eq!(tree::check_inclusion(&answer.head, 7, &leaf, &answer.proof), Ok(()));
        assert_eq!(AuditRecord::decode(&leaf).unwrap().event, "queried");
    }

    #[test]
    fn an_earlier_head_is_proven_to_be_the_beginning() {
        let site = site();
        let old = site.store.audit_head();
        site.store.audit(Event::Queried, &[]).unwrap();
        let log = Some(site.store.audit_log());
        let answer = ask(&site, &Args { old: Some(old.size), log, ..Args::default() }).unwrap();
        assert_eq!(answer.old, Some(old));
        assert_eq!(tree::check_consistency(&old, &answer.head, &answer.proof), Ok(()));
        let sized = ask(&site, &Args { old: Some(3), size: Some(9), ..Args::default() }).unwrap();
        assert_eq!((sized.head.size, sized.checkpoint), (9, None));
    }

    #[test]
    fn what_cannot_be_proven_says_why() {
        let site = site();
        let reason = |args: Args| ask(&site, &args).unwrap_err().reason;
        assert_eq!(reason(Args::default()), Reason::Arguments);
        assert_eq!(reason(Args { old: Some(1), record: Some(1), ..Args::default() }), Reason::Arguments);
        assert_eq!(reason(Args { record: Some(0), ..Args::default() }), Reason::NotFound);
        assert_eq!(reason(Args { record: Some(10_000), ..Args::default() }), Reason::NotFound);
        assert_eq!(reason(Args { old: Some(9), size: Some(3), ..Args::default() }), Reason::NotFound);
        assert_eq!(reason(Args { old: Some(1), log: Some(LogId([0; 8])), ..Args::default() }), Reason::Conflict);
    }
}
