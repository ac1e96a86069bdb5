//! `hotlist.list`, `hotlist.put`, `hotlist.patch`, `hotlist.remove`, `hotlist.preview`: lists from the centre.
//!
//! What a package is: [`crate::hotlist::package`]; where lists lie: [`crate::command::lists`]. What the operations share is
//! here: how a package comes with a command, whose signature it needs, and whose list one may change.
//!
//! A list has one owner. It is changed by people of that organisation alone, with packages that one of them signed.
//! Lists that the configuration names come as files and are changed there.

pub mod list;
pub mod patch;
pub mod preview;
pub mod put;
pub mod remove;
#[cfg(test)]
mod tests;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::centre::keyring::Role;
use crate::command::blobs::BlobRef;
use crate::command::lists::{Package, Shelf};
use crate::command::{Caller, Refusal, Rooms};
use crate::domain::{ListId, Ownership, Reason};
use crate::hotlist::List;
use crate::store::audit::Event;

/// A package: in the command when it is small, else as a blob. Exactly one of both.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Content {
    /// The package itself.
    #[n(0)]
    pub inline: Option<ByteVec>,
    /// Where it is.
    #[n(1)]
    pub blob: Option<BlobRef>,
}

impl Content {
    /// Largest package that goes with the command itself, in bytes.
    pub const MAX_INLINE: usize = 48 * 1024;

    /// How `package` is sent, and whether its bytes have to be sent as a blob.
    #[must_use]
    pub fn of(package: &[u8]) -> Self {
        if package.len() <= Self::MAX_INLINE {
            return Self { inline: Some(ByteVec::from(package.to_vec())), blob: None };
        }
        Self { inline: None, blob: Some(BlobRef::of(package)) }
    }

    fn bytes(&self, rooms: &Rooms) -> Result<Vec<u8>, Refusal> {
        match (&self.inline, self.blob) {
            (Some(bytes), None) => Ok(bytes.to_vec()),
            (None, Some(blob)) => rooms.blobs.get(blob),
            _ => Err(Refusal::new(Reason::Arguments, "a package comes inline or as a blob: give one of both")),
        }
    }

    fn forget(&self, rooms: &Rooms) {
        if let Some(blob) = &self.blob {
            rooms.blobs.forget(blob);
        }
    }
}

/// What `hotlist.put` and `hotlist.patch` ask.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The package.
    #[n(0)]
    pub package: Content,
    /// The list may grow or shrink more than lists do by themselves. Audited.
    #[n(1)]
    pub force: Option<bool>,
}

/// What `hotlist.put` and `hotlist.patch` answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The list.
    #[n(0)]
    pub list: ListId,
    /// Serial in force now.
    #[n(1)]
    pub serial: u32,
    /// Entries in force now.
    #[n(2)]
    pub entries: u32,
    /// Serial that was in force before; none when there was no list.
    #[n(3)]
    pub before: Option<u32>,
    /// It was in force already: nothing was done.
    #[n(4)]
    pub unchanged: bool,
    /// Of a delta: entries added, removed, and plates among both.
    #[n(5)]
    pub change: Option<(u32, u32, u32)>,
}

fn shelf(rooms: &Rooms) -> Shelf {
    Shelf::new(&rooms.config.site.data_dir, rooms.store.vault().clone())
}

/// Opens a package of the caller's organisation: signed by a lists key of it that is valid now, and owned by it.
fn opened<'a>(rooms: &Rooms, caller: &Caller, bytes: &'a [u8]) -> Result<(Package<'a>, String), Refusal> {
    let keyring = rooms.keyring.current();
    let package = Package::open(bytes, &keyring.keys_of(Role::Lists, rooms.clock.utc()))?;
    let signer = keyring.entry(package.kid).cloned();
    let signer = signer.ok_or_else(|| Refusal::new(Reason::UnknownKey, "the package's key is not in the keyring"))?;
    let owner = &package.header.owner.org;
    if signer.org != *owner {
        let text = format!("the package is of {owner}'s list and signed by {} of {}", signer.name, signer.org);
        return Err(Refusal::new(Reason::Organisation, text));
    }
    owned(&package.header.list, Some(&package.header.owner), caller)?;
    Ok((package, signer.name))
}

/// Refuses who does not act for the list's owner.
fn owned(list: &ListId, owner: Option<&Ownership>, caller: &Caller) -> Result<(), Refusal> {
    match owner {
        Some(owner) if owner.org != caller.person.org => {
            let text =
                format!("list {list} is {}'s, you act for {}: its owner changes it", owner.org, caller.person.org);
            Err(Refusal::new(Reason::Organisation, text))
        }
        _ => Ok(()),
    }
}

/// Refuses lists that the configuration names, and those that others own; the list in force, where there is one.
fn changeable(rooms: &Rooms, id: &ListId, caller: &Caller) -> Result<Option<std::sync::Arc<List>>, Refusal> {
    if let Some(file) = rooms.config.hotlists.iter().find(|file| file.id == *id) {
        let text = format!(
            "list {id} comes from {} by this box's configuration: change it there, or take it out of the configuration",
            file.file.display()
        );
        return Err(Refusal::new(Reason::Conflict, text));
    }
    let in_force = rooms.hotlists.get(id);
    if let Some(list) = &in_force {
        owned(id, list.settings().owner.as_ref(), caller)?;
    }
    Ok(in_force)
}

/// Notes in the audit log what became of a list. It has happened: a log that can't be written is told.
fn note(rooms: &Rooms, details: &[(&str, String)]) {
    if let Err(error) = rooms.store.audit(Event::ListChanged, details) {
        tracing::error!(%error, "audit record of a changed list not written");
    }
}

/// In hex, for audit records.
fn hex(digest: &[u8; 32]) -> String {
    crate::centre::keys::hex(digest)
}
