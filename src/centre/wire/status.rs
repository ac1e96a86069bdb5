//! [`Status`]: whether a box is there. Retained; the one for "offline" is signed at connect and left as last will.

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::{Wire, check_text, cut};
use crate::centre::keys::hex;
use crate::centre::topics::Kind;
use crate::domain::{ClockState, TimeMs};

const VERSION: u8 = 1;
const MAX_SOFTWARE: usize = 32;

/// Eight random bytes that a daemon draws when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BootId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 8]);

impl std::fmt::Display for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Whether a box is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum BoxState {
    /// It runs and has a session with the broker.
    #[n(0)]
    Online,
    /// It was stopped in order.
    #[n(1)]
    Stopped,
    /// The session broke: the last will. Its time is that of the session's begin.
    #[n(2)]
    Offline,
}

impl BoxState {
    /// The word in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
        }
    }
}

/// Status of a box.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Status {
    #[n(0)]
    version: u8,
    /// Whether it is there.
    #[n(1)]
    pub state: BoxState,
    /// Version of the software, at most 32 bytes.
    #[n(2)]
    pub software: String,
    /// Which start of the daemon.
    #[n(3)]
    pub boot: BootId,
    /// Which session of that start, from 1: a last will that comes late is told from the session that followed.
    #[n(4)]
    pub session: u32,
    /// When it was signed.
    #[n(5)]
    pub time: TimeMs,
    /// Trust in that time.
    #[n(6)]
    pub clock: ClockState,
}

impl Status {
    /// Status of this software.
    #[must_use]
    pub fn new(state: BoxState, boot: BootId, session: u32, time: TimeMs, clock: ClockState) -> Self {
        let software = cut(env!("CARGO_PKG_VERSION"), MAX_SOFTWARE);
        Self { version: VERSION, state, software, boot, session, time, clock }
    }
}

impl Wire for Status {
    const NAME: &'static str = "status";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = 256;

    fn check(&self) -> Result<(), (&'static str, String)> {
        check_text("software", &self.software, MAX_SOFTWARE)
    }

    fn fits(&self, kind: &Kind) -> bool {
        *kind == Kind::Status
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": Self::NAME,
            "version": self.version,
            "state": self.state.as_str(),
            "software": self.software,
            "boot": self.boot.to_string(),
            "session": self.session,
            "time": self.time.to_string(),
            "time_ms": self.time.0,
            "clock": clock_word(self.clock),
        })
    }
}

/// The word for a clock's state.
pub(super) fn clock_word(clock: ClockState) -> &'static str {
    match clock {
        ClockState::Synced => "synced",
        ClockState::Holdover => "holdover",
        ClockState::Unset => "unset",
    }
}
