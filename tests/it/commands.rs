//! Commands over a real broker with TLS and access rules: asked, answered, answered again, never done twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watchpost::centre::ask::{self, Outcome, Question};
use watchpost::centre::keyring::Role;
use watchpost::centre::keys::{Keys, hex};
use watchpost::centre::link::Taken;
use watchpost::centre::topics::Kind;
use watchpost::centre::wire::{self, HealthReport, Order, Reply, sign_order};
use watchpost::cli::decode;
use watchpost::clock::Clock;
use watchpost::command::Afterwards;
use watchpost::command::blobs::{BlobRef, CHUNK};
use watchpost::domain::{ClockState, CommandStatus, Op, Reason};
use watchpost::store::audit;

use crate::kit::commanded::{Blind, unset_clock};
use crate::kit::raw::Raw;
use crate::kit::site::Site;

fn status() -> Question {
    Question::new(Op::BoxStatus, Vec::new())
}

#[track_caller]
fn answered(outcome: &Outcome) -> HealthReport {
    match outcome {
        Outcome::Answered(answer) => wire::decode(answer.reply.result.as_deref().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// How often `op` was executed, as the audit log tells.
fn executed(blind: &Blind, op: Op) -> usize {
    let records = audit::read(&blind.data("store")).unwrap();
    let of = |r: &&audit::AuditRecord| r.details.iter().any(|(k, v)| k == "op" && v == op.as_str());
    records.iter().filter(|r| r.event == "command.done").filter(of).count()
}

/// A signed command with its topic, and the topic of its replies.
fn command(site: &Site, blind: &Blind, op: Op) -> (String, Vec<u8>, String) {
    let id: [u8; 16] = std::array::from_fn(|n| if n == 0 { 7 } else { n as u8 });
    let order = Order {
        op,
        id,
        site: blind.config.site.site.clone(),
        box_id: blind.id().clone(),
        issued: site.clock.utc(),
        lifetime_s: 120,
        challenge: None,
        purpose: None,
        case: None,
        args: Vec::new(),
    };
    let topics = &blind.test_box.identity.topics;
    let (op, id) = (op.as_str().to_owned(), hex(&id));
    let topic = topics.of(&Kind::Command { op: op.clone(), id: id.clone() });
    let signers = site.signers(Role::Fleet, None);
    let bytes = sign_order(&order, &topic, (&signers.first, &signers.issuer), None).unwrap();
    (topic, bytes, topics.of(&Kind::Reply { op, id }))
}

fn reply(blind: &Blind, topic: &str, bytes: &[u8]) -> Reply {
    let keys = Keys::from(blind.test_box.identity.key.current().public().clone());
    wire::verify::<Reply>(bytes, topic, &keys).unwrap().0
}

/// Says it until the box hears it: its session stands a moment before its subscription does.
async fn heard(raw: &mut Raw, topic: &str, bytes: &[u8]) {
    loop {
        match raw.say(topic, bytes, None).await {
            Taken::Yes => return,
            Taken::NobodyListens => tokio::time::sleep(Duration::from_millis(20)).await,
            Taken::Refused => panic!("the broker refuses {topic}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_asks_a_box_and_says_who_did_not_answer() {
    let mut site = Site::new();
    let (blind, _gone) = (site.add_blind("box-1"), site.add_blind("box-2"));
    let _broker = site.start_broker();
    let life = blind.online().await;
    site.ctl(&["box", "status", "--box", "box-1"]).await.expect(0, &["box-1: version", "audit record"]);
    let said = site.ctl(&["box", "status", "--all", "--wait", "15"]).await;
    said.expect(1, &["1 of 2 boxes answered; offline: box-2", "box-1: version", "box-2: offline"]);
    let said = site.ctl(&["log", "--all", "--json", "--wait", "15"]).await;
    said.expect(1, &["\"asked\":2", "\"answered\":1", "\"offline\":[\"box-2\"]", "\"complete\":false"]);
    site.ctl(&["box", "status"]).await.expect(1, &["which boxes? --box BOX,…, --site SITE or --all", "box-2 (north)"]);
    site.ctl(&["box", "status", "--box", "box-9"]).await.expect(1, &["no box box-9"]);
    let said = site.ctl(&["box", "status", "--box", "box-1", "--as", "auditor"]).await;
    said.expect(1, &["0 of 1 boxes answered; refused: box-1", "denied, role: box.status is for the role fleet"]);
    let said = site.ctl(&["box", "wipe", "--box", "box-1", "--confirm", "box-1"]).await;
    said.expect(1, &["second-person", "--second"]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_comes_again_is_answered_and_not_done_again() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let _broker = site.start_broker();
    let life = blind.online().await;
    let link = site.centre_link("raw");
    let mut raw = Raw::connect(&link, &["watchpost/v1/+/+/reply/#"]).await;
    let (topic, bytes, replies) = command(&site, &blind, Op::BoxStatus);
    let mut answers = Vec::new();
    for _ in 0..3 {
        heard(&mut raw, &topic, &bytes).await;
        let last = raw.until("the answer", |h| reply(&blind, &h.topic, &h.payload).status.is_final()).await;
        assert_eq!(last.topic, replies);
        answers.push(reply(&blind, &last.topic, &last.payload));
    }
    assert!(answers.iter().all(|answer| answer.status == CommandStatus::Successful), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.result == answers[0].result), "the stored answer");
    assert_eq!((blind.gate.passed(), executed(&blind, Op::BoxStatus)), (1, 1));
    // After a restart it is still known, and not done either.
    life.stop().await;
    let life = blind.online().await;
    heard(&mut raw, &topic, &bytes).await;
    let last = raw.until("the answer", |h| reply(&blind, &h.topic, &h.payload).status.is_final()).await;
    assert_eq!(reply(&blind, &last.topic, &last.payload).status, CommandStatus::Successful);
    assert_eq!(blind.gate.passed(), 1);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_between_execution_and_answer_costs_the_answer_nothing() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let mut broker = site.start_broker();
    let life = blind.online().await;
    blind.gate.close();
    let asks = async {
        let link = site.centre_link("asker");
        let answers = ask::ask(site.asking(&link, status(), Role::Fleet, &["box-1"]), &mut |_| {}).await.unwrap();
        answers.into_iter().next().unwrap().1
    };
    let gate = Arc::clone(&blind.gate);
    let dies = async {
        tokio::task::spawn_blocking(move || gate.until(1)).await.unwrap();
        broker.kill();
        blind.gate.open();
        assert!(life.session.failed(Duration::from_mins(1)).await);
        broker.restart();
    };
    let (outcome, ()) = tokio::join!(asks, dies);
    answered(&outcome);
    assert_eq!((blind.gate.passed(), executed(&blind, Op::BoxStatus)), (1, 1));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_to_a_response_topic_of_the_box_itself() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let _broker = site.start_broker();
    let life = blind.online().await;
    let link = site.centre_link("raw");
    let mut raw = Raw::connect(&link, &["watchpost/v1/+/+/reply/#", "watchpost/v1/+/+/alert/+"]).await;
    let (topic, bytes, replies) = command(&site, &blind, Op::BoxStatus);
    let own = "watchpost/v1/north/box-1/reply/console-7/42";
    // Its session stands a moment before its subscription does.
    while raw.say(&topic, &bytes, Some((own, b"who asked"))).await != Taken::Yes {
        tokio::task::yield_now().await;
    }
    let came = raw.until("an answer", |h| h.topic == own).await;
    assert_eq!(came.correlation.as_deref(), Some(&b"who asked"[..]));
    reply(&blind, own, &came.payload);
    // Anywhere else, others could read it or take it for something else.
    for elsewhere in ["watchpost/v1/north/box-2/reply/x/1", "watchpost/v1/north/box-1/alert/info", "elsewhere/1"] {
        raw.say(&topic, &bytes, Some((elsewhere, b"x"))).await;
        let came =
            raw.until("an answer", |h| h.topic.contains("/reply/") && h.topic != own || h.topic == elsewhere).await;
        assert_eq!((came.topic.as_str(), came.correlation), (replies.as_str(), None));
    }
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_broke_off_is_gone_on_with() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let mut broker = site.start_broker();
    let life = blind.online().await;
    let content: Vec<u8> = (0..4 * CHUNK + 99).map(|n| (n % 251) as u8).collect();
    let blob = BlobRef::of(&content);
    assert_eq!(life.blobs.get(blob).unwrap_err().reason, Reason::BlobMissing);
    let topic = |n: u32| blind.test_box.identity.topics.of(&Kind::Blob { sha256: blob.sha256, chunk: n });
    let chunk = |n: u32| content.chunks(CHUNK).nth(n as usize).unwrap();
    let link = site.centre_link("raw");
    let mut raw = Raw::connect(&link, &["watchpost/v1/+/+/health"]).await;
    for n in [0, 3] {
        heard(&mut raw, &topic(n), chunk(n)).await;
    }
    let missing = |want: &[(u32, u32)]| {
        let (blobs, want) = (life.blobs.clone(), want.to_vec());
        async move {
            // The broker has them; the box takes them soon.
            for _ in 0..600 {
                let refusal = blobs.get(blob).unwrap_err();
                let told: watchpost::command::blobs::Missing = minicbor::decode(&refusal.result.unwrap()).unwrap();
                if told.ranges == want {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("never missing {want:?}");
        }
    };
    missing(&[(1, 2), (4, 4)]).await;
    broker.kill();
    assert!(life.session.failed(Duration::from_mins(1)).await);
    broker.restart();
    assert!(life.session.connected(Duration::from_mins(1)).await);
    let mut raw = Raw::connect(&link, &["watchpost/v1/+/+/health"]).await;
    for n in [1, 2] {
        heard(&mut raw, &topic(n), chunk(n)).await;
    }
    missing(&[(4, 4)]).await;
    heard(&mut raw, &topic(4), chunk(4)).await;
    for _ in 0..600 {
        if life.blobs.get(blob).as_ref() == Ok(&content) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(life.blobs.get(blob).unwrap(), content);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_without_a_clock_is_asked_with_the_challenge_of_its_health() {
    let mut site = Site::new();
    let mut blind = site.add_blind("box-1");
    blind.clock = unset_clock();
    blind.test_box.health_every = Duration::from_millis(300);
    let _broker = site.start_broker();
    let life = blind.online().await;
    let outcome = site.ask(status(), Role::Fleet, &["box-1"]).await.remove(0);
    assert_eq!(answered(&outcome).clock, ClockState::Unset);
    // A command that names none is refused and says why.
    let (topic, bytes, _) = command(&site, &blind, Op::BoxStatus);
    let mut raw = Raw::connect(&site.centre_link("raw"), &["watchpost/v1/+/+/reply/#"]).await;
    raw.say(&topic, &bytes, None).await;
    let came = raw.until("the refusal", |h| reply(&blind, &h.topic, &h.payload).status.is_final()).await;
    assert_eq!(reply(&blind, &came.topic, &came.payload).reason, Some(Reason::Challenge));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_an_answer_is_asked_for_once_it_has_left() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let _broker = site.start_broker();
    let life = blind.online().await;
    site.ctl(&["box", "restart", "--box", "box-1"]).await.expect(0, &["box-1: restarts"]);
    assert_eq!(life.asked(), Some(Afterwards::Restart));
    assert!(life.after.stop().wait(Duration::from_secs(30)), "the run ends");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_commands_no_other_and_speaks_for_no_other() {
    let mut site = Site::new();
    let (one, _two) = (site.add_blind("box-1"), site.add_blind("box-2"));
    let _broker = site.start_broker();
    let mut raw = Raw::connect(&one.test_box.link, &["watchpost/v1/+/+/cmd/+/+"]).await;
    let base = "watchpost/v1/north/box-2";
    let id = "00".repeat(16);
    for topic in ["cmd/box.status/", "reply/box.status/"] {
        assert_eq!(raw.say(&format!("{base}/{topic}{id}"), b"x", None).await, Taken::Refused, "{topic}");
    }
    assert_eq!(raw.say(&format!("{base}/evidence/x/0"), b"x", None).await, Taken::Refused);
    let own = format!("watchpost/v1/north/box-1/reply/box.status/{id}");
    assert_ne!(raw.say(&own, b"x", None).await, Taken::Refused);
}

/// `WATCHPOST_FLEET=200 cargo test --release … a_fleet` is the bar: all answer within five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fleet_answers_one_question_whole() {
    let count: usize = std::env::var("WATCHPOST_FLEET").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let mut site = Site::new();
    let blinds: Vec<Blind> = (0..count).map(|n| site.add_blind(&format!("box-{n}"))).collect();
    let _broker = site.start_broker();
    let mut lives = Vec::new();
    for blind in &blinds {
        lives.push(blind.online().await);
    }
    let begin = site.clock.monotonic();
    let said = site.ctl(&["box", "status", "--all", "--json"]).await;
    let took = site.clock.monotonic().saturating_sub(begin);
    said.expect(0, &[&format!("\"asked\":{count}"), &format!("\"answered\":{count}"), "\"complete\":true"]);
    eprintln!("{count} boxes answered in {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    for life in lives {
        life.stop().await;
    }
}

/// What `watchpost decode` shows of a message; an error is its text.
fn decode(bytes: &[u8], topic: Option<&str>, keyring: Option<(&Path, &Path)>) -> Result<serde_json::Value, String> {
    let args = decode::Args {
        file: None,
        topic: topic.map(str::to_owned),
        topic_root: "watchpost/v1".to_owned(),
        key: None,
        boxes: None,
        keyring: keyring.map(|(ring, _)| ring.to_owned()),
        root_key: keyring.map(|(_, root)| root.to_owned()),
    };
    let mut out = Vec::new();
    decode::run(&args, &Clock::system(), &mut &*bytes, &mut out).map_err(|e| format!("{e:#}"))?;
    Ok(serde_json::from_slice(&out).unwrap())
}

#[test]
fn a_command_is_shown_and_not_believed_before_its_signatures_are_good() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let (topic, bytes, _) = command(&site, &blind, Op::BoxRestart);
    let shown = decode(&bytes, None, None).unwrap();
    assert_eq!((&shown["verified"], &shown["message"]["op"]), (&false.into(), &"box.restart".into()));
    let (ring, root) = (site.dir.path().join("keyring.cbor"), site.dir.path().join("root.pub"));
    let trust = Some((ring.as_path(), root.as_path()));
    let shown = decode(&bytes, Some(&topic), trust).unwrap();
    assert_eq!((&shown["verified"], &shown["signers"][0]["role"]), (&true.into(), &"fleet".into()));
    // Of another box, or altered in one bit.
    let other = topic.replace("box-1", "box-2");
    assert!(decode(&bytes, Some(&other), trust).unwrap_err().contains("does not fit"));
    let mut bad = bytes.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    assert!(decode(&bad, Some(&topic), trust).unwrap_err().contains("does not fit"));
    assert_eq!(decode(&bad, None, None).unwrap()["verified"], false);
}
