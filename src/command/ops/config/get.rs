//! `config.get`: the configuration in force, where each value comes from, and what is on probation. No secrets: there are
//! none in it.

use minicbor::{Decode, Encode};

use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::config::layers::Row as Written;
use crate::config::managed::{self, trial};
use crate::config::{Layers, Overlay};
use crate::domain::{Reason, TimeMs};

/// Bytes of rows in one answer: what is beyond is asked for anew, after the last key.
const MAX_BYTES: usize = 40 * 1024;
/// What stands in place of an address's own password or token.
const HIDDEN: &str = "…";

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Only keys that begin so, such as `camera.gate`.
    #[n(0)]
    pub prefix: Option<String>,
    /// Only keys behind this one: the next page.
    #[n(1)]
    pub after: Option<String>,
    /// Also keys of single sections that are not written down, with their defaults.
    #[n(2)]
    pub defaults: Option<bool>,
    /// Also the text of the centre's overlay.
    #[n(3)]
    pub overlay: Option<bool>,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// Nowhere: it is the default.
    #[n(0)]
    Default,
    /// In the box's own files.
    #[n(1)]
    Local,
    /// In a file of the centre.
    #[n(2)]
    Centre,
}

/// A value in force.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    /// The key with its section.
    #[n(0)]
    pub key: String,
    /// The value as TOML.
    #[n(1)]
    pub value: String,
    /// Where it comes from.
    #[n(2)]
    pub origin: Origin,
    /// File and line, where there is one.
    #[n(3)]
    pub place: Option<String>,
}

/// What is on probation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Probation {
    /// Its number.
    #[n(0)]
    pub serial: u64,
    /// SHA-256 of the whole configuration with it, in hex.
    #[n(1)]
    pub digest: String,
    /// Who staged it.
    #[n(2)]
    pub by: String,
    /// When.
    #[n(3)]
    pub staged: TimeMs,
    /// A session has to stand for so many seconds …
    #[n(4)]
    pub stand_s: u32,
    /// … within so many seconds from the start.
    #[n(5)]
    pub within_s: u32,
}

/// How the last probation ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Last {
    /// Its number.
    #[n(0)]
    pub serial: u64,
    /// Whether it stayed in force.
    #[n(1)]
    pub confirmed: bool,
    /// Why.
    #[n(2)]
    pub why: String,
    /// Who had staged it.
    #[n(3)]
    pub by: String,
    /// When it ended.
    #[n(4)]
    pub at: TimeMs,
    /// SHA-256 of the whole configuration with it, in hex.
    #[n(5)]
    pub digest: String,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// SHA-256 of the configuration in force: what a change builds on.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// Number of the centre's overlay in force; 0: none.
    #[n(1)]
    pub serial: u64,
    /// The values, by key.
    #[n(2)]
    pub rows: Vec<Row>,
    /// There are more behind this key.
    #[n(3)]
    pub next: Option<String>,
    /// What is on probation.
    #[n(4)]
    pub probation: Option<Probation>,
    /// How the last probation ended.
    #[n(5)]
    pub last: Option<Last>,
    /// Whether the box's own files let the centre lay something over them.
    #[n(6)]
    pub is_managed: bool,
    /// The files were changed since the daemon started: what is told is what the next start takes.
    #[n(7)]
    pub is_stale: bool,
    /// The centre's overlay, where it was asked for.
    #[n(8)]
    pub overlay: Option<String>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let internal = |text: String| Refusal::new(Reason::Internal, text);
    let layers = Layers::read(&rooms.config_path, &Overlay::OnDisk)
        .map_err(|faults| internal(format!("the box's files were changed and have faults now: {faults}")))?;
    let folder = managed::folder(layers.data_dir());
    let book = trial::Book::read(&folder).map_err(internal)?;
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let mut rows = Vec::new();
    let (mut next, mut bytes) = (None, 0);
    for written in layers.rows(args.defaults == Some(true)) {
        let wanted = written.key.starts_with(prefix) && args.after.as_ref().is_none_or(|after| written.key > *after);
        if !wanted {
            continue;
        }
        let row = told(written, &layers);
        bytes += row.key.len() + row.value.len() + row.place.as_ref().map_or(0, String::len) + 16;
        if bytes > MAX_BYTES && !rows.is_empty() {
            next = rows.last().map(|row: &Row| row.key.clone());
            break;
        }
        rows.push(row);
    }
    let own = managed::overlay_path(&folder);
    let overlay = layers.overlays.iter().find(|(file, _)| *file == own).map(|(_, text)| text.clone());
    let answer = Answer {
        digest: rooms.config.digest,
        serial: book.in_force,
        rows,
        next,
        probation: book.trial.map(|t| Probation {
            serial: t.serial,
            digest: t.digest,
            by: t.by,
            staged: TimeMs(t.staged_ms),
            stand_s: t.stand_s,
            within_s: t.within_s,
        }),
        last: book.last.map(|e| Last {
            serial: e.serial,
            confirmed: e.confirmed,
            why: e.why,
            by: e.by,
            at: TimeMs(e.at_ms),
            digest: e.digest,
        }),
        is_managed: layers.is_managed,
        is_stale: layers.digest() != rooms.config.digest,
        overlay: (args.overlay == Some(true)).then(|| overlay.unwrap_or_default()),
    };
    Ok(Done { result: ops::encode(&answer), ..Done::default() })
}

fn told(written: Written, layers: &Layers) -> Row {
    let origin = match &written.place {
        None => Origin::Default,
        Some(place) if layers.is_of_centre(place) => Origin::Centre,
        Some(_) => Origin::Local,
    };
    let value = shown(&written.key, written.value);
    Row { key: written.key, value, origin, place: written.place.map(|place| place.to_string()) }
}

/// A value as it may be shown: a token in an address's query is a secret that the configuration can't refuse.
pub(super) fn shown(key: &str, value: String) -> String {
    let is_address = matches!(key.rsplit('.').next(), Some("uri" | "substream"));
    match value.split_once('?') {
        Some((address, _)) if is_address && address.contains("rtsp") => format!("{address}?{HIDDEN}\""),
        _ => value,
    }
}
