//! What is written down, by the words that stand in the records.

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The store was opened.
    Started,
    /// The recorder ended in good order.
    Stopped,
    /// Hits became durable: how many of which severity, list and rule, and a commitment to each alert.
    Committed,
    /// Copies were shed from a full outbox.
    Shed,
    /// The unfinished end of the ledger was cut.
    TornEnd,
    /// The index was set aside and rebuilt.
    IndexRebuilt,
    /// The store was set aside and salvaged; a new epoch began.
    Salvaged,
    /// A file of which there are two was damaged, and was written anew from the other.
    Mended,
    /// The disk fills up, or has room again: what is not stored any more, or is again.
    Room,
    /// The key of a day and class was destroyed: its content is deleted.
    KeyDestroyed,
    /// The daemon started: its version and the digests of configuration and models.
    DaemonStarted,
    /// The daemon stopped in good order.
    DaemonStopped,
    /// A command is about to be executed.
    CommandAccepted,
    /// A command was refused: by whom, as far as known, and why.
    CommandRefused,
    /// A command was executed: how it ended.
    CommandDone,
    /// Reads or hits were asked for: person, organisation, purpose, case, digest of the question, rows.
    Queried,
    /// Pictures were handed out or looked at.
    PictureViewed,
    /// A hit was seen, judged or closed.
    Judged,
    /// A hotlist or ignore list changed.
    ListChanged,
    /// The configuration changed, was confirmed or was rolled back.
    ConfigChanged,
    /// Models changed, or fell back.
    ModelChanged,
    /// A hold was placed, re-wrapped or released.
    Held,
    /// How long things are kept changed.
    RetentionChanged,
    /// The keyring or a key changed.
    KeysChanged,
    /// A secret was set; its name.
    SecretSet,
    /// The wall clock was stepped, or its state changed.
    ClockStepped,
    /// The first record of a log: its id, and what was there before it, if anything.
    Begun,
    /// Something of the audit log itself was mended: an unfinished end, hashes that did not fit.
    Repaired,
    /// Frames were received and not looked at, since the last such record.
    Dropped,
    /// Sightings or pictures could not be recorded, since the last such record.
    Lost,
    /// Reads and hits of a camera, and how long it gave no pictures, since the last such record.
    Counted,
}

impl Event {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "store.started",
            Self::Stopped => "store.stopped",
            Self::Committed => "hits.committed",
            Self::Shed => "outbox.shed",
            Self::TornEnd => "ledger.torn-end",
            Self::IndexRebuilt => "index.rebuilt",
            Self::Salvaged => "store.salvaged",
            Self::Mended => "store.mended",
            Self::Room => "disk.room",
            Self::KeyDestroyed => "key.destroyed",
            Self::DaemonStarted => "daemon.started",
            Self::DaemonStopped => "daemon.stopped",
            Self::CommandAccepted => "command.accepted",
            Self::CommandRefused => "command.refused",
            Self::CommandDone => "command.done",
            Self::Queried => "queried",
            Self::PictureViewed => "picture.viewed",
            Self::Judged => "hit.judged",
            Self::ListChanged => "list.changed",
            Self::ConfigChanged => "config.changed",
            Self::ModelChanged => "model.changed",
            Self::Held => "hold.changed",
            Self::RetentionChanged => "retention.changed",
            Self::KeysChanged => "keys.changed",
            Self::SecretSet => "secret.set",
            Self::ClockStepped => "clock.stepped",
            Self::Begun => "audit.begun",
            Self::Repaired => "audit.repaired",
            Self::Dropped => "frames.dropped",
            Self::Lost => "record.lost",
            Self::Counted => "counted",
        }
    }
}
