//! Opening the log: read all of it, hold it against the stored hashes and the last checkpoint, and decide.
//!
//! | found | what happens |
//! |---|---|
//! | nothing at all | a log is begun |
//! | an unfinished end that was never on the medium for sure (no hash of it) | cut, and said in a record |
//! | hashes that are missing, too few or contradict each other | made anew from the log; said when they were wrong |
//! | a record changed, taken out, put in or moved; fewer records than hashes, or than the last checkpoint says | the log is set aside whole (`audit.damaged-<ms>`), another is begun |
//! | the log is gone and its hashes or its checkpoint are not | another is begun |
//! | a log of the first version | set aside (`audit.v1`), another is begun |
//!
//! A log that follows another names that one's id, size and root in its first record, as far as they can be known, and
//! where they are known from. Who can change all three files at once cannot be seen from here: the centre, which keeps
//! checkpoints, sees it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::hashes::{Hashes, Stored};
use super::record::{MAGIC, MAGIC_V1, Reader, Step};
use super::{Audit, Event, Later, Paths, State, owned};
use crate::domain::tree::Edge;
use crate::domain::{Checkpoint, LogId, TimeMs, TreeHead};
use crate::store::disk::Disk;
use crate::store::error::Error;
use crate::store::record::Bytes;

/// What reading a log came to.
struct Found {
    state: State,
    /// What is wrong with it: it must not be gone on with.
    wrong: Option<String>,
    /// To be said in it.
    repaired: Vec<(&'static str, String)>,
}

/// What is known of a log that another follows.
struct Old {
    why: String,
    id: Option<LogId>,
    head: TreeHead,
    known_from: &'static str,
    /// Where it lies now.
    aside: Option<String>,
}

fn new_id() -> Result<LogId, Error> {
    let mut id = [0; 8];
    SystemRandom::new().fill(&mut id).map_err(|_| Error::Crypto("the system gave no random bytes"))?;
    Ok(LogId(id))
}

/// The text of the checkpoint that was signed last, where there is one that can be read.
fn last_signed(paths: &Paths) -> Option<Checkpoint> {
    Checkpoint::parse(&std::fs::read_to_string(&paths.checkpoint).ok()?).ok()
}

impl Audit {
    /// Opens the log whose file is `path`, or begins one there. What it has to say becomes durable with the first
    /// record that is appended.
    pub(in crate::store) fn open(disk: Arc<dyn Disk>, path: &Path, now: TimeMs) -> Result<Self, Error> {
        Self::open_as(disk, path, now, new_id()?)
    }

    pub(super) fn open_as(disk: Arc<dyn Disk>, path: &Path, now: TimeMs, id: LogId) -> Result<Self, Error> {
        let paths = Paths::of(path);
        let mut magic = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => {
                use std::io::Read as _;
                file.take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(Error::io("read", path))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", path)(e)),
        }
        let fresh = || State::begin(&disk, &paths, id);
        let state = if magic.is_empty() || (magic.len() < MAGIC.len() && MAGIC.starts_with(&magic)) {
            begin_where_none_is(&*disk, &paths, fresh(), now)?
        } else if magic == *MAGIC_V1 {
            take_over_v1(&*disk, &paths, fresh(), now)?
        } else {
            let found = if magic == *MAGIC { read(&disk, &paths)? } else { Found::foreign(fresh()) };
            match found.wrong {
                None => {
                    let mut state = found.state;
                    if !found.repaired.is_empty() {
                        state.later.push(Later { at: now, event: Event::Repaired, details: owned(&found.repaired) });
                    }
                    state
                }
                Some(why) => {
                    let old = Old::of(&paths, &found.state, why);
                    follow(&*disk, &paths, fresh(), old, now)?
                }
            }
        };
        Ok(Self { disk, paths, state: Mutex::new(state), signer: Mutex::new(None) })
    }
}

impl State {
    fn begin(disk: &Arc<dyn Disk>, paths: &Paths, id: LogId) -> Self {
        Self {
            file: None,
            len: 0,
            id,
            edge: Edge::default(),
            marks: Vec::new(),
            hashes: Hashes::resume(Arc::clone(disk), paths.hashes.clone(), 0),
            unwritten: Vec::new(),
            later: Vec::new(),
            hits: None,
            signed: None,
        }
    }

    /// Puts the first record of this log before all others.
    fn say_begun(&mut self, now: TimeMs, more: &[(&str, String)]) {
        let mut details = owned(&[("log", self.id.to_string())]);
        details.extend(owned(more));
        self.later.insert(0, Later { at: now, event: Event::Begun, details });
    }
}

impl Found {
    fn foreign(state: State) -> Self {
        Self { state, wrong: Some("it does not begin as an audit log does".to_owned()), repaired: Vec::new() }
    }
}

/// Nothing is there; when there are traces of a log, that is said.
fn begin_where_none_is(disk: &dyn Disk, paths: &Paths, state: State, now: TimeMs) -> Result<State, Error> {
    let mut stored = Stored::open(&paths.hashes)?;
    if stored.count == 0 && last_signed(paths).is_none() {
        let mut state = state;
        state.say_begun(now, &[]);
        return Ok(state);
    }
    let mut old = Old::of(paths, &state, "the log's file is gone".to_owned());
    if let Some(head) = stored.consistent().filter(|head| head.size > old.head.size) {
        (old.head, old.known_from) = (head, "hashes");
    }
    follow(disk, paths, state, old, now)
}

/// Reads a log of this version and holds it against its hashes and its last checkpoint.
fn read(disk: &Arc<dyn Disk>, paths: &Paths) -> Result<Found, Error> {
    let mut state = State::begin(disk, paths, LogId::default());
    let mut stored = Stored::open(&paths.hashes)?;
    let signed = last_signed(paths);
    let mut found = Found { state: State::begin(disk, paths, LogId::default()), wrong: None, repaired: Vec::new() };
    let mut reader = Reader::start(&paths.log)?;
    let (mut differs, mut count) = (None, 0);
    let mut torn = 0;
    loop {
        let at = reader.at;
        match reader.step().map_err(Error::io("read", &paths.log))? {
            Step::Record(record, leaf) => {
                if record.number == 1 {
                    state.id = record.detail("log").and_then(|id| id.parse().ok()).unwrap_or_default();
                }
                for hash in state.follow(&record, &leaf, at) {
                    let known = if count < stored.count { stored.next() } else { None };
                    if known.is_some_and(|known| known != hash) {
                        differs.get_or_insert(record.number);
                    }
                    count += 1;
                }
                if let Some(signed) = signed.as_ref().filter(|s| s.head.size == record.number)
                    && signed.head != state.edge.head()
                {
                    let what = format!("one of the records up to {} was changed since they were signed", record.number);
                    found.wrong.get_or_insert(what);
                }
            }
            Step::End => break,
            Step::Torn(bytes) => {
                torn = bytes;
                break;
            }
            Step::Damaged(what) => {
                found.wrong = Some(format!("{what} (at byte {at})"));
                break;
            }
        }
    }
    let size = state.edge.size();
    state.len = reader.at;
    let known = stored.records().max(signed.as_ref().map_or(0, |s| s.head.size));
    if found.wrong.is_none() && known > size {
        found.wrong = Some(format!("it ends with record {size}, and had {known}: records were cut off its end"));
    }
    if found.wrong.is_none()
        && let Some(number) = differs
    {
        // Either is changed. Hashes that contradict each other are not those that were written.
        if stored.consistent().is_some() {
            found.wrong = Some(format!("record {number} is not the one whose hash was kept: it was changed"));
        } else {
            tracing::error!(path = %paths.hashes.display(), record = number, "hashes of the audit log are wrong, made anew");
            found.repaired.push(("hashes", format!("wrong from record {number} on, made anew from the log")));
        }
    }
    if found.wrong.is_none() {
        if torn > 0 {
            tracing::warn!(path = %paths.log.display(), bytes = torn, "unfinished end of the audit log cut");
            found.repaired.push(("torn", format!("{torn} bytes of a record that was never finished, cut")));
        }
        let sound = if differs.is_some() { 0 } else { stored.count.min(count) };
        make_hashes(disk, paths, &mut state, sound)?;
        state.signed = None;
    }
    found.state = state;
    Ok(found)
}

/// Brings the file of hashes up to the log.
fn make_hashes(disk: &Arc<dyn Disk>, paths: &Paths, state: &mut State, sound: u64) -> Result<(), Error> {
    let wanted = tlog_tiles::tlog::stored_hash_count(state.edge.size());
    state.hashes = Hashes::resume(Arc::clone(disk), paths.hashes.clone(), sound);
    if sound == wanted {
        return Ok(());
    }
    let mut edge = Edge::default();
    let mut place = 0;
    let mut missing = Vec::new();
    let mut reader = Reader::start(&paths.log)?;
    while let Ok(Step::Record(_, leaf)) = reader.step() {
        for hash in edge.push(crate::domain::tree::leaf_hash(&leaf)) {
            if place >= sound {
                missing.push(hash);
            }
            place += 1;
        }
        if missing.len() >= 4_096 {
            state.hashes.append(&std::mem::take(&mut missing))?;
        }
    }
    state.hashes.append(&missing)
}

impl Old {
    /// The most that is known of a log: its hashes, else its last checkpoint, else what of it is sound.
    fn of(paths: &Paths, sound: &State, why: String) -> Self {
        let id = (sound.edge.size() > 0).then_some(sound.id);
        let mut old = Self { why, id, head: sound.edge.head(), known_from: "what is sound of it", aside: None };
        if let Ok(mut stored) = Stored::open(&paths.hashes)
            && let Some(head) = stored.consistent().filter(|head| head.size >= old.head.size && head.size > 0)
        {
            (old.head, old.known_from) = (head, "hashes");
        }
        if let Some(signed) = last_signed(paths) {
            old.id = old.id.or(Some(signed.log));
            if signed.head.size >= old.head.size {
                (old.head, old.known_from) = (signed.head, "checkpoint");
            }
        }
        old
    }
}

/// Sets aside what there is of a log and begins another that names it.
fn follow(disk: &dyn Disk, paths: &Paths, mut state: State, mut old: Old, now: TimeMs) -> Result<State, Error> {
    for path in [&paths.log, &paths.hashes, &paths.checkpoint] {
        if path.exists() {
            let suffix = path.extension().and_then(|e| e.to_str()).filter(|e| *e != "log").map(|e| format!(".{e}"));
            let aside = paths.log.with_extension(format!("damaged-{}{}", now.0, suffix.unwrap_or_default()));
            disk.rename(path, &aside).map_err(Error::io("rename", path))?;
            old.aside = old.aside.or_else(|| aside.file_name().map(|n| n.to_string_lossy().into_owned()));
        }
    }
    let aside = old.aside.unwrap_or_else(|| "nothing was left of it".to_owned());
    tracing::error!(path = %paths.log.display(), why = old.why, aside, size = old.head.size, "audit log can't be trusted: set aside, another is begun");
    let mut details = vec![
        ("why", old.why),
        ("old_size", old.head.size.to_string()),
        ("old_root", old.head.root.to_string()),
        ("known_from", old.known_from.to_owned()),
        ("aside", aside),
    ];
    if let Some(id) = old.id {
        details.insert(1, ("old_log", id.to_string()));
    }
    state.say_begun(now, &details);
    Ok(state)
}

/// A log of the first version: a chain of SHA-256 over its records, whose last is its head.
fn take_over_v1(disk: &dyn Disk, paths: &Paths, mut state: State, now: TimeMs) -> Result<State, Error> {
    let bytes = std::fs::read(&paths.log).map_err(Error::io("read", &paths.log))?;
    let (records, head, fault) = read_v1(&bytes);
    let aside = paths.log.with_extension("v1");
    let aside = if aside.exists() { paths.log.with_extension(format!("v1-{}", now.0)) } else { aside };
    disk.rename(&paths.log, &aside).map_err(Error::io("rename", &paths.log))?;
    let mut details = vec![
        ("why", "the log was of the first version, whose records only name the one before".to_owned()),
        ("old_format", "1".to_owned()),
        ("old_size", records.to_string()),
        ("old_head", data_encoding::HEXLOWER.encode(&head)),
        ("aside", aside.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())),
    ];
    if let Some(at) = fault {
        tracing::error!(path = %aside.display(), at, "audit log of the first version is damaged");
        details.push(("damaged_at", at.to_string()));
    }
    tracing::info!(records, aside = %aside.display(), "audit log of the first version taken over");
    state.say_begun(now, &details);
    Ok(state)
}

/// Records that fit their chain, the SHA-256 of the last one, and where it breaks, if it does.
fn read_v1(bytes: &[u8]) -> (u64, [u8; 32], Option<u64>) {
    use minicbor::Decode;
    /// What is needed of a record: its number and the hash of the one before.
    #[derive(Decode)]
    #[cbor(map)]
    struct RecordV1 {
        #[n(1)]
        number: u64,
        #[cbor(n(3), with = "minicbor::bytes")]
        before: [u8; 32],
    }
    let mut input = Bytes(bytes.get(MAGIC_V1.len()..).unwrap_or_default());
    let (mut records, mut head) = (0, [0; 32]);
    while !input.0.is_empty() {
        let at = (bytes.len() - input.0.len()) as u64;
        let Some((len, crc)) = input.u32().zip(input.u32()) else { break };
        let Some(cbor) = input.take(usize::try_from(len).unwrap_or(usize::MAX)) else { break };
        let record = minicbor::decode::<RecordV1>(cbor).ok().filter(|_| crc32fast::hash(cbor) == crc);
        if !record.is_some_and(|r| r.number == records + 1 && r.before == head) {
            return (records, head, (!input.0.is_empty()).then_some(at));
        }
        records += 1;
        let digest = ring::digest::digest(&ring::digest::SHA256, cbor);
        head.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    }
    (records, head, None)
}
