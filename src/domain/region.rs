//! Who issues plates, as cameras are told and readers tell: `us`, `eu-sk`, `us-ca`.

use std::fmt;
use std::str::FromStr;

/// The regions whose series are known. `eu` stands for the Union and its neighbours.
pub const KNOWN: [&str; 9] = ["us", "eu", "gb", "br", "ar", "in", "mx", "tr", "vn"];

/// A known region, or a state or country of one: `br`, `us-ca`, `eu-sk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (region, part) = text.split_once('-').unwrap_or((text, "xx"));
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
        if KNOWN.contains(&region) && plain {
            return Ok(Self(text.to_owned()));
        }
        let known = KNOWN.join(", ");
        Err(format!("is {text:?}, wanted one of {known}, or a state or country of one, as us-ca and eu-sk"))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_their_parts_are_taken_and_others_named() {
        for good in ["br", "us-ca", "eu-sk"] {
            assert_eq!(good.parse::<Region>().map(|r| r.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "BR", "brazil", "us-", "us-CA", "eu-sk-bb", "xx-us"] {
            let why = bad.parse::<Region>().unwrap_err();
            assert!(why.contains(&format!("{bad:?}")) && why.contains("us, eu, gb"), "{why}");
        }
    }
}
