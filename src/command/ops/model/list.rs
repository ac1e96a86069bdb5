//! `model.list`: the models that are loaded, those that came, those that are shipped, and what became of them.

use minicbor::{Decode, Encode};

use crate::centre::keys::Kid;
use crate::command::models::force::{Fallback, InForce, Probation, STARTS, STEADY};
use crate::command::models::{Shelved, Task, Told};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::TimeMs;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The models that are loaded.
    #[n(0)]
    pub loaded: Vec<Told>,
    /// Those that came, the newest first.
    #[n(1)]
    pub came: Vec<Came>,
    /// Those in the folder that `[vision]` names.
    #[n(2)]
    pub shipped: Vec<Told>,
    /// The centre's models in force; what is not named is as `[vision]` says.
    #[n(3)]
    pub set: Vec<InForce>,
    /// Sets that a rollback can go back to, the newest last.
    #[n(4)]
    pub before: Vec<Vec<InForce>>,
    /// Whether the set in force is on probation.
    #[n(5)]
    pub probation: Option<Probation>,
    /// Starts without a good end after which it falls back.
    #[n(6)]
    pub starts: u8,
    /// Seconds that it has to run to be for good.
    #[n(7)]
    pub steady_s: u64,
    /// The newest fallbacks, the newest last.
    #[n(8)]
    pub fallbacks: Vec<Fallback>,
    /// What cannot be read of the shelf.
    #[n(9)]
    pub faults: Vec<String>,
}

/// A model that came.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Came {
    /// Its name.
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
    /// Who signed it.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub kid: [u8; 8],
    /// Name of that key when it came.
    #[n(5)]
    pub signer: String,
    /// When it came.
    #[n(6)]
    pub at: TimeMs,
    /// Right answers of its canary pictures, ‰.
    #[n(7)]
    pub score: u16,
    /// What was promised, ‰.
    #[n(8)]
    pub least: u16,
    /// How many pictures.
    #[n(9)]
    pub pictures: u16,
    /// Mean time a picture, µs.
    #[n(10)]
    pub micros: u64,
    /// Bytes of its files.
    #[n(11)]
    pub bytes: u64,
}

impl Came {
    fn of(shelved: &Shelved) -> Self {
        let (table, score, Kid(kid)) = (&shelved.table, &shelved.trial.score, shelved.kid);
        Self {
            name: table.name.clone(),
            version: table.model_version.clone(),
            task: table.task,
            package: table.digest(),
            kid,
            signer: shelved.trial.signer.clone(),
            at: shelved.trial.at,
            score: score.permille(),
            least: score.least,
            pictures: u16::try_from(score.rows.len()).unwrap_or(u16::MAX),
            micros: score.mean_micros(),
            bytes: table.bytes(),
        }
    }
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args {} = ops::decode(command.args())?;
    let shelf = super::shelf(rooms);
    let force = super::force(&shelf)?;
    let (came, faults) = shelf.list()?;
    let here = rooms.controls.models();
    let answer = Answer {
        loaded: here.loaded,
        came: came.iter().map(Came::of).collect(),
        shipped: here.shipped,
        set: force.now.iter().cloned().collect(),
        before: force.before.iter().map(|set| set.iter().cloned().collect()).collect(),
        probation: force.probation,
        starts: STARTS,
        steady_s: STEADY.as_secs(),
        fallbacks: force.fallbacks,
        faults: faults.iter().map(ToString::to_string).collect(),
    };
    Ok(Done { result: ops::encode(&answer), ..Done::default() })
}
