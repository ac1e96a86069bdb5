//! Words of the commands: operations, what becomes of one, and why one is refused.
//!
//! Values alone; who may run an operation is decided in `command::authorise`, how one is encoded in `docs/wire.cddl`.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// An enum whose words go into topics, JSON, audit records and messages, and whose numbers go onto the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum $name {
            $($(#[$vdoc])* #[n($number)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in topics, JSON and audit records.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let known = || Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(", ");
                let found = Self::ALL.iter().copied().find(|w| w.as_str() == text);
                found.ok_or_else(|| format!("is {text:?}, wanted one of {}", known()))
            }
        }
    };
}

pub(super) use words;

words! {
    /// What the centre can ask of a box. An ack is no operation: it has a topic of its own.
    Op {
        /// Health, versions, state: what a health message says, now.
        BoxStatus = 0 "box.status",
        /// Ends the daemon in good order and starts it anew.
        BoxRestart = 1 "box.restart",
        /// Destroys every key of the store. Two people.
        BoxWipe = 2 "box.wipe",
        /// The last lines of the daemon's log.
        LogTail = 3 "log.tail",
        /// A credential, sealed to the box; write-only.
        SecretSet = 4 "secret.set",
        /// The cameras with their configuration and state.
        CameraList = 5 "camera.list",
        /// Adds a camera or changes one.
        CameraSet = 6 "camera.set",
        /// Takes a camera out.
        CameraRemove = 7 "camera.remove",
        /// Stops looking at a camera, until told otherwise or for a time.
        CameraPause = 8 "camera.pause",
        /// A picture of now. Needs a purpose.
        CameraSnapshot = 9 "camera.snapshot",
        /// The configuration in force.
        ConfigGet = 10 "config.get",
        /// Another configuration: staged, verified, confirmed or rolled back by itself.
        ConfigSet = 11 "config.set",
        /// The lists in force.
        HotlistList = 12 "hotlist.list",
        /// A whole list, as a signed package.
        HotlistPut = 13 "hotlist.put",
        /// What changed since a serial.
        HotlistPatch = 14 "hotlist.patch",
        /// Takes a list out of force.
        HotlistRemove = 15 "hotlist.remove",
        /// What a list would match, and which misreads its policy accepts.
        HotlistPreview = 16 "hotlist.preview",
        /// Plates that never make a hit.
        IgnorePut = 17 "ignore.put",
        /// Reads by plate, time, camera, class. Needs purpose and case.
        ReadsQuery = 18 "reads.query",
        /// Hits by the same, severity, verdict and owner. Needs purpose and case.
        HitsQuery = 19 "hits.query",
        /// Pictures of one sighting. Needs purpose and case.
        EvidenceGet = 20 "evidence.get",
        /// An operator has a hit before them.
        HitSeen = 21 "hit.seen",
        /// What an operator found a hit to be.
        HitVerdict = 22 "hit.verdict",
        /// Stops deletion of a hit, a plate, or a camera and span of time. Needs a case.
        HoldPlace = 23 "hold.place",
        /// Ends a hold. Two people.
        HoldRelease = 24 "hold.release",
        /// How long things are kept. Shortening takes two people.
        RetentionSet = 25 "retention.set",
        /// The models that are there and in force.
        ModelList = 26 "model.list",
        /// A signed model with its canary pictures.
        ModelPut = 27 "model.put",
        /// Puts a model in force.
        ModelActivate = 28 "model.activate",
        /// Puts the models in force that were before.
        ModelRollback = 29 "model.rollback",
        /// Consistency of two audit heads, or that one record is in the log.
        AuditProof = 30 "audit.proof",
        /// Records of the audit log.
        AuditExport = 31 "audit.export",
        /// A month in counts.
        ReportGet = 32 "report.get",
        /// Another keyring.
        KeyringPut = 33 "keyring.put",
        /// Another signing key of the box.
        KeyRotate = 34 "key.rotate",
        /// The holds in force, and how long things are kept.
        HoldList = 35 "hold.list",
    }
}

words! {
    /// What becomes of a command. The first two are followed by another, the others are final.
    CommandStatus {
        /// It is who it says it is and may; it waits its turn.
        Accepted = 0 "accepted",
        /// It is being done.
        Executing = 1 "executing",
        /// It is done.
        Successful = 2 "successful",
        /// It could not be done; nothing is changed unless the text says so.
        Failed = 3 "failed",
        /// It may not be done.
        Denied = 4 "denied",
        /// It came after its time, or before.
        Expired = 5 "expired",
        /// Its id was used before, and what was answered then is not kept any more.
        Duplicate = 6 "duplicate",
        /// Too many wait; send it again.
        Busy = 7 "busy",
    }
}

impl CommandStatus {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Executing)
    }
}

words! {
    /// Why a command was refused or failed: each fault has its own.
    Reason {
        /// More than 60 KiB, or more than its kind may have.
        TooLarge = 0 "too-large",
        /// No COSE message, no claims, or not in deterministic encoding.
        Malformed = 1 "malformed",
        /// A version that this box does not know.
        Version = 2 "version",
        /// No such operation, or another than that of the topic.
        UnknownOp = 3 "unknown-op",
        /// Meant for another box.
        Audience = 4 "audience",
        /// No key of the keyring.
        UnknownKey = 5 "unknown-key",
        /// The signature does not fit.
        Signature = 6 "signature",
        /// The key is not valid yet.
        KeyNotYet = 7 "key-not-yet",
        /// The key's time is over.
        KeyOver = 8 "key-over",
        /// The key was revoked.
        KeyRevoked = 9 "key-revoked",
        /// The key's role may not do this.
        Role = 10 "role",
        /// A second person has to sign, and did not.
        SecondPerson = 11 "second-person",
        /// Both signatures are of one person.
        SamePerson = 12 "same-person",
        /// Its time is over.
        Expired = 13 "expired",
        /// Issued in the future.
        Future = 14 "future",
        /// Valid for longer than 300 s.
        Lifetime = 15 "lifetime",
        /// Older than what this box can tell a replay of.
        TooOld = 16 "too-old",
        /// The id was used before.
        Replay = 17 "replay",
        /// The box's clock is not set, and the command names no challenge of its.
        Challenge = 18 "challenge",
        /// More commands of this key than are taken.
        Rate = 19 "rate",
        /// Too many commands wait.
        Busy = 20 "busy",
        /// A purpose is needed.
        Purpose = 21 "purpose",
        /// A case number is needed.
        Case = 22 "case",
        /// More rows or days than one person may ask for: a supervisor has to sign as well.
        Supervisor = 23 "supervisor",
        /// The arguments are wrong.
        Arguments = 24 "arguments",
        /// There is no such thing.
        NotFound = 25 "not-found",
        /// Older than what is in force: a serial can't go back.
        OlderSerial = 26 "older-serial",
        /// Builds on another serial than the one in force.
        OtherBase = 27 "other-base",
        /// It does not go with what is there.
        Conflict = 28 "conflict",
        /// A blob that it names is not here, or not whole.
        BlobMissing = 29 "blob-missing",
        /// A digest does not fit.
        Digest = 30 "digest",
        /// Belongs to another organisation that does not share it.
        Organisation = 31 "organisation",
        /// What was to be taken in force was tried and did not do.
        Verification = 32 "verification",
        /// Larger or more than fits here.
        Bound = 33 "bound",
        /// This box or build can't do it.
        Unsupported = 34 "unsupported",
        /// The disk, the store or the system said no.
        Internal = 35 "internal",
        /// The box was restarted while it was done.
        Interrupted = 36 "interrupted",
        /// The issuer that it names is not whose key signed it.
        Issuer = 37 "issuer",
        /// The budget of the link has no room for the answer now.
        Budget = 38 "budget",
    }
}

words! {
    /// What plates are asked for. A code, so that uses can be counted; the case number says more.
    Purpose {
        /// A vehicle reported stolen.
        StolenVehicle = 0 "stolen-vehicle",
        /// Somebody who is missing.
        MissingPerson = 1 "missing-person",
        /// Somebody for whom there is a warrant.
        WantedPerson = 2 "wanted-person",
        /// A crime under investigation.
        CrimeInvestigation = 3 "crime-investigation",
        /// A collision or a traffic offence.
        Traffic = 4 "traffic",
        /// Danger to life.
        Emergency = 5 "emergency",
        /// A complaint or request of whom the data is about.
        DataSubject = 6 "data-subject",
        /// Setting up and looking after the box.
        Maintenance = 7 "maintenance",
    }
}

words! {
    /// A picture of a sighting or of a camera.
    Picture {
        /// The plate.
        Crop = 0 "crop",
        /// The whole frame, scaled down.
        Scene = 1 "scene",
        /// What a camera showed when its health was told: of no sighting, with an id of its own.
        View = 2 "view",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_and_is_unlike_the_others() {
        for op in Op::ALL {
            assert_eq!(op.as_str().parse::<Op>().as_ref(), Ok(op));
        }
        assert!("moon.reboot".parse::<Op>().unwrap_err().contains("box.status"));
        let mut words: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(CommandStatus::Busy.is_final() && !CommandStatus::Executing.is_final());
    }
}
