//! [`Ack`] on the wire: what the centre has, by its delivery key.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde_json::{Value, json};

use super::Wire;
use crate::centre::topics::Kind;
use crate::domain::{Ack, Epoch};

const VERSION: u8 = 1;

/// [`Ack`] with its version and keys.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Form {
    #[n(0)]
    version: u8,
    #[n(1)]
    epoch: Epoch,
    #[n(2)]
    upto: u64,
    #[n(3)]
    also: Vec<(u64, u64)>,
}

impl Encode<()> for Ack {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, ctx: &mut ()) -> Result<(), encode::Error<W::Error>> {
        Form { version: VERSION, epoch: self.epoch, upto: self.upto, also: self.also.clone() }.encode(e, ctx)
    }
}

impl<'b> Decode<'b, ()> for Ack {
    fn decode(d: &mut Decoder<'b>, ctx: &mut ()) -> Result<Self, decode::Error> {
        let Form { epoch, upto, also, .. } = Form::decode(d, ctx)?;
        Ok(Self { epoch, upto, also })
    }
}

impl Wire for Ack {
    const NAME: &'static str = "ack";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = 512;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.also.len() > Ack::MAX_RANGES {
            return Err(("also", format!("{} ranges, at most {}", self.also.len(), Ack::MAX_RANGES)));
        }
        let mut below = self.upto;
        for (first, last) in &self.also {
            // A range that touches the one below would be part of it: one form for one meaning.
            if *first <= below.saturating_add(1) || first > last {
                return Err(("also", format!("range {first}..={last} is empty, out of order or touches {below}")));
            }
            below = *last;
        }
        Ok(())
    }

    fn fits(&self, kind: &Kind) -> bool {
        *kind == Kind::Ack
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": Self::NAME,
            "version": VERSION,
            "epoch": self.epoch.to_string(),
            "upto": self.upto,
            "also": self.also.iter().map(|(a, b)| json!([a, b])).collect::<Vec<_>>(),
        })
    }
}
