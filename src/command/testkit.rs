//! A box for tests of operations: a real store in a temporary folder, a simulated clock, keys of every role.
//!
//! `Site::new()`, then `site.run(op, role, &args)` for what an operation does by itself; `site.send(…)` for the whole path
//! of a command.

#![allow(dead_code, clippy::unused_self, reason = "one kit for the tests of all operations, asked at the site")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::authorise::{Verified, authorise};
use super::blobs::Blobs;
use super::executor::{Executor, Parts};
use super::line::{Incoming, Line, ReplyTo, Via};
use super::models::canary::Plate;
use super::models::{Picture, Plan, Seen};
use super::rate::Limits;
use super::{Afterwards, Attachment, Authorised, Caller, CommandId, Controls, Done, Person, Refusal, Rooms, ops};
use crate::centre::keyring::{Entry, KeyBook, Keyring, Role};
use crate::centre::keys::{BoxKey, SigningKey};
use crate::centre::note;
use crate::centre::topics::{DEFAULT_ROOT, Topics};
use crate::centre::wire::{self, Order, Reply};
use crate::clock::{Challenges, Clock, SimClock};
use crate::config;
use crate::domain::{BoxId, CameraId, Op, Purpose, Reason, SiteId, TimeMs};
use crate::health::Health;
use crate::hotlist::Hotlists;
use crate::log::LogRing;
use crate::store::{Recorder, Store, testkit};

/// The way out of a test: what was answered, in order.
#[derive(Default)]
pub struct Tray {
    answers: Mutex<Vec<(ReplyTo, Reply, Vec<Attachment>)>>,
    came: Condvar,
    /// Has no room for attachments.
    pub narrow: AtomicBool,
}

impl Line for Tray {
    fn takes(&self, _to: &ReplyTo, bytes: usize) -> Result<(), String> {
        if self.narrow.load(Ordering::SeqCst) { Err(format!("{bytes} bytes are too much now")) } else { Ok(()) }
    }

    fn reply(&self, to: &ReplyTo, reply: Reply, attachments: Vec<Attachment>, _then: Option<Afterwards>) {
        self.answers.lock().unwrap().push((to.clone(), reply, attachments));
        self.came.notify_all();
    }
}

impl Tray {
    /// All answers so far.
    pub fn all(&self) -> Vec<Reply> {
        self.answers.lock().unwrap().iter().map(|(_, reply, _)| reply.clone()).collect()
    }

    /// How many attachments came with them.
    pub fn attachments(&self) -> usize {
        self.answers.lock().unwrap().iter().map(|(.., attachments)| attachments.len()).sum()
    }

    /// Where they went.
    pub fn topics(&self) -> Vec<String> {
        self.answers.lock().unwrap().iter().map(|(to, ..)| to.topic.clone()).collect()
    }

    /// Waits for the final answer that is the first after `before` answers.
    fn last_after(&self, before: usize) -> Reply {
        let is_there = |answers: &Vec<(ReplyTo, Reply, Vec<Attachment>)>| {
            answers.iter().skip(before).find(|(_, reply, _)| reply.status.is_final()).map(|(_, reply, _)| reply.clone())
        };
        let answers = self.answers.lock().unwrap();
        let patience = std::time::Duration::from_secs(30);
        let (answers, _) = self.came.wait_timeout_while(answers, patience, |a| is_there(a).is_none()).unwrap();
        is_there(&answers).expect("a final answer")
    }
}

/// A running executor of a [`Site`].
pub struct Desk {
    /// Commands are handed in here.
    pub executor: Executor,
    /// What it answers.
    pub tray: Arc<Tray>,
    /// What health would give out.
    pub challenges: Challenges,
    clock: Clock,
    topics: Topics,
    ids: (SiteId, BoxId),
}

impl Desk {
    /// An order of now, for two minutes, with purpose, case and an id of its own.
    pub fn order(&self, op: Op, args: &impl minicbor::Encode<()>) -> Order {
        Order {
            op,
            id: random_id(),
            site: self.ids.0.clone(),
            box_id: self.ids.1.clone(),
            issued: self.clock.utc(),
            lifetime_s: 120,
            challenge: None,
            purpose: Some(Purpose::CrimeInvestigation),
            case: Some("K-1".to_owned()),
            args: ops::encode(args),
        }
    }

    /// The topic of an order.
    pub fn topic(&self, order: &Order) -> String {
        self.topics.command(order.op, &order.id)
    }

    /// The envelope of an order by these people.
    pub fn sign(&self, order: &Order, name: &str, second: Option<&str>) -> Vec<u8> {
        let (key, second) = (key_of(name), second.map(key_of));
        wire::sign_order(order, &self.topic(order), (&key, name), second.as_ref()).unwrap()
    }

    /// Hands bytes in and waits for the final answer.
    pub fn offer(&self, topic: &str, bytes: Vec<u8>) -> Reply {
        let before = self.tray.all().len();
        self.executor.handle().offer(Incoming { topic: topic.to_owned(), bytes, response: None, via: Via::Mqtt });
        self.tray.last_after(before)
    }

    /// Signs an order, hands it in and waits for the final answer.
    pub fn send(&self, order: &Order, name: &str, second: Option<&str>) -> Reply {
        self.offer(&self.topic(order), self.sign(order, name, second))
    }
}

/// Organisation of every person but those of [`Site::person_of`].
pub const ORG: &str = "north";

/// See the module.
pub struct Site {
    /// Its folder: configuration, `data/`.
    pub dir: tempfile::TempDir,
    /// Moves its clock.
    pub sim: Arc<SimClock>,
    /// The store.
    pub store: Store,
    /// The root of its keyring.
    pub root: SigningKey,
    /// What was asked of the wiring, in order.
    pub asked: Arc<Asked>,
    rooms: Rooms,
    recorder: Recorder,
}

/// Notes what is asked of the wiring, and answers yes.
#[derive(Default)]
pub struct Asked {
    lines: Mutex<Vec<String>>,
    reads: Mutex<Option<String>>,
}

impl Asked {
    /// What was asked so far, one line each: `pause gate`, `resume gate`, `snapshot gate`.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// From now on every model reads this in a picture that does not say that it is unreadable.
    pub fn read(&self, plate: &str) {
        *self.reads.lock().unwrap() = Some(plate.to_owned());
    }

    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Controls for Asked {
    fn pause(&self, camera: &CameraId, _until: Option<TimeMs>) -> Result<(), Refusal> {
        self.note(format!("pause {camera}"));
        Ok(())
    }

    fn resume(&self, camera: &CameraId) -> Result<(), Refusal> {
        self.note(format!("resume {camera}"));
        Ok(())
    }

    fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal> {
        self.note(format!("snapshot {camera}"));
        Ok(vec![0xff, 0xd8, 0xff, 0xd9])
    }

    fn health(&self) -> Vec<u8> {
        vec![0xa0]
    }

    fn try_models(&self, plan: &Plan) -> Result<Vec<Seen>, Refusal> {
        let none = || Refusal::new(Reason::Unsupported, "this daemon runs no models");
        let plate = self.reads.lock().unwrap().clone().ok_or_else(none)?;
        let seen = |picture: &Picture| {
            let unreadable = std::fs::read(&picture.path).unwrap().ends_with(b"unreadable");
            let plate = Plate { text: Some(plate.clone()), place: None };
            Seen { plates: if unreadable { Vec::new() } else { vec![plate] }, ..Seen::default() }
        };
        Ok(plan.pictures.iter().map(seen).collect())
    }
}

/// The key of a person: by name, so that every test knows it.
pub fn key_of(name: &str) -> SigningKey {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    SigningKey::from_seed(&digest.as_ref().try_into().unwrap()).unwrap()
}

/// When the clock of a [`Site`] begins.
pub fn start() -> TimeMs {
    testkit::START
}

/// Another id each time.
pub fn random_id() -> CommandId {
    use ring::rand::SecureRandom as _;
    let mut id = CommandId::default();
    ring::rand::SystemRandom::new().fill(&mut id).unwrap();
    id
}

/// An entry for a person.
pub fn entry(name: &str, role: Role, org: &str) -> Entry {
    Entry {
        key: key_of(name).public().clone(),
        name: name.to_owned(),
        role,
        org: org.to_owned(),
        not_before: TimeMs(0),
        not_after: None,
        revoked: None,
        supervisor: false,
    }
}

/// One person a role, called like it, a second custodian and a supervisor among the investigators; an investigator of
/// another organisation.
pub fn keyring() -> Keyring {
    let mut entries: Vec<Entry> = Role::ALL.iter().map(|role| entry(role.as_str(), *role, ORG)).collect();
    entries.push(entry("custodian-2", Role::Custodian, ORG));
    entries.push(Entry { supervisor: true, ..entry("supervisor", Role::Investigator, ORG) });
    entries.push(entry("investigator-south", Role::Investigator, "south"));
    Keyring { serial: 3, issued: TimeMs(0), entries }
}

/// The person of an entry.
pub fn person(name: &str) -> Person {
    let ring = keyring();
    let entry = ring.entries.iter().find(|e| e.name == name).unwrap_or_else(|| panic!("no person {name}"));
    Person {
        kid: entry.key.kid(),
        name: entry.name.clone(),
        org: entry.org.clone(),
        role: entry.role,
        supervisor: entry.supervisor,
    }
}

impl Site {
    /// Box `box-1` of site `north` with a camera `gate`.
    pub fn new() -> Self {
        Self::with_config("")
    }

    /// With more in its configuration: whole sections.
    pub fn with_config(more: &str) -> Self {
        let dir = testkit::folder();
        let config_path = dir.path().join("watchpost.toml");
        let text = format!(
            "[box]\nsite = \"north\"\nid = \"box-1\"\ndata_dir = \"data\"\n\n[[camera]]\nid = \"gate\"\nnumber = 3\n\
             uri = \"test://ball\"\n\n{more}"
        );
        std::fs::write(&config_path, text).unwrap();
        let keys = dir.path().join("data/keys");
        std::fs::create_dir_all(&keys).unwrap();
        SigningKey::create(&keys.join("box.key")).unwrap();
        std::fs::write(dir.path().join("keyring.cbor"), keyring().sign(&key_of("root")).unwrap()).unwrap();
        Self::over(dir, testkit::clock().0)
    }

    /// The same box in its next life; whoever has something of this one lets go of it first.
    #[must_use]
    pub fn restarted(self) -> Self {
        let Self { dir, sim, store, rooms, recorder, .. } = self;
        assert_eq!(recorder.stop(), 0);
        drop((store, rooms));
        Self::over(dir, sim)
    }

    fn over(dir: tempfile::TempDir, sim: Arc<SimClock>) -> Self {
        let (config_path, clock) = (dir.path().join("watchpost.toml"), Clock::of(sim.clone()));
        let config = Arc::new(config::load(&config_path).unwrap());
        let keys = config.site.data_dir.join("keys");
        let (given, root) = (dir.path().join("keyring.cbor"), key_of("root"));
        let store = open_store(&config.site.data_dir.join("store"), &clock);
        let health = Health::new();
        let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(|_| ())).unwrap();
        let asked = Arc::new(Asked::default());
        let rooms = Rooms {
            config,
            config_path,
            store: store.clone(),
            recorder: recorder.handle(),
            hotlists: Arc::new(Hotlists::new()),
            health,
            blobs: Blobs::open(dir.path().join("data/blobs"), clock.clone()).unwrap(),
            log: LogRing::default(),
            clock,
            keyring: KeyBook::open(&keys, &given, root.public()).unwrap(),
            box_key: BoxKey::read(&keys.join("box.key")).unwrap(),
            controls: Arc::clone(&asked) as Arc<dyn Controls>,
        };
        let named = &rooms.config.site;
        store.sign_checkpoints(note::signer(&named.site, &named.id, rooms.box_key.clone()));
        Self { dir, sim, store, root, asked, rooms, recorder }
    }

    /// What operations work with.
    pub fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }

    /// The person of this role, with purpose and case.
    pub fn caller(&self, role: Role) -> Caller {
        self.caller_named(role.as_str(), None)
    }

    /// A person by name (`custodian-2`, `supervisor`, `investigator-south`, or a role), and a second one.
    pub fn caller_named(&self, name: &str, second: Option<&str>) -> Caller {
        Caller {
            person: person(name),
            second: second.map(person),
            purpose: Some(Purpose::CrimeInvestigation),
            case: Some("K-1".to_owned()),
        }
    }

    /// A command of this caller that passed the gate; fails the test when the gate refuses it.
    pub fn authorised(&self, op: Op, caller: Caller, args: &impl minicbor::Encode<()>) -> Authorised {
        self.authorised_bytes(op, caller, ops::encode(args))
    }

    /// As [`Site::authorised`], with the bytes of the arguments.
    pub fn authorised_bytes(&self, op: Op, caller: Caller, args: Vec<u8>) -> Authorised {
        authorise(Verified { op, id: [0x1d; 16], caller, args }).unwrap()
    }

    /// Runs an operation as the person of `role`, without the envelope and its checks.
    pub fn run(&self, op: Op, role: Role, args: &impl minicbor::Encode<()>) -> Result<Done, Refusal> {
        self.run_as(op, self.caller(role), args)
    }

    /// Runs an operation as this caller, without the envelope and its checks.
    pub fn run_as(&self, op: Op, caller: Caller, args: &impl minicbor::Encode<()>) -> Result<Done, Refusal> {
        ops::execute(&self.rooms, &self.authorised(op, caller, args))
    }

    /// What an executor of this box is made of, and where it answers.
    pub fn parts(&self) -> (Parts, Arc<Tray>) {
        let tray = Arc::new(Tray::default());
        let parts = Parts {
            rooms: self.rooms(),
            topic_root: DEFAULT_ROOT.to_owned(),
            dir: self.dir.path().join("data/command"),
            challenges: Challenges::new(self.rooms.clock.clone()),
            limits: Limits::default(),
            line: Arc::clone(&tray) as Arc<dyn Line>,
        };
        (parts, tray)
    }

    /// Starts an executor; one at a time.
    pub fn desk(&self) -> Desk {
        let (parts, tray) = self.parts();
        let challenges = parts.challenges.clone();
        let (site, box_id) = self.ids();
        Desk {
            executor: Executor::start(parts).unwrap(),
            tray,
            challenges,
            clock: self.rooms.clock.clone(),
            topics: Topics::new(DEFAULT_ROOT, &site, &box_id).unwrap(),
            ids: (site, box_id),
        }
    }

    /// The whole path of a command by the person of `role`, from the envelope to the final answer.
    pub fn send(&self, op: Op, role: Role, args: &impl minicbor::Encode<()>) -> Reply {
        let desk = self.desk();
        let reply = desk.send(&desk.order(op, args), role.as_str(), None);
        desk.executor.stop();
        reply
    }

    /// Its site and name.
    pub fn ids(&self) -> (SiteId, BoxId) {
        (self.rooms.config.site.site.clone(), self.rooms.config.site.id.clone())
    }

    /// The records of the audit log so far: event and details.
    pub fn audit(&self) -> Vec<(String, Vec<(String, String)>)> {
        let records = crate::store::audit::read(self.store.dir()).unwrap();
        records.into_iter().map(|r| (r.event, r.details)).collect()
    }
}

fn open_store(dir: &Path, clock: &Clock) -> Store {
    let key = crate::store::StoreKey::from_bytes([9; 32]);
    Store::open(dir, key, testkit::settings(), clock.clone()).unwrap()
}
