//! How records and proofs of an audit log are shown: verified first, by whoever asked, over MQTT or on the box.

use std::io::Write;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::About;
use crate::centre::boxes::Boxes;
use crate::centre::keys::Keys;
use crate::centre::note;
use crate::cli::ctl::ask::{Answer, Show};
use crate::cli::ctl::printable;
use crate::command::ops::{self, audit};
use crate::domain::{BoxId, Checkpoint, SiteId, tree};
use crate::store::audit::AuditRecord;
use crate::store::audit::export::Export;

/// Whose checkpoints are believed.
pub enum Believed {
    /// Those of boxes of the registry.
    Registry(Boxes),
    /// Those of this box.
    This(SiteId, Keys),
}

impl Believed {
    /// The checkpoint in a note of this box.
    ///
    /// # Errors
    /// When it is not the box's.
    pub fn open(&self, box_id: &BoxId, note: &[u8]) -> anyhow::Result<Checkpoint> {
        let (site, keys) = match self {
            Self::This(site, keys) => (site.clone(), keys.clone()),
            Self::Registry(boxes) => {
                let (_, known) = boxes.iter().find(|(id, _)| *id == box_id).context("a box that is not known")?;
                (known.site.clone(), known.keys())
            }
        };
        Ok(note::open(note, &tree::origin(&site, box_id), &keys)?)
    }

    /// The records of an export, all of it verified.
    ///
    /// # Errors
    /// When something in it is not as the box signed it.
    pub fn check(&self, box_id: &BoxId, export: &Export) -> anyhow::Result<Vec<AuditRecord>> {
        self.open(box_id, &export.checkpoint)?;
        Ok(export.check()?.1)
    }
}

/// The export in an answer.
///
/// # Errors
/// When there is none.
pub fn export_of(answer: &Answer) -> anyhow::Result<Export> {
    let told: audit::export::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
    let bytes = match (&told.export, &told.attached) {
        (Some(bytes), _) => bytes,
        (None, Some(attached)) => answer.attachments.get(&attached.id).context("the attachment did not come")?,
        (None, None) => bail!("the answer holds no records"),
    };
    Ok(Export::decode(bytes)?)
}

/// Records, one a line.
pub struct Records {
    /// Of these events alone.
    pub event: Option<String>,
    /// Whose are believed.
    pub keys: Believed,
}

impl Records {
    fn wanted(&self, records: Vec<AuditRecord>) -> impl Iterator<Item = AuditRecord> {
        let event = self.event.clone().unwrap_or_default();
        records.into_iter().filter(move |record| record.event.starts_with(&event))
    }
}

/// A record as a line.
#[must_use]
pub fn line(record: &AuditRecord) -> String {
    let details: Vec<String> = record.details.iter().map(|(n, v)| format!("{n}={}", printable(v))).collect();
    format!("{:>8}  {}  {:<18}  {}", record.number, record.at, record.event, details.join(" ")).trim_end().to_owned()
}

impl Show for Records {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        // Whose it is is known by the answer's signature; the note's is held against the same box in the text form.
        let export = export_of(answer)?;
        let (checkpoint, records) = export.check()?;
        let records: Vec<Value> = self.wanted(records).map(|record| record.to_json()).collect();
        Ok(
            json!({ "size": checkpoint.head.size, "root": checkpoint.head.root.to_string(), "log": checkpoint.log.to_string(), "records": records }),
        )
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let export = export_of(answer)?;
        let records = self.keys.check(box_id, &export)?;
        let (first, last, size) = (export.range.first, export.range.last(), export.range.head.size);
        writeln!(out, "{box_id}: records {first} to {last} of {size}, verified")?;
        for record in self.wanted(records) {
            writeln!(out, "{}", line(&record))?;
        }
        if last < size && self.event.is_none() {
            writeln!(out, "{box_id}: more behind record {last}: --first {}", last + 1)?;
        }
        Ok(())
    }
}

/// A proof, checked.
pub struct Proof {
    /// What it is about.
    pub about: About,
    /// Whose are believed.
    pub keys: Believed,
}

impl Proof {
    /// The answer, if it proves what was asked.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, answer: &Answer) -> anyhow::Result<audit::proof::Answer> {
        let told: audit::proof::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
        match (self.about.record, self.about.old, &told.leaf, &told.old) {
            (Some(number), _, Some(leaf), _) => tree::check_inclusion(&told.head, number, leaf, &told.proof)?,
            (_, Some(size), _, Some(old)) if old.size == size => tree::check_consistency(old, &told.head, &told.proof)?,
            _ => bail!("the answer is about something else than what was asked"),
        }
        Ok(told)
    }
}

impl Show for Proof {
    fn json(&self, answer: &Answer) -> anyhow::Result<Value> {
        let told = self.check(answer)?;
        let record = told.leaf.as_deref().and_then(AuditRecord::decode).map(|record| record.to_json());
        let hashes: Vec<String> = told.proof.iter().map(ToString::to_string).collect();
        Ok(json!({
            "log": told.log.to_string(),
            "size": told.head.size,
            "root": told.head.root.to_string(),
            "old": told.old.map(|old| json!({ "size": old.size, "root": old.root.to_string() })),
            "record": record,
            "proof": hashes,
            "checkpoint": told.checkpoint.as_deref().map(String::from_utf8_lossy),
        }))
    }

    fn text(&self, box_id: &BoxId, answer: &Answer, out: &mut dyn Write) -> anyhow::Result<()> {
        let told = self.check(answer)?;
        let checkpoint = self.keys.open(box_id, told.checkpoint.as_deref().context("no checkpoint came")?)?;
        if checkpoint.head != told.head {
            bail!("the proof is about another head than the checkpoint");
        }
        let (size, root) = (told.head.size, told.head.root);
        if let Some(old) = told.old {
            writeln!(
                out,
                "{box_id}: the log of {size} records begins with the {} records of root {}",
                old.size, old.root
            )?;
        }
        if let Some(record) = told.leaf.as_deref().and_then(AuditRecord::decode) {
            writeln!(
                out,
                "{box_id}: in the log of {size} records, by {} hashes:\n{}",
                told.proof.len(),
                line(&record)
            )?;
        }
        Ok(writeln!(out, "{box_id}: signed by the box: size {size} root {root}")?)
    }
}
