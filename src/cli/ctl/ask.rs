//! What every verb shares that asks boxes something: which boxes, by whose key, for what, and how answers are shown.
//!
//! A verb makes a [`Question`] and says by a [`Show`] how its answer looks; [`run`] does the rest: the first line says how
//! many boxes answered and names those that did not, a refusal is shown with its reason, `--json` gives an object a box
//! and a summary last. Exit code 1 when not every box has done what it was asked.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{Centre, printable};
use crate::centre::ask::{self, Progress, Signers};
pub use crate::centre::ask::{Answer, Outcome, Question};
use crate::centre::boxes::KnownBox;
use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::{PublicKey, SigningKey, hex};
use crate::centre::wire::Reply;
use crate::clock::Clock;
use crate::command::authorise::role_of;
use crate::domain::{BoxId, Op, Purpose, Reason, SiteId};

/// Options of every verb that asks boxes.
#[derive(Debug, Clone, Args)]
pub struct Asking {
    /// Ask these boxes, by commas [default: the only one there is]
    #[arg(long = "box", value_name = "BOX", value_delimiter = ',', help_heading = "Asking")]
    pub box_ids: Vec<BoxId>,
    /// Ask every box of this site
    #[arg(long, value_name = "SITE", help_heading = "Asking")]
    pub site: Option<SiteId>,
    /// Ask every box of the registry
    #[arg(long, conflicts_with_all = ["box_ids", "site"], help_heading = "Asking")]
    pub all: bool,
    /// Seconds that a box may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Asking")]
    pub wait: u64,
    /// By whom, and for what.
    #[command(flatten)]
    pub signing: Signing,
}

/// Who signs, and what for.
#[derive(Debug, Clone, Args)]
pub struct Signing {
    /// Sign with this role's key of the centre's folder, or with this key file [default: the role that may]
    #[arg(long = "as", value_name = "ROLE|FILE", help_heading = "Asking")]
    pub signer: Option<String>,
    /// Key of a second person, where two have to sign: a role's name, or a file
    #[arg(long, value_name = "ROLE|FILE", help_heading = "Asking")]
    pub second: Option<String>,
    /// What for: stolen-vehicle, missing-person, wanted-person, crime-investigation, traffic, emergency, data-subject,
    /// maintenance
    #[arg(long, value_name = "CODE", help_heading = "Asking")]
    pub purpose: Option<Purpose>,
    /// Case number
    #[arg(long, value_name = "CASE", help_heading = "Asking")]
    pub case: Option<String>,
    /// One JSON object a box, and a summary as the last
    #[arg(long, help_heading = "Asking")]
    pub json: bool,
}

/// How a verb's answer is shown.
pub trait Show {
    /// As JSON.
    ///
    /// # Errors
    /// When the answer is not what this program knows.
    fn json(&self, answer: &Answer) -> anyhow::Result<Value>;

    /// For people, whole lines.
    ///
    /// # Errors
    /// As [`Show::json`], or when `out` is gone.
    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()>;
}

/// Nothing to show but that it was done.
pub struct DoneIs(pub &'static str);

impl Show for DoneIs {
    fn json(&self, _: &Answer) -> anyhow::Result<Value> {
        Ok(json!({}))
    }

    fn text(&self, box_id: &BoxId, _: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(writeln!(out, "{box_id}: {}", self.0)?)
    }
}

/// Asks, and shows what comes: exit code 0 when every box has done it.
///
/// # Errors
/// No such boxes or keys, or no session with the broker at all.
pub(super) async fn run(
    centre: &Centre,
    asking: &Asking,
    question: Question,
    show: &dyn Show,
) -> anyhow::Result<ExitCode> {
    let answers = gather(centre, asking, question).await?;
    let complete = report(&answers, asking.signing.json, show, &mut io::stdout().lock())?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks, and gives back what came of it at each box, for verbs that put answers together themselves. Tells its progress on
/// a terminal.
///
/// # Errors
/// As [`run`].
pub(super) async fn gather(
    centre: &Centre,
    asking: &Asking,
    question: Question,
) -> anyhow::Result<Vec<(BoxId, Outcome)>> {
    let mut line = ProgressLine::new();
    let answers = gather_with(centre, asking, question, &mut |progress| line.show(progress)).await;
    line.clear();
    answers
}

/// [`gather`] that tells nobody how far it is.
///
/// # Errors
/// As [`run`].
pub(super) async fn gather_quietly(
    centre: &Centre,
    asking: &Asking,
    question: Question,
) -> anyhow::Result<Vec<(BoxId, Outcome)>> {
    gather_with(centre, asking, question, &mut |_| ()).await
}

async fn gather_with(
    centre: &Centre,
    asking: &Asking,
    mut question: Question,
    on: &mut (dyn FnMut(Progress) + Send),
) -> anyhow::Result<Vec<(BoxId, Outcome)>> {
    let boxes = asking.whom(centre)?;
    asking.signing.put_into(&mut question);
    let signers = asking.signing.signers(&Keys::of(centre), question.op)?;
    let parts = ask::Parts {
        link: &centre.link,
        topic_root: &centre.topic_root,
        boxes,
        question: Arc::new(question),
        signers: Arc::new(signers),
        wait: Duration::from_secs(asking.wait),
        clock: Clock::system(),
    };
    let answers = ask::ask(parts, on).await;
    answers.map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.cause.advice()))
}

impl Asking {
    /// The boxes that are meant.
    pub(super) fn whom(&self, centre: &Centre) -> anyhow::Result<Vec<(BoxId, KnownBox)>> {
        let known = centre.boxes()?;
        let all = || known.iter().map(|(id, known)| (id.clone(), known.clone()));
        let file = centre.boxes.display();
        if !self.box_ids.is_empty() {
            let mut found = Vec::new();
            for wanted in &self.box_ids {
                let one = all().find(|(id, known)| id == wanted && self.site.as_ref().is_none_or(|s| *s == known.site));
                found.push(one.with_context(|| format!("no box {wanted} in {file}: it has {}", listed(all())))?);
            }
            found.dedup_by(|a, b| a.0 == b.0);
            return Ok(found);
        }
        if let Some(site) = &self.site {
            let found: Vec<_> = all().filter(|(_, known)| known.site == *site).collect();
            if found.is_empty() {
                bail!("no box of site {site} in {file}: it has {}", listed(all()));
            }
            return Ok(found);
        }
        let found: Vec<_> = all().collect();
        if self.all || found.len() == 1 {
            return Ok(found);
        }
        bail!("which boxes? --box BOX,…, --site SITE or --all; {file} has {}", listed(all()));
    }
}

fn listed(boxes: impl Iterator<Item = (BoxId, KnownBox)>) -> String {
    let mut names: Vec<String> = boxes.map(|(id, known)| format!("{id} ({})", known.site)).collect();
    let more = names.len().saturating_sub(10);
    names.truncate(10);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Where keys and their names are.
pub struct Keys {
    /// Folder of a key a role, `<role>.key`.
    pub dir: Option<PathBuf>,
    /// The keyring that names them.
    pub keyring: Option<PathBuf>,
    /// Public key of the root that signed it.
    pub root: Option<PathBuf>,
}

impl Keys {
    pub(super) fn of(centre: &Centre) -> Self {
        Self { dir: centre.keys.clone(), keyring: centre.keyring.clone(), root: centre.root_key.clone() }
    }

    /// The key that `word` names: a role's of the folder, or a file.
    ///
    /// # Errors
    /// When there is no such file, or it holds no key.
    pub fn key(&self, word: &str) -> anyhow::Result<SigningKey> {
        let of_role = Role::ALL.iter().any(|role| role.as_str() == word);
        let in_dir = self.dir.as_ref().map(|dir| dir.join(format!("{word}.key")));
        let path = match in_dir {
            Some(path) if of_role || (!word.contains('/') && !Path::new(word).exists()) => path,
            None if of_role => {
                bail!("no folder of keys is known: give the key's file, or the centre's folder by --centre")
            }
            _ => PathBuf::from(word),
        };
        Ok(SigningKey::read(&path)?)
    }

    /// What the keyring calls `key`.
    ///
    /// # Errors
    /// When there is no keyring, or the key is not in it.
    pub fn name_of(&self, key: &SigningKey) -> anyhow::Result<String> {
        let path = self.keyring.as_deref().context("no keyring is known: give --keyring, or --centre DIR")?;
        let root = self.root.as_deref().context("no root key is known: give --root-key, or --centre DIR")?;
        let ring = Keyring::read(path, &PublicKey::read(root)?)?;
        let entry = ring.entry(key.kid()).with_context(|| {
            format!("key {} is not in the keyring {} (serial {})", key.kid(), path.display(), ring.serial)
        })?;
        Ok(entry.name.clone())
    }
}

impl Signing {
    /// The keys that sign, with the name of the first.
    ///
    /// # Errors
    /// As [`Keys::key`] and [`Keys::name_of`].
    pub fn signers(&self, keys: &Keys, op: Op) -> anyhow::Result<Signers> {
        let word = self.signer.as_deref().unwrap_or_else(|| role_of(op).as_str());
        let first = keys.key(word).with_context(|| format!("the key that signs {op}"))?;
        let second =
            self.second.as_deref().map(|word| keys.key(word).context("the second person's key")).transpose()?;
        Ok(Signers { issuer: keys.name_of(&first)?, first, second })
    }

    /// Says in `question` what for.
    pub fn put_into(&self, question: &mut Question) {
        question.purpose = self.purpose.or(question.purpose);
        if self.case.is_some() {
            question.case.clone_from(&self.case);
        }
    }
}

/// Shows what came of it at each box; true when every box has done it.
///
/// # Errors
/// When `out` is gone, or an answer is not what this program knows.
pub fn report(
    answers: &[(BoxId, Outcome)],
    as_json: bool,
    show: &dyn Show,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let complete = answers.iter().all(|(_, outcome)| is_done(outcome));
    if as_json {
        for (box_id, outcome) in answers {
            writeln!(out, "{}", outcome_json(box_id, outcome, show)?)?;
        }
        writeln!(out, "{}", summary_json(answers))?;
    } else {
        // One box that answered needs no headline.
        if answers.len() > 1 || !complete {
            writeln!(out, "{}", summary(answers))?;
        }
        for (box_id, outcome) in answers {
            outcome_text(box_id, outcome, show, out)?;
        }
    }
    Ok(complete)
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(answer) if answer.missing.is_empty())
}

/// How many answered, and which did not.
#[must_use]
pub fn summary(answers: &[(BoxId, Outcome)]) -> String {
    let names = |of: &str| {
        let names: Vec<&str> = answers.iter().filter(|(_, o)| word(o) == of).map(|(id, _)| id.as_str()).collect();
        if names.is_empty() { String::new() } else { format!("; {of}: {}", names.join(", ")) }
    };
    let answered = answers.iter().filter(|(_, o)| word(o) == "answered").count();
    let others = ["incomplete", "refused", "silent", "offline", "unbelieved"].map(names).concat();
    format!("{answered} of {} boxes answered{others}", answers.len())
}

/// The word for what came of it.
#[must_use]
pub fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(answer) if answer.missing.is_empty() => "answered",
        Outcome::Answered(_) => "incomplete",
        Outcome::Refused(_) => "refused",
        Outcome::Silent => "silent",
        Outcome::Offline => "offline",
        Outcome::Unbelieved(_) => "unbelieved",
    }
}

/// Why a box did not do it, in a clause.
#[must_use]
pub fn why(reply: &Reply) -> String {
    let reason = reply.reason.map_or_else(String::new, |reason| format!(", {reason}"));
    let text = reply.text.as_deref().map_or_else(String::new, |text| format!(": {}", printable(text)));
    format!("{}{reason}{text}", reply.status)
}

fn outcome_text(box_id: &BoxId, outcome: &Outcome, show: &dyn Show, out: &mut dyn Write) -> anyhow::Result<()> {
    match outcome {
        Outcome::Answered(answer) => {
            show.text(box_id, answer, out)?;
            if !answer.missing.is_empty() {
                writeln!(out, "{box_id}: {} attachments did not come whole: ask again", answer.missing.len())?;
            }
        }
        Outcome::Refused(reply) => writeln!(out, "{box_id}: {}", why(reply))?,
        Outcome::Silent => writeln!(out, "{box_id}: silent: no answer in time (--wait SECONDS waits longer)")?,
        Outcome::Offline => writeln!(out, "{box_id}: offline: it has no session with the broker")?,
        Outcome::Unbelieved(why) => writeln!(out, "{box_id}: not believed: {}", printable(why))?,
    }
    Ok(())
}

fn outcome_json(box_id: &BoxId, outcome: &Outcome, show: &dyn Show) -> anyhow::Result<Value> {
    let mut told = json!({ "box": box_id.as_str(), "outcome": word(outcome) });
    let more = match outcome {
        Outcome::Answered(answer) => {
            let attached = answer.attachments.len();
            json!({ "reply": reply_json(&answer.reply), "answer": show.json(answer)?, "attachments": attached })
        }
        Outcome::Refused(reply) => json!({ "reply": reply_json(reply) }),
        Outcome::Unbelieved(why) => json!({ "why": why }),
        Outcome::Silent | Outcome::Offline => json!({}),
    };
    if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
        told.extend(more);
    }
    Ok(told)
}

fn reply_json(reply: &Reply) -> Value {
    json!({
        "id": hex(&reply.id),
        "status": reply.status.as_str(),
        "reason": reply.reason.map(Reason::as_str),
        "text": reply.text,
        "at": reply.at.to_string(),
        "audit": reply.audit,
    })
}

/// The same for programs.
#[must_use]
pub fn summary_json(answers: &[(BoxId, Outcome)]) -> Value {
    let names =
        |of: &str| -> Vec<&str> { answers.iter().filter(|(_, o)| word(o) == of).map(|(id, _)| id.as_str()).collect() };
    json!({
        "kind": "summary",
        "asked": answers.len(),
        "answered": names("answered").len(),
        "complete": answers.iter().all(|(_, o)| is_done(o)),
        "incomplete": names("incomplete"),
        "refused": names("refused"),
        "silent": names("silent"),
        "offline": names("offline"),
        "unbelieved": names("unbelieved"),
    })
}

/// How far it is, on one line of a terminal.
struct ProgressLine {
    shows: bool,
    shown: Option<Progress>,
    begin: Duration,
    clock: Clock,
}

impl ProgressLine {
    fn new() -> Self {
        let clock = Clock::system();
        Self { shows: io::stderr().is_terminal(), shown: None, begin: clock.monotonic(), clock }
    }

    /// Not in the first half second: most answers are there by then.
    fn show(&mut self, progress: Progress) {
        let soon = self.clock.monotonic().saturating_sub(self.begin) < Duration::from_millis(500);
        if !self.shows || soon || self.shown == Some(progress) {
            return;
        }
        self.shown = Some(progress);
        let bytes =
            if progress.here > 0 { format!(", {} KiB of attachments", progress.here >> 10) } else { String::new() };
        // Without a stderr there is nobody to tell.
        let _ = write!(io::stderr(), "\r\x1b[K{} of {} boxes{bytes}", progress.over, progress.boxes);
        let _ = io::stderr().flush();
    }

    fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClockState, CommandStatus, TimeMs};

    fn reply(status: CommandStatus) -> Reply {
        Reply::new([1; 16], status, TimeMs(0), ClockState::Synced)
    }

    fn answers() -> Vec<(BoxId, Outcome)> {
        let id = |n: u8| BoxId::new(&format!("box-{n}")).unwrap();
        let done = Answer {
            reply: reply(CommandStatus::Successful),
            attachments: std::collections::BTreeMap::new(),
            missing: Vec::new(),
            signed: crate::centre::ask::Signed::default(),
        };
        let denied = reply(CommandStatus::Denied).because(Reason::Role, "box.status is for the role fleet");
        vec![
            (id(1), Outcome::Answered(done)),
            (id(2), Outcome::Silent),
            (id(3), Outcome::Refused(denied)),
            (id(4), Outcome::Offline),
        ]
    }

    #[test]
    fn the_first_line_says_who_did_not_answer() {
        let mut out = Vec::new();
        assert!(!report(&answers(), false, &DoneIs("restarts"), &mut out).unwrap());
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "1 of 4 boxes answered; refused: box-3; silent: box-2; offline: box-4");
        assert_eq!(lines[1], "box-1: restarts");
        assert_eq!(lines[3], "box-3: denied, role: box.status is for the role fleet");
    }

    #[test]
    fn one_box_that_answered_needs_no_headline_and_json_ends_with_a_summary() {
        let mut out = Vec::new();
        assert!(report(&answers()[..1], false, &DoneIs("restarts"), &mut out).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "box-1: restarts\n");
        let mut out = Vec::new();
        report(&answers(), true, &DoneIs("restarts"), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!((&last["asked"], &last["answered"], &last["silent"][0]), (&json!(4), &json!(1), &json!("box-2")));
        assert_eq!(last["complete"], json!(false));
    }
}
