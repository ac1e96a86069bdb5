//! The outbox: order, acks, shedding, held against a model in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::domain::{Ack, Epoch, Severity, TimeMs};
use crate::health::Health;
use crate::store::disk::RealDisk;
use crate::store::outbox::{Body, Order, Wanted};
use crate::store::record::{Kind, OutboxName, rank};
use crate::store::testkit::{START, clock, folder, hit_entry, open, open_on, settings};
use crate::store::writer::Writer;
use crate::store::{Error, OutboxItem, Recorder, Settings, Store, StoreKey};

fn commit(writer: &mut Writer, severities: &[Severity], first: u64) {
    let entries: Vec<_> = severities.iter().zip(first..).map(|(severity, n)| hit_entry(n, *severity)).collect();
    let mut prepared = writer.prepare(&entries).unwrap().unwrap();
    writer.commit(&mut prepared).unwrap();
}

fn seqs(items: &[OutboxItem]) -> Vec<u64> {
    items.iter().map(|item| item.seq).collect()
}

fn all(store: &Store) -> Vec<OutboxItem> {
    store.outbox().next(&BTreeSet::new(), usize::MAX).unwrap()
}

#[test]
fn fresh_alerts_go_before_the_backlog_and_severe_ones_first() {
    let dir = folder();
    let (sim, clock) = clock();
    let store =
        Store::open_on(Arc::new(RealDisk), dir.path(), &StoreKey::from_bytes([9; 32]), settings(), clock).unwrap();
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    commit(&mut writer, &[Severity::Info, Severity::Critical, Severity::Minor], 1);
    sim.advance(Duration::from_mins(1));
    commit(&mut writer, &[Severity::Info, Severity::Serious], 4);
    assert_eq!(seqs(&all(&store)), [5, 4, 2, 3, 1]);
    assert_eq!(seqs(&store.outbox().next(&BTreeSet::from([5, 2]), 2).unwrap()), [4, 3]);
    let severe = store.outbox().next_of(&BTreeSet::new(), 9, Severity::Minor).unwrap();
    assert_eq!(seqs(&severe), [5, 2, 3], "what is less severe stays where it is");
    assert_eq!(store.outbox().depth().by_severity, [2, 1, 1, 1]);
    let Body::Alert(alert) = &all(&store)[0].body else { panic!("not an alert") };
    assert_eq!((alert.seq, alert.severity, alert.epoch), (5, Severity::Serious, store.epoch()));
    assert_eq!(store.outbox().depth().oldest, Some(START));
}

#[test]
fn acks_are_written_with_the_next_commit_or_after_a_minute_or_at_the_end() {
    let dir = folder();
    let (sim, clock) = clock();
    let open =
        |clock| Store::open_on(Arc::new(RealDisk), dir.path(), &StoreKey::from_bytes([9; 32]), settings(), clock);
    let store = open(clock.clone()).unwrap();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    let (handle, long) = (recorder.handle(), Duration::from_mins(1));
    let acked = |upto| {
        let outbox = store.outbox();
        assert_eq!(outbox.ack(&Ack { epoch: outbox.epoch(), upto, also: Vec::new() }).unwrap(), 1);
        handle.flush(long).unwrap();
        store.0.order().has_acked()
    };
    let hit = |n| {
        handle.send(hit_entry(n, Severity::Info)).unwrap();
        handle.flush(long).unwrap();
    };
    hit(1);
    assert!(acked(1), "nobody waits for it");
    hit(2);
    assert!(!store.0.order().has_acked(), "it went along");
    assert!(acked(2));
    sim.advance(Duration::from_mins(1));
    handle.flush(long).unwrap();
    assert!(!store.0.order().has_acked(), "it has waited long enough");
    hit(3);
    assert!(acked(3));
    drop(handle);
    assert_eq!(recorder.stop(), 0);
    drop(store);
    assert_eq!(all(&open(clock).unwrap()), []);
}

#[test]
fn an_unacked_alert_is_there_again_after_a_restart_and_an_acked_one_is_not() {
    let dir = folder();
    let store = open(dir.path());
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    commit(&mut writer, &[Severity::Info; 6], 1);
    let ack = |epoch, upto, also: &[(u64, u64)]| Ack { epoch, upto, also: also.to_vec() };
    let (outbox, epoch) = (store.outbox(), store.epoch());
    assert_eq!(outbox.ack(&ack(Epoch([0; 8]), 6, &[])).unwrap(), 0);
    assert!(matches!(outbox.ack(&ack(epoch, 7, &[])), Err(Error::AckBeyond { acked: 7, assigned: 6, .. })));
    assert!(matches!(outbox.ack(&ack(epoch, 1, &[(3, 9)])), Err(Error::AckBeyond { acked: 9, .. })));
    assert!(matches!(outbox.ack(&ack(epoch, 1, &[(4, 3)])), Err(Error::AckShape(_))));
    assert!(matches!(outbox.ack(&ack(epoch, 1, &[(3, 3); 17])), Err(Error::AckShape(_))));
    assert_eq!(outbox.ack(&ack(epoch, 2, &[(4, 5)])).unwrap(), 4);
    assert_eq!(outbox.ack(&ack(epoch, 2, &[(4, 5)])).unwrap(), 0);
    assert_eq!(seqs(&all(&store)), [3, 6]);
    // The recorder writes it down with its next batch, or within a second.
    let mut prepared = writer.prepare(&[]).unwrap().unwrap();
    writer.commit(&mut prepared).unwrap();
    assert!(writer.prepare(&[]).unwrap().is_none());
    drop((outbox, writer, store));
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(seqs(&all(&open(dir.path()))), [3, 6]);
}

#[test]
fn a_full_outbox_sheds_the_least_severe_and_tells_what_it_shed() {
    let dir = folder();
    let small = Settings { outbox_max_entries: 8, ..settings() };
    let store = open_on(Arc::new(RealDisk), dir.path(), small).unwrap();
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    let severities = [Severity::Critical, Severity::Info, Severity::Info, Severity::Serious, Severity::Info];
    commit(&mut writer, &severities, 1);
    commit(&mut writer, &severities, 6);
    let (mut prepared, alerts) = writer.prepare_shed().unwrap().unwrap();
    assert_eq!(alerts, 2);
    writer.commit(&mut prepared).unwrap();
    let items = all(&store);
    assert_eq!(seqs(&items), [1, 6, 4, 9, 5, 7, 8, 10, 11]);
    let Body::Shed(shed) = &items[8].body else { panic!("not a shed notice") };
    assert_eq!((shed.first, shed.last, shed.severity), (2, 3, Severity::Info));
    // Where alerts of its rank wait the notice goes all the same, and it is no alert that waits.
    let severe = store.outbox().next_of(&BTreeSet::new(), 9, Severity::Serious).unwrap();
    assert_eq!(seqs(&severe), [1, 6, 4, 9, 11]);
    assert_eq!(store.outbox().depth().by_severity, [4, 0, 2, 2]);
    // The hits themselves stay.
    assert_eq!(store.counts().hits, 10);
    // The notice is acknowledged like an alert, and the shed numbers are below the ack.
    store.outbox().ack(&Ack { epoch: store.epoch(), upto: 11, also: Vec::new() }).unwrap();
    assert_eq!(store.outbox().depth().entries, 0);
}

#[test]
fn critical_alerts_are_never_shed() {
    let dir = folder();
    let small = Settings { outbox_max_entries: 3, ..settings() };
    let store = open_on(Arc::new(RealDisk), dir.path(), small).unwrap();
    let mut writer = Writer::new(Arc::clone(&store.0)).unwrap();
    commit(&mut writer, &[Severity::Critical; 9], 1);
    assert!(writer.prepare_shed().unwrap().is_none());
    assert_eq!(store.outbox().depth().entries, 9);
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, u64),
    Ack(u64, Vec<(u64, u64)>),
    Shed,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 50..300_u64).prop_map(|(rank, bytes)| Step::Add(rank, bytes)),
        2 => (0..60_u64, proptest::collection::vec((0..60_u64, 0..4_u64), 0..3))
            .prop_map(|(upto, also)| Step::Ack(upto, also.into_iter().map(|(a, n)| (a, a + n)).collect())),
        1 => Just(Step::Shed),
        1 => (0..40_000_u64).prop_map(Step::Wait),
    ]
}

/// What the outbox should hold: seq to (rank, bytes, stored at, is a notice of).
#[derive(Default)]
struct Model {
    held: BTreeMap<u64, (u8, u64, u64)>,
    notices: BTreeMap<u64, (u64, u64)>,
    /// Numbers whose fate is settled: acknowledged, or told by a notice that was delivered or is still held.
    acked: BTreeSet<u64>,
    last: u64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_does_what_its_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut order, mut model, mut now) = (Order::default(), Model::default(), 1_000_000_u64);
        for step in steps {
            match step {
                Step::Add(rank, bytes) => {
                    model.last += 1;
                    model.held.insert(model.last, (rank, bytes, now));
                    let name = OutboxName { rank, seq: model.last, stored_at: TimeMs(now) };
                    order.add(name, Kind::Alert, bytes);
                }
                Step::Ack(upto, also) => {
                    let ack = Ack { epoch: Epoch([0; 8]), upto, also };
                    let highest = ack.also.iter().map(|r| r.1).max().unwrap_or(0).max(upto);
                    let result = order.ack(&ack);
                    prop_assert_eq!(result.is_err(), highest > model.last);
                    if let Ok(removed) = result {
                        let gone: Vec<u64> = model.held.keys().copied().filter(|s| ack.covers(*s)).collect();
                        prop_assert_eq!(removed, gone.len());
                        model.held.retain(|s, _| !gone.contains(s));
                        model.acked.extend((1..=model.last).filter(|s| ack.covers(*s)));
                    }
                }
                Step::Shed => {
                    let Some(plan) = order.plan_shed(12, 2_000) else { continue };
                    for (from, to) in &plan.gone {
                        order.remove_range(*from, *to);
                    }
                    let mut shed: Vec<(u64, u8)> = Vec::new();
                    for (from, to, _) in &plan.runs {
                        shed.extend(model.held.range(*from..=*to).map(|(s, h)| (*s, h.0)));
                    }
                    let alerts: Vec<_> = shed.iter().filter(|(s, _)| !model.notices.contains_key(s)).collect();
                    prop_assert_eq!(alerts.len() as u64, plan.alerts);
                    prop_assert!(alerts.iter().all(|(_, rank)| *rank != rank_of(Severity::Critical)), "critical shed");
                    model.held.retain(|s, _| shed.iter().all(|(gone, _)| gone != s));
                    for (from, to, rank) in plan.runs {
                        model.last += 1;
                        model.held.insert(model.last, (rank, 90, now));
                        model.notices.insert(model.last, (from, to));
                        order.add(OutboxName { rank, seq: model.last, stored_at: TimeMs(now) }, Kind::Shed, 90);
                    }
                    let least = alerts.iter().map(|(_, rank)| *rank).min();
                    let left = model.held.iter().filter(|(s, h)| !model.notices.contains_key(s) && Some(h.0) > least);
                    prop_assert_eq!(left.count(), 0, "a less severe copy stayed");
                }
                Step::Wait(ms) => now += ms,
            }
            // Nothing vanishes silently: each number is held, acknowledged, or told by a notice that is held or was acked.
            for seq in 1..=model.last {
                let told = |(n, (a, b)): (&u64, &(u64, u64))| {
                    (*a..=*b).contains(&seq) && (model.held.contains_key(n) || model.acked.contains(n))
                };
                let settled = model.held.contains_key(&seq) || model.acked.contains(&seq);
                prop_assert!(settled || model.notices.iter().any(told), "seq {} vanished", seq);
            }
            let depth = order.depth();
            prop_assert_eq!(depth.entries, model.held.len() as u64);
            prop_assert_eq!(depth.bytes, model.held.values().map(|h| h.1).sum::<u64>());
            prop_assert_eq!(depth.oldest.map(|t| t.0), model.held.values().next().map(|h| h.2));
            let mut wanted: Vec<_> = model.held.iter().map(|(s, h)| (now - h.2 > 30_000, h.0, *s)).collect();
            wanted.sort_unstable();
            let got: Vec<u64> = order.next(&Wanted { now: TimeMs(now), fresh_ms: 30_000, limit: 99, last: 3 }, &BTreeSet::new()).iter().map(|p| p.0.seq).collect();
            prop_assert_eq!(got, wanted.into_iter().map(|w| w.2).collect::<Vec<_>>());
        }
    }
}

fn rank_of(severity: Severity) -> u8 {
    rank(severity)
}
