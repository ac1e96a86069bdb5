//! The answer to a command, signed by the box for the topic that it goes to.
//!
//! The same command is answered more than once: `accepted`, `executing`, then once with what became of it. The topic names
//! operation and id; the id is also in the reply, so that one under an MQTT 5 response topic belongs to its command.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde_json::{Value, json};

use super::status::clock_word;
use super::{Wire, check_text, cut};
use crate::centre::cose::MAX_ENVELOPE;
use crate::centre::keys::hex;
use crate::centre::topics::Kind;
use crate::domain::{ClockState, CommandStatus, Reason, TimeMs};

const VERSION: u8 = 1;
/// Longest text for people, in bytes.
pub const MAX_TEXT: usize = 300;
/// Longest result: a reply of 60 KiB less all that is around it.
pub const MAX_RESULT: usize = MAX_ENVELOPE - 512;

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The command's id.
    pub id: [u8; 16],
    /// What becomes of it.
    pub status: CommandStatus,
    /// Why not, for programs.
    pub reason: Option<Reason>,
    /// Why not, for people: at most 300 bytes.
    pub text: Option<String>,
    /// CBOR of the operation's answer, at most [`MAX_RESULT`] bytes.
    pub result: Option<Vec<u8>>,
    /// When this was said.
    pub at: TimeMs,
    /// How far that time can be trusted.
    pub clock: ClockState,
    /// Number of the audit record of how it ended.
    pub audit: Option<u64>,
}

impl Reply {
    /// A reply that says no more than its status.
    #[must_use]
    pub fn new(id: [u8; 16], status: CommandStatus, at: TimeMs, clock: ClockState) -> Self {
        Self { id, status, reason: None, text: None, result: None, at, clock, audit: None }
    }

    /// With a reason, and a text that is cut to what fits.
    #[must_use]
    pub fn because(mut self, reason: Reason, text: &str) -> Self {
        self.reason = Some(reason);
        self.text = Some(cut(text, MAX_TEXT)).filter(|text| !text.is_empty());
        self
    }
}

/// [`Reply`] with its version and keys.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Form {
    #[n(0)]
    version: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    id: [u8; 16],
    #[n(2)]
    status: CommandStatus,
    #[n(3)]
    reason: Option<Reason>,
    #[n(4)]
    text: Option<String>,
    #[n(5)]
    result: Option<ByteVec>,
    #[n(6)]
    at: TimeMs,
    #[n(7)]
    clock: ClockState,
    #[n(8)]
    audit: Option<u64>,
}

impl Encode<()> for Reply {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, ctx: &mut ()) -> Result<(), encode::Error<W::Error>> {
        Form {
            version: VERSION,
            id: self.id,
            status: self.status,
            reason: self.reason,
            text: self.text.clone(),
            result: self.result.clone().map(ByteVec::from),
            at: self.at,
            clock: self.clock,
            audit: self.audit,
        }
        .encode(e, ctx)
    }
}

impl<'b> Decode<'b, ()> for Reply {
    fn decode(d: &mut Decoder<'b>, ctx: &mut ()) -> Result<Self, decode::Error> {
        let form = Form::decode(d, ctx)?;
        Ok(Self {
            id: form.id,
            status: form.status,
            reason: form.reason,
            text: form.text,
            result: form.result.map(Vec::from),
            at: form.at,
            clock: form.clock,
            audit: form.audit,
        })
    }
}

impl Wire for Reply {
    const NAME: &'static str = "reply";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = MAX_ENVELOPE;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(text) = &self.text {
            check_text("text", text, MAX_TEXT)?;
        }
        match &self.result {
            Some(result) if result.len() > MAX_RESULT => {
                Err(("result", format!("{} bytes, at most {MAX_RESULT}", result.len())))
            }
            _ => Ok(()),
        }
    }

    fn fits(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Reply { id, .. } if *id == hex(&self.id))
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": Self::NAME,
            "version": VERSION,
            "id": hex(&self.id),
            "status": self.status.as_str(),
            "reason": self.reason.map(Reason::as_str),
            "text": self.text,
            "result": self.result.as_ref().map(|r| hex(r)),
            "time": self.at.to_string(),
            "clock": clock_word(self.clock),
            "audit": self.audit,
        })
    }
}
