//! Puts another overlay on probation: checked whole, compared, staged on disk; the daemon starts anew with it.
//!
//! Shared by `config.set`, `camera.set` and `camera.remove`. Nothing is staged that does not load with the box's own files,
//! that the box could not run with, that builds on another configuration than the one in force, or while another is on
//! probation. What follows after the restart is the wiring's: `config::managed::trial` draws it.

use minicbor::{Decode, Encode};

use crate::command::{Afterwards, Authorised, Done, Refusal, Rooms, ops};
use crate::config::managed::{self, trial};
use crate::config::{Config, Faults, Layers, Overlay};
use crate::domain::Reason;
use crate::store::audit::Event;

/// Seconds that a session has to stand, unless something else is asked for.
pub const STAND_S: u32 = 30;
/// Seconds from the start in which it has to, unless something else is asked for.
pub const WITHIN_S: u32 = 300;
const STAND_BOUNDS: (u32, u32) = (1, 3600);
const WITHIN_BOUNDS: (u32, u32) = (5, 7200);
/// Most changes that an answer lists.
const MAX_CHANGES: usize = 200;
/// Longest value that an answer quotes, characters.
const MAX_VALUE: usize = 80;
/// Most faults that a refusal lists.
const MAX_FAULTS: usize = 100;

/// On which terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Terms {
    /// Digest of the configuration that this builds on; with another one in force it is refused.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub base: Option<[u8; 32]>,
    /// Check and compare only.
    #[n(1)]
    pub dry_run: Option<bool>,
    /// A session with the centre has to stand for so many seconds, 1 to 3600; 30 without.
    #[n(2)]
    pub stand_s: Option<u32>,
    /// … within so many seconds from the start, 5 to 7200; 300 without.
    #[n(3)]
    pub within_s: Option<u32>,
}

/// A value that is another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The key with its section.
    #[n(0)]
    pub key: String,
    /// The value before, as TOML; at most 80 characters of it.
    #[n(1)]
    pub before: Option<String>,
    /// The value then.
    #[n(2)]
    pub after: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Its number when it is staged; without: nothing was staged, by wish or since nothing changes.
    #[n(0)]
    pub serial: Option<u64>,
    /// SHA-256 of the whole configuration with it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// What changes, at most 200.
    #[n(2)]
    pub changes: Vec<Change>,
    /// What should be looked at.
    #[n(3)]
    pub warnings: Vec<String>,
    /// The session that confirms it has to stand for so many seconds …
    #[n(4)]
    pub stand_s: u32,
    /// … within so many seconds from the start.
    #[n(5)]
    pub within_s: u32,
}

/// The result of a refusal with `verification`: all faults.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Wrong {
    /// Each names the key or file and says what to do.
    #[n(0)]
    pub faults: Vec<String>,
}

/// What an overlay would be laid over, and the overlay in force.
pub(in crate::command::ops) struct Ground {
    pub(in crate::command::ops) layers: Layers,
    pub(in crate::command::ops) overlay: String,
    book: trial::Book,
}

/// Looks at the files as they are, and whether something can be laid over them.
pub(in crate::command::ops) fn ground(rooms: &Rooms, terms: &Terms) -> Result<Ground, Refusal> {
    let conflict = |text: String| Refusal::new(Reason::Conflict, text);
    let layers = Layers::read(&rooms.config_path, &Overlay::OnDisk)
        .map_err(|faults| conflict(format!("the box's own files were changed and have faults now: {faults}")))?;
    if !layers.is_managed {
        return Err(conflict("this box's own files switch the centre's overlay off (box.managed = false)".to_owned()));
    }
    let folder = managed::folder(layers.data_dir());
    let book = trial::Book::read(&folder).map_err(|why| Refusal::new(Reason::Internal, why))?;
    if let Some(trial) = &book.trial {
        let text = format!(
            "configuration {} is on probation since {}: wait until it is confirmed or rolled back",
            trial.serial,
            crate::domain::TimeMs(trial.staged_ms)
        );
        return Err(conflict(text));
    }
    if layers.digest() != rooms.config.digest {
        let text =
            "the box's files were changed and it does not run with them yet: restart it (box.restart), then get anew";
        return Err(Refusal::new(Reason::OtherBase, text));
    }
    if let Some(base) = terms.base.filter(|base| *base != layers.digest()) {
        let text = format!(
            "it builds on {}…, in force is {}…: get the configuration anew and make the change on that",
            ops::short_hex(&base),
            ops::short_hex(&layers.digest())
        );
        return Err(Refusal::new(Reason::OtherBase, text));
    }
    let own = managed::overlay_path(&folder);
    let overlay = layers.overlays.iter().find(|(file, _)| *file == own).map(|(_, text)| text.clone());
    Ok(Ground { layers, overlay: overlay.unwrap_or_default(), book })
}

/// Checks `overlay` on that ground, and stages it unless the terms say otherwise.
pub(in crate::command::ops) fn stage(
    rooms: &Rooms,
    command: &Authorised,
    mut ground: Ground,
    overlay: &str,
    terms: &Terms,
) -> Result<Done, Refusal> {
    let stand_s = within("stand", terms.stand_s.unwrap_or(STAND_S), STAND_BOUNDS)?;
    let within_s = within("within", terms.within_s.unwrap_or(WITHIN_S.max(stand_s.saturating_mul(2))), WITHIN_BOUNDS)?;
    if stand_s >= within_s {
        let text = format!("a session can't stand for {stand_s} s within {within_s} s: give it more time");
        return Err(Refusal::new(Reason::Arguments, text));
    }
    let (config, layers) = load(rooms, overlay)?;
    let verified = rooms.controls.verify(&config);
    if !verified.faults.is_empty() {
        return Err(wrong(verified.faults));
    }
    let changes = differences(&ground.layers, &layers);
    let mut answer =
        Answer { serial: None, digest: config.digest, changes, warnings: verified.warnings, stand_s, within_s };
    if terms.dry_run == Some(true) || answer.changes.is_empty() {
        return Ok(Done { result: ops::encode(&answer), facts: vec![("staged", "no".to_owned())], ..Done::default() });
    }
    let by = &command.caller().person;
    let serial = ground.book.serial + 1;
    let digest = ops::hex(&config.digest);
    let mut details = vec![
        ("step", "staged".to_owned()),
        ("serial", serial.to_string()),
        ("digest", digest.clone()),
        ("by", by.name.clone()),
        ("org", by.org.clone()),
    ];
    details.push(("keys", keys(&answer.changes)));
    ops::audit(rooms, Event::ConfigChanged, &details)?;
    let staged = trial::Staged {
        overlay: overlay.to_owned(),
        digest: digest.clone(),
        by: by.name.clone(),
        command: ops::hex(command.id()),
        at_ms: rooms.clock.utc().0,
        stand_s,
        within_s,
        needs_session: rooms.health.centre.connected.load(std::sync::atomic::Ordering::Relaxed) > 0,
    };
    let folder = managed::folder(ground.layers.data_dir());
    let serial = ground
        .book
        .stage(&folder, staged)
        .map_err(|error| Refusal::new(Reason::Internal, format!("cannot write into {}: {error}", folder.display())))?;
    answer.serial = Some(serial);
    Ok(Done {
        result: ops::encode(&answer),
        facts: vec![("staged", serial.to_string()), ("digest", digest)],
        then: Some(Afterwards::Restart),
        ..Done::default()
    })
}

/// Reads the box's files with `overlay` in the place of the one on disk.
fn load(rooms: &Rooms, overlay: &str) -> Result<(Config, Layers), Refusal> {
    let told = |faults: Faults| wrong(faults.0.iter().map(ToString::to_string).collect());
    let layers = Layers::read(&rooms.config_path, &Overlay::Candidate(overlay)).map_err(told)?;
    let config = layers.config().map_err(told)?;
    Ok((config, layers))
}

/// All faults in the result, the first in the text.
pub(in crate::command::ops) fn wrong(mut faults: Vec<String>) -> Refusal {
    let first = faults.first().cloned().unwrap_or_default();
    let text = match faults.len() {
        0 | 1 => first,
        n => format!("{n} faults, the first: {first}"),
    };
    faults.truncate(MAX_FAULTS);
    for fault in &mut faults {
        *fault = fault.chars().take(400).collect();
    }
    Refusal::new(Reason::Verification, text).with(ops::encode(&Wrong { faults }))
}

fn within(what: &str, given: u32, (low, high): (u32, u32)) -> Result<u32, Refusal> {
    if (low..=high).contains(&given) {
        return Ok(given);
    }
    Err(Refusal::new(Reason::Arguments, format!("{what} is {given} s, wanted {low} to {high}")))
}

fn differences(before: &Layers, after: &Layers) -> Vec<Change> {
    let map = |layers: &Layers| -> std::collections::BTreeMap<String, String> {
        layers.rows(false).into_iter().map(|row| (row.key, row.value)).collect()
    };
    let (old, new) = (map(before), map(after));
    let cut = |key: &str, value: Option<&String>| {
        value.map(|v| super::get::shown(key, v.clone()).chars().take(MAX_VALUE).collect::<String>())
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let other = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    other
        .take(MAX_CHANGES)
        .map(|key| Change { key: key.clone(), before: cut(key, old.get(key)), after: cut(key, new.get(key)) })
        .collect()
}

/// The keys that change, for the audit log: no values, and not too many.
fn keys(changes: &[Change]) -> String {
    let some: Vec<&str> = changes.iter().take(20).map(|c| c.key.as_str()).collect();
    let more = changes.len().saturating_sub(some.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    some.join(" ") + &tail
}
