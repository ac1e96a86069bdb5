//! What the audit log says of a command, and which status a reason comes to.
//!
//! Who (key, name, organisation, role; a second person), what (operation, id, HMAC of the arguments), what for (purpose,
//! case), by which way. Never the arguments themselves: they may name a plate.

use super::authorise::Authorised;
use super::envelope::Refused;
use super::line::Via;
use super::{CommandId, Person};
use crate::centre::keys::hex;
use crate::domain::{CommandStatus, Op, Reason};
use crate::store::Store;

type Details = Vec<(&'static str, String)>;

/// What all records of a command begin with.
#[derive(Debug, Clone)]
pub(super) struct Record {
    op: String,
    id: CommandId,
    via: Via,
    more: Details,
}

impl Record {
    /// Of a command of which no more than its topic is known.
    pub(super) fn of_topic(op: &str, id: &CommandId, via: Via) -> Self {
        Self { op: op.to_owned(), id: *id, via, more: Details::new() }
    }

    /// Of a command that may be executed. Its arguments are told by an HMAC under a key of the store: a bare digest of a
    /// question about a plate would tell the plate to whoever tries all of them out.
    pub(super) fn of(command: &Authorised, via: Via, store: &Store) -> Self {
        let caller = command.caller();
        let mut more = person(&caller.person);
        if let Some(second) = &caller.second {
            more.push(("second", second.name.clone()));
            more.push(("second_key", second.kid.to_string()));
            more.push(("second_org", second.org.clone()));
        }
        if let Some(purpose) = caller.purpose {
            more.push(("purpose", purpose.to_string()));
        }
        if let Some(case) = &caller.case {
            more.push(("case", case.clone()));
        }
        let digest = store.bind("args", &[command.op().as_str().as_bytes(), command.args()]);
        more.push(("args", hex(&digest)));
        Self { op: command.op().to_string(), id: *command.id(), via, more }
    }

    fn begin(&self) -> Details {
        let via = match self.via {
            Via::Mqtt => "mqtt",
            Via::Local(_) => "local",
        };
        vec![("op", self.op.clone()), ("id", hex(&self.id)), ("via", via.to_owned())]
    }

    pub(super) fn accepted(&self) -> Details {
        [self.begin(), self.more.clone()].concat()
    }

    /// Who and what again, so that one record says all, and how it ended.
    pub(super) fn done(
        &self,
        status: CommandStatus,
        reason: Option<Reason>,
        facts: &[(&'static str, String)],
    ) -> Details {
        let mut details = self.accepted();
        details.push(("status", status.to_string()));
        details.extend(reason.map(|reason| ("reason", reason.to_string())));
        details.extend(facts.iter().cloned());
        details
    }

    pub(super) fn refused(&self, refused: &Refused) -> Details {
        let mut details = self.begin();
        details.push(("reason", refused.why.reason.to_string()));
        match (&refused.signer, refused.kid) {
            (Some(signer), _) => details.extend(person(signer)),
            // Nobody has shown that this key signed it.
            (None, Some(kid)) => details.push(("claimed_key", kid.to_string())),
            (None, None) => {}
        }
        details
    }
}

/// Of a command that the daemon's end cut off.
pub(super) fn interrupted(op: Op, id: &CommandId) -> Details {
    vec![
        ("op", op.to_string()),
        ("id", hex(id)),
        ("status", CommandStatus::Failed.to_string()),
        ("reason", Reason::Interrupted.to_string()),
    ]
}

fn person(person: &Person) -> Details {
    vec![
        ("by", person.name.clone()),
        ("key", person.kid.to_string()),
        ("org", person.org.clone()),
        ("role", person.role.as_str().to_owned()),
    ]
}

/// The status that a refusal before execution is answered with.
pub(super) fn status_of(reason: Reason) -> CommandStatus {
    match reason {
        Reason::Expired | Reason::Future | Reason::TooOld => CommandStatus::Expired,
        Reason::Replay => CommandStatus::Duplicate,
        Reason::Busy | Reason::Rate => CommandStatus::Busy,
        Reason::TooLarge
        | Reason::Malformed
        | Reason::Version
        | Reason::UnknownOp
        | Reason::Audience
        | Reason::UnknownKey
        | Reason::Signature
        | Reason::KeyNotYet
        | Reason::KeyOver
        | Reason::KeyRevoked
        | Reason::Issuer
        | Reason::Role
        | Reason::SecondPerson
        | Reason::SamePerson
        | Reason::Lifetime
        | Reason::Challenge
        | Reason::Purpose
        | Reason::Case
        | Reason::Supervisor
        | Reason::Organisation => CommandStatus::Denied,
        Reason::Arguments
        | Reason::NotFound
        | Reason::OlderSerial
        | Reason::OtherBase
        | Reason::Conflict
        | Reason::BlobMissing
        | Reason::Digest
        | Reason::Verification
        | Reason::Bound
        | Reason::Unsupported
        | Reason::Internal
        | Reason::Interrupted
        | Reason::Budget => CommandStatus::Failed,
    }
}

/// The status of an operation that ended by this reason: what it may not is `denied`, everything else `failed`.
pub(super) fn outcome_of(reason: Reason) -> CommandStatus {
    match status_of(reason) {
        CommandStatus::Denied => CommandStatus::Denied,
        _ => CommandStatus::Failed,
    }
}
