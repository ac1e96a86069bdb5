//! What verbs share that put another configuration on probation: `config set`, `config diff`, `camera set`, `camera remove`.
//!
//! Each box is asked for the digest of what is in force first, and the change names it; then, unless told otherwise, it is
//! waited for that the box confirms the change or takes it back, over its restart.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{self, Answer, Asking, Outcome, Question, Show};
use super::{Centre, printable};
use crate::centre::keys::hex;
use crate::clock::Clock;
use crate::command::ops::config::{get, staging};
use crate::command::ops::{decode, encode};
use crate::domain::{BoxId, Op, Reason};

/// Between two looks at a box that restarts.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Seconds that one look may take.
const LOOK_WITHIN_S: u64 = 6;
/// Beyond the time of the probation: the restart itself.
const RESTART: Duration = Duration::from_mins(1);

/// On which terms.
#[derive(Debug, Clone, Args)]
pub struct Terms {
    /// Check and show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait until the box has confirmed it or taken it back
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds that the box's session with the centre has to stand [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub stand: Option<u32>,
    /// Seconds in which it has to, or the box takes it back [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub within: Option<u32>,
}

impl Terms {
    fn on(&self, base: [u8; 32]) -> staging::Terms {
        staging::Terms {
            base: Some(base),
            dry_run: self.dry_run.then_some(true),
            stand_s: self.stand,
            within_s: self.within,
        }
    }
}

/// Stages a change at every box that is meant; `make` makes the operation's arguments on these terms.
///
/// # Errors
/// No such boxes or keys, no session with the broker, an answer that this program does not know.
pub(super) async fn run(
    centre: &Centre,
    asking: &Asking,
    terms: &Terms,
    op: Op,
    make: &dyn Fn(staging::Terms) -> Vec<u8>,
) -> anyhow::Result<ExitCode> {
    let mut answers = Vec::new();
    for (box_id, outcome) in ask::gather(centre, asking, status_question()).await? {
        let Outcome::Answered(answer) = &outcome else {
            answers.push((box_id, outcome));
            continue;
        };
        let told = status(answer)?;
        let one = Asking { box_ids: vec![box_id.clone()], site: None, all: false, ..asking.clone() };
        let question = Question::new(op, make(terms.on(told.digest)));
        answers.extend(ask::gather(centre, &one, question).await?);
    }
    let mut complete = ask::report(&answers, asking.signing.json, &Staged, &mut io::stdout().lock())?;
    if !asking.signing.json {
        faults(&answers, &mut io::stdout().lock())?;
    }
    if !terms.no_wait && !terms.dry_run {
        complete &= wait(centre, asking, &answers).await?;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks for what is in force and on probation, and for as few values as can be.
pub(super) fn status_question() -> Question {
    let args = get::Args { prefix: Some("box.id".to_owned()), ..get::Args::default() };
    Question::new(Op::ConfigGet, encode(&args))
}

/// What the answer to that says.
///
/// # Errors
/// When it is not what this program knows.
pub(super) fn status(answer: &Answer) -> anyhow::Result<get::Answer> {
    Ok(decode(answer.reply.result.as_deref().unwrap_or_default())?)
}

/// Waits for the end of every probation that was begun; true when all are confirmed.
async fn wait(centre: &Centre, asking: &Asking, answers: &[(BoxId, Outcome)]) -> anyhow::Result<bool> {
    let mut waiting = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (box_id, outcome) in answers {
        let Outcome::Answered(answer) = outcome else { continue };
        let staged = staged(answer)?;
        if let Some(serial) = staged.serial {
            waiting.insert(box_id.clone(), serial);
            longest = longest.max(Duration::from_secs(u64::from(staged.within_s)));
        }
    }
    let clock = Clock::system();
    let end = clock.monotonic() + longest + RESTART;
    let mut all = true;
    while !waiting.is_empty() && clock.monotonic() < end {
        tokio::time::sleep(LOOK_EVERY).await;
        let ids: Vec<BoxId> = waiting.keys().cloned().collect();
        let one = Asking { box_ids: ids, site: None, all: false, wait: LOOK_WITHIN_S, ..asking.clone() };
        // A broker that a change of its address has left behind may be gone for a while.
        let Ok(looked) = ask::gather(centre, &one, status_question()).await else { continue };
        for (box_id, outcome) in looked {
            let Outcome::Answered(answer) = &outcome else { continue };
            let told = status(answer)?;
            let Some(last) = told.last.filter(|last| waiting.get(&box_id) == Some(&last.serial)) else { continue };
            waiting.remove(&box_id);
            all &= last.confirmed;
            say(&box_id, &last, asking.signing.json)?;
        }
    }
    for (box_id, serial) in &waiting {
        all = false;
        let mut out = io::stdout().lock();
        if asking.signing.json {
            let told = json!({ "kind": "probation", "box": box_id.as_str(), "serial": serial, "outcome": "unknown" });
            writeln!(out, "{told}")?;
        } else {
            writeln!(out, "{box_id}: configuration {serial}: the box did not say how it ended; see `config status`")?;
        }
    }
    Ok(all)
}

fn say(box_id: &BoxId, last: &get::Last, as_json: bool) -> anyhow::Result<()> {
    let outcome = if last.confirmed { "confirmed" } else { "rolled back" };
    let mut out = io::stdout().lock();
    if as_json {
        let told = json!({
            "kind": "probation", "box": box_id.as_str(), "serial": last.serial, "outcome": outcome, "why": last.why,
        });
        writeln!(out, "{told}")?;
    } else {
        writeln!(out, "{box_id}: configuration {} {outcome}: {}", last.serial, printable(&last.why))?;
    }
    Ok(())
}

/// All faults of the configurations that were refused.
fn faults(answers: &[(BoxId, Outcome)], out: &mut dyn Write) -> anyhow::Result<()> {
    for (box_id, outcome) in answers {
        let Outcome::Refused(reply) = outcome else { continue };
        if reply.reason != Some(Reason::Verification) {
            continue;
        }
        let Ok(wrong) = decode::<staging::Wrong>(reply.result.as_deref().unwrap_or_default()) else { continue };
        for fault in &wrong.faults {
            writeln!(out, "  {box_id}: {}", printable(fault))?;
        }
    }
    Ok(())
}

fn staged(answer: &Answer) -> anyhow::Result<staging::Answer> {
    Ok(decode(answer.reply.result.as_deref().unwrap_or_default())?)
}

struct Staged;

impl Show for Staged {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let told = staged(answer)?;
        let changes = told.changes.iter().map(|c| json!({ "key": c.key, "before": c.before, "after": c.after }));
        Ok(json!({
            "serial": told.serial,
            "digest": hex(&told.digest),
            "changes": changes.collect::<Vec<_>>(),
            "warnings": told.warnings,
            "stand_s": told.stand_s,
            "within_s": told.within_s,
        }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = staged(answer)?;
        match told.serial {
            Some(serial) => writeln!(
                out,
                "{box_id}: configuration {serial} is staged; the box starts anew with it and takes it back unless its \
                 session stands for {} s within {} s",
                told.stand_s, told.within_s
            )?,
            None if told.changes.is_empty() => writeln!(out, "{box_id}: nothing changes")?,
            None => writeln!(out, "{box_id}: would change")?,
        }
        for change in &told.changes {
            let value = |v: &Option<String>| v.as_deref().map_or_else(|| "—".to_owned(), printable);
            writeln!(out, "  {}: {} → {}", printable(&change.key), value(&change.before), value(&change.after))?;
        }
        for warning in &told.warnings {
            writeln!(out, "  warning: {}", printable(warning))?;
        }
        Ok(())
    }
}
