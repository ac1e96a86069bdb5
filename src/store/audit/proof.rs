//! Proofs about the log: that it began as it was said to, that a record is in it, and a range of it.
//!
//! What is handed out was checked here first: hashes that were changed on the medium while the box ran are made anew
//! from the log, and that is written into it; a record that was changed is told and nothing is handed out.
//!
//! A range verifies without the records before and behind it: with the hashes of the complete subtrees before it, its
//! own records give the root of the log up to its end, and a consistency proof leads from there to the head.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tlog_tiles::tlog;

use super::hashes::{Hashes, Picked};
use super::record::{Reader, Step};
use super::{Audit, AuditRecord, Event, Later, MARK_EVERY, State};
use crate::domain::tree::{self, Edge, TreeError, edge_places, leaf_hash};
use crate::domain::{TimeMs, TreeHash, TreeHead};
use crate::store::error::Error;

/// That the log of `head` begins with the log of `old`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The earlier head.
    pub old: TreeHead,
    /// The later one.
    pub head: TreeHead,
    /// RFC 6962, 2.1.2.
    pub proof: Vec<TreeHash>,
}

/// That a record is in the log of `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The head.
    pub head: TreeHead,
    /// Bytes of the record.
    pub leaf: Vec<u8>,
    /// RFC 6962, 2.1.1.
    pub proof: Vec<TreeHash>,
}

/// Some records of the log of `head`, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Range {
    /// The head.
    #[n(0)]
    pub head: TreeHead,
    /// Number of the first.
    #[n(1)]
    pub first: u64,
    /// Their bytes.
    #[n(2)]
    pub leaves: Vec<ByteVec>,
    /// Hashes of the complete subtrees before the first, the largest first.
    #[n(3)]
    pub before: Vec<TreeHash>,
    /// From the log that ends with the last of them to the head.
    #[n(4)]
    pub proof: Vec<TreeHash>,
}

impl Range {
    /// Number of the last record; one before the first when there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.leaves.len() as u64).saturating_sub(1)
    }

    /// Checks that these are the records of the log with its head, and gives them.
    ///
    /// # Errors
    /// When one is not as it was, is missing, too much or in another place.
    pub fn check(&self) -> Result<Vec<AuditRecord>, TreeError> {
        let last = self.last();
        let size = TreeError::Size { asked: last, size: self.head.size };
        if self.first == 0 || self.leaves.is_empty() || last > self.head.size {
            return Err(size);
        }
        let mut edge = Edge::of(self.first - 1, &self.before)?;
        let mut records = Vec::new();
        for (number, leaf) in (self.first..).zip(&self.leaves) {
            edge.push(leaf_hash(leaf));
            let record = AuditRecord::decode(leaf).filter(|record| record.number == number);
            records.push(record.ok_or(TreeError::Inclusion { number, size: self.head.size })?);
        }
        tree::check_consistency(&edge.head(), &self.head, &self.proof)?;
        Ok(records)
    }
}

fn of(hashes: Vec<tlog::Hash>) -> Vec<TreeHash> {
    hashes.into_iter().map(|h| TreeHash(h.0)).collect()
}

impl Audit {
    /// That the log of `size` records (`None`: all) begins with that of `old` records.
    pub(in crate::store) fn prove_consistency(
        &self,
        old: u64,
        size: Option<u64>,
        now: TimeMs,
    ) -> Result<Consistency, Error> {
        self.proving(now, &|state, picked| {
            let head = self.head_at(state, picked, size.unwrap_or(state.edge.size()))?;
            if old == 0 || old > head.size {
                return Err(Error::AuditSize { asked: old, size: head.size });
            }
            let old = self.head_at(state, picked, old)?;
            let proof = of(tlog::prove_tree(head.size, old.size, picked).map_err(|e| self.hashes_wrong(&e))?);
            tree::check_consistency(&old, &head, &proof).map_err(|e| self.hashes_wrong(&e))?;
            Ok(Consistency { old, head, proof })
        })
    }

    /// That record `number` is in the log of `size` records (`None`: all).
    pub(in crate::store) fn prove_inclusion(
        &self,
        number: u64,
        size: Option<u64>,
        now: TimeMs,
    ) -> Result<Inclusion, Error> {
        self.proving(now, &|state, picked| {
            let head = self.head_at(state, picked, size.unwrap_or(state.edge.size()))?;
            if number == 0 || number > head.size {
                return Err(Error::AuditSize { asked: number, size: head.size });
            }
            let proof = of(tlog::prove_record(head.size, number - 1, picked).map_err(|e| self.hashes_wrong(&e))?);
            let leaf = self.leaves(state, number, number, usize::MAX)?.pop().unwrap_or_default();
            tree::check_inclusion(&head, number, &leaf, &proof).map_err(|e| self.hashes_wrong(&e))?;
            Ok(Inclusion { head, leaf, proof })
        })
    }

    /// Records `first..=last` of the log of `size` records (`None`: all), as far as they fit into `bytes`.
    pub(in crate::store) fn range(
        &self,
        (first, last): (u64, u64),
        bytes: usize,
        size: Option<u64>,
        now: TimeMs,
    ) -> Result<Range, Error> {
        self.proving(now, &|state, picked| {
            let head = self.head_at(state, picked, size.unwrap_or(state.edge.size()))?;
            if first == 0 || first > last || first > head.size {
                return Err(Error::AuditSize { asked: first, size: head.size });
            }
            let leaves = self.leaves(state, first, last.min(head.size), bytes)?;
            let upto = first + leaves.len() as u64 - 1;
            let before = picked.at(&edge_places(first - 1))?;
            let proof = of(tlog::prove_tree(head.size, upto, picked).map_err(|e| self.hashes_wrong(&e))?);
            let range = Range { head, first, leaves: leaves.into_iter().map(ByteVec::from).collect(), before, proof };
            range.check().map_err(|e| self.hashes_wrong(&e))?;
            Ok(range)
        })
    }

    /// Does it; once more with hashes made anew when those on the medium do not give the head that is known here.
    fn proving<T>(&self, now: TimeMs, make: &dyn Fn(&State, &Picked) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.state();
        self.write(&mut state, None)?;
        if state.edge.size() == 0 {
            return Err(Error::AuditSize { asked: 1, size: 0 });
        }
        let try_once = |state: &State| make(state, &Picked::open(&self.paths.hashes)?);
        match try_once(&state) {
            Err(Error::AuditHashes { what }) => {
                tracing::error!(what, "hashes of the audit log are wrong, made anew");
                self.rebuild(&mut state)?;
                let details =
                    super::owned(&[("hashes", "wrong on the medium while the box ran, made anew".to_owned())]);
                self.write(&mut state, Some(&Later { at: now, event: Event::Repaired, details }))?;
                try_once(&state)
            }
            other => other,
        }
    }

    /// Writes all hashes anew, from the log; refuses when the log is not the one that is known here.
    fn rebuild(&self, state: &mut State) -> Result<(), Error> {
        let mut edge = Edge::default();
        let mut hashes = Hashes::resume(std::sync::Arc::clone(&self.disk), self.paths.hashes.clone(), 0);
        let path = &self.paths.log;
        let mut reader = Reader::start(path)?;
        let mut gathered = Vec::new();
        while edge.size() < state.edge.size() {
            match reader.step().map_err(Error::io("read", path))? {
                Step::Record(_, leaf) => gathered.extend(edge.push(leaf_hash(&leaf))),
                Step::Damaged(what) => return Err(self.changed(what)),
                Step::End | Step::Torn(_) => return Err(self.changed(format!("it ends with record {}", edge.size()))),
            }
        }
        if edge.head() != state.edge.head() {
            return Err(self.changed("one of its records was changed while the box ran".to_owned()));
        }
        hashes.append(&gathered)?;
        state.hashes = hashes;
        state.unwritten.clear();
        Ok(())
    }

    pub(super) fn changed(&self, what: String) -> Error {
        tracing::error!(path = %self.paths.log.display(), what, "audit log was changed on the medium");
        Error::AuditChanged { path: self.paths.log.clone(), what }
    }

    fn hashes_wrong(&self, error: &dyn std::fmt::Display) -> Error {
        Error::AuditHashes { what: format!("{}: {error}", self.paths.hashes.display()) }
    }

    /// The head of the first `size` records, held against the head that is known here.
    fn head_at(&self, state: &State, picked: &Picked, size: u64) -> Result<TreeHead, Error> {
        let now = state.edge.head();
        if size == 0 || size > now.size {
            return Err(Error::AuditSize { asked: size, size: now.size });
        }
        let root = tlog::tree_hash(size, picked).map_err(|e| self.hashes_wrong(&e))?;
        let head = TreeHead { size, root: TreeHash(root.0) };
        let proof = of(tlog::prove_tree(now.size, size, picked).map_err(|e| self.hashes_wrong(&e))?);
        tree::check_consistency(&head, &now, &proof).map_err(|e| self.hashes_wrong(&e))?;
        Ok(head)
    }

    /// Bytes of records, as far as they fit into `bytes`, at least one.
    fn leaves(&self, state: &State, first: u64, last: u64, bytes: usize) -> Result<Vec<Vec<u8>>, Error> {
        let path = &self.paths.log;
        let mark = (first - 1) / MARK_EVERY;
        let at = usize::try_from(mark).ok().and_then(|i| state.marks.get(i).copied());
        let at = at.ok_or(Error::AuditSize { asked: first, size: state.edge.size() })?;
        let mut reader = Reader::at(path, at, mark * MARK_EVERY)?;
        let (mut leaves, mut total) = (Vec::new(), 0_usize);
        while reader.number < last {
            match reader.step().map_err(Error::io("read", path))? {
                Step::Record(record, _) if record.number < first => {}
                Step::Record(_, leaf) => {
                    total += leaf.len();
                    if total > bytes && !leaves.is_empty() {
                        break;
                    }
                    leaves.push(leaf);
                }
                Step::Damaged(what) => return Err(self.changed(what)),
                Step::End | Step::Torn(_) => return Err(self.changed(format!("it ends with record {}", reader.number))),
            }
        }
        Ok(leaves)
    }

    /// Hashes that are in the file: for tests.
    #[cfg(test)]
    pub(super) fn hash_count(&self) -> u64 {
        self.state().hashes.count()
    }
}
