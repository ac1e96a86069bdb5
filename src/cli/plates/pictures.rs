//! Pictures of rows as files: `DIR/<box>-<sighting>-crop.jpg` and `-scene.jpg`, readable by their owner alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::centre::ask::{Answer, Outcome, Question};
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::{BoxId, EventId, Op, Reason};

/// The question for the pictures of a sighting.
#[must_use]
pub fn question(id: EventId) -> Question {
    let args = evidence::Args { id, pictures: None, rows: None, clip: None };
    Question::new(Op::EvidenceGet, ops::encode(&args)).attached(evidence::attached)
}

/// Whether the box takes no more questions of this key just now.
#[must_use]
pub fn must_wait(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(reply) if matches!(reply.reason, Some(Reason::Rate | Reason::Busy)))
}

/// Makes the folder.
///
/// # Errors
/// I/O errors.
pub fn prepare(dir: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("the folder {} cannot be made", dir.display()))
}

/// Writes a picture, for its owner's eyes alone.
///
/// # Errors
/// I/O errors.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Writes the pictures of an answer and returns their files.
///
/// # Errors
/// When the answer is not what this program knows; I/O errors.
pub fn save(dir: &Path, box_id: &BoxId, answer: &Answer) -> anyhow::Result<Vec<PathBuf>> {
    let told: evidence::Answer = ops::decode(answer.reply.result.as_deref().unwrap_or_default())?;
    let mut files = Vec::new();
    for given in &told.pictures {
        let Some(bytes) = answer.attachments.get(&given.attached.id) else { continue };
        let path = dir.join(format!("{box_id}-{}-{}.jpg", told.id, given.picture));
        write(&path, bytes)?;
        files.push(path);
    }
    Ok(files)
}
