//! Boxes that take commands, without eyes: a real store, the real executor, a real session; and the centre that asks them
//! by the library or by `watchpostctl`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use watchpost::centre::ask::{self, Outcome, Question, Signers};
use watchpost::centre::boxes::KnownBox;
use watchpost::centre::budget::Budget;
use watchpost::centre::carry::Carrier;
use watchpost::centre::keyring::Role;
use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::mirror::Mirrors;
use watchpost::centre::note;
use watchpost::centre::publish::News;
use watchpost::centre::report::{self, Reporter};
use watchpost::centre::session::{self, SessionHandle, Settings};
use watchpost::centre::status::StatusBoard;
use watchpost::centre::topics;
use watchpost::centre::wire::{self, Gauges, StateDigests};
use watchpost::cli::local;
use watchpost::clock::{Challenges, Clock, TimeSource};
use watchpost::command::blobs::Blobs;
use watchpost::command::{Afterwards, Controls, Refusal, Rooms};
use watchpost::config::{self, Config};
use watchpost::domain::{AckMode, BoxId, CameraId, ClockState, Reason, TimeMs};
use watchpost::health::Health;
use watchpost::hotlist::Hotlists;
use watchpost::log::LogRing;
use watchpost::shutdown::Shutdown;
use watchpost::store::{self, Entry, Recorder, Store, StoreKey};
use watchpost::supervise::commands::{self, Commands};
use watchpost::supervise::keeping::Keeper;
use watchpost::supervise::{After, socket_path};

use super::said::Said;
use super::site::{Site, TestBox};

/// A box that can be started more than once, as a daemon may.
pub struct Blind {
    pub test_box: TestBox,
    config_path: PathBuf,
    pub config: Arc<Config>,
    pub clock: Clock,
    pub gate: Arc<Gate>,
}

/// One life of it.
pub struct Life {
    commands: Option<Commands>,
    recorder: Option<Recorder>,
    pub session: SessionHandle,
    pub blobs: Blobs,
    store: Store,
    pub after: After,
    hang_up: Shutdown,
}

struct NoEyes(Reporter, Arc<Gate>);

/// Holds up `box.status` in the middle of its execution, as often as it is closed.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, u32)>,
    changed: Condvar,
}

impl Gate {
    pub fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.0).unwrap());
    }

    /// How often something came to it.
    pub fn passed(&self) -> u32 {
        self.state.lock().unwrap().1
    }

    /// Waits until something has come to it so often.
    pub fn until(&self, times: u32) {
        let state = self.state.lock().unwrap();
        let long = Duration::from_mins(1);
        let (_state, late) = self.changed.wait_timeout_while(state, long, |state| state.1 < times).unwrap();
        assert!(!late.timed_out(), "nothing came to the gate");
    }
}

impl Controls for NoEyes {
    fn pause(&self, camera: &CameraId, _: Option<TimeMs>) -> Result<(), Refusal> {
        Err(Refusal::new(Reason::NotFound, camera.to_string()))
    }

    fn resume(&self, camera: &CameraId) -> Result<(), Refusal> {
        Err(Refusal::new(Reason::NotFound, camera.to_string()))
    }

    fn snapshot(&self, camera: &CameraId) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::new(Reason::NotFound, camera.to_string()))
    }

    fn health(&self) -> Vec<u8> {
        self.1.pass();
        wire::encode(&self.0.report())
    }
}

impl Site {
    /// A box with a configuration and a store of its own.
    pub fn add_blind(&mut self, id: &str) -> Blind {
        let test_box = self.add_box(id);
        let dir = self.dir.path().join(id);
        fs::create_dir_all(dir.join("data/keys")).unwrap();
        let key = dir.join("data/keys/box.key");
        fs::copy(self.dir.path().join(format!("{id}.sign.key")), &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        StoreKey::create(&dir.join("data/keys/store.key")).unwrap();
        let tls = test_box.link.tls.clone().unwrap();
        let config_path = dir.join("watchpost.toml");
        let text = format!(
            "[box]\nsite = \"north\"\nid = \"{id}\"\ndata_dir = \"data\"\n\n[centre]\nbroker = \"mqtts://127.0.0.1:{}\"\n\
             ca = '{}'\ncertificate = '{}'\nprivate_key = '{}'\nkeyring = '{}'\nroot_key = '{}'\n",
            self.port,
            tls.ca.display(),
            tls.certificate.display(),
            tls.private_key.display(),
            self.dir.path().join("keyring.cbor").display(),
            self.dir.path().join("root.pub").display(),
        );
        fs::write(&config_path, text).unwrap();
        let config = Arc::new(config::load(&config_path).unwrap());
        Blind { test_box, config_path, config, clock: self.clock.clone(), gate: Arc::default() }
    }

    /// The key of a role, as the keyring names it.
    pub fn signers(&self, role: Role, second: Option<Role>) -> Arc<Signers> {
        let key = |role: Role| SigningKey::read(&self.dir.path().join(format!("keys/{}.key", role.as_str()))).unwrap();
        Arc::new(Signers { first: key(role), issuer: role.as_str().to_owned(), second: second.map(key) })
    }

    /// What it takes to ask these boxes.
    pub fn asking<'a>(&self, link: &'a LinkSettings, question: Question, role: Role, boxes: &[&str]) -> ask::Parts<'a> {
        let known = |id: &&str| -> (BoxId, KnownBox) {
            let (id, known) = self.boxes.iter().find(|(box_id, _)| box_id.as_str() == *id).unwrap();
            (id.clone(), known.clone())
        };
        ask::Parts {
            link,
            topic_root: topics::DEFAULT_ROOT,
            boxes: boxes.iter().map(known).collect(),
            question: Arc::new(question),
            signers: self.signers(role, None),
            wait: Duration::from_secs(20),
            clock: self.clock.clone(),
        }
    }

    /// A centre's connection to the broker, under an id of its own.
    pub fn centre_link(&self, client_id: &str) -> LinkSettings {
        self.link(client_id, self.authority.issue("centre"))
    }

    /// Asks these boxes once.
    pub async fn ask(&self, question: Question, role: Role, boxes: &[&str]) -> Vec<Outcome> {
        let link = self.centre_link("asker");
        let answers = ask::ask(self.asking(&link, question, role, boxes), &mut |_| {}).await.unwrap();
        answers.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Runs `watchpostctl --centre … OPTIONS` to its end, off this task's thread.
    pub async fn ctl(&self, options: &[&str]) -> Said {
        let folder = self.centre_folder();
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
        command.arg("--centre").arg(folder).args(options).env_remove("RUST_LOG");
        tokio::task::spawn_blocking(move || Said::of(command.output().unwrap())).await.unwrap()
    }
}

impl Blind {
    pub fn id(&self) -> &BoxId {
        &self.config.site.id
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.config.site.data_dir.join(name)
    }

    /// What `watchpost query` and its like are given: this role's key.
    pub fn by_hand(&self, site: &Site, role: Role, second: Option<Role>) -> local::Options {
        let key = |role: Role| site.dir.path().join(format!("keys/{}.key", role.as_str()));
        local::Options {
            config: self.config_path.clone(),
            key: key(role),
            second: second.map(key),
            purpose: None,
            case: None,
            wait: 30,
            json: false,
        }
    }

    pub fn socket(&self) -> PathBuf {
        socket_path(&self.config)
    }

    /// Adds these lines to its configuration, for the lives that begin from now on.
    pub fn configure(&mut self, lines: &str) {
        let text = fs::read_to_string(&self.config_path).unwrap() + lines;
        fs::write(&self.config_path, text).unwrap();
        self.config = Arc::new(config::load(&self.config_path).unwrap());
    }

    fn open(&self, clock: &Clock) -> Store {
        let settings = store::Settings { ballast_bytes: 0, reserve_bytes: 0, ..store::Settings::default() };
        let key = StoreKey::load(&self.data("keys/store.key")).unwrap();
        Store::open(&self.data("store"), key, settings, clock.clone()).unwrap()
    }

    /// Has these in its store, as kept at this clock's time, before its first life.
    pub fn kept(&self, clock: &Clock, entries: impl IntoIterator<Item = Entry>) {
        let recorder = Recorder::start(&self.open(clock), Health::new(), Box::new(|_| ())).unwrap();
        entries.into_iter().for_each(|entry| recorder.handle().send(entry).unwrap());
        assert_eq!(recorder.stop(), 0);
    }

    /// Starts store, executor and session on the runtime that this is called in.
    pub fn start(&self) -> Life {
        let _inside = Handle::current();
        let (config, clock, identity) = (&self.config, &self.clock, &self.test_box.identity);
        let store = self.open(clock);
        let (health, news) = (Health::new(), News::default());
        let told = news.clone();
        let recorder = Recorder::start(&store, Arc::clone(&health), Box::new(move |_| told.tell())).unwrap();
        store.sign_checkpoints(note::signer(&config.site.site, &config.site.id, identity.key.clone()));
        let keeper = Keeper::new(store.clone(), &config.store);
        let challenges = Challenges::new(clock.clone());
        let reporter = Reporter::new(report::Parts {
            digests: StateDigests::new([0; 32], []),
            gauges: Box::new(move |now| Gauges { keeping: keeper.gauge(now), ..Gauges::default() }),
            outbox: Arc::new(store.outbox()),
            health: Arc::clone(&health),
            challenges: challenges.clone(),
            clock: clock.clone(),
        });
        let blobs = Blobs::open(self.data("blobs"), clock.clone()).unwrap();
        let meter = self.test_box.link.meter.as_ref();
        let budget = meter.map_or_else(|| Budget::unbounded(clock.clone()), |meter| meter.budget.clone());
        let (carrier, hang_up) = (Carrier::new(clock.clone()), Shutdown::new());
        let after = After::new(Shutdown::new(), clock.clone());
        let rooms = Rooms {
            clock: clock.clone(),
            config: Arc::clone(config),
            config_path: self.config_path.clone(),
            store: store.clone(),
            recorder: recorder.handle(),
            hotlists: Arc::new(Hotlists::new()),
            health: Arc::clone(&health),
            blobs: blobs.clone(),
            log: LogRing::default(),
            keyring: identity.keyring.clone(),
            box_key: identity.key.clone(),
            controls: Arc::new(NoEyes(reporter.clone(), Arc::clone(&self.gate))),
        };
        let mut commands = Commands::start(commands::Parts {
            rooms,
            centre: config.centre.as_ref().unwrap(),
            carrier: carrier.clone(),
            budget,
            reporter: reporter.clone(),
            challenges,
            after: after.clone(),
        })
        .unwrap();
        let session = session::start(session::Parts {
            settings: Settings {
                link: self.test_box.link.clone(),
                topic_root: topics::DEFAULT_ROOT.to_owned(),
                ack: AckMode::Centre,
                health_every: self.test_box.health_every,
            },
            identity: identity.clone(),
            outbox: Arc::new(store.outbox()),
            news,
            carrier,
            downward: Some(commands.downward()),
            board: StatusBoard::new(Vec::new(), reporter, clock.clone()),
            mirrors: Mirrors::off(),
            health,
            clock: clock.clone(),
            shutdown: hang_up.clone(),
        });
        commands.listen(&self.socket());
        Life { commands: Some(commands), recorder: Some(recorder), session, blobs, store, after, hang_up }
    }

    /// Starts it and waits for its session.
    pub async fn online(&self) -> Life {
        let life = self.start();
        assert!(life.session.connected(Duration::from_mins(1)).await, "{}: no session", self.id());
        life
    }
}

impl Life {
    pub fn asked(&self) -> Option<Afterwards> {
        self.after.what()
    }

    /// Says who signs its checkpoints, as the daemon does.
    pub fn sign_checkpoints(&self, signer: watchpost::store::audit::Signer) {
        self.store.sign_checkpoints(signer);
    }

    /// How many audit records it has.
    pub fn audit_records(&self) -> u64 {
        self.store.audit_head().size
    }

    /// Ends in good order.
    pub async fn stop(mut self) {
        let commands = self.commands.take().unwrap();
        tokio::task::spawn_blocking(move || commands.stop()).await.unwrap();
        self.hang_up.trigger();
        self.session.ended().await;
        assert_eq!(self.recorder.take().unwrap().stop(), 0);
    }
}

/// A clock that nobody ever set.
struct Unset(Clock);

impl TimeSource for Unset {
    fn utc(&self) -> TimeMs {
        TimeMs(1_000_000)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn state(&self) -> ClockState {
        ClockState::Unset
    }
}

/// See [`Unset`].
pub fn unset_clock() -> Clock {
    Clock::of(Arc::new(Unset(Clock::system())))
}
