//! What daemon and decode worker say to each other: CBOR behind two lengths, bounded, over a unix socket.
//!
//! ```text
//! u32 LE: bytes of the message (≤ 64 KiB) · u32 LE: bytes of its tail (≤ 16 MiB) · message, CBOR · tail, as it is
//! ```
//!
//! A tail is a coded picture, or a decoded one that found no free slot. Both ends are the same program, so there is one version and
//! no negotiation; all the same the daemon takes nothing for granted, since what decodes may have been taken over.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::fault::Fault;
use super::form::Form;

/// Longest message and longest tail.
pub(super) const MOST_MESSAGE: usize = 64 << 10;
pub(super) const MOST_TAIL: usize = 16 << 20;
/// Bytes before a message.
pub(super) const HEAD: usize = 8;

/// Which opening of a source is meant: they are numbered by the daemon.
pub(super) type Number = u32;

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) enum Ask {
    /// The first message: what it may do.
    #[n(0)]
    Begin(#[n(0)] Limits),
    /// Opens a source.
    #[n(1)]
    Open(#[n(0)] Number, #[n(1)] Box<Wanted>),
    /// The next picture is waited for; slots that are free again; what is known of the scene.
    #[n(2)]
    Want(#[n(0)] Number, #[n(1)] Vec<Slot>, #[n(2)] Option<Word>),
    /// Memory for pictures comes with this message.
    #[n(3)]
    Memory(#[n(0)] Number, #[n(1)] Room),
    /// Closes a source.
    #[n(4)]
    Close(#[n(0)] Number),
    /// What is known of the scene.
    #[n(5)]
    Scene(#[n(0)] Number, #[n(1)] Option<Word>),
    /// A coded picture that was kept, in the tail.
    #[n(6)]
    Unit(#[n(0)] Number, #[n(1)] Unit),
    /// There are no more of them.
    #[n(7)]
    Fed(#[n(0)] Number),
}

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) enum Said {
    /// It is fenced in: its version, what could not be done of that, and what holds.
    #[n(0)]
    Ready(#[n(0)] String, #[n(1)] Vec<String>, #[n(2)] Vec<String>),
    /// It lives.
    #[n(1)]
    Pulse,
    /// The source was opened.
    #[n(2)]
    Opened(#[n(0)] Number),
    /// It needs slots of so many bytes.
    #[n(3)]
    Room(#[n(0)] Number, #[n(1)] u64),
    /// What was counted since it was said last.
    #[n(4)]
    Counts(#[n(0)] Number, #[n(1)] Counts),
    /// A decoded picture.
    #[n(5)]
    Picture(#[n(0)] Number, #[n(1)] Header),
    /// Coded pictures are of this form from here on.
    #[n(6)]
    Form(#[n(0)] Number, #[n(1)] Form),
    /// A coded picture, in the tail.
    #[n(7)]
    Coded(#[n(0)] Number, #[n(1)] Unit),
    /// Coded pictures were left out: what is kept ends here.
    #[n(8)]
    Gap(#[n(0)] Number),
    /// The source woke by itself.
    #[n(9)]
    Woke(#[n(0)] Number),
    /// It begins, or ceases, to decode key frames alone.
    #[n(10)]
    Rests(#[n(0)] Number, #[n(1)] bool),
    /// The source is over, or could not be opened.
    #[n(11)]
    Over(#[n(0)] Number, #[n(1)] Option<Fault>),
    /// It is closed; nothing comes of it any more.
    #[n(12)]
    Closed(#[n(0)] Number),
    /// A decoder has spent so many milliseconds on one picture and does not come back from it.
    #[n(13)]
    Toils(#[n(0)] Number, #[n(1)] u64),
}

/// What a worker may do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Default)]
#[cbor(map)]
pub(super) struct Limits {
    /// Files and folders that may be read, beside the system's libraries.
    #[n(0)]
    pub(super) reads: Vec<ByteVec>,
    /// TCP ports that it may connect to.
    #[n(1)]
    pub(super) ports: Vec<u16>,
    /// What the names of the devices begin with that may be opened: for capture, and decoders of the hardware.
    #[n(2)]
    pub(super) devices: Vec<String>,
    /// Most bytes of its own memory.
    #[n(3)]
    pub(super) bytes: u64,
}

/// What is needed to open a source.
#[derive(Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Wanted {
    #[n(0)]
    pub(super) camera: String,
    #[n(1)]
    pub(super) number: u16,
    #[n(2)]
    pub(super) address: Address,
    /// User and password.
    #[n(3)]
    pub(super) credential: Option<(String, String)>,
    /// `auto`, `tcp` or `udp`.
    #[n(4)]
    pub(super) transport: String,
    #[n(5)]
    pub(super) ca: Option<ByteVec>,
    #[n(6)]
    pub(super) pipeline: Option<String>,
    #[n(7)]
    pub(super) fps: Option<f32>,
    #[n(8)]
    pub(super) realtime: bool,
    #[n(9)]
    pub(super) rotate: Option<u16>,
    /// Whether key frames alone may be decoded while nothing moves.
    #[n(10)]
    pub(super) idle: bool,
    /// Whether coded pictures are wanted.
    #[n(11)]
    pub(super) coded: bool,
    /// When a file was opened first, milliseconds UTC.
    #[n(12)]
    pub(super) opened: Option<u64>,
    /// The first picture of a file that is of interest: those before were seen already.
    #[n(13)]
    pub(super) from: u64,
    /// Texts of hardware decoders, each for its own codec.
    #[n(14)]
    pub(super) decoders: Vec<String>,
}

impl std::fmt::Debug for Wanted {
    /// Without what may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("camera", &self.camera).finish_non_exhaustive()
    }
}

/// An address; network addresses without user and password.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(super) enum Address {
    #[n(0)]
    Rtsp(#[n(0)] String, #[n(1)] Option<(String, String)>),
    #[n(1)]
    File(#[n(0)] ByteVec),
    #[n(2)]
    V4l2(#[n(0)] ByteVec, #[n(1)] Size),
    #[n(3)]
    Test(#[n(0)] String, #[n(1)] Size),
    /// Pictures of this form that were kept; they follow.
    #[n(4)]
    Kept(#[n(0)] Form),
}

/// What an address asks for: width, height, thousandths of frames a second, Motion JPEG (or plain pixels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Size {
    #[n(0)]
    pub(super) width: Option<u32>,
    #[n(1)]
    pub(super) height: Option<u32>,
    #[n(2)]
    pub(super) fps_milli: Option<u32>,
    #[n(3)]
    pub(super) jpeg: Option<bool>,
}

/// What is known of the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Word {
    #[n(0)]
    pub(super) still: bool,
    #[n(1)]
    pub(super) moved: u32,
    #[n(2)]
    pub(super) woken: u32,
    /// How many of this source's own wakings are among them.
    #[n(3)]
    pub(super) heard: u32,
}

/// A slot of shared memory: in which piece of memory, counted from 1, and which of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Slot {
    #[n(0)]
    pub(super) memory: u32,
    #[n(1)]
    pub(super) slot: u32,
}

/// A piece of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Room {
    #[n(0)]
    pub(super) memory: u32,
    #[n(1)]
    pub(super) slots: u32,
    /// Bytes of a slot.
    #[n(2)]
    pub(super) bytes: u64,
}

/// A decoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Header {
    #[n(0)]
    pub(super) width: u32,
    #[n(1)]
    pub(super) height: u32,
    /// Two planes (NV12) instead of three (I420).
    #[n(2)]
    pub(super) nv12: bool,
    #[n(3)]
    pub(super) full_range: bool,
    #[n(4)]
    pub(super) strides: [u32; 3],
    /// Where each plane begins and how many bytes it has.
    #[n(5)]
    pub(super) planes: [(u32, u32); 3],
    /// Milliseconds UTC.
    #[n(6)]
    pub(super) at: u64,
    /// Nanoseconds.
    #[n(7)]
    pub(super) pts: u64,
    #[n(8)]
    pub(super) index: u64,
    /// Where it lies; in the tail without it.
    #[n(9)]
    pub(super) slot: Option<Slot>,
}

/// A coded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Unit {
    /// Milliseconds UTC.
    #[n(0)]
    pub(super) at: u64,
    /// Nanoseconds, as the others.
    #[n(1)]
    pub(super) place: u64,
    #[n(2)]
    pub(super) is_key: bool,
    #[n(3)]
    pub(super) pts: Option<u64>,
    #[n(4)]
    pub(super) dts: Option<u64>,
    #[n(5)]
    pub(super) duration: Option<u64>,
}

/// What was counted since it was said last; see `CameraCounters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Counts {
    #[n(0)]
    pub(super) received: u32,
    #[n(1)]
    pub(super) dropped: u32,
    #[n(2)]
    pub(super) thinned: u32,
    #[n(3)]
    pub(super) skipped: u32,
    #[n(4)]
    pub(super) damaged: u32,
    /// Something came from the camera.
    #[n(5)]
    pub(super) heard: bool,
    /// Number of `Decoding`.
    #[n(6)]
    pub(super) decoding: u8,
    /// How its pictures lie, by its own word.
    #[n(7)]
    pub(super) degrees: u16,
    /// Openings that still close.
    #[n(8)]
    pub(super) closing: u32,
    /// Too many pictures; stamps that cannot be believed.
    #[n(9)]
    pub(super) worries: [Option<String>; 2],
}

/// The bytes of a message, without its tail of so many bytes; `None` when it is too long.
pub(super) fn encode<T: Encode<()>>(message: &T, tail: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    minicbor::encode(message, &mut bytes).ok()?;
    let length = bytes.len() - HEAD;
    if length > MOST_MESSAGE || tail > MOST_TAIL {
        return None;
    }
    let (length, tail) = (u32::try_from(length).ok()?, u32::try_from(tail).ok()?);
    let lengths = length.to_le_bytes().into_iter().chain(tail.to_le_bytes());
    bytes.iter_mut().zip(lengths).for_each(|(to, from)| *to = from);
    Some(bytes)
}

/// Bytes that came, until they are a message.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

/// Why what came is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// Its lengths are beyond the bounds.
    #[error("sent a message of {0} bytes with a tail of {1}")]
    TooLong(u32, u32),
    /// It cannot be read.
    #[error("sent what is no message: {0}")]
    Unreadable(String),
}

impl Inbox {
    /// Takes in what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < self.bytes.capacity() / 8 {
            // A large picture is no reason to keep its room.
            self.bytes.shrink_to(1 << 20);
        }
    }

    /// The next message with its tail; `None` until it is whole.
    ///
    /// # Errors
    /// What came breaks the rules: nothing after it can be understood.
    pub(super) fn next<T: for<'b> Decode<'b, ()>>(&mut self) -> Result<Option<(T, Vec<u8>)>, Broken> {
        let left = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((head, rest)) = left.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *head;
        let (length, tail) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let too_long = || Broken::TooLong(length, tail);
        let bytes = usize::try_from(length).ok().filter(|n| *n <= MOST_MESSAGE).ok_or_else(too_long)?;
        let more = usize::try_from(tail).ok().filter(|n| *n <= MOST_TAIL).ok_or_else(too_long)?;
        let Some((message, rest)) = rest.split_at_checked(bytes) else { return Ok(None) };
        let Some(tail) = rest.get(..more) else { return Ok(None) };
        let mut decoder = minicbor::Decoder::new(message);
        let message_ = decoder.decode().map_err(|e| Broken::Unreadable(e.to_string()))?;
        if decoder.position() != bytes {
            return Err(Broken::Unreadable("bytes behind its end".to_owned()));
        }
        let tail = tail.to_vec();
        self.taken += HEAD + bytes + more;
        Ok(Some((message_, tail)))
    }
}

impl Drop for Inbox {
    /// Passwords pass through it.
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            width: 1920,
            height: 1080,
            nv12: false,
            full_range: true,
            strides: [1920, 960, 960],
            planes: [(0, 2_073_600), (2_073_600, 518_400), (2_592_000, 518_400)],
            at: 1_800_000_000_000,
            pts: 40_000_000,
            index: 7,
            slot: Some(Slot { memory: 1, slot: 3 }),
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let said = [
            (Said::Pulse, vec![]),
            (Said::Picture(9, header()), vec![]),
            (
                Said::Coded(9, Unit { at: 1, place: 2, is_key: true, pts: None, dts: Some(4), duration: None }),
                vec![7; 900],
            ),
            (Said::Counts(9, Counts { received: 3, worries: [None, Some("x".into())], ..Counts::default() }), vec![]),
            (Said::Over(9, None), vec![]),
        ];
        let mut bytes = Vec::new();
        for (message, tail) in &said {
            bytes.extend(encode(message, tail.len()).unwrap());
            bytes.extend(tail);
        }
        for step in [1, 3, 100, bytes.len()] {
            let (mut inbox, mut out) = (Inbox::default(), Vec::new());
            for part in bytes.chunks(step) {
                inbox.push(part);
                while let Some(message) = inbox.next::<Said>().unwrap() {
                    out.push(message);
                }
            }
            assert_eq!(out, said, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_too_long_or_has_bytes_behind_its_end_is_refused() {
        let mut inbox = Inbox::default();
        inbox.push(&[0xff; HEAD]);
        assert_eq!(inbox.next::<Said>().unwrap_err(), Broken::TooLong(u32::MAX, u32::MAX));
        let mut bytes = encode(&Said::Pulse, 0).unwrap();
        bytes[0] += 1;
        bytes.push(0);
        let mut inbox = Inbox::default();
        inbox.push(&bytes);
        assert!(matches!(inbox.next::<Said>(), Err(Broken::Unreadable(_))));
        assert_eq!(encode(&Said::Ready("x".repeat(MOST_MESSAGE), Vec::new(), Vec::new()), 0), None);
        assert_eq!(encode(&Said::Pulse, MOST_TAIL + 1), None);
    }

    #[test]
    fn what_is_wanted_does_not_show_its_secrets() {
        let secret = || Some(("admin".to_owned(), "hunter2".to_owned()));
        let wanted = Wanted {
            camera: "gate".to_owned(),
            number: 1,
            address: Address::Rtsp("rtsp://h/token=hunter2".to_owned(), secret()),
            credential: secret(),
            transport: "auto".to_owned(),
            ca: None,
            pipeline: None,
            decoders: Vec::new(),
            fps: None,
            realtime: false,
            rotate: None,
            idle: true,
            coded: true,
            opened: None,
            from: 0,
        };
        let shown = format!("{:?}", Ask::Open(1, Box::new(wanted)));
        assert!(shown.contains("gate") && !shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_message_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..60) {
            let mut whole = encode(&Said::Picture(1, header()), 0).unwrap();
            let at = cut.min(whole.len());
            whole.splice(at.., bytes);
            let mut inbox = Inbox::default();
            inbox.push(&whole);
            for _ in 0..50 {
                if !matches!(inbox.next::<Said>(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
