//! `model.put`: takes a signed model package, tries it on its canary pictures and keeps it. It is not in force by that.
//!
//! In this order: the blob, the signature by a fleet key, every digest; unpacked aside; run with the models in force
//! around it; kept when its canaries are right. What is refused leaves nothing behind but the blob, which goes by its age.

use minicbor::{Decode, Encode};

use crate::command::blobs::BlobRef;
use crate::command::models::shelf::Trial;
use crate::command::models::{Chosen, Package, Score, Task, force};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// The package.
    #[n(0)]
    pub package: BlobRef,
}

/// What is answered. A refusal for its canaries carries the [`Score`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Name of the model.
    #[n(0)]
    pub name: String,
    /// Its version.
    #[n(1)]
    pub version: String,
    /// What it does.
    #[n(2)]
    pub task: Task,
    /// SHA-256 of the package's signed table.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub package: [u8; 32],
    /// Name of the key that signed it.
    #[n(4)]
    pub signer: String,
    /// How its pictures went.
    #[n(5)]
    pub score: Score,
    /// Models that had to go for it.
    #[n(6)]
    pub gone: Vec<String>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    super::is_managed(rooms)?;
    let bytes = rooms.blobs.get(args.package)?;
    let (keyring, keys) = super::signers(rooms);
    let package = Package::open(&bytes, &keys)?;
    super::is_on(&rooms.config.vision, package.table.task)?;
    let signer = keyring.entry(package.kid).map(|entry| entry.name.clone()).unwrap_or_default();
    let shelf = super::shelf(rooms);
    let unpacked = shelf.unpack(&package)?;
    let kept = tried(rooms, &package, &unpacked).and_then(|score| {
        let trial = Trial::new(rooms.clock.utc(), &signer, score.clone());
        let needed: Vec<_> = super::force(&shelf)?.needed().cloned().collect();
        Ok((shelf.keep(&unpacked, &package.table, &trial, &needed)?, score))
    });
    if kept.is_err()
        && let Err(error) = shelf.sweep()
    {
        tracing::warn!(%error, "a refused model could not be removed, the next start will");
    }
    let (gone, score) = kept?;
    let table = package.table;
    let facts = vec![
        ("model", table.full_name()),
        ("task", table.task.to_string()),
        ("package", hex(&table.digest())),
        ("signer", signer.clone()),
        ("score", format!("{} of 1000", score.permille())),
    ];
    rooms.blobs.forget(&args.package);
    let package = table.digest();
    let answer =
        Answer { name: table.name, version: table.model_version, task: table.task, package, signer, score, gone };
    Ok(Done { result: ops::encode(&answer), facts, ..Done::default() })
}

/// How the package's pictures go with the models in force and this one in its place.
fn tried(rooms: &Rooms, package: &Package<'_>, unpacked: &std::path::Path) -> Result<Score, Refusal> {
    let shelf = super::shelf(rooms);
    let mut around = force::read(shelf.folder())?.now;
    around.take(package.table.task);
    let mut set = super::chosen(&shelf, &around)?;
    let table = &package.table;
    let (name, version) = (table.name.clone(), table.model_version.clone());
    set.push(Chosen { task: table.task, name, version, folder: unpacked.to_owned() });
    super::try_out(rooms, &set, unpacked, &table.canaries, table.least)
}

/// In hex, for audit records.
pub(super) fn hex(digest: &[u8; 32]) -> String {
    crate::centre::keys::hex(digest)
}
