//! How a network camera's pictures travel: as configured, and as the camera room does it.

use std::fmt;
use std::str::FromStr;

/// How a network camera's pictures travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP, and UDP where the camera offers nothing else.
    #[default]
    Auto,
    /// In the RTSP connection: nothing is lost on the way.
    Tcp,
    /// Packets of their own: a lost one spoils pictures until the next key frame.
    Udp,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(format!("{text:?} is no transport; wanted auto, tcp or udp")),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
