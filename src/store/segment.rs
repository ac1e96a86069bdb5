//! The bytes of a ledger segment, `ledger/<number>.seg`: a header, then batches.
//!
//! ```text
//! header                                               batch
//!   0  8  "WPLEDG\0\1"   last byte: version              0  4  "WPB1"
//!   8  8  segment number, from 1                         4  4  length of the body
//!  16  8  epoch                                          8  8  batch number, from 1, never a gap
//!  24  8  number of the first batch in it               16  8  last seq given out, this batch included
//!  32  8  last seq given out before it                  24  4  how many records
//!  40  8  made at, ms UTC                               28  4  CRC-32 of the body
//!  48 32  MAC of the batch before (0: there is none)    32  4  CRC-32 of bytes 0..32
//!  80 32  MAC of bytes 0..80                            36  .. body: records, see `record`
//! 112  4  CRC-32 of bytes 0..112                         .. 32  MAC of (MAC of the batch before ‖ header ‖ body)
//! ```
//! Numbers are big-endian; CRC-32 is IEEE 802.3's, MAC is HMAC-SHA256 under the store key's "ledger" subkey. The CRC
//! tells damage, and where to go on after it; the MAC tells forgery, reordering and loss: each batch names the one
//! before, across segments too, and needs no data key, so the chain still holds when days have been deleted. Batches
//! hold sealed records; what is in the clear (kind, day, class, id, seq) says nothing of a plate.

use ring::hmac;

use super::record::{Bytes, Record};
use crate::domain::Epoch;

const SEGMENT_MAGIC: &[u8; 8] = b"WPLEDG\0\x01";
const BATCH_MAGIC: &[u8; 4] = b"WPB1";
/// Bytes of a segment's header.
pub(super) const HEADER_LEN: usize = 116;
const BATCH_HEAD: usize = 36;
const MAC_LEN: usize = 32;
/// No batch is longer: a length above it is damage. 64 entries with all their hits stay far below.
const MAX_BODY: usize = 64 << 20;

/// A batch's MAC, which the next one builds on.
pub(super) type Chain = [u8; MAC_LEN];

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u64,
    pub(super) epoch: Epoch,
    pub(super) first_batch: u64,
    pub(super) last_seq: u64,
    pub(super) made_at_ms: u64,
    pub(super) prev: Chain,
}

/// A batch as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) last_seq: u64,
    pub(super) records: Vec<Record>,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end too early.
    Short,
    /// No magic, an absurd length, or a checksum that is wrong.
    Checksum,
    /// Checksums are right and the MAC is wrong: another key, forged, or something before it is missing.
    Mac,
    /// The frame is right and what it holds is unknown.
    Content,
}

impl Fault {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Short => "it ends too early",
            Self::Checksum => "its checksum is wrong",
            Self::Mac => "its MAC is wrong: forged, or batches before it are missing",
            Self::Content => "it holds records that this version does not know",
        }
    }
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> Chain {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; MAC_LEN];
    out.iter_mut().zip(context.sign().as_ref()).for_each(|(o, t)| *o = *t);
    out
}

impl Header {
    pub(super) fn encode(&self, key: &hmac::Key) -> Vec<u8> {
        let mut out = SEGMENT_MAGIC.to_vec();
        out.extend(self.segment.to_be_bytes());
        out.extend(self.epoch.0);
        out.extend(self.first_batch.to_be_bytes());
        out.extend(self.last_seq.to_be_bytes());
        out.extend(self.made_at_ms.to_be_bytes());
        out.extend(self.prev);
        let tag = mac(key, &[&out]);
        out.extend(tag);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    pub(super) fn parse(key: &hmac::Key, bytes: &[u8]) -> Result<Self, Fault> {
        let mut input = Bytes(bytes.get(..HEADER_LEN).ok_or(Fault::Short)?);
        let all = input.0;
        let header = (|| {
            let magic: [u8; 8] = input.array()?;
            let header = Self {
                segment: input.u64()?,
                epoch: Epoch(input.array()?),
                first_batch: input.u64()?,
                last_seq: input.u64()?,
                made_at_ms: input.u64()?,
                prev: input.array()?,
            };
            let tag: Chain = input.array()?;
            Some((magic, header, tag, input.u32()?))
        })();
        let (magic, header, tag, crc) = header.ok_or(Fault::Short)?;
        let body = all.get(..HEADER_LEN - 4).ok_or(Fault::Short)?;
        if magic != *SEGMENT_MAGIC || crc32fast::hash(body) != crc {
            return Err(Fault::Checksum);
        }
        let signed = all.get(..80).ok_or(Fault::Short)?;
        if mac(key, &[signed]) != tag {
            return Err(Fault::Mac);
        }
        Ok(header)
    }
}

impl Batch {
    /// The frame, and the MAC that the next batch builds on.
    pub(super) fn encode(&self, key: &hmac::Key, prev: &Chain) -> (Vec<u8>, Chain) {
        let mut body = Vec::with_capacity(self.records.len() * 512);
        self.records.iter().for_each(|record| record.encode(&mut body));
        let mut out = Vec::with_capacity(BATCH_HEAD + body.len() + MAC_LEN);
        out.extend(BATCH_MAGIC);
        out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.last_seq.to_be_bytes());
        out.extend(u32::try_from(self.records.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(crc32fast::hash(&body).to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.append(&mut body);
        let tag = mac(key, &[prev, &out]);
        out.extend(tag);
        (out, tag)
    }

    /// The batch at the start of `bytes`, its MAC, and how long its frame is.
    ///
    /// With `chain` (the key and the MAC of the batch before) the MAC is checked as well; without, as in a salvage
    /// after a hole, the checksums alone, since every record is sealed by itself.
    pub(super) fn parse(bytes: &[u8], chain: Option<(&hmac::Key, &Chain)>) -> Result<(Self, Chain, usize), Fault> {
        let (number, last_seq, count, len, crc) = Self::head(bytes)?;
        let total = BATCH_HEAD + len + MAC_LEN;
        let frame = bytes.get(..total).ok_or(Fault::Short)?;
        let (signed, tag) = frame.split_at_checked(total - MAC_LEN).ok_or(Fault::Short)?;
        let body = signed.get(BATCH_HEAD..).ok_or(Fault::Short)?;
        if crc32fast::hash(body) != crc {
            return Err(Fault::Checksum);
        }
        let tag = Chain::try_from(tag).map_err(|_| Fault::Short)?;
        if chain.is_some_and(|(key, prev)| mac(key, &[prev, signed]) != tag) {
            return Err(Fault::Mac);
        }
        let mut input = Bytes(body);
        let mut records = Vec::new();
        while !input.0.is_empty() {
            records.push(Record::decode(&mut input).ok_or(Fault::Content)?);
        }
        if u32::try_from(records.len()) != Ok(count) {
            return Err(Fault::Content);
        }
        Ok((Self { number, last_seq, records }, tag, total))
    }

    /// Number, last seq, record count, body length and body CRC of the batch header at the start of `bytes`.
    fn head(bytes: &[u8]) -> Result<(u64, u64, u32, usize, u32), Fault> {
        let all = bytes.get(..BATCH_HEAD).ok_or(Fault::Short)?;
        let mut input = Bytes(all);
        let fields = (|| {
            let magic: [u8; 4] = input.array()?;
            let len = usize::try_from(input.u32()?).ok()?;
            Some((magic, len, input.u64()?, input.u64()?, input.u32()?, input.u32()?, input.u32()?))
        })();
        let (magic, len, number, last_seq, count, crc, head_crc) = fields.ok_or(Fault::Short)?;
        let covered = all.get(..BATCH_HEAD - 4).ok_or(Fault::Short)?;
        if magic != *BATCH_MAGIC || len > MAX_BODY || crc32fast::hash(covered) != head_crc {
            return Err(Fault::Checksum);
        }
        Ok((number, last_seq, count, len, crc))
    }

    /// Offset of the next sound batch header in `bytes`, from `from` on.
    pub(super) fn find(bytes: &[u8], from: usize) -> Option<usize> {
        let rest = bytes.get(from..)?;
        rest.windows(BATCH_MAGIC.len())
            .enumerate()
            .filter(|(_, window)| *window == BATCH_MAGIC)
            .find(|(at, _)| rest.get(*at..).is_some_and(|tail| Self::head(tail).is_ok()))
            .map(|(at, _)| from + at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Reason;
    use super::super::seal::StoreKey;
    use super::*;

    fn key() -> hmac::Key {
        StoreKey::from_bytes([3; 32]).ledger_mac().unwrap()
    }

    fn header() -> Header {
        Header {
            segment: 2,
            epoch: Epoch([0xE0; 8]),
            first_batch: 9,
            last_seq: 77,
            made_at_ms: 1_767_225_600_000,
            prev: [5; 32],
        }
    }

    fn batch() -> Batch {
        let records = vec![Record::gone(Reason::Acked, &[(1, 4), (9, 9)]), Record::gone(Reason::Shed, &[(5, 6)])];
        Batch { number: 9, last_seq: 80, records }
    }

    #[test]
    fn segment_is_as_drawn() {
        let key = key();
        let mut file = header().encode(&key);
        assert_eq!(file.len(), HEADER_LEN);
        file.extend(batch().encode(&key, &[5; 32]).0);
        crate::store::golden("segment-1.bin", &file);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let key = key();
        let head = header().encode(&key);
        assert_eq!(Header::parse(&key, &head), Ok(header()));
        let (frame, tag) = batch().encode(&key, &[5; 32]);
        assert_eq!(Batch::parse(&frame, Some((&key, &[5; 32]))), Ok((batch(), tag, frame.len())));
        for i in 0..head.len() * 8 {
            let mut bad = head.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(Header::parse(&key, &bad).is_err());
        }
        for i in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(Batch::parse(&bad, Some((&key, &[5; 32]))).is_err());
        }
        assert_eq!(Batch::parse(&frame, Some((&key, &[6; 32]))), Err(Fault::Mac));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..40_usize) {
            bytes.splice(0..0, *BATCH_MAGIC);
            let _ = Batch::parse(&bytes, None);
            let _ = Header::parse(&key(), &bytes);
            let _ = Batch::find(&bytes, at);
        }
    }
}
