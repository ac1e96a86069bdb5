//! How the answers about hotlists are shown.

use std::io::Write;

use serde_json::{Value, json};

use crate::centre::keys::hex;
use crate::cli::ctl::ask::{Answer, Show};
use crate::cli::ctl::printable;
use crate::command::ops::{self, hotlist};
use crate::domain::BoxId;

/// Of `hotlist list`.
pub(super) struct Listed;
/// Of `hotlist put` and `hotlist patch`.
pub(super) struct Changed;
/// Of `hotlist preview`.
pub(super) struct Previewed;

fn answer<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(answer: &Answer) -> anyhow::Result<T> {
    let bytes = answer.reply.result.as_deref().unwrap_or_default();
    ops::decode(bytes).map_err(|refusal| anyhow::anyhow!("an answer of another version: {}", refusal.text))
}

impl Show for Listed {
    fn json(&self, a: &Answer) -> anyhow::Result<Value> {
        let settings = |s: &hotlist::list::Settings| {
            let categories = s.categories.iter().map(|(n, s)| json!([n, s.as_str()])).collect::<Vec<_>>();
            json!({
                "severity": s.severity.as_str(), "categories": categories, "policy": s.policy.as_str(),
                "region": s.region.as_str(), "fresh_s": s.fresh_s,
            })
        };
        let row = |row: &hotlist::list::Row| {
            json!({
                "list": row.list.as_str(), "number": row.number, "from": if row.packaged { "centre" } else { "file" },
                "serial": row.serial, "entries": row.entries, "issued": row.issued.map(|t| t.to_string()),
                "digest": row.digest.map(|d| hex(&d)), "owner": row.owner.as_ref().map(|o| o.org.clone()),
                "share": row.owner.as_ref().map(|o| o.share.to_string()), "stale": row.stale, "memory": row.memory,
                "settings": row.settings.as_ref().map(settings), "refused": row.refused, "fault": row.fault,
            })
        };
        let lists = answer::<hotlist::list::Answer>(a)?.lists;
        Ok(json!({ "lists": lists.iter().map(row).collect::<Vec<_>>() }))
    }

    fn text(&self, box_id: &BoxId, a: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let lists = answer::<hotlist::list::Answer>(a)?.lists;
        if lists.is_empty() {
            writeln!(out, "{box_id}: no list: reads make no hits")?;
        }
        for row in &lists {
            let from = if row.packaged { "centre" } else { "file" };
            let issued = row.issued.map_or_else(|| "not in force".to_owned(), |t| t.to_string());
            let owner = row.owner.as_ref().map_or("nobody's", |o| o.org.as_str());
            let stale = if row.stale { ", STALE" } else { "" };
            let (list, number, serial, entries) = (&row.list, row.number, row.serial, row.entries);
            write!(
                out,
                "{box_id}: {list} ({number}) serial {serial} of {issued}, {entries} entries, {}",
                printable(owner)
            )?;
            if let Some(s) = &row.settings {
                write!(out, ", {}, {}", s.severity, s.policy.as_str())?;
            }
            writeln!(out, ", from {from}{stale}")?;
            if let Some(fault) = &row.fault {
                writeln!(out, "  refused: {}", printable(fault))?;
            }
        }
        Ok(())
    }
}

impl Show for Changed {
    fn json(&self, a: &Answer) -> anyhow::Result<Value> {
        let done: hotlist::Answer = answer(a)?;
        let change =
            done.change.map(|(added, removed, both)| json!({ "added": added, "removed": removed, "changed": both }));
        Ok(json!({
            "list": done.list.as_str(), "serial": done.serial, "entries": done.entries, "before": done.before,
            "unchanged": done.unchanged, "change": change,
        }))
    }

    fn text(&self, box_id: &BoxId, a: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let done: hotlist::Answer = answer(a)?;
        let (list, serial, entries) = (&done.list, done.serial, done.entries);
        let how = match (done.unchanged, done.before, done.change) {
            (true, _, _) => "it was in force already".to_owned(),
            (_, Some(before), Some((added, removed, _))) => format!("{added} added, {removed} removed since {before}"),
            (_, Some(before), None) => format!("in the place of serial {before}"),
            (_, None, _) => "a new list".to_owned(),
        };
        Ok(writeln!(out, "{box_id}: {list} serial {serial} in force, {entries} entries, {how}")?)
    }
}

impl Show for Previewed {
    fn json(&self, a: &Answer) -> anyhow::Result<Value> {
        let found: hotlist::preview::Answer = answer(a)?;
        let reads = found.reads.as_ref().map(|r| {
            json!({ "plates": r.plates, "exact": r.exact, "alike": r.alike, "near": r.near, "new": r.new, "cut": r.cut })
        });
        Ok(json!({
            "list": found.list.as_str(), "entries": found.entries, "looked": found.looked,
            "policy": found.policy.as_str(),
            "alike": { "texts": found.alike.0, "plausible": found.alike.1 },
            "near": { "texts": found.near.0, "plausible": found.near.1 },
            "taken_for_another": { "alike": found.others.0, "near": found.others.1 },
            "reads": reads,
        }))
    }

    fn text(&self, box_id: &BoxId, a: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let found: hotlist::preview::Answer = answer(a)?;
        let each = |sum: u64| sum / u64::from(found.looked.max(1));
        let (list, entries, policy) = (&found.list, found.entries, found.policy.as_str());
        writeln!(out, "{box_id}: {list}, {entries} entries, as if {policy}; {} looked at", found.looked)?;
        let (alike, near) = (found.alike, found.near);
        writeln!(
            out,
            "  an entry takes {} texts that look alike, {} of them like plates here",
            each(alike.0),
            each(alike.1)
        )?;
        writeln!(
            out,
            "  and, if near, {} texts one edit away, {} of them like plates here",
            each(near.0),
            each(near.1)
        )?;
        writeln!(
            out,
            "  taken for another entry: {} that look alike, {} one edit away",
            found.others.0, found.others.1
        )?;
        if let Some(r) = &found.reads {
            let newest = if r.cut { " (the newest reads alone)" } else { "" };
            writeln!(out, "  plates of the last day, in fives: {}{newest}", r.plates)?;
            let (exact, alike, near, new) = (r.exact, r.alike, r.near, r.new);
            writeln!(
                out,
                "  of them on the list {exact}, alike {alike}, one edit away {near}; new hits as {policy}: {new}"
            )?;
        }
        Ok(())
    }
}
