//! `[decode]`: in which process cameras are decoded.

use std::str::FromStr;

use super::section::Section;

/// `[decode]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decode {
    /// Which processes decode.
    pub workers: DecodeWorkers,
}

/// Which processes decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecodeWorkers {
    /// None but the daemon itself.
    None,
    /// One worker for all cameras.
    #[default]
    Shared,
    /// One a camera.
    Each,
}

impl FromStr for DecodeWorkers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "shared" => Ok(Self::Shared),
            "each" => Ok(Self::Each),
            _ => Err(format!("{text:?} is not known; wanted shared, each or none")),
        }
    }
}

pub(super) fn read(mut s: Section<'_>) -> Decode {
    let workers = s.choice(
        "workers",
        &["shared", "each", "none"],
        "Where cameras are decoded: in one fenced-in process for all (`shared`, the default), in one a camera (`each`), or in the \
         daemon itself (`none`).",
    );
    s.finish();
    Decode { workers: workers.unwrap_or_default() }
}
