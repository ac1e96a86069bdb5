//! Errors on their way from the worker: they arrive as what they were, with the same texts.
//!
//! Texts from the worker are not believed: cut to [`LONGEST`] characters, and without control characters.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::camera::Error;

/// Most characters of a text.
const LONGEST: usize = 2_000;
/// Most bytes of a path.
const LONGEST_PATH: usize = 4_096;

/// An error: which one, and what stands in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Fault {
    #[n(0)]
    kind: u8,
    #[n(1)]
    path: Option<ByteVec>,
    #[n(2)]
    texts: Vec<String>,
    #[n(3)]
    numbers: Vec<u64>,
}

impl Fault {
    fn new(kind: u8, texts: &[&str]) -> Self {
        Self { kind, texts: texts.iter().map(|t| clean(t)).collect(), ..Self::default() }
    }

    fn of_path(kind: u8, path: &Path, texts: &[&str]) -> Self {
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        bytes.truncate(LONGEST_PATH);
        Self { path: Some(bytes.into()), ..Self::new(kind, texts) }
    }

    fn with(self, numbers: &[u64]) -> Self {
        Self { numbers: numbers.to_vec(), ..self }
    }

    fn text(&mut self) -> String {
        if self.texts.is_empty() { String::new() } else { clean(&self.texts.remove(0)) }
    }

    fn number(&mut self) -> u64 {
        if self.numbers.is_empty() { 0 } else { self.numbers.remove(0) }
    }

    fn size(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(self.number())
    }

    fn path(&mut self) -> PathBuf {
        let mut bytes = self.path.take().map(Vec::from).unwrap_or_default();
        bytes.truncate(LONGEST_PATH);
        bytes.retain(|b| !b.is_ascii_control());
        PathBuf::from(OsString::from_vec(bytes))
    }
}

/// Without control characters, and not endless.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// No number of the system.
const NO_CODE: u64 = u64::MAX;

impl From<&Error> for Fault {
    #[rustfmt::skip]
    fn from(error: &Error) -> Self {
        match error {
            Error::Unreadable { path, cause } => {
                let code = cause.raw_os_error().and_then(|code| u64::try_from(code).ok()).unwrap_or(NO_CODE);
                Self::of_path(0, path, &[&cause.to_string()]).with(&[code])
            }
            Error::Container { path, found } => Self::of_path(1, path, &[found]),
            Error::Codec { origin, found } => Self::new(2, &[origin, found]),
            Error::NoVideo { origin, found } => Self::new(3, &[origin, found]),
            Error::MissingElement { pipeline, element, remedy } => Self::new(4, &[pipeline, element, remedy]),
            Error::Pipeline { pipeline, why } => Self::new(5, &[pipeline, why]),
            Error::TooLarge { origin, width, height } => {
                Self::new(6, &[origin]).with(&[u64::from(*width), u64::from(*height)])
            }
            Error::Pixels { origin, found } => Self::new(7, &[origin, found]),
            Error::Stream { origin, why, hint } => {
                let hint = hint.as_deref();
                Self::new(8, &[origin, why, hint.unwrap_or_default()]).with(&[u64::from(hint.is_some())])
            }
            Error::Denied { origin } => Self::new(9, &[origin]),
            Error::NoCredential { origin } => Self::new(10, &[origin]),
            Error::Certificate { origin, why, remedy, fingerprint } => Self::new(11, &[origin, why, remedy, fingerprint]),
            Error::Authority { path, why } => Self::of_path(12, path, &[why]),
            Error::NoTls { origin } => Self::new(13, &[origin]),
            Error::Transport { origin, wanted, remedy } => Self::new(14, &[origin, wanted, remedy]),
            Error::Redirected { origin, to } => Self::new(15, &[origin, to]),
            Error::Closed { origin } => Self::new(16, &[origin]),
            Error::Stalled { origin, waited } => Self::new(17, &[origin]).with(&[millis(*waited)]),
            Error::NoKeyFrame { origin, waited } => Self::new(18, &[origin]).with(&[millis(*waited)]),
            Error::HeldOpen { origin } => Self::new(19, &[origin]),
            Error::Truncated { path, missing } => Self::of_path(20, path, &[]).with(&[*missing]),
            Error::NoFrames { path } => Self::of_path(21, path, &[]),
            Error::Folder { path, why } => Self::of_path(22, path, &[why]),
            Error::Skipped { path, skipped, of, first } => Self::of_path(23, path, &[first]).with(&[*skipped, *of]),
            Error::Picture { path, why } => Self::of_path(24, path, &[why]),
            Error::NotBuilt { origin } => Self::new(25, &[origin]),
            Error::Gstreamer { why } => Self::new(26, &[why]),
            Error::Worker { origin, why } => Self::new(27, &[origin, why]),
            Error::Decoder { origin, pipeline, why } => Self::new(28, &[origin, pipeline, why]),
        }
    }
}

impl From<Fault> for Error {
    fn from(mut fault: Fault) -> Self {
        let kind = fault.kind;
        let mut f = || fault.text();
        match kind {
            2 => Self::Codec { origin: f(), found: f() },
            3 => Self::NoVideo { origin: f(), found: f() },
            4 => Self::MissingElement { pipeline: f(), element: f(), remedy: f() },
            5 => Self::Pipeline { pipeline: f(), why: f() },
            7 => Self::Pixels { origin: f(), found: f() },
            9 => Self::Denied { origin: f() },
            10 => Self::NoCredential { origin: f() },
            11 => Self::Certificate { origin: f(), why: f(), remedy: f(), fingerprint: f() },
            13 => Self::NoTls { origin: f() },
            14 => Self::Transport { origin: f(), wanted: f().into(), remedy: f().into() },
            15 => Self::Redirected { origin: f(), to: f() },
            16 => Self::Closed { origin: f() },
            19 => Self::HeldOpen { origin: f() },
            25 => Self::NotBuilt { origin: f() },
            26 => Self::Gstreamer { why: f() },
            27 => Self::Worker { origin: f(), why: f() },
            28 => Self::Decoder { origin: f(), pipeline: f(), why: f() },
            _ => with_more(fault),
        }
    }
}

/// Those with a path or numbers.
fn with_more(mut fault: Fault) -> Error {
    let f = &mut fault;
    match f.kind {
        0 => {
            let (code, text) = (f.number(), f.text());
            let cause = match i32::try_from(code) {
                Ok(code) => std::io::Error::from_raw_os_error(code),
                Err(_) => std::io::Error::other(text),
            };
            Error::Unreadable { path: f.path(), cause }
        }
        1 => Error::Container { path: f.path(), found: f.text() },
        6 => Error::TooLarge { origin: f.text(), width: f.size(), height: f.size() },
        8 => {
            let (origin, why, hint) = (f.text(), f.text(), f.text());
            Error::Stream { origin, why, hint: (f.number() == 1).then_some(Cow::Owned(hint)) }
        }
        12 => Error::Authority { path: f.path(), why: f.text() },
        17 => Error::Stalled { origin: f.text(), waited: f.time() },
        18 => Error::NoKeyFrame { origin: f.text(), waited: f.time() },
        20 => Error::Truncated { path: f.path(), missing: f.number() },
        21 => Error::NoFrames { path: f.path() },
        22 => Error::Folder { path: f.path(), why: f.text() },
        23 => Error::Skipped { path: f.path(), skipped: f.number(), of: f.number(), first: f.text() },
        24 => Error::Picture { path: f.path(), why: f.text() },
        _ => Error::Worker { origin: f.text(), why: "failed for a reason that it cannot tell".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Error> {
        let (origin, path) = (|| "rtsp://h/x".to_owned(), || PathBuf::from("/video/a b.mp4"));
        let (why, waited) = (|| "why — so".to_owned(), Duration::from_millis(4_100));
        vec![
            Error::Unreadable { path: path(), cause: std::io::Error::from_raw_os_error(2) },
            Error::Unreadable { path: path(), cause: std::io::Error::other("odd") },
            Error::Container { path: path(), found: why() },
            Error::Codec { origin: origin(), found: why() },
            Error::NoVideo { origin: origin(), found: why() },
            Error::MissingElement { pipeline: why(), element: origin(), remedy: why() },
            Error::Pipeline { pipeline: origin(), why: why() },
            Error::Decoder { origin: origin(), pipeline: why(), why: why() },
            Error::TooLarge { origin: origin(), width: 16_384, height: 9_000 },
            Error::Pixels { origin: origin(), found: why() },
            Error::Stream { origin: origin(), why: why(), hint: Some("do this".into()) },
            Error::Stream { origin: origin(), why: why(), hint: None },
            Error::Denied { origin: origin() },
            Error::NoCredential { origin: origin() },
            Error::Certificate { origin: origin(), why: why(), remedy: why(), fingerprint: "AB:CD".into() },
            Error::Authority { path: path(), why: why() },
            Error::NoTls { origin: origin() },
            Error::Transport { origin: origin(), wanted: "TCP".into(), remedy: "leave it out".into() },
            Error::Redirected { origin: origin(), to: why() },
            Error::Closed { origin: origin() },
            Error::Stalled { origin: origin(), waited },
            Error::NoKeyFrame { origin: origin(), waited },
            Error::HeldOpen { origin: origin() },
            Error::Truncated { path: path(), missing: 17 },
            Error::NoFrames { path: path() },
            Error::Folder { path: path(), why: why() },
            Error::Skipped { path: path(), skipped: 1, of: 9, first: why() },
            Error::Picture { path: path(), why: why() },
            Error::NotBuilt { origin: origin() },
            Error::Gstreamer { why: why() },
            Error::Worker { origin: origin(), why: why() },
        ]
    }

    #[test]
    fn every_error_arrives_as_what_it_was() {
        let mut kinds = std::collections::BTreeSet::new();
        for error in all() {
            let bytes = minicbor::to_vec(Fault::from(&error)).unwrap();
            let fault: Fault = minicbor::decode(&bytes).unwrap();
            kinds.insert(fault.kind);
            let arrived = Error::from(fault);
            assert_eq!((arrived.to_string(), arrived.retry()), (error.to_string(), error.retry()));
            assert_eq!(format!("{arrived:?}"), format!("{error:?}"));
        }
        assert_eq!(kinds.len(), 29, "one is missing here");
    }

    #[test]
    fn texts_of_a_worker_are_cut_and_have_no_control_characters() {
        let fault = Fault { kind: 26, texts: vec![format!("a\u{1b}[2J{}", "x".repeat(9_000))], ..Fault::default() };
        let text = Error::from(fault).to_string();
        assert!(text.len() < LONGEST + 200 && !text.contains('\u{1b}'), "{}", text.len());
        let odd = Fault { kind: 200, ..Fault::default() };
        assert!(matches!(Error::from(odd), Error::Worker { .. }));
    }
}
