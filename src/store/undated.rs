//! Days that a wrong clock has given: what was stored while nobody had set it, or while it ran ahead.
//!
//! How old such things are is not known. Counted by their day, those of 1970 would be deleted as soon as the clock is set,
//! delivered or not, and those of a year to come would be kept until then. They are kept as long as everything else, from
//! the first day on which a clock that is believed has seen them; these days are written down (`standing/undated`), so
//! that a restart does not begin them anew. Asked by who deletes, with a clock that it believes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use minicbor::{Decode, Encode};

use super::daykeys::DayKeys;
use super::error::Error;
use super::{Store, row, standing};
use crate::clock::PLAUSIBLE_FROM;
use crate::domain::RetentionClass;

const NAME: &str = "undated";
const VERSION: u8 = 1;

/// What is kept under a day and class, and the day that its age counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    /// The day of its key.
    pub day: u32,
    /// Its class.
    pub class: RetentionClass,
    /// Kept since this day; the same, where the clock was right.
    pub since: u32,
}

#[derive(Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Undated {
    #[n(0)]
    version: u8,
    /// The day that was given, and the one on which it was seen first.
    #[n(1)]
    seen: BTreeMap<u32, u32>,
}

impl Store {
    /// [`Store::days`], and since when each is kept; `today` is the day of a clock that is believed.
    ///
    /// What was written down and does not open any more begins anew, and what cannot be written down counts all the same:
    /// the one deletes later, the other as it should, and neither stops what deletes.
    ///
    /// # Errors
    /// When the folder of keys cannot be listed.
    pub fn aged(&self, today: u32) -> Result<Vec<Aged>, Error> {
        let days = self.days()?;
        let (dir, keys) = (&self.0.dir, &*self.0.keys);
        let before = written(dir, keys).unwrap_or_else(|error| {
            tracing::error!(%error, "days of a wrong clock not known any more: they are kept as if they were of today");
            Undated { version: VERSION, ..Undated::default() }
        });
        // What was stored under such a day since this start is no older than the start.
        let anew = self.0.began_undated.swap(false, Ordering::Relaxed);
        let mut now = Undated { version: VERSION, ..Undated::default() };
        let mut aged = Vec::new();
        for (day, class) in days {
            // Tomorrow may have begun elsewhere in the night.
            let (unset, ahead) = (day < PLAUSIBLE_FROM.day(), day > today.saturating_add(1));
            let known = before.seen.get(&day).copied().filter(|_| !(unset && anew));
            // A day that a clock gave too early and that has come has things of its own.
            let known = known.map(|since| if unset || ahead { since } else { since.max(day) });
            let since = known.or((unset || ahead).then_some(today));
            if let Some(since) = since {
                now.seen.insert(day, since);
            }
            aged.push(Aged { day, class, since: since.unwrap_or(day) });
        }
        let written = if now.seen.is_empty() {
            standing::remove(&*self.0.disk, dir, NAME)
        } else if now != before {
            standing::write(&*self.0.disk, dir, keys, NAME, &row::encode(&now))
        } else {
            Ok(())
        };
        if let Err(error) = written {
            tracing::warn!(%error, "days of a wrong clock not written down, tried again");
        }
        Ok(aged)
    }
}

fn written(dir: &Path, keys: &DayKeys) -> Result<Undated, Error> {
    let undated = match standing::read(dir, keys, NAME)? {
        Some(plain) => row::decode::<Undated>("days of a wrong clock", &plain)?,
        None => Undated { version: VERSION, ..Undated::default() },
    };
    if undated.version != VERSION {
        return Err(Error::Unsealed { what: format!("days of a wrong clock, of version {}", undated.version) });
    }
    Ok(undated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_what_is_written_down_is_pinned() {
        let undated = Undated { version: VERSION, seen: BTreeMap::from([(0, 20_454), (24_855, 20_455)]) };
        crate::store::golden("undated-1.cbor", &row::encode(&undated));
    }
}
