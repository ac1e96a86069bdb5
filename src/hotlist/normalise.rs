//! One spelling for plates: what people type into lists becomes the alphabet that readers give, `A-Z` and `0-9`.
//!
//! Compatibility forms (full-width, circled, mathematical) are decomposed by Unicode NFKD (UAX #15), marks dropped
//! (`Ü` is `U`), Cyrillic and Greek capitals that look like Latin ones become those, decimal digits of other scripts
//! become ASCII, case is raised, and everything that is no letter or digit is a separator and goes. A letter that has
//! no Latin likeness is an error: dropping it would make the plate of someone else of it.
//!
//! Called for every entry of a list; idempotent. It does not judge whether a text is a plausible plate.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::domain::{PlateText, script};

/// Why a text cannot be matched against reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A wildcard.
    #[error("it holds a wildcard; give the whole plate")]
    Wildcard,
    /// No letter and no digit.
    #[error("it holds no letter or digit")]
    Empty,
    /// A letter of a script that no reader here knows.
    #[error("{0:?} (U+{code:04X}) has no Latin likeness and no reader gives it", code = u32::from(*.0))]
    Foreign(char),
    /// Longer than any plate.
    #[error("it holds {0} letters and digits; 16 is the most")]
    TooLong(usize),
}

/// The text of a plate in the alphabet of reads.
///
/// # Errors
/// [`Unfit`] when nothing, too much or something unknown is left, or when it holds `*`, `?` or `%`.
pub fn normalise(raw: &str) -> Result<PlateText, Unfit> {
    let mut text = String::with_capacity(PlateText::MAX_LEN);
    let mut count = 0_usize;
    for c in raw.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase) {
        // Upper case may carry marks of its own (the Turkish dotted I): taken apart once more.
        for c in std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)) {
            if matches!(c, '*' | '?' | '%') {
                return Err(Unfit::Wildcard);
            }
            let Some(folded) = fold_char(c)? else { continue };
            count += 1;
            if count <= PlateText::MAX_LEN {
                text.push(folded);
            }
        }
    }
    if count > PlateText::MAX_LEN {
        return Err(Unfit::TooLong(count));
    }
    PlateText::from_raw(&text).ok_or(Unfit::Empty)
}

/// One upper-case character as `A-Z` or `0-9`; `None` for a separator.
fn fold_char(c: char) -> Result<Option<char>, Unfit> {
    match script::latin(c) {
        Some(latin) => Ok(Some(latin)),
        None if c.is_alphanumeric() => Err(Unfit::Foreign(c)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(raw: &str) -> String {
        normalise(raw).unwrap().as_str().to_owned()
    }

    #[test]
    fn separators_case_and_marks_do_not_matter() {
        assert_eq!(text(" ab-12·3x "), "AB123X");
        assert_eq!(text("MÜ-AB 123"), "MUAB123");
        assert_eq!(text("wx/12.34"), "WX1234");
        assert_eq!(text("ıİiI"), "IIII");
    }

    #[test]
    fn other_scripts_become_their_latin_likeness() {
        assert_eq!(text("\u{FF21}\u{FF22}\u{FF11}\u{FF12}"), "AB12"); // full-width
        assert_eq!(text("АВЕКМНОРСТУХ"), "ABEKMHOPCTYX"); // Cyrillic
        assert_eq!(text("авекмн"), "ABEKMH");
        assert_eq!(text("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"), "ABEZHIKMNOPTYX"); // Greek
        assert_eq!(text("٠١٢٣۴۵"), "012345");
        assert_eq!(text("①②Ⓐ𝐁"), "12AB");
    }

    #[test]
    fn what_no_reader_can_give_is_named() {
        assert_eq!(normalise("京A12345"), Err(Unfit::Foreign('京')));
        assert_eq!(normalise("Ж123"), Err(Unfit::Foreign('Ж')));
        assert_eq!(normalise("AB*"), Err(Unfit::Wildcard));
        assert_eq!(normalise("A?C"), Err(Unfit::Wildcard));
        assert_eq!(normalise(" - "), Err(Unfit::Empty));
        assert_eq!(normalise("ABCDEFGHIJKLMNOPQ"), Err(Unfit::TooLong(17)));
        assert!(normalise("京").unwrap_err().to_string().contains("U+4EAC"));
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent_and_ignores_case_and_separators(raw in "\\PC{0,24}") {
            if let Ok(once) = normalise(&raw) {
                prop_assert!(once.as_str().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
                prop_assert_eq!(normalise(once.as_str()).unwrap(), once.clone());
                let spread: String = once.as_str().chars().flat_map(|c| [c.to_ascii_lowercase(), '-']).collect();
                prop_assert_eq!(normalise(&spread).unwrap(), once);
            }
        }
    }
}
