//! What people made of hits: read beside the hit, written by the recorder.
//!
//! A handling is a row of its own, under the key of its hit: it goes when the hit goes. Verdicts are counted in the same
//! commit, by month, in rows that name no plate and stay (`t` in the index): precision is known after the hits are gone.

use std::collections::BTreeMap;

use super::error::Error;
use super::query::StoredHit;
use super::record::{Kind, Record, hit_cause, hit_name};
use super::row::{self, HitRow};
use super::writer::Writer;
use super::{Store, record};
use crate::domain::hit::HitCauseKey;
use crate::domain::tally::{Month, Tally, TallyFacts};
use crate::domain::{Alert, EventId, Handling, Judgement, Mark, PlateText, RetentionClass, Verdict};

/// What somebody does about a hit. To see it is part of all else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlingWish {
    /// The sighting.
    pub id: EventId,
    /// Which of its hits; `None`: all of them, or the only one.
    pub cause: Option<HitCauseKey>,
    /// What it was found to be, with the true plate of a misread.
    pub verdict: Option<(Verdict, Option<PlateText>)>,
    /// Nothing more will be said about it.
    pub close: bool,
    /// Who, and when.
    pub mark: Mark,
}

impl HandlingWish {
    /// Whether more than looking is wanted.
    fn judges(&self) -> bool {
        self.verdict.is_some() || self.close
    }
}

impl Store {
    /// The hit in an opened record, with what was made of it.
    pub(super) fn stored_hit(&self, record: &Record, plain: &[u8]) -> Result<StoredHit, Error> {
        let row: HitRow = row::decode("hit row", plain)?;
        let cause = hit_cause(&record.name);
        let cause = cause.ok_or_else(|| Error::Index { what: "a hit row has a damaged name".to_owned() })?;
        let handling = self.handling(&record.name)?;
        let state = handling.state(self.is_delivered(&row.alert));
        Ok(StoredHit {
            alert: row.alert,
            cause,
            list: row.list,
            rule: row.rule,
            match_permille: row.match_permille,
            stale: row.stale.unwrap_or(false),
            owner: row.owner,
            first_at: row.first_at,
            stored_at: row.stored_at,
            salt: row.salt,
            handling,
            state,
        })
    }

    /// What was made of the hit of this name; nothing yet is the default.
    pub(super) fn handling(&self, name: &[u8]) -> Result<Handling, Error> {
        let found = self.0.index().get(record::Kind::Handling, name);
        match self.opened(found)? {
            Some((_, plain)) => row::versioned("handling row", &plain),
            None => Ok(Handling::default()),
        }
    }

    /// Whether the centre has the alert: it was given out in this epoch, is not in the outbox any more and was not shed.
    fn is_delivered(&self, alert: &Alert) -> bool {
        alert.epoch == self.0.epoch && self.0.order().was_acked(alert.seq)
    }

    /// Verdicts by the month of their hits, oldest first.
    ///
    /// # Errors
    /// When the index fails or a row does not open.
    pub fn tallies(&self) -> Result<Vec<(Month, Tally)>, Error> {
        let rows = self.0.index().newest(Kind::Tally, &[], usize::MAX);
        let rows = rows.inspect_err(|error| self.0.judge_index(error))?;
        let mut out = Vec::with_capacity(rows.len());
        for row in rows.into_iter().rev() {
            let month = <[u8; 4]>::try_from(row.name.as_slice()).map(u32::from_be_bytes);
            if let (Ok(month), Some(plain)) = (month, row.open(&self.0.keys)?) {
                out.push((Month(month), row::versioned("tally row", &plain)?));
            }
        }
        Ok(out)
    }

    fn tally(&self, month: Month) -> Result<Tally, Error> {
        match self.opened(self.0.index().get(Kind::Tally, &month.0.to_be_bytes()))? {
            Some((_, plain)) => row::versioned("tally row", &plain),
            None => Ok(Tally::default()),
        }
    }
}

/// A hit that somebody does something about.
struct Handled {
    record: Record,
    hit: StoredHit,
}

impl Writer {
    /// Does what `wish` says in one commit and returns the hits as they are then.
    ///
    /// # Errors
    /// [`Error::NoSuchHit`], [`Error::WhichHit`], [`Error::Handling`]; I/O errors. Nothing is changed then.
    pub(super) fn handle(&mut self, wish: &HandlingWish) -> Result<Vec<StoredHit>, Error> {
        let store = self.as_store();
        let mut handled = self.hits_meant(wish)?;
        if wish.judges() && handled.len() > 1 {
            return Err(Error::WhichHit { id: wish.id, hits: handled.len() });
        }
        let mut draft = self.draft();
        let mut tallies = BTreeMap::new();
        for Handled { record, hit } in &mut handled {
            let before = hit.handling.clone();
            step(hit, wish)?;
            if hit.handling == before {
                continue;
            }
            let key = (record.day, record.class);
            draft.seal(Kind::Handling, key, record.name.clone(), &row::with_version(&hit.handling))?;
            count(&store, &mut tallies, hit, &before)?;
        }
        for (month, tally) in &tallies {
            let name = Month::to_name(*month);
            draft.seal(Kind::Tally, (0, RetentionClass::Read), name, &row::with_version(tally))?;
        }
        if let Some(mut prepared) = draft.finish(0) {
            self.commit(&mut prepared)?;
        }
        for Handled { hit, .. } in &mut handled {
            hit.state = hit.handling.state(store.is_delivered(&hit.alert));
        }
        Ok(handled.into_iter().map(|handled| handled.hit).collect())
    }

    /// The hits that `wish` is about, at least one.
    fn hits_meant(&self, wish: &HandlingWish) -> Result<Vec<Handled>, Error> {
        let store = self.as_store();
        let prefix = wish.cause.map_or_else(|| wish.id.0.to_vec(), |cause| hit_name(wish.id, cause));
        let rows = store.0.index().newest(Kind::Hit, &prefix, usize::MAX);
        let rows = rows.inspect_err(|error| store.0.judge_index(error))?;
        let mut handled = Vec::new();
        for row in rows {
            if let Some((record, plain)) = store.opened(Ok(Some(row)))? {
                let hit = store.stored_hit(&record, &plain)?;
                handled.push(Handled { record, hit });
            }
        }
        if handled.is_empty() { Err(Error::NoSuchHit { id: wish.id }) } else { Ok(handled) }
    }
}

impl Month {
    fn to_name(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

fn step(hit: &mut StoredHit, wish: &HandlingWish) -> Result<(), Error> {
    let handling = &mut hit.handling;
    if !wish.judges() {
        handling.see(wish.mark.clone());
    }
    if let Some((verdict, true_plate)) = wish.verdict.clone() {
        let judgement = Judgement { verdict, true_plate, mark: wish.mark.clone() };
        handling.judge(judgement, hit.alert.plate.as_ref())?;
    }
    if wish.close {
        handling.close(wish.mark.clone())?;
    }
    Ok(())
}

/// Takes the verdict before out of the counts, and the one of now into them.
fn count(store: &Store, tallies: &mut BTreeMap<Month, Tally>, hit: &StoredHit, before: &Handling) -> Result<(), Error> {
    let verdict = |handling: &Handling| handling.verdict.as_ref().map(|judgement| judgement.verdict);
    let (then, now) = (verdict(before), verdict(&hit.handling));
    if then == now {
        return Ok(());
    }
    let alert = &hit.alert;
    let facts = TallyFacts {
        camera: alert.camera,
        cause: hit.cause,
        state: alert.state.unwrap_or_default(),
        permille: hit.match_permille.or(alert.confidence).unwrap_or(0),
    };
    let month = Month::of(hit.first_at);
    let tally = match tallies.entry(month) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => entry.insert(store.tally(month)?),
    };
    for (verdict, up) in [(then, false), (now, true)] {
        if let Some(verdict) = verdict {
            tally.note(&facts, verdict, up);
        }
    }
    Ok(())
}
