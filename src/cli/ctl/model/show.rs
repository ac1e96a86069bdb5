//! How the answers about models are shown.

use std::io::Write;

use serde_json::{Value, json};

use crate::centre::keys::{Kid, hex};
use crate::cli::ctl::ask::{Answer, Outcome, Show};
use crate::cli::ctl::printable;
use crate::command::models::force::InForce;
use crate::command::models::{Score, Task, Told, full_name};
use crate::command::ops::{self, model};
use crate::domain::BoxId;

/// Of `model list`.
pub(super) struct Listed;
/// Of `model put`.
pub(super) struct Taken;
/// Of `model activate`.
pub(super) struct Activated;
/// Of `model rollback`.
pub(super) struct RolledBack;

fn answer<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(answer: &Answer) -> anyhow::Result<T> {
    let bytes = answer.reply.result.as_deref().unwrap_or_default();
    ops::decode(bytes).map_err(|refusal| anyhow::anyhow!("an answer of another version: {}", refusal.text))
}

fn model_json(one: &InForce) -> Value {
    json!({ "task": one.task.as_str(), "name": one.name, "version": one.version, "package": hex(&one.package) })
}

fn set_json(set: &[InForce]) -> Value {
    Value::Array(set.iter().map(model_json).collect())
}

fn told_json(told: &Told) -> Value {
    json!({
        "task": told.task.map(Task::as_str), "name": told.name, "version": told.version,
        "sha256": hex(&told.sha256), "from_centre": told.from_centre,
    })
}

fn score_json(score: &Score) -> Value {
    let row = |row: &crate::command::models::canary::Row| json!({ "picture": row.picture, "must": row.must, "right": row.right, "of": row.of, "micros": row.micros, "fault": row.fault });
    json!({ "permille": score.permille(), "least": score.least, "pictures": score.rows.iter().map(row).collect::<Vec<_>>() })
}

fn set_text(set: &[InForce]) -> String {
    if set.is_empty() {
        return "all as configured".to_owned();
    }
    let words: Vec<String> =
        set.iter().map(|one| format!("{} {}", one.task, printable(&full_name(&one.name, &one.version)))).collect();
    format!("{}; all else as configured", words.join(", "))
}

fn score_text(score: &Score, out: &mut dyn Write) -> std::io::Result<()> {
    for row in &score.rows {
        let must = if row.must { "" } else { " (need not be right)" };
        let mark = if row.right == row.of { "right" } else { "WRONG" };
        let fault = row.fault.as_deref().map(|fault| format!(": {}", printable(fault))).unwrap_or_default();
        writeln!(
            out,
            "  {mark}  {:<24} {} of {} answers, {:.1} ms{must}{fault}",
            printable(&row.picture),
            row.right,
            row.of,
            f64::from(row.micros) / 1e3
        )?;
    }
    Ok(())
}

/// The canary pictures of boxes that refused a model for them.
pub(super) fn failed_canaries(answers: &[(BoxId, Outcome)], out: &mut dyn Write) -> anyhow::Result<()> {
    for (box_id, outcome) in answers {
        let Outcome::Refused(reply) = outcome else { continue };
        let score = reply.result.as_deref().and_then(|bytes| ops::decode::<Score>(bytes).ok());
        if let Some(score) = score {
            writeln!(out, "{box_id}: score {} ‰", score.permille())?;
            score_text(&score, out)?;
        }
    }
    Ok(())
}

impl Show for Taken {
    fn json(&self, reply: &Answer) -> anyhow::Result<Value> {
        let taken: model::put::Answer = answer(reply)?;
        Ok(json!({
            "name": taken.name, "version": taken.version, "task": taken.task.as_str(), "package": hex(&taken.package),
            "signer": taken.signer, "score": score_json(&taken.score), "gone": taken.gone,
        }))
    }

    fn text(&self, box_id: &BoxId, reply: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let taken: model::put::Answer = answer(reply)?;
        let (name, score) = (full_name(&taken.name, &taken.version), &taken.score);
        writeln!(
            out,
            "{box_id}: {} ({}) is there, signed by {}; score {} ‰, {:.1} ms a picture; `model activate` puts it in force",
            printable(&name),
            taken.task,
            printable(&taken.signer),
            score.permille(),
            micros(score.mean_micros())
        )?;
        score_text(score, out)?;
        for gone in &taken.gone {
            writeln!(out, "  {} had to go for it", printable(gone))?;
        }
        Ok(())
    }
}

impl Show for Activated {
    fn json(&self, reply: &Answer) -> anyhow::Result<Value> {
        let done: model::activate::Answer = answer(reply)?;
        let score = |(name, score): &(String, Score)| json!({ "model": name, "score": score_json(score) });
        Ok(json!({
            "set": set_json(&done.set), "scores": done.scores.iter().map(score).collect::<Vec<_>>(),
            "changed": done.steady_s > 0, "starts": done.starts, "steady_s": done.steady_s,
        }))
    }

    fn text(&self, box_id: &BoxId, reply: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let done: model::activate::Answer = answer(reply)?;
        let set = set_text(&done.set);
        if done.steady_s == 0 {
            return Ok(writeln!(out, "{box_id}: in force already: {set}")?);
        }
        writeln!(
            out,
            "{box_id}: takes over between two frames: {set}; on probation for {} s, {} bad ends lead back",
            done.steady_s, done.starts
        )?;
        for (_, score) in &done.scores {
            score_text(score, out)?;
        }
        Ok(())
    }
}

impl Show for RolledBack {
    fn json(&self, reply: &Answer) -> anyhow::Result<Value> {
        let done: model::rollback::Answer = answer(reply)?;
        Ok(json!({ "set": set_json(&done.set) }))
    }

    fn text(&self, box_id: &BoxId, reply: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let done: model::rollback::Answer = answer(reply)?;
        Ok(writeln!(out, "{box_id}: takes over between two frames: {}", set_text(&done.set))?)
    }
}

impl Show for Listed {
    fn json(&self, reply: &Answer) -> anyhow::Result<Value> {
        let list: model::list::Answer = answer(reply)?;
        let came = |came: &model::list::Came| {
            json!({
                "name": came.name, "version": came.version, "task": came.task.as_str(), "package": hex(&came.package),
                "kid": Kid(came.kid).to_string(), "signer": came.signer, "at": came.at.to_string(), "score": came.score,
                "least": came.least, "pictures": came.pictures, "micros": came.micros, "bytes": came.bytes,
            })
        };
        let probation = |p: &crate::command::models::force::Probation| json!({ "since": p.since.to_string(), "starts": p.starts, "by": p.by });
        let fallback = |f: &crate::command::models::force::Fallback| json!({ "at": f.at.to_string(), "from": f.from.describe(), "to": f.to.describe(), "why": f.why });
        Ok(json!({
            "loaded": list.loaded.iter().map(told_json).collect::<Vec<_>>(),
            "came": list.came.iter().map(came).collect::<Vec<_>>(),
            "shipped": list.shipped.iter().map(told_json).collect::<Vec<_>>(),
            "set": set_json(&list.set),
            "before": list.before.iter().map(|set| set_json(set)).collect::<Vec<_>>(),
            "probation": list.probation.as_ref().map(probation),
            "starts": list.starts, "steady_s": list.steady_s,
            "fallbacks": list.fallbacks.iter().map(fallback).collect::<Vec<_>>(),
            "faults": list.faults,
        }))
    }

    fn text(&self, box_id: &BoxId, reply: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let list: model::list::Answer = answer(reply)?;
        writeln!(out, "{box_id}: by the centre's word: {}", set_text(&list.set))?;
        if let Some(probation) = &list.probation {
            let (since, by) = (probation.since, printable(&probation.by));
            let (bad, most, steady) = (probation.starts, list.starts, list.steady_s);
            writeln!(out, "  on probation since {since}, by {by}: {steady} s to run, {bad} of {most} bad ends")?;
        }
        for told in &list.loaded {
            let from = if told.from_centre { "from the centre" } else { "as configured" };
            writeln!(out, "  loaded   {}, {from}", told_text(told))?;
        }
        for came in &list.came {
            writeln!(
                out,
                "  came     {:<24} {:<9} {} of {} ‰ in {} pictures, {:.1} ms each, {} KiB, signed by {}, {}",
                printable(&full_name(&came.name, &came.version)),
                came.task.as_str(),
                came.score,
                came.least,
                came.pictures,
                micros(came.micros),
                came.bytes >> 10,
                printable(&came.signer),
                came.at
            )?;
        }
        for told in &list.shipped {
            writeln!(out, "  shipped  {}", told_text(told))?;
        }
        for set in list.before.iter().rev() {
            writeln!(out, "  before   {}", set_text(set))?;
        }
        for fallback in list.fallbacks.iter().rev() {
            let (from, to) = (printable(&fallback.from.describe()), printable(&fallback.to.describe()));
            writeln!(out, "  fell back {}: from {from} to {to}: {}", fallback.at, printable(&fallback.why))?;
        }
        for fault in &list.faults {
            writeln!(out, "  fault    {}", printable(fault))?;
        }
        Ok(())
    }
}

fn told_text(told: &Told) -> String {
    let digest: String = hex(&told.sha256).chars().take(16).collect();
    let task = told.task.map_or("–", Task::as_str);
    format!("{:<24} {task:<9} sha256 {digest}…", printable(&full_name(&told.name, &told.version)))
}

/// Milliseconds.
fn micros(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1e3
}
