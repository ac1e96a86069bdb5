//! What a list's owner may decide about matching.

use std::str::FromStr;

/// How much a plate may differ from an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatchPolicy {
    /// Not at all.
    Exact,
    /// By characters that look alike.
    #[default]
    Confusable,
    /// By these and one insertion, deletion or substitution (entries of 5 characters and more).
    Near,
}

impl FromStr for MatchPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self::Exact),
            "confusable" => Ok(Self::Confusable),
            "near" => Ok(Self::Near),
            _ => Err(format!("is {text:?}, wanted exact, confusable or near")),
        }
    }
}

/// What an entry's `PlateState` demands of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionPolicy {
    /// Nothing; an entry that agrees goes first.
    #[default]
    Lenient,
    /// The same region: a read whose region is another or unknown does not match an entry that names one.
    Strict,
}

impl FromStr for RegionPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lenient" => Ok(Self::Lenient),
            "strict" => Ok(Self::Strict),
            _ => Err(format!("is {text:?}, wanted lenient or strict")),
        }
    }
}
