//! The centre as witness: the newest checkpoint of each box's audit log that it believes, durably, and what contradicts it.
//!
//! One JSON file a box, `<site>.<box>.json`, replaced as a whole and synced before anybody is told: what was believed once
//! is not forgotten by a power cut. A checkpoint that is believed moves on only with a consistency proof; a newer one that
//! waits for its proof is kept beside it. Whatever contradicts is an **alarm**, kept until somebody accepts the log as it is
//! now: then the old checkpoint goes to the file's history, never away.
//!
//! Used by `watchpostctl tail` and `watchpostctl audit`, also at the same time: each step reads and writes under a lock.
//! No I/O but these files; proofs come from outside.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::note;
use crate::domain::{BoxId, Checkpoint, SiteId, TimeMs, TreeHash, tree};

/// Checkpoints of before that are told from a rollback when they arrive once more.
const RECENT: usize = 64;
/// Logs that were followed by others, kept of a box.
const HISTORY: usize = 64;

/// Why the witness cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("the witness's file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error(
        "the witness's file {path} cannot be understood ({what}): bring back a copy; without it a rollback of this box can't be told"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What contradicts what is believed of a box's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// The checkpoint is not believed.
    #[error("forged: {0}")]
    Forged(String),
    /// Fewer records than before.
    #[error("rolled back or cut: the log has {now} records, it had {had}")]
    Rollback {
        /// Records now.
        now: u64,
        /// Records that were known.
        had: u64,
    },
    /// Another log of the same length.
    #[error("forked: another log of {size} records than the one that is known")]
    Fork {
        /// Records.
        size: u64,
    },
    /// The later log does not begin with the one that is known.
    #[error("changed: the log of {now} records does not begin with the {had} that are known: {why}")]
    Changed {
        /// Records now.
        now: u64,
        /// Records that were known.
        had: u64,
        /// What the proof failed on, or why there is none.
        why: String,
    },
    /// The box begun another log.
    #[error("another log ({log}) in place of the one with {had} records: {why}")]
    Replaced {
        /// The id of the new one.
        log: String,
        /// Records that were known of the one before.
        had: u64,
        /// What the new log's first record says of it.
        why: String,
    },
}

/// What a checkpoint that arrived is to the witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The first of this box: believed as it is.
    First(Checkpoint),
    /// Known already, or older and known from before.
    Known,
    /// Newer; believed when its proof is there.
    Newer {
        /// What is believed.
        believed: Checkpoint,
        /// What waits for its proof.
        newest: Checkpoint,
    },
    /// It contradicts; told and kept. `again`: it was known already.
    Alarm {
        /// What is wrong.
        what: Alarm,
        /// Whether an alarm stood before.
        again: bool,
    },
}

/// What is kept of a box.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    /// The note that is believed.
    believed: String,
    /// When it was.
    believed_at: String,
    /// A newer one, signed, not proven.
    newest: Option<String>,
    /// `size root` of some that were believed or waited before.
    recent: Vec<String>,
    alarm: Option<String>,
    alarm_at: Option<String>,
    /// The note that raised it.
    alarm_note: Option<String>,
    /// Logs that were given up for others by a person: when, what was believed, and why.
    history: Vec<(String, String, String)>,
}

/// What is known of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What is believed.
    pub believed: Checkpoint,
    /// The note that says it.
    pub note: Vec<u8>,
    /// A newer one that waits for its proof.
    pub newest: Option<Checkpoint>,
    /// What contradicts, in words, and since when.
    pub alarm: Option<(String, String)>,
}

/// A box whose log is watched.
#[derive(Debug, Clone)]
pub struct Watched<'a> {
    /// Where it stands.
    pub site: &'a SiteId,
    /// Its id.
    pub box_id: &'a BoxId,
    /// The keys that it may sign with.
    pub keys: &'a Keys,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Witness {
    dir: PathBuf,
}

fn word(checkpoint: &Checkpoint) -> String {
    format!("{} {} {}", checkpoint.log, checkpoint.head.size, checkpoint.head.root)
}

fn parse(text: &str) -> Option<Checkpoint> {
    Checkpoint::parse(text).ok()
}

impl Form {
    fn first(note: &str, now: TimeMs) -> Self {
        Self {
            version: 1,
            believed: note.to_owned(),
            believed_at: now.to_string(),
            newest: None,
            recent: Vec::new(),
            alarm: None,
            alarm_at: None,
            alarm_note: None,
            history: Vec::new(),
        }
    }

    fn remember(&mut self, checkpoint: &Checkpoint) {
        self.recent.push(word(checkpoint));
        let excess = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..excess);
    }

    fn raise(&mut self, what: &Alarm, note: &str, now: TimeMs) -> bool {
        let again = self.alarm.is_some();
        if !again {
            self.alarm = Some(what.to_string());
            self.alarm_at = Some(now.to_string());
            self.alarm_note = Some(note.to_owned());
        }
        again
    }
}

impl Witness {
    /// With its files in `dir`, which is made when there is something to keep.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What is known of a box; `None` before its first checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known(&self, of: &Watched<'_>) -> Result<Option<Known>, Error> {
        let Some(form) = self.load(of)? else { return Ok(None) };
        let bad = || self.form(of, "it holds no checkpoint");
        Ok(Some(Known {
            believed: parse(&form.believed).ok_or_else(bad)?,
            note: form.believed.into_bytes(),
            newest: form.newest.as_deref().and_then(parse),
            alarm: form.alarm.zip(form.alarm_at),
        }))
    }

    /// Takes a checkpoint that arrived; what has to be kept of it is durable when this returns.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn hear(&self, of: &Watched<'_>, note: &[u8], now: TimeMs) -> Result<Heard, Error> {
        let text = String::from_utf8_lossy(note).into_owned();
        let opened = note::open(note, &tree::origin(of.site, of.box_id), of.keys);
        let _lock = self.lock(of)?;
        let form = self.load(of)?;
        let checkpoint = match opened {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let what = Alarm::Forged(error.to_string());
                // Anybody whom the broker lets in can send one: it is told and raises nothing that stays.
                return Ok(Heard::Alarm { what, again: form.is_some_and(|form| form.alarm.is_some()) });
            }
        };
        let Some(mut form) = form else {
            self.store(of, &Form::first(&text, now))?;
            return Ok(Heard::First(checkpoint));
        };
        let believed = parse(&form.believed).ok_or_else(|| self.form(of, "it holds no checkpoint"))?;
        let newest = form.newest.as_deref().and_then(parse);
        let known = newest.as_ref().unwrap_or(&believed);
        let heard = if checkpoint == believed || checkpoint == *known || form.recent.contains(&word(&checkpoint)) {
            return Ok(Heard::Known);
        } else if checkpoint.log != believed.log {
            let why = "its first record, which says why, was not asked for yet".to_owned();
            Err(Alarm::Replaced { log: checkpoint.log.to_string(), had: known.head.size, why })
        } else if checkpoint.head.size < known.head.size {
            Err(Alarm::Rollback { now: checkpoint.head.size, had: known.head.size })
        } else if checkpoint.head.size == known.head.size {
            Err(Alarm::Fork { size: checkpoint.head.size })
        } else {
            form.newest = Some(text.clone());
            form.remember(&checkpoint);
            Ok(Heard::Newer { believed, newest: checkpoint })
        };
        let heard = heard.unwrap_or_else(|what| Heard::Alarm { again: form.raise(&what, &text, now), what });
        self.store(of, &form)?;
        Ok(heard)
    }

    /// Takes the proof that the log of `note` begins with what is believed; believes it then.
    ///
    /// # Errors
    /// When the file cannot be read or written. `Ok(Err)`: it does not, which is kept as an alarm.
    pub fn prove(
        &self,
        of: &Watched<'_>,
        note: &[u8],
        proof: &[TreeHash],
        now: TimeMs,
    ) -> Result<Result<Checkpoint, Alarm>, Error> {
        let text = String::from_utf8_lossy(note).into_owned();
        let checkpoint = match note::open(note, &tree::origin(of.site, of.box_id), of.keys) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Err(Alarm::Forged(error.to_string()))),
        };
        let _lock = self.lock(of)?;
        let Some(mut form) = self.load(of)? else {
            self.store(of, &Form::first(&text, now))?;
            return Ok(Ok(checkpoint));
        };
        let believed = parse(&form.believed).ok_or_else(|| self.form(of, "it holds no checkpoint"))?;
        let (had, is) = (believed.head, checkpoint.head);
        let failed = if checkpoint.log != believed.log {
            let why = "no proof can lead from one log to another".to_owned();
            Some(Alarm::Replaced { log: checkpoint.log.to_string(), had: had.size, why })
        } else if is.size < had.size {
            Some(Alarm::Rollback { now: is.size, had: had.size })
        } else {
            let why = tree::check_consistency(&had, &is, proof).err();
            why.map(|why| Alarm::Changed { now: is.size, had: had.size, why: why.to_string() })
        };
        if let Some(alarm) = failed {
            form.raise(&alarm, &text, now);
            self.store(of, &form)?;
            return Ok(Err(alarm));
        }
        form.remember(&believed);
        form.remember(&checkpoint);
        form.believed = text;
        form.believed_at = now.to_string();
        if form.newest.as_deref().and_then(parse).is_some_and(|newest| newest.head.size <= is.size) {
            form.newest = None;
        }
        self.store(of, &form)?;
        Ok(Ok(checkpoint))
    }

    /// Keeps an alarm that came up elsewhere.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn raise(&self, of: &Watched<'_>, what: &Alarm, now: TimeMs) -> Result<(), Error> {
        let _lock = self.lock(of)?;
        if let Some(mut form) = self.load(of)? {
            form.raise(what, "", now);
            self.store(of, &form)?;
        }
        Ok(())
    }

    /// Believes the log as `note` says it is now, whatever was before: a person has looked into it. What was believed goes to
    /// the history.
    ///
    /// # Errors
    /// When the note is not the box's, or the file cannot be read or written.
    pub fn accept(&self, of: &Watched<'_>, note: &[u8], now: TimeMs) -> Result<Result<Checkpoint, Alarm>, Error> {
        let checkpoint = match note::open(note, &tree::origin(of.site, of.box_id), of.keys) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Err(Alarm::Forged(error.to_string()))),
        };
        let _lock = self.lock(of)?;
        let mut form = Form::first(&String::from_utf8_lossy(note), now);
        if let Some(old) = self.load(of)? {
            form.history = old.history;
            form.history.push((now.to_string(), old.believed, old.alarm.unwrap_or_default()));
            let excess = form.history.len().saturating_sub(HISTORY);
            form.history.drain(..excess);
        }
        self.store(of, &form)?;
        Ok(Ok(checkpoint))
    }

    fn path(&self, of: &Watched<'_>) -> PathBuf {
        self.dir.join(format!("{}.{}.json", of.site, of.box_id))
    }

    fn form(&self, of: &Watched<'_>, what: &str) -> Error {
        Error::Form { path: self.path(of), what: what.to_owned() }
    }

    fn lock(&self, of: &Watched<'_>) -> Result<File, Error> {
        let path = self.path(of).with_added_extension("lock");
        let io = |source| Error::Io { path: path.clone(), source };
        fs::create_dir_all(&self.dir).map_err(io)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        Ok(file)
    }

    fn load(&self, of: &Watched<'_>) -> Result<Option<Form>, Error> {
        let path = self.path(of);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let form: Form = serde_json::from_slice(&bytes).map_err(|e| self.form(of, &e.to_string()))?;
        if form.version == 1 { Ok(Some(form)) } else { Err(self.form(of, &format!("version {}", form.version))) }
    }

    fn store(&self, of: &Watched<'_>, form: &Form) -> Result<(), Error> {
        let path = self.path(of);
        let write = || -> std::io::Result<()> {
            let bytes = serde_json::to_vec_pretty(form)?;
            let temporary = path.with_added_extension("new");
            let mut file = File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| Error::Io { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;
    use crate::domain::tree::{Edge, leaf_hash};
    use crate::domain::{LogId, TreeHead};

    const NOW: TimeMs = TimeMs(1_767_225_600_000);

    struct Box1 {
        _dir: tempfile::TempDir,
        witness: Witness,
        site: SiteId,
        id: BoxId,
        key: SigningKey,
        keys: Keys,
    }

    fn box1() -> Box1 {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        Box1 {
            witness: Witness::new(&dir.path().join("audit")),
            _dir: dir,
            site: SiteId::new("north").unwrap(),
            id: BoxId::new("box-1").unwrap(),
            keys: Keys::from(key.public().clone()),
            key,
        }
    }

    /// The head of a log of `size` records, the last of which are `tail`.
    fn head(size: u64, tail: &str) -> TreeHead {
        let mut edge = Edge::default();
        (0..size - 1).for_each(|n| drop(edge.push(leaf_hash(&n.to_be_bytes()))));
        edge.push(leaf_hash(tail.as_bytes()));
        edge.head()
    }

    impl Box1 {
        fn of(&self) -> Watched<'_> {
            Watched { site: &self.site, box_id: &self.id, keys: &self.keys }
        }

        fn note(&self, log: u8, head: TreeHead) -> Vec<u8> {
            let origin = "watchpost/north/box-1".to_owned();
            note::sign(&Checkpoint { origin, log: LogId([log; 8]), head }, &self.key).unwrap()
        }

        fn hear(&self, log: u8, head: TreeHead) -> Heard {
            self.witness.hear(&self.of(), &self.note(log, head), NOW).unwrap()
        }

        fn alarm(&self) -> Option<String> {
            self.witness.known(&self.of()).unwrap().unwrap().alarm.map(|(what, _)| what)
        }
    }

    #[test]
    fn a_log_that_grows_is_believed_with_its_proof_and_a_redelivery_says_nothing() {
        let b = box1();
        assert!(matches!(b.hear(1, head(1, "a")), Heard::First(_)));
        assert_eq!(b.hear(1, head(1, "a")), Heard::Known);
        // Of two records: the proof from one to two is the second leaf's hash.
        let mut edge = Edge::default();
        edge.push(leaf_hash(b"a"));
        let second = leaf_hash(b"b");
        edge.push(second);
        assert!(matches!(b.hear(1, edge.head()), Heard::Newer { .. }));
        let note = b.note(1, edge.head());
        assert!(b.witness.prove(&b.of(), &note, &[second], NOW).unwrap().is_ok());
        let known = b.witness.known(&b.of()).unwrap().unwrap();
        assert_eq!((known.believed.head, known.newest, known.alarm), (edge.head(), None, None));
        assert_eq!(known.note, note);
        assert_eq!(b.hear(1, head(1, "a")), Heard::Known, "an older one that was believed comes again");
    }

    #[test]
    fn rollback_fork_change_and_another_log_are_each_told_and_stay() {
        let cases: [(&str, u8, TreeHead); 3] = [
            ("rolled back or cut: the log has 4 records, it had 5", 1, head(4, "x")),
            ("forked: another log of 5 records", 1, head(5, "x")),
            ("another log (0202020202020202) in place of the one with 5 records", 2, head(9, "x")),
        ];
        for (words, log, then) in cases {
            let b = box1();
            b.hear(1, head(5, "five"));
            let Heard::Alarm { what, again: false } = b.hear(log, then) else { panic!("{words}") };
            assert!(what.to_string().starts_with(words), "{what}");
            assert!(b.alarm().unwrap().starts_with(words), "kept");
            assert!(matches!(b.hear(log, then), Heard::Alarm { again: true, .. }));
            assert_eq!(
                b.witness.known(&b.of()).unwrap().unwrap().believed.head,
                head(5, "five"),
                "the old is believed"
            );
        }
        let b = box1();
        b.hear(1, head(5, "five"));
        let note = b.note(1, head(9, "nine"));
        let alarm = b.witness.prove(&b.of(), &note, &[TreeHash([7; 32])], NOW).unwrap().unwrap_err();
        assert!(alarm.to_string().starts_with("changed: the log of 9 records does not begin with the 5"), "{alarm}");
        assert!(b.alarm().is_some());
        b.witness.accept(&b.of(), &note, NOW).unwrap().unwrap();
        assert_eq!(b.alarm(), None);
        let text = fs::read_to_string(b.witness.path(&b.of())).unwrap();
        assert!(text.contains("does not begin with the 5"), "the history keeps it: {text}");
    }

    #[test]
    fn a_checkpoint_by_another_key_is_told_and_changes_nothing() {
        let b = box1();
        b.hear(1, head(5, "five"));
        let other = SigningKey::from_seed(&[2; 32]).unwrap();
        let forged = Checkpoint { origin: "watchpost/north/box-1".to_owned(), log: LogId([1; 8]), head: head(6, "x") };
        let note = note::sign(&forged, &other).unwrap();
        let Heard::Alarm { what, .. } = b.witness.hear(&b.of(), &note, NOW).unwrap() else { panic!() };
        assert!(what.to_string().contains("another key made it"), "{what}");
        assert_eq!(b.alarm(), None);
        assert!(b.witness.prove(&b.of(), &note, &[], NOW).unwrap().is_err());
        assert!(b.witness.accept(&b.of(), &note, NOW).unwrap().is_err());
    }
}
