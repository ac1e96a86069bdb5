//! Which outbox entries are on their way, and when each is sent (again): the sending window as a plain value.
//!
//! No I/O and no clock: times are monotonic and come as arguments. At most `limit` entries are staged at once. An entry
//! leaves the window only by an ack that covers it; it goes back to the outbox's order when the connection is lost or when
//! something more severe needs its place. Resending is by entry: 2 s after the broker took it, then 4, 8, 16, 30 s. While
//! nobody listens at the broker, one entry at a time goes out to find out when somebody does. Used by `publish`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::link::Taken;
use super::topics::Topics;
use crate::domain::{Ack, Severity};

/// Silence of the centre after which an entry is sent again.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Most silence between two sendings of one entry.
pub const MOST_SILENCE: Duration = Duration::from_secs(30);
/// … where the link has to be spared.
const MOST_SILENCE_SPARED: Duration = Duration::from_mins(10);
/// Most time between two probes while nobody listens.
const MOST_BETWEEN_PROBES: Duration = Duration::from_secs(8);
/// … where the link has to be spared.
const MOST_BETWEEN_PROBES_SPARED: Duration = Duration::from_mins(2);
/// A broker that has not taken an entry for so long is given up.
const BROKER_STUCK: Duration = Duration::from_mins(1);
/// Most numbers remembered of entries that were sent and are no longer staged; for the counter of resends alone.
const MOST_REMEMBERED: usize = 4096;

/// One entry of the outbox, as the window needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the epoch.
    pub seq: u64,
    /// What it tells of.
    pub kind: EntryKind,
    /// The CBOR that is signed.
    pub payload: Vec<u8>,
}

/// What an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// Copies that were shed: sent before others, since it explains the holes that they leave.
    Shed,
    /// An alert of this severity.
    Alert(Severity),
}

impl EntryKind {
    /// The topic it goes to.
    #[must_use]
    pub fn topic(self, topics: &Topics) -> String {
        match self {
            Self::Shed => topics.shed(),
            Self::Alert(severity) => topics.alert(severity),
        }
    }
}

impl Entry {
    /// How much its delivery matters.
    #[must_use]
    pub fn rank(&self) -> Severity {
        match self.kind {
            EntryKind::Shed => Severity::Critical,
            EntryKind::Alert(severity) => severity,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To be sent as soon as there is room.
    Ready,
    /// Handed to the client, not yet taken by the broker.
    Lent { since: Duration },
    /// Taken by the broker; sent again when the centre stays silent until then.
    Taken { until: Duration },
}

#[derive(Debug, Clone)]
struct Slot {
    entry: Entry,
    place: Place,
    sendings: u32,
}

/// The window. See the module.
#[derive(Debug)]
pub struct Window {
    limit: usize,
    slots: BTreeMap<u64, Slot>,
    /// Nobody listens at the broker: when that was told or the last probe went, and how long to wait after it.
    away: Option<(Duration, Duration)>,
    sent_before: BTreeSet<u64>,
    /// What is not answered is sent again less often.
    sparing: bool,
}

impl Window {
    /// Empty, for at most `limit` entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), slots: BTreeMap::new(), away: None, sent_before: BTreeSet::new(), sparing: false }
    }

    /// How many entries may be staged now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.slots.len())
    }

    /// Numbers of the staged entries.
    #[must_use]
    pub fn staged(&self) -> BTreeSet<u64> {
        self.slots.keys().copied().collect()
    }

    /// Whether nobody listens at the broker, as far as it told.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Stages an entry; ignored when it is staged already or there is no room.
    pub fn stage(&mut self, entry: Entry) {
        if self.room() > 0 {
            self.slots.entry(entry.seq).or_insert(Slot { entry, place: Place::Ready, sendings: 0 });
        }
    }

    /// Gives the place of a silent, less severe entry to something of `severity`; true when there is room then.
    pub fn make_room_for(&mut self, severity: Severity) -> bool {
        if self.room() > 0 {
            return true;
        }
        let silent = |s: &&Slot| match s.place {
            Place::Ready => true,
            Place::Lent { .. } => false,
            Place::Taken { .. } => s.sendings > 1,
        };
        let lowest = self.slots.values().filter(silent).min_by_key(|s| (s.entry.rank(), u64::MAX - s.entry.seq));
        let Some(seq) = lowest.filter(|s| s.entry.rank() < severity).map(|s| s.entry.seq) else { return false };
        self.unstage(seq);
        true
    }

    fn unstage(&mut self, seq: u64) {
        if self.slots.remove(&seq).is_some_and(|s| s.sendings > 0) {
            self.sent_before.insert(seq);
            while self.sent_before.len() > MOST_REMEMBERED {
                self.sent_before.pop_first();
            }
        }
    }

    /// Says whether the link has to be spared: what is less than serious is sent again less often then.
    pub fn spare(&mut self, sparing: bool, now: Duration) {
        if self.sparing && !sparing {
            for slot in self.slots.values_mut() {
                if let Place::Taken { until } = &mut slot.place {
                    *until = (*until).min(now + MOST_SILENCE);
                }
            }
        }
        self.sparing = sparing;
    }

    /// Most time between two probes: something severe that is staged does not wait longer because others are spared.
    fn most_between_probes(&self) -> Duration {
        let spared = self.sparing && self.slots.values().all(|slot| slot.entry.rank() < Severity::Serious);
        if spared { MOST_BETWEEN_PROBES_SPARED } else { MOST_BETWEEN_PROBES }
    }

    fn probe_at(&self) -> Option<Duration> {
        self.away.map(|(from, wait)| from + wait.min(self.most_between_probes()))
    }

    /// Gives back to the outbox's order what is less severe than `least` and not on its way: it is not sent now.
    pub fn hold(&mut self, least: Severity) {
        let waits = |s: &Slot| s.entry.rank() < least && !matches!(s.place, Place::Lent { .. });
        let held: Vec<u64> = self.slots.iter().filter(|(_, s)| waits(s)).map(|(seq, _)| *seq).collect();
        for seq in held {
            self.unstage(seq);
        }
    }

    /// A new connection: nothing is on its way, everything is asked of the outbox again, in its order.
    pub fn reset(&mut self) {
        for seq in self.staged() {
            self.unstage(seq);
        }
        self.away = None;
    }

    /// The entry to hand over next, the most severe and oldest first; `None` when nothing is due at `now`.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<&Entry> {
        if self.probe_at().is_some_and(|at| now < at) {
            return None;
        }
        let due = |s: &&Slot| match s.place {
            Place::Ready => true,
            Place::Lent { .. } => false,
            Place::Taken { until } => until <= now || self.away.is_some(),
        };
        self.slots
            .values()
            .filter(due)
            .min_by_key(|s| (std::cmp::Reverse(s.entry.rank()), s.entry.seq))
            .map(|s| &s.entry)
    }

    /// Notes that `seq` was handed over; true when it was sent before.
    pub fn lent(&mut self, seq: u64, now: Duration) -> bool {
        let most = self.most_between_probes();
        if let Some((from, wait)) = &mut self.away {
            *from = now;
            *wait = (*wait * 2).min(most);
        }
        let Some(slot) = self.slots.get_mut(&seq) else { return false };
        slot.place = Place::Lent { since: now };
        slot.sendings += 1;
        slot.sendings > 1 || self.sent_before.contains(&seq)
    }

    /// Notes the broker's PUBACK of `seq`.
    pub fn taken(&mut self, seq: u64, taken: Taken, now: Duration) {
        match taken {
            Taken::Yes => self.somebody_listens(),
            Taken::NobodyListens if self.away.is_none() => self.away = Some((now, SILENCE)),
            Taken::NobodyListens | Taken::Refused => {}
        }
        let sparing = self.sparing;
        if let Some(slot) = self.slots.get_mut(&seq) {
            let spared = sparing && slot.entry.rank() < Severity::Serious;
            let most = if spared { MOST_SILENCE_SPARED } else { MOST_SILENCE };
            slot.place = match taken {
                Taken::NobodyListens => Place::Ready,
                Taken::Yes | Taken::Refused => Place::Taken { until: now + silence_after(slot.sendings, most) },
            };
        }
    }

    fn somebody_listens(&mut self) {
        self.away = None;
    }

    /// Takes out what `ack` covers; gives the numbers.
    ///
    /// An ack also tells that the centre is there: what it left silent for a second round is then sent at once.
    pub fn acked(&mut self, ack: &Ack, now: Duration) -> usize {
        let before = self.slots.len();
        self.slots.retain(|seq, _| !ack.covers(*seq));
        self.sent_before.retain(|seq| !ack.covers(*seq));
        self.somebody_listens();
        for slot in self.slots.values_mut().filter(|s| s.sendings > 1) {
            if let Place::Taken { until } = &mut slot.place {
                *until = (*until).min(now + Duration::from_millis(100));
            }
        }
        before - self.slots.len()
    }

    /// When [`Window::next`] may have something that it has not now; `None` when only an event can change that.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        if let Some(at) = self.probe_at() {
            return Some(at);
        }
        self.slots
            .values()
            .filter_map(|s| match s.place {
                Place::Taken { until } => Some(until),
                Place::Ready | Place::Lent { .. } => None,
            })
            .min()
    }

    /// Whether the broker has not taken something for so long that a new connection is better.
    #[must_use]
    pub fn broker_is_stuck(&self, now: Duration) -> bool {
        self.slots.values().any(|s| matches!(s.place, Place::Lent { since } if now >= since + BROKER_STUCK))
    }
}

/// Silence that is waited out after the `sendings`th sending: 2, 4, 8, 16, 30 s, or on to `most`.
fn silence_after(sendings: u32, most: Duration) -> Duration {
    SILENCE.saturating_mul(1 << sendings.saturating_sub(1).min(9)).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Epoch;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn entry(seq: u64, severity: Severity) -> Entry {
        Entry { seq, kind: EntryKind::Alert(severity), payload: vec![0; 8] }
    }

    fn ack(upto: u64, also: Vec<(u64, u64)>) -> Ack {
        Ack { epoch: Epoch([1; 8]), upto, also }
    }

    fn send_next(window: &mut Window, now: Duration) -> Option<u64> {
        let seq = window.next(now)?.seq;
        window.lent(seq, now);
        Some(seq)
    }

    #[test]
    fn the_most_severe_and_then_the_oldest_goes_first() {
        let mut window = Window::new(4);
        for (seq, severity) in [(1, Severity::Info), (2, Severity::Critical), (3, Severity::Critical)] {
            window.stage(entry(seq, severity));
        }
        let order: Vec<u64> = std::iter::from_fn(|| send_next(&mut window, S(0))).collect();
        assert_eq!(order, [2, 3, 1]);
    }

    #[test]
    fn an_unacknowledged_entry_is_sent_again_after_growing_silence() {
        let mut window = Window::new(4);
        window.stage(entry(1, Severity::Info));
        let mut now = S(0);
        for silence in [2, 4, 8, 16, 30, 30] {
            assert_eq!(send_next(&mut window, now), Some(1));
            window.taken(1, Taken::Yes, now);
            assert_eq!(window.next(now + S(silence - 1)), None);
            assert_eq!(window.wake_at(), Some(now + S(silence)));
            now += S(silence);
        }
        assert_eq!(window.acked(&ack(1, vec![]), now), 1);
        assert_eq!(window.next(now + S(100)), None);
    }

    #[test]
    fn while_nobody_listens_one_probe_goes_at_a_time() {
        let mut window = Window::new(8);
        for seq in 1..=8 {
            window.stage(entry(seq, Severity::Info));
        }
        for _ in 0..8 {
            let seq = send_next(&mut window, S(0)).unwrap();
            window.taken(seq, Taken::NobodyListens, S(0));
            if seq == 1 {
                break;
            }
        }
        assert!(window.is_away());
        assert_eq!(window.next(S(1)), None);
        assert_eq!(send_next(&mut window, S(2)), Some(1));
        assert_eq!(window.next(S(2)), None, "the probe's answer or time is waited for");
        window.taken(1, Taken::Yes, S(3));
        let rest: Vec<u64> = std::iter::from_fn(|| send_next(&mut window, S(3))).collect();
        assert_eq!(rest, [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_returning_centre_is_sent_the_silent_ones_at_once() {
        let mut window = Window::new(4);
        window.stage(entry(1, Severity::Info));
        for at in [0, 2, 6] {
            assert_eq!(send_next(&mut window, S(at)), Some(1));
            window.taken(1, Taken::Yes, S(at));
        }
        assert_eq!(window.acked(&ack(0, vec![]), S(7)), 0);
        assert_eq!(send_next(&mut window, S(8)), Some(1));
    }

    #[test]
    fn a_critical_entry_takes_the_place_of_a_silent_one() {
        let mut window = Window::new(2);
        window.stage(entry(1, Severity::Info));
        window.stage(entry(2, Severity::Minor));
        assert_eq!(send_next(&mut window, S(0)), Some(2));
        assert_eq!(send_next(&mut window, S(0)), Some(1));
        assert!(!window.make_room_for(Severity::Critical), "both are with the broker");
        for at in [0, 2] {
            for seq in [1, 2] {
                window.taken(seq, Taken::Yes, S(at));
                if at == 0 {
                    window.lent(seq, S(2));
                }
            }
        }
        assert!(!window.make_room_for(Severity::Info), "nothing is less severe");
        assert!(window.make_room_for(Severity::Critical));
        assert_eq!(window.staged(), BTreeSet::from([2]));
        window.acked(&ack(0, vec![(2, 2)]), S(3));
        window.stage(entry(1, Severity::Info));
        assert!(window.lent(1, S(4)), "it counts as sent again");
    }

    #[test]
    fn what_is_held_back_leaves_the_window_unless_it_is_on_its_way() {
        let mut window = Window::new(4);
        for (seq, severity) in [(1, Severity::Info), (2, Severity::Minor), (3, Severity::Serious), (4, Severity::Info)]
        {
            window.stage(entry(seq, severity));
        }
        window.taken(1, Taken::Yes, S(0));
        window.lent(4, S(0));
        window.hold(Severity::Serious);
        assert_eq!(window.staged(), BTreeSet::from([3, 4]));
        assert_eq!(send_next(&mut window, S(0)), Some(3));
        window.taken(3, Taken::Yes, S(0));
        window.taken(4, Taken::Yes, S(0));
        window.hold(Severity::Serious);
        assert_eq!((window.staged(), window.wake_at()), (BTreeSet::from([3]), Some(S(2))));
    }

    #[test]
    fn a_link_that_is_spared_sees_unanswered_entries_less_often() {
        let mut window = Window::new(4);
        window.spare(true, S(0));
        window.stage(entry(1, Severity::Minor));
        let mut now = S(0);
        for silence in [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            assert_eq!(send_next(&mut window, now), Some(1));
            window.taken(1, Taken::Yes, now);
            assert_eq!(window.wake_at(), Some(now + S(silence)));
            now += S(silence);
        }
        let mut probes = 0;
        for second in 0..3_600 {
            if send_next(&mut window, now + S(second)).is_some() {
                window.taken(1, Taken::NobodyListens, now + S(second));
                probes += 1;
            }
        }
        assert!((30..40).contains(&probes), "{probes}");
        let last = window.wake_at().unwrap();
        window.stage(entry(2, Severity::Serious));
        assert_eq!(window.wake_at(), last.checked_sub(S(112)), "a severe one is tried as if nothing were spared");
        assert_eq!(send_next(&mut window, last), Some(2));
        window.taken(2, Taken::Yes, last);
        assert_eq!(window.wake_at(), Some(last + S(2)));
    }

    #[test]
    fn a_new_connection_starts_over_and_counts_resends() {
        let mut window = Window::new(4);
        window.stage(entry(5, Severity::Info));
        assert!(!window.lent(5, S(0)));
        window.reset();
        assert!(window.staged().is_empty());
        window.stage(entry(5, Severity::Info));
        assert!(window.lent(5, S(1)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Stage(u64, usize),
        Send,
        Taken(u64, Taken),
        Ack(u64, u64),
        Reset,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let seq = 1_u64..20;
        let taken = prop_oneof![Just(Taken::Yes), Just(Taken::NobodyListens), Just(Taken::Refused)];
        prop_oneof![
            3 => (seq.clone(), 0_usize..4).prop_map(|(seq, s)| Step::Stage(seq, s)),
            4 => Just(Step::Send),
            4 => (seq.clone(), taken).prop_map(|(seq, taken)| Step::Taken(seq, taken)),
            2 => (0_u64..8, seq).prop_map(|(upto, also)| Step::Ack(upto, also)),
            1 => Just(Step::Reset),
            2 => (0_u64..5_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_nothing_staged_is_forgotten(steps in prop::collection::vec(steps(), 0..120)) {
            let mut window = Window::new(6);
            let mut now = Duration::ZERO;
            for step in steps {
                match step {
                    Step::Stage(seq, s) => window.stage(entry(seq, Severity::ALL[s])),
                    Step::Send => {
                        if let Some(seq) = send_next(&mut window, now) {
                            let again = window.next(now).map(|e| e.seq);
                            prop_assert_ne!(again, Some(seq), "handed over twice at once");
                        }
                    }
                    Step::Taken(seq, taken) => window.taken(seq, taken, now),
                    Step::Ack(upto, also) => {
                        let ack = ack(upto, vec![(also, also)]);
                        window.acked(&ack, now);
                        prop_assert!(window.staged().iter().all(|seq| !ack.covers(*seq)));
                    }
                    Step::Reset => window.reset(),
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                prop_assert!(window.staged().len() <= 6);
            }
            // From any state: once the broker takes everything, each staged entry is sent within the longest silence.
            let mut waiting = window.staged();
            for seq in waiting.clone() {
                window.taken(seq, Taken::Yes, now);
            }
            now += MOST_SILENCE + Duration::from_secs(1);
            while let Some(seq) = send_next(&mut window, now) {
                window.taken(seq, Taken::Yes, now);
                waiting.remove(&seq);
            }
            prop_assert!(waiting.is_empty(), "never sent again: {:?}", waiting);
        }
    }
}
