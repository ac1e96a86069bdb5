//! The keyring as files: shown, and written anew with the root's private key, the serial one higher.
//!
//! The keyring before stays beside it as `keyring-<serial>.cbor`. A name is a person: two keys with one name are of one
//! person, who then cannot be both of the two that an operation asks for.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::Files;
use crate::centre::keyring::{Entry, Keyring, Role};
use crate::centre::keys::{self, PublicKey, SigningKey};
use crate::clock::Clock;
use crate::domain::{ClockState, TimeMs};

/// Options of `key show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What an entry says of a person.
#[derive(Debug, Args)]
struct Who {
    /// What people and the audit log call them: 1 to 32 bytes
    name: String,
    /// delivery, fleet, lists, investigator, operator, custodian or auditor
    #[arg(long, value_parser = role)]
    role: Role,
    /// The organisation that they act for [default: that of the first key of the keyring]
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// May co-sign what goes beyond the bounds of one person
    #[arg(long)]
    supervisor: bool,
    /// Counts from this time on: 2026-03-01 or 2026-03-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<TimeMs>,
    /// Counts until this time [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<TimeMs>,
    #[command(flatten)]
    root: Root,
}

#[derive(Debug, Args)]
struct Root {
    /// The root's private key [default: root.key in the folder of keys]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Options of `key make`.
#[derive(Debug, Args)]
pub(super) struct Make {
    #[command(flatten)]
    who: Who,
}

/// Options of `key add`.
#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    who: Who,
    /// Their public key, PEM: `openssl pkey -in their.key -pubout`
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
}

/// Options of `key revoke`.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Name of the person, all of whose keys are meant, or the id of one key
    whose: String,
    /// Does not count from this time on [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<TimeMs>,
    #[command(flatten)]
    root: Root,
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let found = Role::ALL.iter().copied().find(|role| role.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is no role: {}", known()))
}

/// A day, from its begin in UTC on, or a time of RFC 3339.
fn moment(text: &str) -> Result<TimeMs, String> {
    let of_day = || TimeMs::parse(&format!("{text}T00:00:00Z"));
    let found = TimeMs::parse(text).or_else(of_day);
    found.ok_or_else(|| format!("{text:?} is no time: 2026-03-01 or 2026-03-01T12:00:00Z is wanted"))
}

/// Prints the keyring.
pub(super) fn show(files: &Files, options: &Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let (ring, path) = read(files)?;
    if options.json {
        writeln!(out, "{}", ring.to_json())?;
        return Ok(());
    }
    writeln!(out, "{}: serial {}, signed {}", path.display(), ring.serial, ring.issued)?;
    writeln!(out, "{:<16}  {:<20}  {:<12}  {:<16}  COUNTS", "KEY", "NAME", "ROLE", "ORGANISATION")?;
    let now = Clock::system().utc();
    for entry in &ring.entries {
        let supervisor = if entry.supervisor { ", supervisor" } else { "" };
        writeln!(
            out,
            "{:<16}  {:<20}  {:<12}  {:<16}  {}{supervisor}",
            entry.key.kid().to_string(),
            entry.name,
            entry.role.as_str(),
            entry.org,
            counts(entry, now),
        )?;
    }
    Ok(())
}

fn counts(entry: &Entry, now: TimeMs) -> String {
    match (entry.revoked, entry.not_after) {
        (Some(at), _) if at <= now => format!("no: revoked {at}"),
        (_, Some(end)) if end < now => format!("no: ended {end}"),
        _ if now < entry.not_before => format!("not yet: from {}", entry.not_before),
        (Some(at), _) => format!("until revoked {at}"),
        (None, Some(end)) => format!("until {end}"),
        (None, None) => "yes".to_owned(),
    }
}

/// Makes a key in the folder of keys, and the keyring that has it.
pub(super) fn make(files: &Files, options: &Make, out: &mut dyn Write) -> anyhow::Result<()> {
    let who = &options.who;
    if who.name.contains(['/', '\\']) || who.name.starts_with('.') {
        bail!("the name {:?} is to be a file's name as well: without '/' and not beginning with '.'", who.name);
    }
    let dir = files.keys.as_deref().with_context(|| super::super::missing("keys"))?;
    let path = dir.join(format!("{}.key", who.name));
    let change = Change::begin(files, &who.root)?;
    let key = SigningKey::create(&path)?;
    let made = change.add(who, key.public().clone()).and_then(|ring| change.write(&ring));
    if made.is_err() {
        // A key that no keyring has is of no use and in the way of the next try.
        let _ = std::fs::remove_file(&path);
    }
    let serial = made?;
    writeln!(out, "key {} of {:?} made: {}: give it to them alone", key.kid(), who.name, path.display())?;
    next_step(serial, out)
}

/// The keyring with a key that was made elsewhere.
pub(super) fn add(files: &Files, options: &Add, out: &mut dyn Write) -> anyhow::Result<()> {
    let change = Change::begin(files, &options.who.root)?;
    let key = PublicKey::read(&options.public)?;
    let kid = key.kid();
    let serial = change.write(&change.add(&options.who, key)?)?;
    writeln!(out, "key {kid} of {:?} added", options.who.name)?;
    next_step(serial, out)
}

/// The keyring in which keys do not count any more.
pub(super) fn revoke(files: &Files, options: &Revoke, out: &mut dyn Write) -> anyhow::Result<()> {
    let change = Change::begin(files, &options.root)?;
    let at = options.at.unwrap_or(change.now);
    let mut ring = change.ring.clone();
    let is_meant = |e: &Entry| e.name == options.whose || e.key.kid().to_string() == options.whose;
    let mut revoked = 0;
    for entry in ring.entries.iter_mut().filter(|e| is_meant(e)) {
        // What counts no more since earlier stays so.
        entry.revoked = Some(entry.revoked.map_or(at, |before| before.min(at)));
        revoked += 1;
    }
    if revoked == 0 {
        bail!("no key of {:?} in {}: `watchpostctl key show` lists them", options.whose, change.path.display());
    }
    let serial = change.write(&ring)?;
    writeln!(out, "{revoked} keys of {:?} do not count from {at} on", options.whose)?;
    next_step(serial, out)
}

fn next_step(serial: u64, out: &mut dyn Write) -> anyhow::Result<()> {
    Ok(writeln!(out, "keyring of serial {serial} written; next: watchpostctl key put --all")?)
}

fn read(files: &Files) -> anyhow::Result<(Keyring, PathBuf)> {
    let path = files.keyring.clone().with_context(|| super::super::missing("keyring"))?;
    let root = files.root_key.as_deref().with_context(|| super::super::missing("root-key"))?;
    Ok((Keyring::read(&path, &PublicKey::read(root)?)?, path))
}

/// A keyring that is to be written anew.
struct Change {
    ring: Keyring,
    path: PathBuf,
    root: SigningKey,
    now: TimeMs,
}

impl Change {
    fn begin(files: &Files, root: &Root) -> anyhow::Result<Self> {
        let clock = Clock::system();
        if clock.state() == ClockState::Unset {
            bail!("the clock says {}: set it first, keys count by it", clock.utc());
        }
        let (ring, path) = read(files)?;
        let private = match (&root.root, &files.keys) {
            (Some(path), _) => path.clone(),
            (None, Some(dir)) => dir.join("root.key"),
            (None, None) => bail!("no root key is given: --root FILE, or the centre's folder by --centre"),
        };
        let root = SigningKey::read(&private).context("the root's private key, which signs keyrings")?;
        let public = files.root_key.as_deref().with_context(|| super::super::missing("root-key"))?;
        if PublicKey::read(public)? != *root.public() {
            bail!("{} is not the key of {}: boxes would refuse what it signs", private.display(), public.display());
        }
        Ok(Self { ring, path, root, now: clock.utc() })
    }

    /// With one more key.
    fn add(&self, who: &Who, key: PublicKey) -> anyhow::Result<Keyring> {
        let mut ring = self.ring.clone();
        if let Some(entry) = ring.entry(key.kid()) {
            bail!(
                "key {} is in the keyring already, as {:?}: a person has another key for each role",
                key.kid(),
                entry.name
            );
        }
        let of_first = || ring.entries.first().map(|entry| entry.org.clone());
        let org = who.org.clone().or_else(of_first).context("which organisation? --org ORG")?;
        ring.entries.push(Entry {
            key,
            name: who.name.clone(),
            role: who.role,
            org,
            not_before: who.from.unwrap_or(self.now),
            not_after: who.until,
            revoked: None,
            supervisor: who.supervisor,
        });
        Ok(ring)
    }

    /// Signs and writes it as the next serial, which it gives back; nothing is changed when it fails.
    fn write(&self, ring: &Keyring) -> anyhow::Result<u64> {
        let serial = self.ring.serial.checked_add(1).context("the serial cannot grow any more")?;
        let bytes = Keyring { serial, issued: self.now, ..ring.clone() }.sign(&self.root).context("the keyring")?;
        // What a box would refuse is found here.
        Keyring::verify(&bytes, &self.path, self.root.public())?;
        let kept = self.path.with_file_name(format!("keyring-{}.cbor", self.ring.serial));
        if !kept.exists() {
            std::fs::copy(&self.path, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
        }
        replace(&self.path, &bytes)?;
        Ok(serial)
    }
}

/// Writes a file so that a crash leaves the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    keys::write_new(&part, bytes, 0o644)?;
    std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir, Files);

    fn folder() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let root = SigningKey::create(&dir.path().join("root.key")).unwrap();
        std::fs::write(dir.path().join("root.pub"), root.public().to_pem()).unwrap();
        let path = dir.path().join("keyring.cbor");
        let entries = vec![Entry {
            key: SigningKey::create(&dir.path().join("custodian.key")).unwrap().public().clone(),
            name: "custodian".to_owned(),
            role: Role::Custodian,
            org: "north".to_owned(),
            not_before: TimeMs(0),
            not_after: None,
            revoked: None,
            supervisor: false,
        }];
        let ring = Keyring { serial: 1, issued: TimeMs(0), entries };
        std::fs::write(&path, ring.sign(&root).unwrap()).unwrap();
        let files = Files {
            keyring: Some(path),
            root_key: Some(dir.path().join("root.pub")),
            keys: Some(dir.path().to_owned()),
        };
        Folder(dir, files)
    }

    fn who(name: &str) -> Who {
        let root = Root { root: None };
        Who {
            name: name.to_owned(),
            role: Role::Investigator,
            org: None,
            supervisor: true,
            from: None,
            until: None,
            root,
        }
    }

    #[test]
    fn a_key_is_made_shown_and_revoked_each_by_a_keyring_of_the_next_serial() {
        let Folder(dir, files) = folder();
        let mut out = Vec::new();
        make(&files, &Make { who: who("supervisor") }, &mut out).unwrap();
        let (ring, _) = read(&files).unwrap();
        let key = SigningKey::read(&dir.path().join("supervisor.key")).unwrap();
        let entry = ring.entry(key.kid()).unwrap();
        assert_eq!((ring.serial, entry.org.as_str(), entry.supervisor), (2, "north", true));
        assert!(dir.path().join("keyring-1.cbor").exists());
        assert!(make(&files, &Make { who: who("supervisor") }, &mut out).is_err(), "never overwritten");
        let options = Revoke { whose: "supervisor".to_owned(), at: None, root: Root { root: None } };
        revoke(&files, &options, &mut out).unwrap();
        let (ring, _) = read(&files).unwrap();
        assert_eq!(ring.serial, 3);
        assert!(ring.entry(key.kid()).unwrap().revoked.is_some());
        let mut shown = Vec::new();
        show(&files, &Show { json: false }, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("serial 3") && shown.contains("no: revoked") && shown.contains("supervisor"), "{shown}");
    }

    #[test]
    fn another_root_a_key_that_is_there_and_nobody_are_refused_and_change_nothing() {
        let Folder(dir, files) = folder();
        let before = std::fs::read(files.keyring.as_ref().unwrap()).unwrap();
        let strange = dir.path().join("strange.key");
        SigningKey::create(&strange).unwrap();
        let mut other = who("someone");
        other.root.root = Some(strange);
        let error = make(&files, &Make { who: other }, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("boxes would refuse"), "{error}");
        assert!(!dir.path().join("someone.key").exists());
        let public = dir.path().join("custodian.pub");
        let custodian = SigningKey::read(&dir.path().join("custodian.key")).unwrap();
        std::fs::write(&public, custodian.public().to_pem()).unwrap();
        let error = add(&files, &Add { who: who("again"), public }, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("as \"custodian\""), "{error}");
        let nobody = Revoke { whose: "nobody".to_owned(), at: None, root: Root { root: None } };
        assert!(revoke(&files, &nobody, &mut Vec::new()).unwrap_err().to_string().contains("nobody"));
        let long = Make { who: who(&"x".repeat(33)) };
        assert!(make(&files, &long, &mut Vec::new()).is_err(), "a box would refuse it");
        assert_eq!(std::fs::read(files.keyring.as_ref().unwrap()).unwrap(), before);
    }

    #[test]
    fn times_are_days_or_moments() {
        assert_eq!(moment("2026-01-01"), Ok(TimeMs(1_767_225_600_000)));
        assert_eq!(moment("2026-01-01T01:00:00Z"), Ok(TimeMs(1_767_229_200_000)));
        assert!(moment("soon").unwrap_err().contains("soon"));
    }
}
