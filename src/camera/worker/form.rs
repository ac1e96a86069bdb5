//! Coded pictures, and their form, on their way from the worker, or to it.
//!
//! Caps are not sent as text: the daemon would have to parse what a taken-over worker wrote. It builds them anew from fields with names
//! and values that it knows.

use std::time::Duration;

use gstreamer as gst;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::wire::Unit;
use crate::camera::fits;
use crate::camera::ring::Coded;
use crate::domain::TimeMs;

/// Codings that are known.
const NAMES: [&str; 3] = ["video/x-h264", "video/x-h265", "image/jpeg"];
/// Fields with a word.
const WORDS: [&str; 11] = [
    "coded-picture-structure",
    "stream-format",
    "alignment",
    "profile",
    "level",
    "tier",
    "chroma-format",
    "colorimetry",
    "interlace-mode",
    "chroma-site",
    "sampling",
];
/// Fields with a fraction.
const FRACTIONS: [&str; 2] = ["framerate", "pixel-aspect-ratio"];
/// Fields with a number without a sign.
const COUNTS: [&str; 2] = ["bit-depth-luma", "bit-depth-chroma"];
/// Parameter sets.
const SETUP: &str = "codec_data";
/// Longest word, most bytes of parameter sets.
const LONGEST_WORD: usize = 64;
const MOST_SETUP: usize = 16 << 10;

/// What coded pictures are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Form {
    #[n(0)]
    name: String,
    #[n(1)]
    size: Option<(u32, u32)>,
    /// By their place in the lists above.
    #[n(2)]
    words: Vec<(u8, String)>,
    #[n(3)]
    fractions: Vec<(u8, i32, i32)>,
    #[n(4)]
    counts: Vec<(u8, u32)>,
    #[n(5)]
    setup: Option<ByteVec>,
}

impl Form {
    /// Of caps, as far as it is known.
    pub(super) fn of(caps: &gst::CapsRef) -> Option<Self> {
        let s = caps.structure(0)?;
        let number = |field: &str| s.get::<i32>(field).ok().and_then(|n| u32::try_from(n).ok());
        let setup = s.get::<gst::Buffer>(SETUP).ok();
        let setup = setup.and_then(|b| b.map_readable().ok().map(|map| ByteVec::from(map.to_vec())));
        Some(Self {
            name: s.name().to_string(),
            size: number("width").zip(number("height")),
            words: numbered(&WORDS, |field| s.get::<String>(field).ok()).collect(),
            fractions: numbered(&FRACTIONS, |field| s.get::<gst::Fraction>(field).ok())
                .map(|(n, f)| (n, f.numer(), f.denom()))
                .collect(),
            counts: numbered(&COUNTS, |field| s.get::<u32>(field).ok()).collect(),
            setup,
        })
    }

    /// The caps; `None` when something in it is beyond the bounds.
    pub(super) fn caps(&self) -> Option<gst::Caps> {
        let name = NAMES.iter().find(|name| **name == self.name)?;
        let mut s = gst::Structure::builder(*name);
        if let Some((width, height)) = self.size {
            let (w, h) = (i32::try_from(width).ok()?, i32::try_from(height).ok()?);
            if !fits(width, height) {
                return None;
            }
            s = s.field("width", w).field("height", h);
        }
        if self.words.len() > WORDS.len() || self.fractions.len() > FRACTIONS.len() || self.counts.len() > COUNTS.len()
        {
            return None;
        }
        for (n, word) in &self.words {
            let is_word = |c: char| c.is_ascii_alphanumeric() || ":.-+_/ ".contains(c);
            if word.len() > LONGEST_WORD || !word.chars().all(is_word) {
                return None;
            }
            s = s.field(*WORDS.get(usize::from(*n))?, word.as_str());
        }
        for (n, numer, denom) in &self.fractions {
            if *denom < 1 || *numer < 0 {
                return None;
            }
            s = s.field(*FRACTIONS.get(usize::from(*n))?, gst::Fraction::new(*numer, *denom));
        }
        for (n, count) in &self.counts {
            s = s.field(*COUNTS.get(usize::from(*n))?, *count);
        }
        if let Some(setup) = &self.setup {
            if setup.len() > MOST_SETUP {
                return None;
            }
            s = s.field(SETUP, gst::Buffer::from_slice(setup.to_vec()));
        }
        // What stands behind the parser is parsed.
        s = s.field("parsed", true);
        let mut caps = gst::Caps::new_empty();
        caps.get_mut()?.append_structure(s.build());
        Some(caps)
    }
}

impl Unit {
    pub(super) fn of(coded: &Coded) -> Self {
        let nanos = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        Self {
            at: coded.at.0,
            place: nanoseconds(coded.pts),
            is_key: coded.is_key,
            pts: nanos(coded.unit.pts()),
            dts: nanos(coded.unit.dts()),
            duration: nanos(coded.unit.duration()),
        }
    }

    /// The picture with these bytes; `at` is what is believed of its time.
    pub(super) fn coded(&self, at: TimeMs, bytes: Vec<u8>) -> Coded {
        let clock = |nanos: Option<u64>| nanos.map(|n| gst::ClockTime::from_nseconds(n.min(u64::MAX - 1)));
        let mut unit = gst::Buffer::from_mut_slice(bytes);
        if let Some(unit) = unit.get_mut() {
            unit.set_pts(clock(self.pts));
            unit.set_dts(clock(self.dts));
            unit.set_duration(clock(self.duration));
            if !self.is_key {
                unit.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        Coded { at, pts: Duration::from_nanos(self.place), is_key: self.is_key, unit }
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The fields that are there, by their place.
fn numbered<'a, T>(fields: &'a [&'a str], get: impl Fn(&str) -> Option<T> + 'a) -> impl Iterator<Item = (u8, T)> + 'a {
    (0_u8..).zip(fields).filter_map(move |(n, field)| Some((n, get(field)?)))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn caps(text: &str) -> gst::Caps {
        crate::camera::pipeline::init().unwrap();
        gst::Caps::from_str(text).unwrap()
    }

    #[test]
    fn what_is_behind_a_parser_arrives_whole() {
        for text in [
            "video/x-h264,stream-format=(string)avc,alignment=(string)au,codec_data=(buffer)0142c01effe1,level=(string)3,\
             profile=(string)high,width=(int)1920,height=(int)1080,framerate=(fraction)25/1,pixel-aspect-ratio=(fraction)1/1,\
             colorimetry=(string)bt709,interlace-mode=(string)progressive,chroma-format=(string)4:2:0,\
             bit-depth-luma=(uint)8,bit-depth-chroma=(uint)8,parsed=(boolean)true",
            "video/x-h265,stream-format=(string)byte-stream,alignment=(string)au,width=(int)64,height=(int)48,\
             tier=(string)main,parsed=(boolean)true",
            "image/jpeg,width=(int)320,height=(int)240,framerate=(fraction)0/1,colorimetry=(string)1:4:0:0,parsed=(boolean)true",
        ] {
            let caps = caps(text);
            let bytes = minicbor::to_vec(Form::of(&caps).unwrap()).unwrap();
            let form: Form = minicbor::decode(&bytes).unwrap();
            let arrived = form.caps().unwrap();
            assert!(arrived.is_strictly_equal(&caps), "{arrived} is not {caps}");
        }
    }

    #[test]
    fn what_is_odd_is_refused() {
        let good = Form::of(&caps("video/x-h264,stream-format=avc,width=64,height=48")).unwrap();
        assert!(good.caps().is_some());
        let refused = |form: Form| assert!(form.caps().is_none(), "{form:?}");
        refused(Form { name: "video/x-raw".into(), ..good.clone() });
        refused(Form { size: Some((16_384, 16_384)), ..good.clone() });
        refused(Form { words: vec![(0, "a;b".into())], ..good.clone() });
        refused(Form { words: vec![(99, "au".into())], ..good.clone() });
        refused(Form { fractions: vec![(0, 1, 0)], ..good.clone() });
        refused(Form { setup: Some(vec![0; MOST_SETUP + 1].into()), ..good });
    }
}
