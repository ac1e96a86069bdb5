//! Coded pictures as an MP4 file in memory: one track of video, whole and seekable, its index before its pictures.
//!
//! ISO/IEC 14496-12 (boxes), 14496-15 (H.264 and H.265 in them), 14496-14 (Motion JPEG by its object type). Nothing is
//! coded again: a picture's bytes go into the file as they are. Pictures come in the order of decoding; those that are shown in another
//! order get the offsets for it, and an edit list that makes the first one shown begin at zero. The same pictures give the
//! same bytes. Called by [`clip`](super::clip).

use std::time::Duration;

use super::Rotation;

/// Ticks a second of the track and of the file: what video is usually counted in.
const TICKS: u64 = 90_000;
/// From 1904, the epoch of MP4 files, to 1970, seconds.
const EPOCH: u64 = 2_082_844_800;
/// What a picture lasts when there is no other to tell: 1/25 s.
const USUAL: u64 = TICKS / 25;
/// No rotation, 16.16 fixed point but for the last column (2.30).
const ONE: u32 = 0x0001_0000;

/// How the pictures are coded: the kind of the sample entry, and the box that sets decoders up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coding {
    /// H.264; the bytes of its `avcC`, and whether parameter sets may stand in the pictures too.
    H264 { setup: Vec<u8>, inband: bool },
    /// H.265; of its `hvcC`.
    H265 { setup: Vec<u8>, inband: bool },
    /// Motion JPEG.
    Jpeg,
}

/// One coded picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    /// When it is shown; the first one shown is taken as the beginning.
    pub(super) pts: Duration,
    /// Whether decoding can begin with it.
    pub(super) is_key: bool,
    /// For H.264 and H.265: NAL units, each behind its length as the setup says.
    pub(super) bytes: &'a [u8],
}

/// What the track is.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) coding: Coding,
    pub(super) width: u16,
    pub(super) height: u16,
    /// Width and height of a pixel where it is not square.
    pub(super) pixel: (u32, u32),
    /// How players are to turn it.
    pub(super) rotation: Rotation,
    /// UTC of its first picture, milliseconds.
    pub(super) made_ms: u64,
}

/// Times of the pictures in ticks, in the order of decoding: when each is decoded, and by how much later it is shown.
struct Times {
    steps: Vec<u32>,
    offsets: Vec<u32>,
    /// What the first picture that is shown is late by.
    delay: u32,
    /// From the first to the end of the last.
    total: u64,
}

/// Nanoseconds as ticks, rounded.
fn ticks(at: Duration) -> u64 {
    u64::try_from((at.as_nanos() * u128::from(TICKS) + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// The lower half: files here last minutes and have less than 4 GiB.
#[expect(clippy::cast_possible_truncation, reason = "a clip is bounded far below in time and bytes")]
fn low(number: u64) -> u32 {
    number as u32
}

impl Times {
    /// A decoder must have a picture before it is shown, and gets one after the other: the nth picture in the order of
    /// decoding is decoded at the nth time of showing, all later by what the latest of them needs.
    fn of(samples: &[Sample<'_>]) -> Self {
        let shown: Vec<u64> = samples.iter().map(|sample| ticks(sample.pts)).collect();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        let delay = shown.iter().zip(&sorted).map(|(shown, nth)| nth.saturating_sub(*shown)).max().unwrap_or(0);
        let gaps: Vec<u64> = sorted.iter().zip(sorted.iter().skip(1)).map(|(a, b)| b - a).collect();
        let last = gaps.last().copied().filter(|gap| *gap > 0).unwrap_or(USUAL);
        let steps: Vec<u32> = gaps.iter().copied().chain([last]).map(low).collect();
        let offsets = shown.iter().zip(&sorted).map(|(shown, nth)| low((shown + delay).saturating_sub(*nth))).collect();
        let total = steps.iter().map(|step| u64::from(*step)).sum();
        Self { steps, offsets, delay: low(delay), total }
    }
}

/// The file. `samples` are in the order of decoding and not empty.
pub(super) fn file(track: &Track, samples: &[Sample<'_>]) -> Vec<u8> {
    let times = Times::of(samples);
    let brand: &[u8; 4] = if matches!(track.coding, Coding::H265 { .. }) { b"hvc1" } else { b"avc1" };
    let kind = boxed(*b"ftyp", &[b"isom", &512_u32.to_be_bytes()[..], b"isom", b"iso2", brand, b"mp41"].concat());
    // The index says where the pictures begin, which is known once its length is.
    let length = movie(track, samples, &times, 0).len();
    let begin = kind.len() + length + 8;
    let index = movie(track, samples, &times, low(begin as u64));
    let pictures: usize = samples.iter().map(|sample| sample.bytes.len()).sum();
    let mut out = Vec::with_capacity(begin + pictures);
    out.extend(kind);
    out.extend(index);
    out.extend(low(pictures as u64 + 8).to_be_bytes());
    out.extend(b"mdat");
    for sample in samples {
        out.extend(sample.bytes);
    }
    out
}

fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&low(content.len() as u64 + 8).to_be_bytes()[..], &kind, content].concat()
}

/// A box with version and flags.
fn full(kind: [u8; 4], (version, flags): (u8, u32), content: &[u8]) -> Vec<u8> {
    let head = (u32::from(version) << 24) | flags;
    boxed(kind, &[&head.to_be_bytes()[..], content].concat())
}

/// 32-bit numbers, one after the other.
fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn movie(track: &Track, samples: &[Sample<'_>], times: &Times, pictures_at: u32) -> Vec<u8> {
    let made = low(EPOCH + track.made_ms / 1_000);
    let total = low(times.total);
    let upright = [ONE, 0, 0, 0, ONE, 0, 0, 0, 0x4000_0000];
    let head = [
        words(&[made, made, low(TICKS), total, ONE]),
        [&0x0100_u16.to_be_bytes()[..], &[0; 10]].concat(),
        words(&upright),
        words(&[0, 0, 0, 0, 0, 0, 2]),
    ];
    let trak = [
        track_head(track, made, total),
        // Shown from where the first picture is shown.
        boxed(*b"edts", &full(*b"elst", (0, 0), &words(&[1, total, times.delay, ONE]))),
        boxed(*b"mdia", &media(track, samples, times, (made, pictures_at))),
    ];
    boxed(*b"moov", &[full(*b"mvhd", (0, 0), &head.concat()), boxed(*b"trak", &trak.concat())].concat())
}

fn track_head(track: &Track, made: u32, total: u32) -> Vec<u8> {
    let (w, h) = (u32::from(track.width) << 16, u32::from(track.height) << 16);
    let minus = ONE.wrapping_neg();
    let matrix = match track.rotation {
        Rotation::None => [ONE, 0, 0, 0, ONE, 0, 0, 0, 0x4000_0000],
        Rotation::Right => [0, ONE, 0, minus, 0, 0, h, 0, 0x4000_0000],
        Rotation::Half => [minus, 0, 0, 0, minus, 0, w, h, 0x4000_0000],
        Rotation::Left => [0, minus, 0, ONE, 0, 0, 0, w, 0x4000_0000],
    };
    let wide = u64::from(w) * u64::from(track.pixel.0) / u64::from(track.pixel.1.max(1));
    let parts = [words(&[made, made, 1, 0, total, 0, 0, 0, 0]), words(&matrix), words(&[low(wide), h])];
    // In use, and part of what is shown.
    full(*b"tkhd", (0, 3), &parts.concat())
}

fn media(track: &Track, samples: &[Sample<'_>], times: &Times, (made, pictures_at): (u32, u32)) -> Vec<u8> {
    // The language is not known (`und`).
    let head = [words(&[made, made, low(TICKS), low(times.total)]), vec![0x55, 0xC4, 0, 0]].concat();
    let handler = [&words(&[0])[..], b"vide", &words(&[0, 0, 0]), b"Watchpost\0"].concat();
    let inside = boxed(*b"dinf", &full(*b"dref", (0, 0), &[words(&[1]), full(*b"url ", (0, 1), &[])].concat()));
    let info = [full(*b"vmhd", (0, 1), &[0; 8]), inside, boxed(*b"stbl", &table(track, samples, times, pictures_at))];
    [full(*b"mdhd", (0, 0), &head), full(*b"hdlr", (0, 0), &handler), boxed(*b"minf", &info.concat())].concat()
}

fn table(track: &Track, samples: &[Sample<'_>], times: &Times, pictures_at: u32) -> Vec<u8> {
    let count = low(samples.len() as u64);
    let mut out = full(*b"stsd", (0, 0), &[words(&[1]), entry(track)].concat());
    out.extend(full(*b"stts", (0, 0), &runs(&times.steps)));
    if times.offsets.iter().any(|offset| *offset != 0) {
        out.extend(full(*b"ctts", (0, 0), &runs(&times.offsets)));
    }
    if samples.iter().any(|sample| !sample.is_key) {
        let keys: Vec<u32> = samples.iter().zip(1..).filter(|(sample, _)| sample.is_key).map(|(_, n)| n).collect();
        out.extend(full(*b"stss", (0, 0), &[words(&[low(keys.len() as u64)]), words(&keys)].concat()));
    }
    // All of them are one chunk.
    out.extend(full(*b"stsc", (0, 0), &words(&[1, 1, count, 1])));
    let sizes: Vec<u32> = samples.iter().map(|sample| low(sample.bytes.len() as u64)).collect();
    out.extend(full(*b"stsz", (0, 0), &[words(&[0, count]), words(&sizes)].concat()));
    out.extend(full(*b"stco", (0, 0), &words(&[1, pictures_at])));
    out
}

/// How many pictures follow each other with the same number, and the number.
fn runs(numbers: &[u32]) -> Vec<u8> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match found.last_mut() {
            Some((count, last)) if last == number => *count += 1,
            _ => found.push((1, *number)),
        }
    }
    let flat: Vec<u32> = found.iter().flat_map(|(count, number)| [*count, *number]).collect();
    [words(&[low(found.len() as u64)]), words(&flat)].concat()
}

fn entry(track: &Track) -> Vec<u8> {
    let (kind, setup): ([u8; 4], Vec<u8>) = match &track.coding {
        Coding::H264 { setup, inband: false } => (*b"avc1", boxed(*b"avcC", setup)),
        Coding::H264 { setup, inband: true } => (*b"avc3", boxed(*b"avcC", setup)),
        Coding::H265 { setup, inband: false } => (*b"hvc1", boxed(*b"hvcC", setup)),
        Coding::H265 { setup, inband: true } => (*b"hev1", boxed(*b"hvcC", setup)),
        Coding::Jpeg => (*b"mp4v", full(*b"esds", (0, 0), &jpeg_setup())),
    };
    let mut out = vec![0; 6];
    out.extend(1_u16.to_be_bytes());
    out.extend([0; 16]);
    out.extend(track.width.to_be_bytes());
    out.extend(track.height.to_be_bytes());
    // 72 dpi, one picture a sample, no name, 24 bits.
    out.extend(words(&[0x0048_0000, 0x0048_0000, 0]));
    out.extend(1_u16.to_be_bytes());
    out.extend([0; 32]);
    out.extend([0x00, 0x18, 0xFF, 0xFF]);
    out.extend(setup);
    if track.pixel.0 != track.pixel.1 {
        out.extend(boxed(*b"pasp", &words(&[track.pixel.0, track.pixel.1])));
    }
    boxed(kind, &out)
}

/// Descriptors of 14496-1: visual, object type 0x6C (JPEG), no buffer size or rates told.
fn jpeg_setup() -> Vec<u8> {
    let config = [&[0x04, 13, 0x6C, 0x11][..], &[0; 11]].concat();
    [&[0x03, 21, 0x00, 0x01, 0x00][..], &config, &[0x06, 1, 0x02]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn sample(pts: u64, is_key: bool) -> Sample<'static> {
        Sample { pts: ms(pts), is_key, bytes: &[0, 0, 0, 1, 9] }
    }

    fn track(rotation: Rotation) -> Track {
        let coding = Coding::H264 { setup: vec![1, 100, 0, 31], inband: false };
        Track { coding, width: 640, height: 360, pixel: (1, 1), rotation, made_ms: 1_700_000_000_000 }
    }

    #[test]
    fn pictures_that_are_shown_in_another_order_are_decoded_in_time() {
        // I P B B P B B at 40 ms: shown 0, 120, 40, 80 …
        let order = [0, 120, 40, 80, 240, 160, 200];
        let samples: Vec<_> = order.iter().map(|at| sample(*at, *at == 0)).collect();
        let times = Times::of(&samples);
        assert_eq!(times.steps, [3_600; 7]);
        assert_eq!(times.delay, 3_600);
        assert_eq!(times.offsets, [3_600, 10_800, 0, 0, 10_800, 0, 0]);
        assert_eq!(times.total, 7 * 3_600);
    }

    #[test]
    fn the_index_says_where_every_picture_lies() {
        let samples = [sample(0, true), sample(40, false)];
        let bytes = file(&track(Rotation::None), &samples);
        let at = bytes.windows(4).position(|w| w == b"stco").unwrap();
        let begin = u32::from_be_bytes(bytes[at + 12..at + 16].try_into().unwrap()) as usize;
        assert_eq!(&bytes[begin..], [0, 0, 0, 1, 9, 0, 0, 0, 1, 9]);
        assert_eq!(&bytes[begin - 4..begin], b"mdat");
        // Boxes follow each other without a gap to the end.
        let (mut place, mut kinds) = (0, Vec::new());
        while place < bytes.len() {
            kinds.push(String::from_utf8_lossy(&bytes[place + 4..place + 8]).into_owned());
            place += u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap()) as usize;
        }
        assert_eq!((place, kinds), (bytes.len(), vec!["ftyp".into(), "moov".into(), "mdat".to_owned()]));
    }

    proptest! {
        #[test]
        fn every_picture_is_decoded_before_it_is_shown_and_shown_when_it_should_be(
            shown in proptest::collection::vec(0_u64..20_000, 1..60),
        ) {
            let samples: Vec<_> = shown.iter().map(|at| sample(*at, true)).collect();
            let times = Times::of(&samples);
            let first = shown.iter().min().copied().unwrap_or(0);
            let mut decoded = 0_u64;
            for ((at, step), offset) in shown.iter().zip(&times.steps).zip(&times.offsets) {
                let showing = decoded + u64::from(*offset) - u64::from(times.delay);
                prop_assert_eq!(showing, ticks(ms(*at)) - ticks(ms(first)));
                decoded += u64::from(*step);
            }
        }
    }
}
