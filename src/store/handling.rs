//! What people made of hits: read beside the hit, written by the recorder.
//!
//! A handling is a row of its own, under the key of its hit: it goes when the hit goes.

use super::error::Error;
use super::query::StoredHit;
use super::record::Record;
use super::row::{self, HitRow};
use super::{Store, record};
use crate::domain::{Alert, Handling};

impl Store {
    /// The hit in an opened record, with what was made of it.
    pub(super) fn stored_hit(&self, record: &Record, plain: &[u8]) -> Result<StoredHit, Error> {
        let row: HitRow = row::decode("hit row", plain)?;
        let handling = self.handling(&record.name)?;
        let state = handling.state(self.is_delivered(&row.alert));
        Ok(StoredHit {
            alert: row.alert,
            list: row.list,
            rule: row.rule,
            match_permille: row.match_permille,
            stale: row.stale.unwrap_or(false),
            owner: row.owner,
            first_at: row.first_at,
            stored_at: row.stored_at,
            handling,
            state,
        })
    }

    /// What was made of the hit of this name; nothing yet is the default.
    pub(super) fn handling(&self, name: &[u8]) -> Result<Handling, Error> {
        let found = self.0.index().get(record::Kind::Handling, name);
        match self.opened(found)? {
            Some((_, plain)) => row::decode("handling row", &plain),
            None => Ok(Handling::default()),
        }
    }

    /// Whether the centre has the alert: it was given out in this epoch, is not in the outbox any more and was not shed.
    fn is_delivered(&self, alert: &Alert) -> bool {
        alert.epoch == self.0.epoch && !self.0.order().contains(alert.seq)
    }
}
