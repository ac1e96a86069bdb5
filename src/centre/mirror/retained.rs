//! Remembers what a broker keeps of ours outside the box's own topics, so that it can be taken back.
//!
//! A retained message stays with the broker when who sent it is switched off. So its topic is written down, and durable,
//! before it is sent, and forgotten when the broker has taken an empty one in its place. A box that never had a mirror of
//! this kind has no such file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What is written down, by topic: the names of the sensors that were told there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    retained: BTreeMap<String, Vec<String>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    page: Page,
    changed: bool,
    serial: u64,
    /// Which serial stands in the file; held while it is written.
    written: Arc<Mutex<u64>>,
}

/// The book as it is to be written.
#[derive(Debug)]
pub struct Save {
    path: PathBuf,
    bytes: Vec<u8>,
    serial: u64,
    written: Arc<Mutex<u64>>,
}

impl Book {
    /// Reads the file at `path`; where it cannot be read, what it named stays with the broker.
    pub(super) fn read(path: &Path) -> Self {
        let page = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Page::default()),
            Err(error) => Err(error.to_string()),
        };
        let page = page.unwrap_or_else(|error| {
            tracing::warn!(
                path = %path.display(), error,
                "what was told to Home Assistant cannot be read back: what the broker keeps of it has to be removed there"
            );
            Page::default()
        });
        Self { path: path.to_owned(), page, changed: false, serial: 0, written: Arc::default() }
    }

    /// What was told under `topic`.
    pub(super) fn known(&self, topic: &str) -> Vec<String> {
        self.page.retained.get(topic).cloned().unwrap_or_default()
    }

    /// The topics that hold something, but for this one.
    pub(super) fn but(&self, topic: Option<&str>) -> Vec<String> {
        self.page.retained.keys().filter(|known| Some(known.as_str()) != topic).cloned().collect()
    }

    /// These will be told under `topic`, beside what was.
    pub(super) fn will_tell(&mut self, topic: &str, components: &[String]) {
        let known = self.page.retained.entry(topic.to_owned()).or_default();
        let more: Vec<String> = components.iter().filter(|name| !known.contains(name)).cloned().collect();
        self.changed |= !more.is_empty();
        known.extend(more);
    }

    /// The broker has just these under `topic`; `None`: nothing any more.
    pub(super) fn holds(&mut self, topic: &str, components: Option<Vec<String>>) {
        let before = self.page.retained.get(topic).cloned();
        self.changed |= before != components;
        match components {
            Some(components) => drop(self.page.retained.insert(topic.to_owned(), components)),
            None => drop(self.page.retained.remove(topic)),
        }
    }

    /// What is to be written, where something changed.
    pub(super) fn save(&mut self) -> Option<Save> {
        let bytes = serde_json::to_vec_pretty(&self.page).ok().filter(|_| self.changed)?;
        self.changed = false;
        self.serial += 1;
        Some(Save { path: self.path.clone(), bytes, serial: self.serial, written: Arc::clone(&self.written) })
    }
}

impl Save {
    /// Writes it, so that a power cut leaves the old or the new one; nothing where a newer one was written.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&self) -> std::io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written > self.serial {
            return Ok(());
        }
        let part = self.path.with_extension("part");
        let mut file = fs::File::create(&part)?;
        file.write_all(&self.bytes)?;
        file.sync_all()?;
        fs::rename(&part, &self.path)?;
        *written = self.serial;
        self.path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_be_told_is_durable_before_and_forgotten_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mirrors.json");
        let mut book = Book::read(&path);
        assert!(book.save().is_none() && !path.exists());
        book.will_tell("ha/config", &["a_state".to_owned()]);
        book.save().unwrap().write().unwrap();
        let mut book = Book::read(&path);
        book.will_tell("ha/config", &["b_state".to_owned()]);
        assert_eq!(book.known("ha/config"), ["a_state", "b_state"]);
        book.holds("ha/config", Some(vec!["b_state".to_owned()]));
        book.save().unwrap().write().unwrap();
        let mut book = Book::read(&path);
        assert_eq!((book.but(None), book.but(Some("ha/config"))), (vec!["ha/config".to_owned()], vec![]));
        assert_eq!(book.known("ha/config"), ["b_state"]);
        book.holds("ha/config", None);
        book.save().unwrap().write().unwrap();
        assert!(Book::read(&path).but(None).is_empty() && book.save().is_none());
        std::fs::write(&path, "not a page").unwrap();
        assert!(Book::read(&path).but(None).is_empty(), "said in the log");
    }
}
