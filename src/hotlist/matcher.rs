//! Asks the lists about a read: the best entry of each, how it matched, and how probable it is.
//!
//! What matches is decided against the read's best text, by the list's policy; what a read *might* have been besides
//! its look-alikes is no match. Where the series of plates spoke for another text than the one that was seen, the one that
//! was seen counts like a look-alike: an entry may break the series, as false plates do. The lattice then says how probable the entry is. Nothing here blocks or allocates more
//! than the answer, but for "near" questions.

use std::sync::Arc;

use super::index::Entry;
use super::list::List;
use crate::domain::confusable::alike;
use crate::domain::{How, ListMatch, MatchPolicy, PlateRead, Position, RegionPolicy, TimeMs};

/// Shortest entry that one edit may match: with fewer characters half of all plates would be near.
pub(super) const NEAR_MIN_LEN: usize = 5;

/// Probability of a character that the lattice does not list, and of one that it has no place for.
const UNLISTED: f32 = 1e-3;

/// All lists at one moment: immutable, so that a swap is one pointer.
#[derive(Debug, Default)]
pub struct Matcher {
    lists: Vec<Arc<List>>,
}

impl Matcher {
    /// A matcher over `lists`.
    #[must_use]
    pub fn new(lists: Vec<Arc<List>>) -> Self {
        Self { lists }
    }

    /// The lists, in the order of their numbers when they come from [`Hotlists`](super::Hotlists).
    #[must_use]
    pub fn lists(&self) -> &[Arc<List>] {
        &self.lists
    }

    /// The best match of each list that `read` matches, in the order of the lists.
    ///
    /// Entries not yet or no longer valid on the UTC day of `now` do not match. Exact beats confusable beats near; then
    /// an agreeing region, the probability and the severity decide. `confidence` is the read's own for its text, and
    /// for another text the read's times the ratio of the two texts' probabilities under the lattice.
    #[must_use]
    pub fn matches(&self, read: &PlateRead, now: TimeMs) -> Vec<ListMatch> {
        self.lists.iter().filter_map(|list| best(list, read, now)).collect()
    }
}

/// An entry that matches, and what its rank goes by.
struct Found<'a> {
    entry: &'a Entry,
    how: How,
    agrees: bool,
    confidence: f32,
}

impl Found<'_> {
    fn beats(&self, other: &Self) -> bool {
        let rank = |f: &Self| match f.how {
            How::Exact => 2,
            How::Confusable => 1,
            How::Near => 0,
        };
        rank(self)
            .cmp(&rank(other))
            .then(self.agrees.cmp(&other.agrees))
            .then(self.confidence.total_cmp(&other.confidence))
            .then(self.entry.severity.cmp(&other.entry.severity))
            .then(self.entry.until_day.cmp(&other.entry.until_day))
            .is_gt()
    }
}

fn best(list: &List, read: &PlateRead, now: TimeMs) -> Option<ListMatch> {
    let (settings, text) = (list.settings(), read.text.as_str().as_bytes());
    let day = now.day();
    let mut best: Option<Found<'_>> = None;
    let mut consider = |entry, how| {
        if let Some(found) = judge(list, read, entry, how)
            && best.as_ref().is_none_or(|b| found.beats(b))
        {
            best = Some(found);
        }
    };
    for entry in list.index().alike(text).filter(|e| e.is_valid_on(day)) {
        if entry.text() == text {
            consider(entry, How::Exact);
        } else if settings.policy != MatchPolicy::Exact && all_alike(entry.text(), text) {
            consider(entry, How::Confusable);
        }
    }
    if settings.policy != MatchPolicy::Exact
        && let Some(seen) = as_seen(read)
    {
        for entry in list.index().alike(&seen).filter(|e| e.is_valid_on(day) && all_alike(e.text(), &seen)) {
            if !all_alike(entry.text(), text) {
                consider(entry, How::Confusable);
            }
        }
    }
    if settings.policy == MatchPolicy::Near {
        // Also those whose folded text is the same although one pair is not alike (6 is between B and G).
        let others = list.index().alike(text).filter(|e| e.text() != text && !all_alike(e.text(), text));
        for entry in list.index().near(text).chain(others).filter(|e| e.is_valid_on(day)) {
            if entry.text().len() >= NEAR_MIN_LEN && one_edit_apart(entry.text(), text) {
                consider(entry, How::Near);
            }
        }
    }
    let found = best?;
    Some(ListMatch {
        list: settings.id.clone(),
        list_number: settings.number,
        list_serial: list.serial(),
        entry: found.entry.row,
        how: found.how,
        confidence: found.confidence,
        expiry_day: (found.entry.until_day != u32::MAX).then_some(found.entry.until_day),
        stale: list.is_stale(now),
        severity: found.entry.severity,
        owner: settings.owner.clone(),
    })
}

/// How `text` would match the list's closest entry that is valid on `day`, whatever the policy; regions aside.
pub(super) fn closest(list: &List, text: &[u8], day: u32) -> Option<How> {
    let mut found = None;
    for entry in list.index().alike(text).filter(|e| e.is_valid_on(day)) {
        if entry.text() == text {
            return Some(How::Exact);
        }
        if all_alike(entry.text(), text) {
            found = Some(How::Confusable);
        }
    }
    let near = |e: &Entry| e.is_valid_on(day) && e.text().len() >= NEAR_MIN_LEN && one_edit_apart(e.text(), text);
    found.or_else(|| list.index().alike(text).chain(list.index().near(text)).any(near).then_some(How::Near))
}

/// The entry as a match, `None` when the list is strict about regions and they do not agree.
fn judge<'a>(list: &List, read: &PlateRead, entry: &'a Entry, how: How) -> Option<Found<'a>> {
    let agrees = match (list.state(entry), read.region.as_deref()) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(state), Some(region)) => same_region(state, region),
    };
    if !agrees && list.settings().region == RegionPolicy::Strict {
        return None;
    }
    Some(Found { entry, how, agrees, confidence: confidence(read, entry.text(), how) })
}

/// `CA` is the region `ca`, `us-ca` and `US_CA`.
fn same_region(state: &str, region: &str) -> bool {
    region.eq_ignore_ascii_case(state)
        || region.rsplit(['-', '_', ' ']).next().is_some_and(|last| last.eq_ignore_ascii_case(state))
}

/// The text that each character on its own was seen as; `None` when it is the read's.
fn as_seen(read: &PlateRead) -> Option<Vec<u8>> {
    let most = |p: &Position| p.options.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(c, _)| *c);
    let characters = read.lattice.positions.iter().filter_map(most).filter(|c| *c != '\0');
    let seen: Vec<u8> = characters.filter_map(|c| u8::try_from(c).ok()).collect();
    (!seen.is_empty() && seen != read.text.as_str().as_bytes()).then_some(seen)
}

pub(super) fn all_alike(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| alike(*x, *y))
}

/// Whether one insertion, deletion or substitution makes the texts equal but for characters that look alike.
pub(super) fn one_edit_apart(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 {
        return false;
    }
    // Characters may be alike and yet the edit lie before them: every place is tried.
    (0..long.len()).any(|at| {
        let (long_head, long_tail) = long.split_at(at);
        let skip = usize::from(short.len() == long.len());
        let (Some(short_head), Some(short_tail)) = (short.get(..at), short.get(at + skip..)) else { return false };
        all_alike(long_head, short_head) && all_alike(long_tail.get(1..).unwrap_or_default(), short_tail)
    })
}

/// Probability that the plate is `entry`, 0..1.
fn confidence(read: &PlateRead, entry: &[u8], how: How) -> f32 {
    let own = if read.confidence.is_finite() { read.confidence.clamp(0.0, 1.0) } else { 0.0 };
    if how == How::Exact {
        return own;
    }
    if let Some(listed) = read.candidates.iter().find(|c| c.text.as_str().as_bytes() == entry) {
        return listed.confidence.clamp(0.0, 1.0 - own);
    }
    let best = likelihood(read, read.text.as_str().as_bytes());
    if best <= 0.0 {
        return 0.0;
    }
    // What is not the best text has to share what the best one leaves.
    (own * likelihood(read, entry) / best).clamp(0.0, 1.0 - own)
}

/// Probability of `text` under the read's lattice: the sum over all ways to lay it over the positions, of which some may
/// stand for no character; characters that are not listed, or have no position, cost [`UNLISTED`] each.
fn likelihood(read: &PlateRead, text: &[u8]) -> f32 {
    let mut row = vec![0.0_f32; text.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = 1.0;
    }
    insert_unlisted(&mut row);
    for position in &read.lattice.positions {
        let of = |c: char| {
            let listed = position.options.iter().find(|(o, _)| *o == c).map_or(0.0, |(_, p)| *p);
            if listed.is_finite() { listed.clamp(UNLISTED, 1.0) } else { UNLISTED }
        };
        let none = of('\0');
        let taken = text.iter().zip(&row).map(|(c, before)| before * of(char::from(*c)));
        let mut next: Vec<f32> = std::iter::once(0.0).chain(taken).collect();
        for (to, before) in next.iter_mut().zip(&row) {
            *to += before * none;
        }
        insert_unlisted(&mut next);
        row = next;
    }
    row.last().copied().unwrap_or(0.0)
}

/// Lets the text run ahead of the lattice by characters that it has no position for.
fn insert_unlisted(row: &mut [f32]) {
    let mut before = 0.0;
    for cell in row {
        *cell += before * UNLISTED;
        before = *cell;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_is_one_edit_with_look_alikes_aside() {
        for (a, b, want) in [
            ("ABC123", "ABX123", true),
            ("ABC123", "AB123", true),
            ("ABC123", "ABC1234", true),
            ("ABC123", "A8X123", true), // 8 is alike, X is the edit
            ("ABC123", "XBX123", false),
            ("ABC123", "BAC123", false),
            ("ABC123", "ABC12345", false),
            ("ABC123", "ABC123", true), // any place may be the edit
        ] {
            assert_eq!(one_edit_apart(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
            assert_eq!(one_edit_apart(b.as_bytes(), a.as_bytes()), want, "{b} {a}");
        }
    }

    #[test]
    fn regions_agree_by_their_last_part() {
        assert!(same_region("CA", "us-ca") && same_region("br", "BR"));
        assert!(!same_region("CA", "us-nv") && !same_region("US", "us-ca"));
    }
}
