//! The box asked by hand: over the unix socket of its daemon, or, where none runs, in the process of who asks. The same
//! keys count as over MQTT.

use std::os::unix::fs::PermissionsExt as _;

use watchpost::centre::ask::{Outcome, Question};
use watchpost::centre::keyring::Role;
use watchpost::cli::local;
use watchpost::domain::{Op, Reason};
use watchpost::store::{self, Store, StoreKey, audit};

use crate::kit::commanded::Blind;
use crate::kit::site::Site;

fn status() -> Question {
    Question::new(Op::BoxStatus, Vec::new())
}

async fn ask(options: local::Options, question: Question) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || local::gather(&options, question).map(|(_, outcome)| outcome)).await.unwrap()
}

#[track_caller]
fn refused(outcome: &Outcome) -> Reason {
    match outcome {
        Outcome::Refused(reply) => reply.reason.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn open(blind: &Blind) -> Result<Store, String> {
    let key = StoreKey::load(&blind.data("keys/store.key")).map_err(|e| e.to_string())?;
    let settings = store::Settings { ballast_bytes: 0, reserve_bytes: 0, ..store::Settings::default() };
    Store::open(&blind.data("store"), key, settings, blind.clock.clone()).map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemons_socket_is_its_owners_alone_and_asks_for_the_same_keys() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    // No broker runs: the box is asked all the same.
    let life = blind.start();
    let mode = std::fs::metadata(blind.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let outcome = ask(blind.by_hand(&site, Role::Fleet, None), status()).await.unwrap();
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let before = life.audit_records();
    let outcome = ask(blind.by_hand(&site, Role::Auditor, None), status()).await.unwrap();
    assert_eq!(refused(&outcome), Reason::Role);
    assert!(life.audit_records() > before, "who was refused stands in the audit log");
    let socket = blind.socket();
    life.stop().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_daemon_does_not_run_is_asked_in_the_process_of_who_asks() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let outcome = ask(blind.by_hand(&site, Role::Fleet, None), status()).await.unwrap();
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let outcome = ask(blind.by_hand(&site, Role::Operator, None), status()).await.unwrap();
    assert_eq!(refused(&outcome), Reason::Role);
    let records = audit::read(&blind.data("store")).unwrap();
    let of = |event: &str| records.iter().filter(|r| r.event == event).count();
    assert_eq!((of("command.done"), of("command.refused")), (1, 1), "{records:#?}");
    // Somebody holds the store and answers nobody.
    let holder = open(&blind).unwrap();
    let error = format!("{:#}", ask(blind.by_hand(&site, Role::Fleet, None), status()).await.unwrap_err());
    assert!(error.contains("no daemon answers on this box") && error.contains("process"), "{error}");
    drop(holder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_without_a_clock_tells_its_challenge_at_the_socket() {
    let mut site = Site::new();
    let mut blind = site.add_blind("box-1");
    blind.clock = crate::kit::commanded::unset_clock();
    let life = blind.start();
    let outcome = ask(blind.by_hand(&site, Role::Fleet, None), status()).await.unwrap();
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wipe_by_two_people_leaves_nothing_that_can_be_opened() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    drop(open(&blind).unwrap());
    std::fs::create_dir_all(blind.data("credentials")).unwrap();
    std::fs::write(blind.data("credentials/gate"), "user:password").unwrap();
    let wrapped = std::fs::read_dir(blind.data("store/keys")).unwrap().count();
    let wipe = || Question::new(Op::BoxWipe, Vec::new());
    let outcome = ask(blind.by_hand(&site, Role::Fleet, None), wipe()).await.unwrap();
    assert_eq!(refused(&outcome), Reason::SecondPerson);
    drop(open(&blind).unwrap());
    let outcome = ask(blind.by_hand(&site, Role::Fleet, Some(Role::Custodian)), wipe()).await.unwrap();
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    assert!(open(&blind).unwrap_err().contains("store.key"), "the key is gone; {wrapped} others were there");
    for gone in ["keys/store.key", "store/keys", "store/ledger", "store/index", "store/format", "credentials", "blobs"]
    {
        assert!(!blind.data(gone).exists(), "{gone}");
    }
    // It is still itself, and who did this can still be read.
    assert!(blind.data("keys/box.key").exists());
    let records = audit::read(&blind.data("store")).unwrap();
    assert!(records.iter().any(|r| r.details.iter().any(|(_, v)| v == "box.wipe")), "{records:#?}");
}
