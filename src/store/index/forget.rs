//! Removing what a key of a day sealed, a little at a time.
//!
//! sled copies a page for each row of a batch and frees none of them before the batch is over: a day of 12,000 rows in one
//! took 30 MiB, which the allocator kept. After each batch count and sum are right, so that an end between two leaves an index that is trusted.

use std::sync::PoisonError;

use super::super::column::BlockKey;
use super::super::error::Error;
use super::{Changes, Index, failed, guard, plate_prefix, row_record};
use crate::domain::RetentionClass;

/// Rows that are removed in one batch.
const AT_ONCE: usize = 256;

impl Index {
    /// Drops every row sealed with, or indexed under, the key of (day, class); returns how many.
    pub(in crate::store) fn forget(&self, day: u32, class: RetentionClass) -> Result<u64, Error> {
        guard(&self.broken, || {
            let (mut count, mut from) = (0, Vec::new());
            loop {
                let (changes, next) = self.sealed_by(day, class, from)?;
                count += changes.len() as u64;
                let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
                let mut after = *meta;
                self.write(&mut after, changes)?;
                *meta = after;
                drop(meta);
                match next {
                    Some(next) => from = next,
                    None => break,
                }
            }
            self.shelves.remove(day, class)?;
            Ok(count)
        })
    }

    /// The next rows from a key on that a key of a day sealed, as they are to be removed; where to go on, if there may be more.
    fn sealed_by(&self, day: u32, class: RetentionClass, from: Vec<u8>) -> Result<(Changes, Option<Vec<u8>>), Error> {
        let mut changes = Changes::new();
        for row in self.db()?.range(from..) {
            let (key, value) = row.map_err(|e| failed(&e))?;
            if changes.len() >= AT_ONCE {
                return Ok((changes, Some(key.to_vec())));
            }
            let sealed = matches!(key.first(), Some(b's' | b'h' | b'o' | b'j' | b'l' | b'a'))
                && row_record(&key, &value).is_some_and(|r| (r.day, r.class) == (day, class));
            let block = BlockKey::parse(&key).is_some_and(|b| (b.group.day, b.group.class) == (day, class));
            if sealed || block || key.starts_with(&plate_prefix(day, class)) {
                changes.insert(key.to_vec(), None);
            }
        }
        Ok((changes, None))
    }
}
