//! What a key frame was quantised by, from its slice header: how hard the coding squeezed.
//!
//! Reads as much of H.264 (ITU-T H.264, 7.3.2.1, 7.3.2.2, 7.3.3) and H.265 (ITU-T H.265, 7.3.2.2, 7.3.2.3, 7.3.6) as stands
//! before `slice_qp_delta` of the first slice of a key frame, in either form of a stream. The number is that of the slice:
//! encoders move it a little from block to block. What is not understood gives nothing; bytes come from a network, so
//! nothing here panics or loops for long. Called by [`super::tap`] for key frames alone.

use std::collections::BTreeMap;

/// Most parameter sets that are kept.
const MOST_SETS: usize = 32;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
}

/// What is known of a stream.
#[derive(Debug)]
pub(super) struct Quantiser {
    codec: Codec,
    sequences: BTreeMap<u32, Sequence>,
    pictures: BTreeMap<u32, Picture>,
}

/// What a sequence parameter set says of slice headers.
#[derive(Debug, Clone, Copy, Default)]
struct Sequence {
    separate_planes: bool,
    frame_num_bits: u32,
    frames_only: bool,
    /// `pic_order_cnt_type`, and bits of the order count of type 0.
    order_type: u32,
    order_bits: u32,
    delta_always_zero: bool,
    /// H.265: sample adaptive offset.
    adaptive_offset: bool,
    /// H.265: chroma is there.
    chroma: bool,
}

/// What a picture parameter set says.
#[derive(Debug, Clone, Copy, Default)]
struct Picture {
    sequence: u32,
    order_present: bool,
    redundant: bool,
    qp: i64,
    /// H.265.
    output_flag: bool,
    extra_bits: u32,
}

impl Quantiser {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, sequences: BTreeMap::new(), pictures: BTreeMap::new() }
    }

    /// Takes in parameter sets that travel beside the stream (`codec_data`, ISO/IEC 14496-15).
    pub(super) fn beside(&mut self, data: &[u8]) {
        let (mut rest, counts) = match self.codec {
            // avcC: 5 bytes, the count of sequence sets, the sets, the count of picture sets, the sets.
            Codec::H264 => (data.get(5..).unwrap_or_default(), 2),
            // hvcC: 22 bytes, the count of arrays; each a type, a count of 16 bits, the units.
            Codec::H265 => (data.get(23..).unwrap_or_default(), usize::from(data.get(22).copied().unwrap_or(0))),
        };
        for _ in 0..counts.min(8) {
            let units = match (self.codec, rest) {
                (Codec::H264, &[count, ref tail @ ..]) => {
                    rest = tail;
                    usize::from(count & 31)
                }
                (Codec::H265, &[_, high, low, ref tail @ ..]) => {
                    rest = tail;
                    usize::from(u16::from_be_bytes([high, low]))
                }
                _ => return,
            };
            for _ in 0..units.min(MOST_SETS) {
                let &[high, low, ref tail @ ..] = rest else { return };
                let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
                let (unit, after) = tail.split_at(length);
                self.unit(unit);
                rest = after;
            }
        }
    }

    /// Takes in one access unit; the quantiser of its first slice, when that is one of a key frame and was understood.
    pub(super) fn picture(&mut self, data: &[u8]) -> Option<f32> {
        let mut told = None;
        let mut take = |unit: &[u8]| {
            let qp = self.unit(unit);
            told = told.or(qp);
        };
        if data.starts_with(&[0, 0, 1]) || data.starts_with(&[0, 0, 0, 1]) {
            split(data, &mut take);
        } else {
            let mut rest = data;
            while let &[a, b, c, d, ref tail @ ..] = rest {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX).min(tail.len());
                let (unit, after) = tail.split_at(length);
                take(unit);
                rest = after;
            }
        }
        told
    }

    fn unit(&mut self, unit: &[u8]) -> Option<f32> {
        let first = *unit.first()?;
        match self.codec {
            Codec::H264 => {
                let body = unescaped(unit.get(1..)?);
                let mut bits = Bits::new(&body);
                match first & 31 {
                    7 => drop(self.h264_sequence(&mut bits)),
                    8 => drop(self.h264_picture(&mut bits)),
                    kind @ (1 | 5) => return self.h264_slice(&mut bits, kind == 5, first >> 5 & 3 != 0),
                    _ => {}
                }
            }
            Codec::H265 => {
                let body = unescaped(unit.get(2..)?);
                let mut bits = Bits::new(&body);
                match first >> 1 & 63 {
                    33 => drop(self.h265_sequence(&mut bits)),
                    34 => drop(self.h265_picture(&mut bits)),
                    // Instantaneous refreshes alone: other key frames have more before the number.
                    kind @ 16..=21 => return self.h265_slice(&mut bits, kind == 19 || kind == 20),
                    _ => {}
                }
            }
        }
        None
    }

    fn h264_sequence(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let profile = bits.take(8)?;
        bits.take(16)?;
        let id = bits.exp()?;
        let mut set = Sequence { chroma: true, ..Sequence::default() };
        if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
            if bits.exp()? == 3 {
                set.separate_planes = bits.flag()?;
            }
            bits.exp()?;
            bits.exp()?;
            bits.flag()?;
            if bits.flag()? {
                // Scaling matrices are rare, and long: of such a stream nothing is told.
                return None;
            }
        }
        set.frame_num_bits = bits.exp()?.checked_add(4)?;
        set.order_type = bits.exp()?;
        match set.order_type {
            0 => set.order_bits = bits.exp()?.checked_add(4)?,
            1 => {
                set.delta_always_zero = bits.flag()?;
                bits.exp()?;
                bits.exp()?;
                for _ in 0..bits.exp()?.min(255) {
                    bits.exp()?;
                }
            }
            _ => {}
        }
        bits.exp()?;
        bits.flag()?;
        bits.exp()?;
        bits.exp()?;
        set.frames_only = bits.flag()?;
        keep(&mut self.sequences, id, set);
        Some(())
    }

    fn h264_picture(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let id = bits.exp()?;
        let mut set = Picture { sequence: bits.exp()?, ..Picture::default() };
        bits.flag()?;
        set.order_present = bits.flag()?;
        if bits.exp()? > 0 {
            // Slice groups are of no profile that cameras have.
            return None;
        }
        bits.exp()?;
        bits.exp()?;
        bits.take(3)?;
        set.qp = bits.signed()?.checked_add(26)?;
        bits.signed()?;
        bits.signed()?;
        bits.take(2)?;
        set.redundant = bits.flag()?;
        keep(&mut self.pictures, id, set);
        Some(())
    }

    fn h264_slice(&self, bits: &mut Bits<'_>, instantaneous: bool, referred_to: bool) -> Option<f32> {
        bits.exp()?;
        // Slices of I pictures alone (2, 7): others have lists of references before the number.
        if !matches!(bits.exp()?, 2 | 7) {
            return None;
        }
        let picture = self.pictures.get(&bits.exp()?)?;
        let sequence = self.sequences.get(&picture.sequence)?;
        if sequence.separate_planes {
            bits.take(2)?;
        }
        bits.take(sequence.frame_num_bits)?;
        let field = !sequence.frames_only && bits.flag()?;
        if field {
            bits.flag()?;
        }
        if instantaneous {
            bits.exp()?;
        }
        if sequence.order_type == 0 {
            bits.take(sequence.order_bits)?;
            if picture.order_present && !field {
                bits.signed()?;
            }
        } else if sequence.order_type == 1 && !sequence.delta_always_zero {
            bits.signed()?;
            if picture.order_present && !field {
                bits.signed()?;
            }
        }
        if picture.redundant {
            bits.exp()?;
        }
        if instantaneous {
            bits.take(2)?;
        } else if referred_to && bits.flag()? {
            // Orders to the memory of references.
            for _ in 0..64 {
                match bits.exp()? {
                    0 => break,
                    3 => drop((bits.exp()?, bits.exp()?)),
                    1 | 2 | 4 | 6 => drop(bits.exp()?),
                    _ => {}
                }
            }
        }
        sane(picture.qp.checked_add(bits.signed()?)?)
    }

    fn h265_sequence(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.take(4)?;
        let layers = bits.take(3)?;
        bits.flag()?;
        // Profile, tier and level: 88 bits and 8, and those of the layers.
        bits.skip(96)?;
        let present: Vec<(bool, bool)> = (0..layers).map_while(|_| Some((bits.flag()?, bits.flag()?))).collect();
        if layers > 0 {
            bits.skip(2 * 8_u32.checked_sub(layers)?)?;
        }
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        let id = bits.exp()?;
        let chroma = bits.exp()?;
        let mut set = Sequence { chroma: chroma != 0, ..Sequence::default() };
        if chroma == 3 {
            set.separate_planes = bits.flag()?;
            set.chroma = !set.separate_planes;
        }
        bits.exp()?;
        bits.exp()?;
        if bits.flag()? {
            for _ in 0..4 {
                bits.exp()?;
            }
        }
        bits.exp()?;
        bits.exp()?;
        set.order_bits = bits.exp()?.checked_add(4)?;
        let every = bits.flag()?;
        for _ in 0..if every { layers + 1 } else { 1 } {
            for _ in 0..3 {
                bits.exp()?;
            }
        }
        for _ in 0..6 {
            bits.exp()?;
        }
        if bits.flag()? && bits.flag()? {
            // Scaling lists, as above.
            return None;
        }
        bits.flag()?;
        set.adaptive_offset = bits.flag()?;
        keep(&mut self.sequences, id, set);
        Some(())
    }

    fn h265_picture(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let id = bits.exp()?;
        let mut set = Picture { sequence: bits.exp()?, ..Picture::default() };
        bits.flag()?;
        set.output_flag = bits.flag()?;
        set.extra_bits = bits.take(3)?;
        bits.take(2)?;
        bits.exp()?;
        bits.exp()?;
        set.qp = bits.signed()?.checked_add(26)?;
        keep(&mut self.pictures, id, set);
        Some(())
    }

    fn h265_slice(&self, bits: &mut Bits<'_>, instantaneous: bool) -> Option<f32> {
        let first = bits.flag()?;
        bits.flag()?;
        let picture = self.pictures.get(&bits.exp()?)?;
        let sequence = self.sequences.get(&picture.sequence)?;
        if !first || !instantaneous {
            return None;
        }
        bits.skip(picture.extra_bits)?;
        // An I slice has no references.
        if bits.exp()? != 2 {
            return None;
        }
        if picture.output_flag {
            bits.flag()?;
        }
        if sequence.separate_planes {
            bits.take(2)?;
        }
        if sequence.adaptive_offset {
            bits.flag()?;
            if sequence.chroma {
                bits.flag()?;
            }
        }
        sane(picture.qp.checked_add(bits.signed()?)?)
    }
}

/// A number that a quantiser can be.
fn sane(qp: i64) -> Option<f32> {
    i16::try_from(qp).ok().filter(|qp| (-48..=51).contains(qp)).map(|qp| f32::from(qp.max(0)))
}

fn keep<T>(sets: &mut BTreeMap<u32, T>, id: u32, set: T) {
    if sets.len() < MOST_SETS || sets.contains_key(&id) {
        sets.insert(id, set);
    }
}

/// Units between start codes of three bytes.
fn split(data: &[u8], take: &mut dyn FnMut(&[u8])) {
    let mut starts: Vec<usize> =
        data.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).take(64).collect();
    starts.push(data.len() + 3);
    for pair in starts.windows(2) {
        if let &[from, to] = pair {
            take(data.get(from..(to - 3).min(data.len())).unwrap_or_default());
        }
    }
}

/// What is looked at of a unit: headers are short.
const HEADER: usize = 512;

/// The unit without its emulation prevention bytes.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len().min(HEADER));
    let mut zeros = 0;
    for byte in unit.iter().take(HEADER) {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// Bits from the left.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        (count <= 32).then_some(())?;
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?)?;
        Some(())
    }

    /// An unsigned Exp-Golomb number (9.1).
    fn exp(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            (zeros <= 31).then_some(())?;
        }
        let tail = self.take(zeros)?;
        Some(((1_u64 << zeros) - 1 + u64::from(tail)).try_into().unwrap_or(u32::MAX))
    }

    /// A signed one (9.1.1).
    fn signed(&mut self) -> Option<i64> {
        let coded = i64::from(self.exp()?);
        Some(if coded % 2 == 1 { (coded + 1) / 2 } else { -(coded / 2) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(data in proptest::collection::vec(any::<u8>(), 0..200), h265: bool) {
            let mut told = Quantiser::new(if h265 { Codec::H265 } else { Codec::H264 });
            told.beside(&data);
            let _ = told.picture(&data);
            let mut coded = vec![0, 0, 1];
            coded.extend(&data);
            let _ = told.picture(&coded);
        }
    }
}
