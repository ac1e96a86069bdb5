//! What the audit log says of hits: one record a batch, that proves later what each alert said and tells no plate.
//!
//! ```text
//! hits.committed:  epoch, batch     of the ledger
//!                  alerts           how many
//!                  seqs             first-last of their numbers
//!                  severities       "serious 2 info 1"
//!                  lists, rules     "list number:alerts …", where there are any
//!                  commitments      base64url of SHA-256(salt 16 ‖ CBOR of the alert), one an alert, in the order of their numbers
//! ```
//! The salt is random and lies sealed in the row of its hit. With it and the alert anybody can check that the alert was
//! made then and said this; without it, once the day's key is destroyed, not even a guess at the plate can be tried.
//!
//! Records are made durable with the next one, or at a checkpoint. What a crash takes is made again from the ledger when
//! the store is opened.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use minicbor::{Decode, Encode};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::Store;
use super::daykeys::DayKeys;
use super::error::Error;
use super::query::StoredHit;
use super::record::Kind;
use super::row::{self, HitRow};
use super::segment::Batch;
use crate::domain::{Alert, Epoch, Severity};

/// Alerts that one record accounts for; more are told in further records.
const MAX_ALERTS: usize = 512;
/// Batches whose records a crash can take: they wait for 10 s at most.
pub(super) const LOST_AT_MOST: u64 = 1_024;

/// Opens a commitment.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Salt(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(hidden)")
    }
}

/// What is said of an alert without saying anything of its plate: see the module.
#[must_use]
pub fn commitment(salt: Salt, alert: &Alert) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&salt.0);
    context.update(&row::encode(alert));
    let mut out = [0; 32];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(o, d)| *o = *d);
    out
}

/// One alert of a batch.
#[derive(Debug)]
struct Entry {
    seq: u64,
    severity: Severity,
    list: Option<u16>,
    rule: Option<u16>,
    commitment: [u8; 32],
}

/// The alerts of a batch.
#[derive(Debug, Default)]
pub(super) struct Account(Vec<Entry>);

impl Account {
    /// Takes an alert in; returns the salt that its row keeps.
    pub(super) fn add(&mut self, alert: &Alert) -> Result<Salt, Error> {
        let mut salt = Salt([0; 16]);
        SystemRandom::new().fill(&mut salt.0).map_err(|_| Error::Crypto("the system gave no random bytes"))?;
        self.note(salt, alert);
        Ok(salt)
    }

    fn note(&mut self, salt: Salt, alert: &Alert) {
        self.0.push(Entry {
            seq: alert.seq,
            severity: alert.severity,
            list: alert.matched.as_ref().map(|m| m.list),
            rule: alert.rule,
            commitment: commitment(salt, alert),
        });
    }

    /// The account of a batch of the ledger, as far as its keys are there.
    pub(super) fn of(batch: &Batch, keys: &DayKeys) -> Result<Self, Error> {
        let mut account = Self::default();
        for record in batch.records.iter().filter(|record| record.kind == Kind::Hit) {
            let row: Option<HitRow> = record.open(keys)?.map(|plain| row::decode("hit row", &plain)).transpose()?;
            if let Some((salt, alert)) = row.and_then(|row| Some((row.salt?, row.alert))) {
                account.note(salt, &alert);
            }
        }
        account.0.sort_by_key(|entry| entry.seq);
        Ok(account)
    }

    /// What is written into the audit log of it.
    pub(super) fn details(&self, epoch: Epoch, batch: u64) -> Vec<Vec<(&'static str, String)>> {
        self.0.chunks(MAX_ALERTS).map(|entries| details(epoch, batch, entries)).collect()
    }
}

fn details(epoch: Epoch, batch: u64, entries: &[Entry]) -> Vec<(&'static str, String)> {
    let (first, last) = (entries.first().map_or(0, |e| e.seq), entries.last().map_or(0, |e| e.seq));
    let mut details = vec![
        ("epoch", epoch.to_string()),
        ("batch", batch.to_string()),
        ("alerts", entries.len().to_string()),
        ("seqs", format!("{first}-{last}")),
    ];
    let mut severities = BTreeMap::<_, u64>::new();
    let (mut lists, mut rules) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for entry in entries {
        *severities.entry(std::cmp::Reverse(entry.severity)).or_default() += 1;
        if let Some(list) = entry.list {
            *lists.entry(list).or_default() += 1;
        }
        if let Some(rule) = entry.rule {
            *rules.entry(rule).or_default() += 1;
        }
    }
    let words = severities.iter().map(|(s, n)| format!("{} {n}", s.0.as_str())).collect::<Vec<_>>();
    details.push(("severities", words.join(" ")));
    for (name, counts) in [("lists", lists), ("rules", rules)] {
        if !counts.is_empty() {
            let words = counts.iter().map(|(number, n)| format!("{number}:{n}")).collect::<Vec<_>>();
            details.push((name, words.join(" ")));
        }
    }
    let mut commitments = String::new();
    for entry in entries {
        let gap = if commitments.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(commitments, "{gap}{}", data_encoding::BASE64URL_NOPAD.encode(&entry.commitment));
    }
    details.push(("commitments", commitments));
    details
}

/// Whether a record accounts for alert `seq` of `epoch` and holds this commitment to it.
#[must_use]
pub fn accounts_for(record: &super::audit::AuditRecord, epoch: Epoch, seq: u64, commitment: &[u8; 32]) -> bool {
    let text = data_encoding::BASE64URL_NOPAD.encode(commitment);
    tells_of(record, epoch, seq)
        && record.detail("commitments").is_some_and(|all| all.split(' ').any(|one| one == text))
}

impl Store {
    /// Number of the audit record that accounts for the newest alert of a hit; `None` where the hit is from before
    /// commitments, or the log was begun anew since.
    ///
    /// # Errors
    /// When the log was changed on the medium; I/O errors.
    pub fn accounted_by(&self, hit: &StoredHit) -> Result<Option<u64>, Error> {
        let Some(salt) = hit.salt else { return Ok(None) };
        let commitment = commitment(salt, &hit.alert);
        let (epoch, seq) = (hit.alert.epoch, hit.alert.seq);
        self.0.audit.find(hit.stored_at, &|record| accounts_for(record, epoch, seq, &commitment))
    }
}

/// Whether a record accounts for alert `seq` of `epoch`.
fn tells_of(record: &super::audit::AuditRecord, epoch: Epoch, seq: u64) -> bool {
    let seqs = record.detail("seqs").and_then(|s| s.split_once('-'));
    let range = seqs.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
    record.event == super::audit::Event::Committed.as_str()
        && record.detail("epoch").and_then(|e| e.parse().ok()) == Some(epoch)
        && range.is_some_and(|(first, last)| (first..=last).contains(&seq))
}
