//! What a search for plates asks for: a text with `*` and `?`, matched exactly, with look-alikes, or within one edit.
//!
//! `*` stands for any run of characters, also none, `?` for exactly one. "Confusable" takes characters of one class of
//! [`confusable`](super::confusable) for the same; "near" allows one insertion, deletion or substitution on top of that,
//! as lists do. Matching is by bit sets over the 36 characters of plates: no allocation, a few nanoseconds a plate.

use super::confusable::alike;
use super::hit::How;
use super::plate::PlateText;

/// Longest pattern, wildcards included.
pub const MAX_LEN: usize = 24;

/// Why a text is no pattern. Plates are not repeated in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing is left of it.
    #[error("the plate to look for holds no letter, digit or wildcard")]
    Empty,
    /// Longer than any plate with wildcards.
    #[error("the plate to look for has {0} characters; {MAX_LEN} is the most")]
    TooLong(usize),
    /// Something else than letters, digits and wildcards.
    #[error("{0:?} is neither A-Z, 0-9, `*` nor `?`")]
    Character(char),
    /// One edit from a pattern with wildcards.
    #[error("`*` and `?` do not go together with `near`; give the whole plate, or ask for `exact` or `confusable`")]
    NearWildcard,
}

/// A compiled pattern. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct PlatePattern {
    text: String,
    how: How,
    atoms: Vec<Atom>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Atom {
    /// One character of this set.
    One(u64),
    /// Any run.
    Run,
}

impl std::fmt::Debug for PlatePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlatePattern({} characters, {})", self.text.len(), self.how.as_str())
    }
}

/// The bit of a character of plates; none for any other.
fn bit(c: u8) -> u64 {
    match c {
        b'0'..=b'9' => 1 << (c - b'0'),
        b'A'..=b'Z' => 1 << (c - b'A' + 10),
        _ => 0,
    }
}

const ANY: u64 = (1 << 36) - 1;

fn set(c: u8, how: How) -> u64 {
    match how {
        How::Exact => bit(c),
        How::Confusable | How::Near => {
            (b'0'..=b'9').chain(b'A'..=b'Z').filter(|other| alike(c, *other)).fold(0, |set, other| set | bit(other))
        }
    }
}

impl PlatePattern {
    /// Compiles `text`: upper-case letters, digits, `*`, `?`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str, how: How) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(PatternError::TooLong(text.chars().count()));
        }
        let mut atoms = Vec::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '*' if atoms.last() == Some(&Atom::Run) => {}
                '*' => atoms.push(Atom::Run),
                '?' => atoms.push(Atom::One(ANY)),
                _ => match u8::try_from(c).map(|c| set(c, how)) {
                    Ok(set) if set != 0 => atoms.push(Atom::One(set)),
                    _ => return Err(PatternError::Character(c)),
                },
            }
        }
        if how == How::Near && text.contains(['*', '?']) {
            return Err(PatternError::NearWildcard);
        }
        Ok(Self { text: text.to_owned(), how, atoms })
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How texts are compared with it.
    #[must_use]
    pub fn how(&self) -> How {
        self.how
    }

    /// The one text that it matches, where it is one.
    #[must_use]
    pub fn one_text(&self) -> Option<PlateText> {
        let one = self.how == How::Exact && !self.text.contains(['*', '?']);
        one.then(|| PlateText::from_raw(&self.text)).flatten()
    }

    /// Characters that are given, wildcards not counted.
    #[must_use]
    pub fn known(&self) -> usize {
        self.text.bytes().filter(|c| bit(*c) != 0).count()
    }

    /// Whether a plate's text fits.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        if self.how == How::Near { self.near(text) } else { self.glob(text) }
    }

    fn fits(&self, at: usize, c: u8) -> bool {
        matches!(self.atoms.get(at), Some(Atom::One(set)) if set & bit(c) != 0)
    }

    /// Greedy with one place to come back to: the newest run takes one character more each time.
    fn glob(&self, text: &[u8]) -> bool {
        let (mut at, mut from) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while let Some(c) = text.get(from) {
            if self.atoms.get(at) == Some(&Atom::Run) {
                back = Some((at, from));
                at += 1;
            } else if self.fits(at, *c) {
                at += 1;
                from += 1;
            } else if let Some((run, taken)) = back {
                at = run + 1;
                from = taken + 1;
                back = Some((run, from));
            } else {
                return false;
            }
        }
        self.atoms.iter().skip(at).all(|atom| *atom == Atom::Run)
    }

    /// One edit at most: what fits from the left and what fits from the right leave no more than one character between.
    fn near(&self, text: &[u8]) -> bool {
        let (m, n) = (self.atoms.len(), text.len());
        let longest = m.max(n);
        if m.abs_diff(n) > 1 {
            return false;
        }
        let head = text.iter().enumerate().take_while(|(i, c)| self.fits(*i, **c)).count();
        let tail = text.iter().rev().enumerate().take_while(|(i, c)| *i < m && self.fits(m - 1 - i, **c)).count();
        head + tail + 1 >= longest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::confusable::texts_alike;
    use super::*;

    fn pattern(text: &str, how: How) -> PlatePattern {
        PlatePattern::new(text, how).unwrap()
    }

    /// The plainest matcher there is.
    fn plain(pattern: &[u8], text: &[u8], how: How) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                plain(rest, text, how) || (!text.is_empty() && plain(pattern, text.get(1..).unwrap(), how))
            }
            ([p, rest @ ..], [t, more @ ..]) => {
                let same = *p == b'?' || p == t || (how == How::Confusable && alike(*p, *t));
                same && plain(rest, more, how)
            }
            _ => false,
        }
    }

    fn edits(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a2 @ ..], [y, b2 @ ..]) => {
                let change = usize::from(!alike(*x, *y)) + edits(a2, b2);
                change.min(1 + edits(a2, b)).min(1 + edits(a, b2))
            }
        }
    }

    #[test]
    fn wildcards_look_alikes_and_one_edit_match_what_they_say() {
        assert!(pattern("AB*3", How::Exact).matches(b"AB123"));
        assert!(pattern("AB*3", How::Exact).matches(b"AB3"));
        assert!(!pattern("AB?3", How::Exact).matches(b"AB3"));
        assert!(pattern("A8123CD", How::Confusable).matches(b"AB1Z3C0"));
        assert!(!pattern("A8123CD", How::Exact).matches(b"AB123CD"));
        assert!(pattern("AB123", How::Near).matches(b"AB1123"));
        assert!(pattern("AB123", How::Near).matches(b"B123"));
        assert!(!pattern("AB123", How::Near).matches(b"BA123"));
        assert_eq!(pattern("AB123", How::Exact).one_text().unwrap().as_str(), "AB123");
        assert!(pattern("AB12?", How::Exact).one_text().is_none());
        assert_eq!(pattern("A?*7", How::Exact).known(), 2);
        assert!(!format!("{:?}", pattern("AB123", How::Exact)).contains("AB1"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        assert_eq!(PlatePattern::new("", How::Exact), Err(PatternError::Empty));
        assert_eq!(PlatePattern::new("ab", How::Exact), Err(PatternError::Character('a')));
        assert_eq!(PlatePattern::new("A%", How::Exact), Err(PatternError::Character('%')));
        assert_eq!(PlatePattern::new("AB*", How::Near), Err(PatternError::NearWildcard));
        assert_eq!(PlatePattern::new(&"A".repeat(25), How::Exact), Err(PatternError::TooLong(25)));
    }

    proptest! {
        #[test]
        fn globs_match_as_the_plainest_matcher_does(p in "[AB08*?]{1,8}", t in "[AB08O]{0,9}") {
            for how in [How::Exact, How::Confusable] {
                prop_assert_eq!(pattern(&p, how).matches(t.as_bytes()), plain(p.as_bytes(), t.as_bytes(), how));
            }
        }

        #[test]
        fn near_is_at_most_one_edit_with_look_alikes_aside(p in "[AB08]{1,6}", t in "[AB08O]{0,7}") {
            prop_assert_eq!(pattern(&p, How::Near).matches(t.as_bytes()), edits(p.as_bytes(), t.as_bytes()) <= 1);
            if texts_alike(&p, &t) {
                prop_assert!(pattern(&p, How::Near).matches(t.as_bytes()));
            }
        }
    }
}
