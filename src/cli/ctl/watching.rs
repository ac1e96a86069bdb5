//! What `tail` does as witness: keeps the checkpoints that boxes tell, tells what contradicts them, and asks for proofs.
//!
//! A checkpoint is kept before it is spoken of. A newer one of a box waits for its proof, which is asked for at most every ten
//! minutes a box, over a connection of its own and with the auditor's key; without that key it waits for somebody to run
//! `watchpostctl audit verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender};

use super::Centre;
use super::ask::{Asking, Keys as KeyFiles, Signing};
use super::audit::verify::{self, Verdict};
use crate::centre::boxes::KnownBox;
use crate::centre::keys::Keys;
use crate::centre::topics::Address;
use crate::centre::witness::{Heard, Watched, Witness};
use crate::domain::{BoxId, Op, TimeMs};

/// A box's proof is asked for at most once in this time.
const PROVE_EVERY: Duration = Duration::from_mins(10);
/// Boxes that wait for their proof to be asked for; more are asked at their next checkpoint.
pub(super) const WAITING: usize = 256;

/// Something to tell.
pub(super) struct Told {
    pub(super) text: String,
    pub(super) json: Value,
    /// Somebody has to look.
    pub(super) wrong: bool,
}

/// The witness, as `tail` has it.
pub(super) struct Watching {
    witness: Witness,
    /// When each box's proof was asked for last.
    asked: BTreeMap<BoxId, Duration>,
    /// Alarms that were told.
    told: BTreeSet<(BoxId, String)>,
    ask: Option<Sender<BoxId>>,
}

impl Watching {
    /// Keeps in `witness`; with `ask`, proofs are asked for.
    pub(super) fn new(witness: Witness, ask: Option<Sender<BoxId>>) -> Self {
        Self { witness, asked: BTreeMap::new(), told: BTreeSet::new(), ask }
    }

    /// Takes a checkpoint; gives what there is to tell.
    pub(super) fn hear(&mut self, from: &Address, keys: &Keys, note: &[u8], now: (TimeMs, Duration)) -> Option<Told> {
        let of = Watched { site: &from.site, box_id: &from.box_id, keys };
        let heard = match self.witness.hear(&of, note, now.0) {
            Ok(heard) => heard,
            Err(error) => return Some(told(&from.box_id, "lost", &error.to_string(), true)),
        };
        match heard {
            Heard::Known => None,
            Heard::First(checkpoint) => {
                let text = format!("{} records, the first checkpoint that is kept", checkpoint.head.size);
                Some(told(&from.box_id, "first", &text, false))
            }
            Heard::Newer { .. } => {
                let due = self.asked.get(&from.box_id).is_none_or(|at| now.1 >= *at + PROVE_EVERY);
                if let Some(ask) = self.ask.as_ref().filter(|_| due)
                    && ask.try_send(from.box_id.clone()).is_ok()
                {
                    self.asked.insert(from.box_id.clone(), now.1);
                }
                None
            }
            Heard::Alarm { what, .. } => {
                let text = format!("ALARM: {what}");
                let new = self.told.insert((from.box_id.clone(), text.clone()));
                new.then(|| told(&from.box_id, "alarm", &text, true))
            }
        }
    }
}

fn told(box_id: &BoxId, state: &str, text: &str, wrong: bool) -> Told {
    let json = json!({ "kind": "audit", "from": box_id.as_str(), "state": state, "text": text });
    Told { text: format!("box {box_id} audit log: {text}"), json, wrong }
}

/// How the auditor asks; `None` when there is no auditor's key here.
pub(super) fn auditor(centre: &Centre) -> Option<Asking> {
    let signing = Signing { signer: None, second: None, purpose: None, case: None, json: false };
    signing.signers(&KeyFiles::of(centre), Op::AuditProof).ok()?;
    Some(Asking { box_ids: Vec::new(), site: None, all: false, wait: 30, signing })
}

/// Asks for proofs until nobody wants any more; tells what came of each that is not as it should be.
pub(super) async fn prove(
    centre: &Centre,
    asking: &Asking,
    witness: &Witness,
    mut wanted: Receiver<BoxId>,
    tell: Sender<Told>,
) {
    while let Some(box_id) = wanted.recv().await {
        let known: Option<KnownBox> =
            centre.boxes().ok().and_then(|b| b.iter().find(|(id, _)| **id == box_id).map(|(_, k)| k.clone()));
        let Some(known) = known else { continue };
        let told = match verify::one(centre, asking, witness, (&box_id, &known), false).await {
            Ok(Verdict::First(_) | Verdict::Sound { .. }) => continue,
            Ok(Verdict::Alarm(what)) => told(&box_id, "alarm", &format!("ALARM: {what}"), true),
            // It is asked again with a later checkpoint.
            Ok(Verdict::Unasked(why)) => told(&box_id, "unproven", &format!("no proof came: {why}"), false),
            Err(error) => told(&box_id, "unproven", &format!("no proof: {}", crate::causes::line(&error)), false),
        };
        // Whoever listened has gone: the session is over.
        if tell.send(told).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keys::SigningKey;
    use crate::centre::note;
    use crate::centre::topics::Kind;
    use crate::domain::tree::{Edge, leaf_hash};
    use crate::domain::{Checkpoint, LogId, SiteId};

    #[test]
    fn a_growing_log_asks_for_a_proof_once_in_ten_minutes_and_an_alarm_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let keys = Keys::from(key.public().clone());
        let (ask, mut asked) = tokio::sync::mpsc::channel(4);
        let mut watching = Watching::new(Witness::new(dir.path()), Some(ask));
        let from = Address { site: SiteId::new("s").unwrap(), box_id: BoxId::new("b").unwrap(), kind: Kind::Audit };
        let mut hear = |size: u64, minutes: u64| {
            let mut edge = Edge::default();
            (0..size).for_each(|n| drop(edge.push(leaf_hash(&n.to_be_bytes()))));
            let checkpoint = Checkpoint { origin: "watchpost/s/b".to_owned(), log: LogId([1; 8]), head: edge.head() };
            let note = note::sign(&checkpoint, &key).unwrap();
            watching.hear(&from, &keys, &note, (TimeMs(9), Duration::from_mins(minutes)))
        };
        assert!(hear(3, 0).is_some_and(|told| told.text.contains("first checkpoint") && !told.wrong));
        assert!(hear(4, 1).is_none() && hear(5, 2).is_none());
        assert_eq!(asked.try_recv().unwrap().as_str(), "b");
        assert!(asked.try_recv().is_err(), "not again so soon");
        assert!(hear(6, 12).is_none());
        assert!(asked.try_recv().is_ok());
        let alarm = hear(2, 13).unwrap();
        assert!(alarm.wrong && alarm.text.contains("ALARM: rolled back or cut: the log has 2 records, it had 6"));
        assert!(hear(2, 14).is_none(), "told once");
    }
}
