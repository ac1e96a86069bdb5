//! What kind of file it is, by its first bytes: the name of a file is not trusted. (One exception: a row of JPEGs and a
//! single one begin alike.)

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::Error;
use super::still::is_row_of_jpegs;

/// Kinds of video files that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// ISO base media: mp4, mov, m4v, fragmented or not.
    Mp4,
    /// Matroska and WebM.
    Matroska,
    /// MPEG transport stream.
    Ts,
    /// AVI.
    Avi,
    /// H.264 without a container (Annex B).
    RawH264,
    /// H.265 without a container (Annex B).
    RawH265,
    /// One JPEG after the other.
    RawJpeg,
}

/// Bytes that are looked at: enough for three packets of a transport stream.
const LOOK: u64 = 512;

/// Opens the file and tells its kind.
///
/// # Errors
/// [`Error::Unreadable`], or [`Error::Container`] with what was found instead.
pub(super) fn sniff(path: &Path) -> Result<Container, Error> {
    let unreadable = |cause| Error::Unreadable { path: path.to_owned(), cause };
    let file = File::open(path).map_err(unreadable)?;
    let container = |found: &str| Error::Container { path: path.to_owned(), found: found.to_owned() };
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(container("a folder"));
    }
    let mut head = Vec::new();
    file.take(LOOK).read_to_end(&mut head).map_err(unreadable)?;
    match recognise(&head) {
        // One picture or many begin alike: here the name says what is meant.
        Err(_) if is_row_of_jpegs(path) && head.starts_with(&[0xff, 0xd8, 0xff]) => Ok(Container::RawJpeg),
        found => found.map_err(|found| container(&found)),
    }
}

/// The kind of file that begins with `head`, or what else it is.
fn recognise(head: &[u8]) -> Result<Container, String> {
    match head {
        [] => Err("an empty file".to_owned()),
        [_, _, _, _, kind @ ..]
            if [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"styp"].iter().any(|k| kind.starts_with(*k)) =>
        {
            Ok(Container::Mp4)
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Ok(Container::Matroska),
        [0, 0, 1, unit @ ..] | [0, 0, 0, 1, unit @ ..] => raw_codec(unit),
        [0x47, ..] if head.get(188) == Some(&0x47) && head.get(376).is_none_or(|b| *b == 0x47) => Ok(Container::Ts),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => Ok(Container::Avi),
        [0xff, 0xd8, 0xff, ..] => Err("a JPEG picture and no video".to_owned()),
        [0x89, b'P', b'N', b'G', ..] => Err("a PNG picture and no video".to_owned()),
        _ => Err(format!("no video file that is known (it begins with {:02x?})", head.get(..8).unwrap_or(head))),
    }
}

/// Codec of an Annex B stream by its first unit: parameter sets, access unit delimiter or SEI
/// (ITU-T H.264 table 7-1, H.265 table 7-1).
fn raw_codec(unit: &[u8]) -> Result<Container, String> {
    match unit {
        // H.265 headers have two bytes; the second is layer 0, temporal id 0.
        [first, 1, ..] if matches!(first >> 1, 32..=35 | 39) && first & 0x81 == 0 => Ok(Container::RawH265),
        [first, ..] if matches!(first & 0x1f, 6 | 7 | 9) && first & 0x80 == 0 => Ok(Container::RawH264),
        [first, ..] => Err(format!("a raw stream of a codec that is not known (first unit 0x{first:02x})")),
        [] => Err("a raw stream without content".to_owned()),
    }
}

/// Most boxes that are looked at; a fragmented file has two a fragment.
const MOST_BOXES: u32 = 100_000;

/// How many bytes the headers of `path` promise beyond its end; `None` when it is whole, or when they promise nothing.
pub(super) fn missing_bytes(path: &Path, container: Container) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    let end = match container {
        Container::Mp4 => mp4_end(&mut file, len),
        Container::Matroska => matroska_end(&mut file),
        Container::Ts | Container::Avi | Container::RawH264 | Container::RawH265 | Container::RawJpeg => None,
    }?;
    end.checked_sub(len).filter(|missing| *missing > 0)
}

/// Where the last top-level box ends by its own word (ISO/IEC 14496-12, 4.2).
fn mp4_end(file: &mut File, len: u64) -> Option<u64> {
    let mut at = 0_u64;
    for _ in 0..MOST_BOXES {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        let got = read_up_to(file, &mut head)?;
        let [a, b, c, d, _, _, _, _, long @ ..] = head;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            // To the end of the file, whatever that is.
            0 => return None,
            1 if got == 16 => u64::from_be_bytes(long),
            1 => return Some(at + 16),
            size => u64::from(size),
        };
        if got < 8 {
            return Some(at + 8);
        }
        at = at.checked_add(size.max(8))?;
        if at >= len {
            return Some(at);
        }
    }
    None
}

/// Where the segment ends by its own word (RFC 8794: element id, then size, both variable in length).
fn matroska_end(file: &mut File) -> Option<u64> {
    let mut head = [0; 64];
    let got = read_up_to(file, &mut head)?;
    let head = head.get(..got)?;
    // The EBML header: id of 4 bytes, size, content; then the segment: id of 4 bytes, size.
    let (header_size, n) = ebml_size(head.get(4..)?)?;
    let segment = u64::try_from(4 + n).ok()?.checked_add(header_size?)?;
    let after = head.get(usize::try_from(segment).ok()?..)?;
    if after.get(..4)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, n) = ebml_size(after.get(4..)?)?;
    segment.checked_add(u64::try_from(4 + n).ok()?)?.checked_add(size?)
}

/// A size and how many bytes it takes; all ones mean that it is not known.
fn ebml_size(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let n = first.leading_zeros() as usize + 1;
    if n > 8 {
        return None;
    }
    let mask = (1_u64 << (7 * n)) - 1;
    let value = bytes.get(..n)?.iter().fold(0_u64, |v, b| (v << 8) | u64::from(*b)) & mask;
    Some(((value != mask).then_some(value), n))
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> Option<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|r| !r.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(got)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn containers_are_known_by_their_first_bytes() {
        let mut ts = vec![0_u8; 512];
        for at in [0, 188, 376] {
            ts[at] = 0x47;
        }
        for (head, want) in [
            (b"\0\0\0\x20ftypisom".to_vec(), Container::Mp4),
            (b"\x1a\x45\xdf\xa3\x01".to_vec(), Container::Matroska),
            (ts, Container::Ts),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), Container::Avi),
            (b"\0\0\0\x01\x67\x64".to_vec(), Container::RawH264),
            (b"\0\0\x01\x09\xf0".to_vec(), Container::RawH264),
            (b"\0\0\0\x01\x40\x01\x0c".to_vec(), Container::RawH265),
            (b"\0\0\0\x01\x46\x01\x50".to_vec(), Container::RawH265),
        ] {
            assert_eq!(recognise(&head), Ok(want));
        }
    }

    #[test]
    fn what_is_no_video_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (bytes, found) in [(&b""[..], "an empty file"), (b"\xff\xd8\xff\xe0", "JPEG picture"), (b"hello", "68, 65")]
        {
            let path = dir.path().join("f");
            std::fs::write(&path, bytes).unwrap();
            let error = sniff(&path).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("can be played"), "{error}");
        }
        assert!(sniff(dir.path()).unwrap_err().to_string().contains("a folder"));
        let error = sniff(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none: cannot be read: No such file"), "{error}");
    }

    fn missing(bytes: &[u8], container: Container) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        missing_bytes(&path, container)
    }

    #[test]
    fn a_file_that_is_cut_off_is_known_by_its_headers() {
        let mp4 = [b"\0\0\0\x08ftyp\0\0\0\x10mdat12345678".as_slice(), &[0, 0, 0, 8], b"moov"].concat();
        assert_eq!(missing(&mp4, Container::Mp4), None);
        assert_eq!(missing(&mp4[..20], Container::Mp4), Some(4));
        assert_eq!(missing(&mp4[..28], Container::Mp4), Some(4));
        let to_the_end = b"\0\0\0\x08ftyp\0\0\0\0mdat123";
        assert_eq!(missing(to_the_end, Container::Mp4), None);
        let mkv = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x84abcd";
        assert_eq!(missing(mkv, Container::Matroska), None);
        assert_eq!(missing(&mkv[..13], Container::Matroska), Some(3));
        let live = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xffabcd";
        assert_eq!(missing(live, Container::Matroska), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_walk_over_headers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = missing(&bytes, Container::Mp4);
            let _ = missing(&[b"\x1a\x45\xdf\xa3".as_slice(), &bytes].concat(), Container::Matroska);
        }

        #[test]
        fn no_bytes_make_the_recogniser_panic(head in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = recognise(&head);
        }
    }
}
