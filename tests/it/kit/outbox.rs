//! An outbox in memory, for tests that are about the way to the centre and not about the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use watchpost::centre::publish::{Depth, News, OutboxSource};
use watchpost::centre::window::{Entry, EntryKind};
use watchpost::domain::alert::ALERT_VERSION;
use watchpost::domain::{Ack, Alert, ClockState, Epoch, EventId, Severity, Stage, TimeMs};

pub struct MemoryOutbox {
    epoch: Epoch,
    news: News,
    state: Mutex<(u64, BTreeMap<u64, Entry>)>,
}

impl MemoryOutbox {
    pub fn new(epoch: [u8; 8], news: News) -> Self {
        Self { epoch: Epoch(epoch), news, state: Mutex::new((0, BTreeMap::new())) }
    }

    /// Stores the next alert, as the recorder would, and tells the publisher.
    pub fn put(&self, severity: Severity, at: TimeMs) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        let seq = state.0;
        let payload = minicbor::to_vec(alert(self.epoch, seq, severity, at)).unwrap();
        state.1.insert(seq, Entry { seq, kind: EntryKind::Alert(severity), payload });
        drop(state);
        self.news.tell();
        seq
    }

    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().1.len()
    }

    /// Alerts of a severity.
    pub fn waiting_of(&self, severity: Severity) -> usize {
        self.state.lock().unwrap().1.values().filter(|e| e.kind == EntryKind::Alert(severity)).count()
    }
}

impl OutboxSource for MemoryOutbox {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn newest(&self) -> u64 {
        self.state.lock().unwrap().0
    }

    fn next(&self, staged: &BTreeSet<u64>, most: usize, least: Severity) -> Result<Vec<Entry>, String> {
        let state = self.state.lock().unwrap();
        let goes = |e: &Entry| match e.kind {
            EntryKind::Shed => true,
            EntryKind::Alert(severity) => severity >= least,
        };
        let mut all: Vec<&Entry> = state.1.values().filter(|e| !staged.contains(&e.seq) && goes(e)).collect();
        all.sort_by_key(|e| (std::cmp::Reverse(e.rank()), e.seq));
        Ok(all.into_iter().take(most).cloned().collect())
    }

    fn ack(&self, ack: &Ack) -> Result<usize, String> {
        let mut state = self.state.lock().unwrap();
        let before = state.1.len();
        state.1.retain(|seq, _| !ack.covers(*seq));
        Ok(before - state.1.len())
    }

    fn depth(&self) -> Depth {
        let entries = self.waiting() as u64;
        let by_severity = Severity::ALL.map(|severity| self.waiting_of(severity) as u64);
        Depth { entries, bytes: entries * 200, by_severity, ..Depth::default() }
    }
}

/// An alert of a read that matched a list.
pub fn alert(epoch: Epoch, seq: u64, severity: Severity, time: TimeMs) -> Alert {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&seq.to_be_bytes());
    Alert {
        version: ALERT_VERSION,
        id: EventId::from_parts(time.0, random),
        epoch,
        seq,
        stage: Stage::New,
        severity,
        time,
        clock: ClockState::Synced,
        camera: 1,
        track: u32::try_from(seq).unwrap(),
        plate: watchpost::domain::PlateText::from_raw(&format!("TST{seq:04}")),
        confidence: Some(950),
        candidates: None,
        region: None,
        matched: None,
        rule: None,
        vehicle: None,
        direction: None,
        rect: None,
        frames: Some(5),
        crop: None,
        state: None,
        stale: None,
    }
}
