//! The judgement: what came at the centre and what the box's store says, held against what was fed and committed.
//!
//! A plain value in, a plain value out: [`judge`] knows nothing of how the history came about, and the fault `judge` of
//! the campaign gives it histories with every kind of fault, so that a judge that cannot fail fails the campaign.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use watchpost::supervise::testkit::plate;

use super::fault::{Ask, Fault, Outcome};

/// How many examples of each kind a verdict names.
const EXAMPLES: usize = 5;

pub const FAULTS: &[Fault] = &[Fault {
    name: "judge",
    what: "histories with one fault each are given to the judge: it finds each, and nothing in the one without",
    small: 12,
    full: 12,
    run: can_fail,
}];

/// Where an alert stands: its epoch, as hex, and its number in it.
pub type Place = (String, u64);

/// An alert that the centre took for new.
#[derive(Debug, Clone)]
pub struct Came {
    pub number: u32,
    pub plate: String,
    pub place: Place,
}

/// All that is known of a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Numbers that were handed to the box.
    pub fed: BTreeSet<u32>,
    /// Numbers that the box announced as durable, and where.
    pub committed: BTreeMap<u32, Place>,
    /// What the centre took for new, in order.
    pub came: Vec<Came>,
    /// What the box said it had shed: epoch, first, last.
    pub shed: Vec<(String, u64, u64)>,
    /// The hits in the box's store.
    pub stored: BTreeMap<u32, Place>,
    /// What still waits in the box's outbox.
    pub waiting: BTreeSet<Place>,
}

/// What the judge found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub fed: usize,
    pub committed: usize,
    pub came: usize,
    /// Announced as durable and not in the store, or announced without an alert.
    pub lost: Vec<String>,
    /// Taken for new twice.
    pub duplicates: Vec<String>,
    /// Came and was never fed, or is not what was fed or committed.
    pub phantoms: Vec<String>,
    /// Numbers of an epoch that neither came nor wait and that no signed entry explains.
    pub holes: Vec<String>,
    /// In the store, gone from the outbox, and never at the centre: somebody acknowledged what nobody had.
    pub false_acks: Vec<String>,
    /// Committed and not yet at the centre.
    pub undelivered: Vec<String>,
}

impl Verdict {
    /// One line for each kind of fault that was found.
    pub fn faults(&self) -> Vec<String> {
        let kinds = [
            ("lost", &self.lost),
            ("duplicate after dedupe", &self.duplicates),
            ("phantom", &self.phantoms),
            ("silent hole", &self.holes),
            ("false ack", &self.false_acks),
            ("not delivered", &self.undelivered),
        ];
        let line = |(kind, found): (&str, &Vec<String>)| {
            let some = found.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
            (!found.is_empty()).then(|| format!("{} {kind}: {some}", found.len()))
        };
        kinds.into_iter().filter_map(line).collect()
    }
}

/// Judges a run that is over: everything was to be delivered, and the box has been stopped.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict {
        fed: history.fed.len(),
        committed: history.committed.len(),
        came: history.came.len(),
        ..Verdict::default()
    };
    let (mut numbers, mut places) = (BTreeSet::new(), BTreeSet::new());
    for came in &history.came {
        let Came { number, place, .. } = came;
        if !places.insert(place.clone()) || !numbers.insert(*number) {
            verdict.duplicates.push(format!("{number} as {}", place.1));
        }
        let other = history.committed.get(number).is_some_and(|committed| committed != place);
        if !history.fed.contains(number) || came.plate != plate(*number) || other {
            verdict.phantoms.push(format!("{number} as {}", place.1));
        }
    }
    let shed =
        |place: &Place| history.shed.iter().any(|(e, from, to)| *e == place.0 && (*from..=*to).contains(&place.1));
    for (number, place) in &history.committed {
        if place.1 == 0 || history.stored.get(number) != Some(place) {
            verdict.lost.push(number.to_string());
        } else if !places.contains(place) && !shed(place) {
            let waits = history.waiting.contains(place);
            let list = if waits { &mut verdict.undelivered } else { &mut verdict.false_acks };
            list.push(format!("{number} as {}", place.1));
        }
    }
    verdict.holes = holes(history, &places, &shed);
    verdict
}

/// Numbers up to the highest known one of each epoch that nothing explains.
fn holes(history: &History, came: &BTreeSet<Place>, shed: &dyn Fn(&Place) -> bool) -> Vec<String> {
    let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
    let told = history.shed.iter().map(|(epoch, _, to)| (epoch, *to));
    let known = came.iter().chain(history.committed.values()).chain(&history.waiting).map(|(e, seq)| (e, *seq));
    for (epoch, seq) in known.chain(told) {
        let newest = highest.entry(epoch).or_default();
        *newest = seq.max(*newest);
    }
    let missing = |(epoch, newest): (&str, u64)| {
        (1..=newest)
            .map(|seq| (epoch.to_owned(), seq))
            .filter(|place| !came.contains(place) && !history.waiting.contains(place) && !shed(place))
            .map(|(epoch, seq)| format!("{seq} of {epoch}"))
            .collect::<Vec<_>>()
    };
    highest.into_iter().flat_map(missing).collect()
}

/// A run of 20 hits without any fault.
fn flawless() -> History {
    let mut history = History::default();
    for number in 1..=20_u32 {
        let place = ("e1".to_owned(), u64::from(number));
        history.fed.insert(number);
        history.committed.insert(number, place.clone());
        history.stored.insert(number, place.clone());
        history.came.push(Came { number, plate: plate(number), place });
    }
    // Handed over and not durable when the box was killed: nothing was promised.
    history.fed.insert(21);
    history
}

/// Spoils a history.
type Spoil<'a> = Box<dyn Fn(&mut History) + 'a>;

fn can_fail(_: &Ask) -> Outcome {
    let at = |seq: u64| ("e1".to_owned(), seq);
    let took = |history: &mut History, number: u32| history.came.retain(|came| came.number != number);
    let cases: Vec<(&str, &[&str], Spoil<'_>)> = vec![
        ("nothing", &[], Box::new(|_| {})),
        ("a hit that the store has lost", &["lost"], Box::new(|h| drop(h.stored.remove(&7)))),
        ("a commit without an alert", &["lost"], Box::new(|h| drop(h.committed.insert(21, at(0))))),
        ("a hit stored under another number", &["lost"], Box::new(|h| drop(h.stored.insert(7, at(8))))),
        ("an alert that is lost on the way", &["silent hole", "false ack"], Box::new(|h| took(h, 7))),
        (
            "an alert that still waits",
            &["not delivered"],
            Box::new(|h| {
                took(h, 7);
                h.waiting.insert(at(7));
            }),
        ),
        (
            "an alert that was shed, and told so",
            &[],
            Box::new(|h| {
                took(h, 7);
                h.shed.push(("e1".to_owned(), 7, 7));
            }),
        ),
        ("an alert that came twice under one number", &["duplicate"], Box::new(|h| h.came.push(h.came[3].clone()))),
        (
            "an alert that came again under a new number",
            &["duplicate", "phantom"],
            Box::new(|h| h.came.push(Came { place: at(21), ..h.came[3].clone() })),
        ),
        (
            "an alert of a hit that never was",
            &["phantom"],
            Box::new(|h| h.came.push(Came { number: 99, plate: plate(99), place: at(21) })),
        ),
        ("an alert with another plate", &["phantom"], Box::new(|h| h.came[3].plate = plate(5))),
        (
            "a number that was given away and never told of",
            &["silent hole"],
            Box::new(|h| {
                h.committed.insert(21, at(22));
                h.stored.insert(21, at(22));
                h.came.push(Came { number: 21, plate: plate(21), place: at(22) });
            }),
        ),
    ];
    let mut outcome = Outcome::default();
    for (name, kinds, spoil) in cases {
        let mut history = flawless();
        spoil(&mut history);
        let found = judge(&history).faults();
        let right = found.len() == kinds.len() && kinds.iter().all(|kind| found.iter().any(|line| line.contains(kind)));
        outcome.expect(right, || format!("{name}: the judge says {found:?}, it should say {kinds:?}"));
        outcome.done += 1;
    }
    outcome
}
