//! The store's outbox as the publisher wants it: the one place where `centre` meets `store`.

use std::collections::BTreeSet;

use super::publish::{Depth, OutboxSource};
use super::window::{Entry, EntryKind};
use crate::domain::{Ack, Epoch};
use crate::store::outbox::{Body, Outbox, OutboxItem};

impl OutboxSource for Outbox {
    fn epoch(&self) -> Epoch {
        Outbox::epoch(self)
    }

    fn newest(&self) -> u64 {
        self.last_seq()
    }

    fn next(&self, staged: &BTreeSet<u64>, most: usize) -> Result<Vec<Entry>, String> {
        let items = Outbox::next(self, staged, most).map_err(|e| e.to_string())?;
        Ok(items.iter().map(entry_of).collect())
    }

    fn ack(&self, ack: &Ack) -> Result<usize, String> {
        Outbox::ack(self, ack).map_err(|e| e.to_string())
    }

    fn depth(&self) -> Depth {
        let depth = Outbox::depth(self);
        Depth { entries: depth.entries, bytes: depth.bytes, oldest: depth.oldest }
    }
}

fn entry_of(item: &OutboxItem) -> Entry {
    let kind = match item.body {
        Body::Alert(_) => EntryKind::Alert(item.severity),
        Body::Shed(_) => EntryKind::Shed,
    };
    Entry { seq: item.seq, kind, payload: item.payload() }
}
