//! What a list's owner may decide: how plates match, and who sees the hits.

use std::str::FromStr;

use minicbor::data::Type;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Longest name of an organisation, in bytes.
pub const MAX_ORG: usize = 32;
/// Most organisations that one list is shared with.
pub const MAX_SHARED: usize = 32;

/// Who, beside the owner, sees the hits of a list. CBOR: 0, 1, or an array of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Share {
    /// Nobody.
    #[default]
    None,
    /// Every organisation.
    All,
    /// These: in ascending order, each once, at most [`MAX_SHARED`].
    With(Vec<String>),
}

impl Share {
    /// With `orgs`, in any order.
    ///
    /// # Errors
    /// What is wrong with them: none, too many, or a name that is none.
    pub fn with(mut orgs: Vec<String>) -> Result<Self, String> {
        orgs.sort_unstable();
        orgs.dedup();
        if orgs.is_empty() || orgs.len() > MAX_SHARED {
            return Err(format!("names {} organisations, wanted 1 to {MAX_SHARED}", orgs.len()));
        }
        orgs.iter().try_for_each(|org| check_org(org))?;
        Ok(Self::With(orgs))
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "all" => Ok(Self::All),
            _ => Self::with(text.split(',').map(|org| org.trim().to_owned()).collect()),
        }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::All => f.write_str("all"),
            Self::With(orgs) => f.write_str(&orgs.join(", ")),
        }
    }
}

/// Whether `org` may name an organisation.
///
/// # Errors
/// Why not.
pub fn check_org(org: &str) -> Result<(), String> {
    let good = (1..=MAX_ORG).contains(&org.len()) && !org.chars().any(char::is_control) && !org.contains(',');
    if good {
        Ok(())
    } else {
        Err(format!("{org:?} names no organisation: 1 to {MAX_ORG} bytes, no comma, no controls"))
    }
}

impl<C> Encode<C> for Share {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::None => e.u8(0)?,
            Self::All => e.u8(1)?,
            Self::With(orgs) => {
                e.array(orgs.len() as u64)?;
                orgs.iter().try_fold(e, |e, org| e.str(org))?
            }
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Share {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.datatype()? == Type::Array {
            let orgs: Result<Vec<String>, DecodeError> = d.array_iter::<String>()?.take(MAX_SHARED + 1).collect();
            return Self::with(orgs?).map_err(DecodeError::message);
        }
        match d.u8()? {
            0 => Ok(Self::None),
            1 => Ok(Self::All),
            _ => Err(DecodeError::message("share is 0 (none), 1 (all) or an array of organisations")),
        }
    }
}

/// Whose a list is, and who else sees its hits. A list without an owner is everybody's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ownership {
    /// The organisation that answers for it, and alone may change it.
    #[n(0)]
    pub org: String,
    /// Who else sees its hits.
    #[n(1)]
    pub share: Share,
}

impl Ownership {
    /// Whether people who act for `org` see hits of the list.
    #[must_use]
    pub fn shows_to(&self, org: &str) -> bool {
        self.org == org
            || match &self.share {
                Share::None => false,
                Share::All => true,
                Share::With(orgs) => orgs.iter().any(|o| o == org),
            }
    }
}

/// How much a plate may differ from an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum MatchPolicy {
    /// Not at all.
    #[n(0)]
    Exact,
    /// By characters that look alike.
    #[default]
    #[n(1)]
    Confusable,
    /// By these and one insertion, deletion or substitution (entries of 5 characters and more).
    #[n(2)]
    Near,
}

impl MatchPolicy {
    /// The word in config and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Confusable => "confusable",
            Self::Near => "near",
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum RegionPolicy {
    /// Nothing; an entry that agrees goes first.
    #[default]
    #[n(0)]
    Lenient,
    /// The same region: a read whose region is another or unknown does not match an entry that names one.
    #[n(1)]
    Strict,
}

impl RegionPolicy {
    /// The word in config and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_to_its_owner_and_to_whom_it_is_shared_with() {
        let shows = |share: &str, org| {
            let of = Ownership { org: "north".to_owned(), share: share.parse().unwrap() };
            let again: Ownership = minicbor::decode(&minicbor::to_vec(&of).unwrap()).unwrap();
            assert_eq!(again, of);
            of.shows_to(org)
        };
        for share in ["none", "all", "south, east"] {
            assert!(shows(share, "north"), "{share}");
        }
        assert!(!shows("none", "south") && shows("all", "south") && shows("south, east", "east"));
        assert!(!shows("south, east", "west"));
        assert_eq!("b,a,b".parse::<Share>().unwrap().to_string(), "a, b");
        for wrong in ["", "a,,b", "a\u{7}"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong:?}");
        }
        assert!(minicbor::decode::<Share>(&[2]).is_err() && minicbor::decode::<Share>(&[0x80]).is_err());
    }
}
