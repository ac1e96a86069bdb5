//! The Merkle tree over an append-only log (RFC 6962, 2.1): heads, proofs, and the checkpoint that says a head.
//!
//! Records count from 1. The tree's arithmetic is that of `tlog_tiles`; here are its types as others use them, and bounds:
//! what comes over the wire may be anything, and none of it panics or takes long.
//!
//! A checkpoint is the text of C2SP tlog-checkpoint: origin, size, root in base64, and one extension line that names the
//! log, since one that was set aside is followed by another under the same origin:
//! ```text
//! watchpost/<site>/<box>
//! 1204
//! nND/nri//U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=
//! log 9f3c2b7a10d4e586
//! ```
//! It is signed as a C2SP signed note by `centre::note`.

use std::fmt;

use minicbor::{Decode, Encode};
use tlog_tiles::tlog;

/// Most records that a log may have here.
pub const MAX_SIZE: u64 = 1 << 40;
/// Most hashes that a proof may have.
pub const MAX_PROOF: usize = 64;

/// Why something is not believed of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Sizes that make no sense.
    #[error("no proof can be about record or size {asked} of a log of {size} records")]
    Size {
        /// What it was to be about.
        asked: u64,
        /// Records of the log.
        size: u64,
    },
    /// The record is not in the log.
    #[error(
        "record {number} is not in the log of {size} records with this root: it was changed, or the proof is wrong"
    )]
    Inclusion {
        /// Number of the record.
        number: u64,
        /// Records of the log.
        size: u64,
    },
    /// The later log does not begin with the earlier one.
    #[error(
        "the log of {new} records does not begin with the log of {old} records: it was changed, or the proof is wrong"
    )]
    Consistency {
        /// Records of the earlier log.
        old: u64,
        /// Records of the later one.
        new: u64,
    },
    /// The file of exported records is none, or was changed.
    #[error("no export of an audit log: {0}")]
    Export(String),
    /// The checkpoint is none.
    #[error("no checkpoint: {0}")]
    Checkpoint(String),
}

/// A SHA-256 in a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct TreeHash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Random id of a log, made with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct LogId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 8]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl std::str::FromStr for LogId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no id of a log: 16 hex digits"))
    }
}

/// How much a log holds, and the root over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct TreeHead {
    /// Records.
    #[n(0)]
    pub size: u64,
    /// Merkle tree hash over all of them.
    #[n(1)]
    pub root: TreeHash,
}

impl Default for TreeHead {
    /// Of the empty log.
    fn default() -> Self {
        Self { size: 0, root: TreeHash(tlog::EMPTY_HASH.0) }
    }
}

/// The leaf hash of a record.
#[must_use]
pub fn leaf_hash(record: &[u8]) -> TreeHash {
    TreeHash(tlog::record_hash(record).0)
}

fn proof_of(hashes: &[TreeHash]) -> Vec<tlog::Hash> {
    hashes.iter().map(|h| tlog::Hash(h.0)).collect()
}

/// Checks that record `number` (from 1) of the log with `head` is `record`.
///
/// # Errors
/// When it is not, or the proof is none.
pub fn check_inclusion(head: &TreeHead, number: u64, record: &[u8], proof: &[TreeHash]) -> Result<(), TreeError> {
    let wrong = TreeError::Inclusion { number, size: head.size };
    if number == 0 || number > head.size || head.size > MAX_SIZE {
        return Err(TreeError::Size { asked: number, size: head.size });
    }
    if proof.len() > MAX_PROOF {
        return Err(wrong);
    }
    let (root, leaf) = (tlog::Hash(head.root.0), tlog::record_hash(record));
    tlog::check_record(&proof_of(proof), head.size, root, number - 1, leaf).map_err(|_| wrong)
}

/// Checks that the log with head `new` begins with the one with head `old`.
///
/// # Errors
/// When it does not, or the proof is none.
pub fn check_consistency(old: &TreeHead, new: &TreeHead, proof: &[TreeHash]) -> Result<(), TreeError> {
    let wrong = TreeError::Consistency { old: old.size, new: new.size };
    if old.size > new.size || new.size > MAX_SIZE {
        return Err(TreeError::Size { asked: old.size, size: new.size });
    }
    if old.size == 0 {
        return if *old == TreeHead::default() { Ok(()) } else { Err(wrong) };
    }
    if proof.len() > MAX_PROOF {
        return Err(wrong);
    }
    let (new_root, old_root) = (tlog::Hash(new.root.0), tlog::Hash(old.root.0));
    tlog::check_tree(&proof_of(proof), new.size, new_root, old.size, old_root).map_err(|_| wrong)
}

/// Hashes by their number in the dense order in which they are stored.
struct Few<'a>(&'a [(u64, TreeHash)]);

impl tlog::HashReader for Few<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let find = |index: &u64| self.0.iter().find(|(i, _)| i == index).map(|(_, h)| tlog::Hash(h.0));
        indexes.iter().map(|i| find(i).ok_or(tlog::Error::IndexesNotInTree)).collect()
    }
}

/// The right edge of a growing tree: what is needed to append and to know the root, at most 64 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    hashes: Vec<(u64, TreeHash)>,
}

impl Edge {
    /// The edge of a log of `size` records, from the hashes of its complete subtrees, the largest first.
    ///
    /// # Errors
    /// When there are not as many as such a log has.
    pub fn of(size: u64, hashes: &[TreeHash]) -> Result<Self, TreeError> {
        let places = edge_places(size);
        if size > MAX_SIZE || places.len() != hashes.len() {
            return Err(TreeError::Size { asked: hashes.len() as u64, size });
        }
        Ok(Self { size, hashes: places.into_iter().zip(hashes.iter().copied()).collect() })
    }

    /// Records so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; returns the hashes that are stored with it, in their order: its own first.
    pub fn push(&mut self, leaf: TreeHash) -> Vec<TreeHash> {
        // What the library asks for is the edge, which is here: it cannot fail.
        let new = tlog::stored_hashes_for_record_hash(self.size, tlog::Hash(leaf.0), &Few(&self.hashes));
        let new: Vec<TreeHash> = new.unwrap_or_default().into_iter().map(|h| TreeHash(h.0)).collect();
        let first = tlog::stored_hash_index(0, self.size);
        let mut known = std::mem::take(&mut self.hashes);
        known.extend((first..).zip(new.iter().copied()));
        self.size += 1;
        let find = |place: u64| known.iter().find(|(i, _)| *i == place).copied();
        self.hashes = edge_places(self.size).into_iter().filter_map(find).collect();
        new
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        let root =
            tlog::tree_hash(self.size, &Few(&self.hashes)).map_or_else(|_| TreeHash::default(), |h| TreeHash(h.0));
        TreeHead { size: self.size, root }
    }

    /// Its hashes, the largest subtree first.
    #[must_use]
    pub fn hashes(&self) -> Vec<TreeHash> {
        self.hashes.iter().map(|(_, h)| *h).collect()
    }
}

/// Where the hashes of a log's complete subtrees are stored.
#[must_use]
pub fn edge_places(size: u64) -> Vec<u64> {
    if size == 0 || size > MAX_SIZE { Vec::new() } else { tlog::sub_tree_index(0, size, Vec::new()) }
}

/// A head, of which log of which box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose: [`origin`].
    pub origin: String,
    /// Which log.
    pub log: LogId,
    /// How far it is.
    pub head: TreeHead,
}

/// First line of a box's checkpoints, and the name of the key under them.
#[must_use]
pub fn origin(site: &super::SiteId, box_id: &super::BoxId) -> String {
    format!("watchpost/{site}/{box_id}")
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let root = data_encoding::BASE64.encode(&self.head.root.0);
        format!("{}\n{}\n{root}\nlog {}\n", self.origin, self.head.size, self.log)
    }

    /// Takes the text back; of a signed note, everything before its empty line.
    ///
    /// # Errors
    /// When it is not in exactly this form.
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        let bad = |what: &str| TreeError::Checkpoint(what.to_owned());
        let text = text.split_once("\n\n").map_or(text, |(body, _)| body).trim_end_matches('\n');
        let form = tlog_tiles::Checkpoint::from_bytes(format!("{text}\n").as_bytes())
            .map_err(|_| bad("wanted origin, size, root and the log's id in a line each"))?;
        let log = form.extension().strip_suffix('\n').and_then(|line| line.strip_prefix("log "));
        let log = log.and_then(|id| id.parse().ok()).ok_or_else(|| bad("its fourth line does not name the log"))?;
        let head = TreeHead { size: form.size(), root: TreeHash(form.hash().0) };
        if head.size > MAX_SIZE {
            return Err(bad("a size that no log has"));
        }
        let checkpoint = Self { origin: form.origin().to_owned(), log, head };
        if checkpoint.text() != format!("{text}\n") {
            return Err(bad("not in its one form"));
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(n: u64) -> Vec<Vec<u8>> {
        (0..n).map(|i| i.to_be_bytes().to_vec()).collect()
    }

    fn grown(n: u64) -> (Edge, Vec<(u64, TreeHash)>) {
        let (mut edge, mut stored) = (Edge::default(), Vec::new());
        for record in records(n) {
            let new = edge.push(leaf_hash(&record));
            let next = stored.len() as u64;
            stored.extend((next..).zip(new));
        }
        (edge, stored)
    }

    #[test]
    fn the_empty_and_the_known_tree_have_the_roots_of_the_rfc() {
        // RFC 6962: MTH({}) = SHA-256(); MTH({d0}) = SHA-256(0x00 || d0).
        assert!(TreeHead::default().root.to_string().starts_with("e3b0c44298fc1c14"));
        let (edge, _) = grown(1);
        assert_eq!(edge.head().root, leaf_hash(&records(1)[0]));
    }

    proptest! {
        #[test]
        fn every_record_and_every_earlier_log_can_be_proven_and_no_other(n in 1_u64..70, a in 0_u64..70, b in 1_u64..70, bit in 0_usize..256) {
            let (edge, stored) = grown(n);
            let head = edge.head();
            let few = Few(&stored);
            let number = a % n + 1;
            let of = |proof: Vec<tlog::Hash>| proof.into_iter().map(|h| TreeHash(h.0)).collect::<Vec<_>>();
            let proof = of(tlog::prove_record(n, number - 1, &few).unwrap());
            let record = &records(n)[usize::try_from(number).unwrap() - 1];
            prop_assert_eq!(check_inclusion(&head, number, record, &proof), Ok(()));
            prop_assert!(check_inclusion(&head, number, b"other", &proof).is_err());
            prop_assert!(check_inclusion(&head, number % n + 1, record, &proof).is_err() || n == 1);
            let mut other = head;
            other.root.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check_inclusion(&other, number, record, &proof).is_err());
            let m = b % n + 1;
            let old = grown(m).0.head();
            let proof = of(tlog::prove_tree(n, m, &few).unwrap());
            prop_assert_eq!(check_consistency(&old, &head, &proof), Ok(()));
            prop_assert!(check_consistency(&old, &other, &proof).is_err());
            prop_assert_eq!(Edge::of(m, &grown(m).0.hashes()).unwrap().head(), old);
        }

        #[test]
        fn no_proof_panics(size in any::<u64>(), number in any::<u64>(), len in 0_usize..80) {
            let head = TreeHead { size, root: TreeHash([7; 32]) };
            let proof = vec![TreeHash([1; 32]); len];
            prop_assert!(check_inclusion(&head, number, b"x", &proof).is_err());
            let old = TreeHead { size: number, root: TreeHash([8; 32]) };
            prop_assert!(check_consistency(&old, &head, &proof).is_err());
        }
    }

    #[test]
    fn a_checkpoint_has_one_form() {
        let checkpoint = Checkpoint {
            origin: "watchpost/north/box-1".to_owned(),
            log: LogId([0x9f; 8]),
            head: TreeHead { size: 1204, root: TreeHash([0xad; 32]) },
        };
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint.clone()));
        assert_eq!(Checkpoint::parse(&format!("{text}\n— name c2ln\n")), Ok(checkpoint));
        for wrong in [
            "",
            "a\nb\n",
            &text.replace("1204", "01204"),
            &text.replace("log ", "log  "),
            &text.replace("log 9f", "log 9F"),
        ] {
            assert!(Checkpoint::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!("9f".parse::<LogId>().is_err());
    }
}
