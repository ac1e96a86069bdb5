//! Starts the console, where one is asked for, and gives it its doors: health, the desk's pictures, the executor.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::base::Base;
use super::contact::Contact;
use super::desk::Desk;
use super::settings::{secret, signing_key};
use super::talk;
use crate::centre::ask::{Outcome, Question, Signers, Talk, TalkParts, round_ids};
use crate::centre::keyring::{KeyBook, Keyring, Role};
use crate::centre::keys::{BoxKey, Keys, SigningKey};
use crate::centre::report::Reporter;
use crate::centre::topics::Topics;
use crate::centre::wire::HealthReport;
use crate::clock::Clock;
use crate::command::Refusal;
use crate::command::authorise::{self, Look};
use crate::command::local::{Connections, Host};
use crate::config::{self, Config};
use crate::console::{Console, Door, Live, Parts};
use crate::domain::{CameraId, Purpose, Reason, TimeMs};
use crate::health::Health;
use crate::store::Store;
use crate::store::audit::Event;
use crate::vision;

/// How long a question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Who stands in the audit log for whoever has the token.
const PRINCIPAL: &str = "console";

/// What the console's doors lead to.
pub(super) struct Rooms {
    pub(super) config: Arc<Config>,
    pub(super) health: Arc<Health>,
    pub(super) store: Store,
    pub(super) reporter: Reporter,
    pub(super) desk: Arc<Desk>,
    pub(super) clock: Clock,
    /// Of a box that has a centre: whom it believes, and where commands go in.
    pub(super) commands: Option<Entry>,
}

/// Where commands go in, as at the unix socket.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) connections: Connections,
    pub(super) host: Arc<dyn Host>,
    pub(super) key: BoxKey,
    pub(super) keyring: KeyBook,
}

impl Rooms {
    /// Of a daemon.
    pub(super) fn of(
        config: &Arc<Config>,
        base: &Base,
        desk: &Arc<Desk>,
        contact: Option<&Contact>,
        clock: &Clock,
    ) -> Self {
        Self {
            config: Arc::clone(config),
            health: Arc::clone(&base.health),
            store: base.store.clone(),
            reporter: base.reporter.clone(),
            desk: Arc::clone(desk),
            clock: clock.clone(),
            commands: contact.and_then(Contact::entry),
        }
    }
}

/// Starts it; `None` where none is asked for. A box without its console does everything else, so a failure is only said.
pub(super) fn start(rooms: Rooms) -> Option<Console> {
    let section = rooms.config.console.clone()?;
    match open(rooms, section) {
        Ok(console) => Some(console),
        Err(error) => {
            tracing::error!(error = crate::causes::line(&error), "no console: the box works without it");
            None
        }
    }
}

fn open(rooms: Rooms, section: config::Console) -> anyhow::Result<Console> {
    let token = read_token(&section, &rooms.config)?;
    read_key(&section, &rooms.config)?;
    let key = section.key.clone();
    let min_plate_width = vision::Settings::default().min_plate_width;
    let (config, health, clock) = (Arc::clone(&rooms.config), Arc::clone(&rooms.health), rooms.clock.clone());
    let door = Arc::new(Doors { rooms, key });
    Ok(Console::start(Parts { config, section, token, health, min_plate_width, door, clock })?)
}

/// The token that opens the console.
///
/// # Errors
/// No such credential, or one that others may read.
pub fn read_token(section: &config::Console, config: &Config) -> anyhow::Result<Zeroizing<String>> {
    let (_, text) = secret(&section.token, "a line of 20 characters or more", config).context("the console's token")?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned()))
}

/// The key in whose name the console asks for reads; `None` where none is named.
///
/// # Errors
/// No such credential, one that others may read, or no key.
pub fn read_key(section: &config::Console, config: &Config) -> anyhow::Result<Option<SigningKey>> {
    let key = section.key.as_deref().map(|name| signing_key(name, config)).transpose();
    key.context("the console's key, in whose name it asks for reads")
}

/// What the keyring calls that key, where it opens reads.
///
/// # Errors
/// Why it does not.
pub fn name_of_key(keyring: &Keyring, key: &SigningKey, now: TimeMs) -> Result<String, String> {
    let kid = key.kid();
    let known = keyring.entry(kid).ok_or_else(|| format!("the keyring does not know the console's key {kid}"))?;
    if !known.valid_at(now) {
        return Err(format!(
            "the console's key {kid} is not valid now: it is too early, it has expired, or it was revoked"
        ));
    }
    if known.role != Role::Investigator {
        return Err(format!("the console's key has the role {}, wanted investigator", known.role.as_str()));
    }
    Ok(known.name.clone())
}

struct Doors {
    rooms: Rooms,
    /// Its credential's name: it is read for each question, and in memory no longer than that.
    key: Option<String>,
}

impl Doors {
    /// Key and keyring, once both are there and the keyring knows the key as an investigator's.
    fn asking(&self) -> Result<(&Entry, SigningKey, String), String> {
        let rooms = &self.rooms;
        let entry = rooms
            .commands
            .as_ref()
            .ok_or("there is no [centre] in the configuration, so no keyring: nobody's key opens reads on this box")?;
        let key = self.key.as_ref().ok_or(
            "reads, crops and clips are closed: have the centre make a key for this console (role investigator) and name its \
             credential in [console] key",
        )?;
        let key = signing_key(key, &rooms.config).map_err(|e| crate::causes::line(&e))?;
        let name = name_of_key(&entry.keyring.current(), &key, rooms.clock.utc())?;
        Ok((entry, key, name))
    }

    fn audited(&self, look: &Look, lasts: Duration) -> Result<(), Refusal> {
        let details = [
            ("what", "live".to_owned()),
            ("camera", look.camera().to_string()),
            ("by", PRINCIPAL.to_owned()),
            ("purpose", look.purpose().to_string()),
            ("seconds", lasts.as_secs().to_string()),
        ];
        let written = self.rooms.store.audit(Event::PictureViewed, &details);
        let failed =
            |e| Refusal::new(Reason::Internal, format!("the audit log cannot be written, so nothing is shown: {e}"));
        written.map(drop).map_err(failed)
    }
}

impl Door for Doors {
    fn report(&self) -> HealthReport {
        self.rooms.reporter.look()
    }

    fn waiting(&self) -> [u64; 4] {
        self.rooms.store.outbox().depth().by_severity
    }

    fn well(&self) -> Result<(), String> {
        let silent = self.rooms.health.pulses.look(Duration::ZERO);
        silent.fatal().map_or(Ok(()), |silence| Err(format!("{} does nothing any more", silence.name)))
    }

    fn look(&self, camera: &CameraId, purpose: Option<Purpose>, lasts: Duration) -> Result<(), Refusal> {
        let look = authorise::look(camera, purpose)?;
        self.rooms.desk.is_there(look.camera())?;
        self.audited(&look, lasts)
    }

    fn picture(&self, camera: &CameraId) -> Result<Live, Refusal> {
        self.rooms.desk.live(camera)
    }

    fn reads(&self) -> Result<(), String> {
        self.asking().map(drop)
    }

    fn ask(&self, question: Question) -> Result<Outcome, String> {
        let (entry, key, issuer) = self.asking()?;
        let words = |error: anyhow::Error| crate::causes::line(&error);
        let config = &self.rooms.config;
        let root = config.centre.as_ref().map(|c| c.topic_root.clone()).unwrap_or_default();
        let topics = Topics::new(&root, &config.site.site, &config.site.id).map_err(|e| e.to_string())?;
        let talk = Talk::new(TalkParts {
            site: config.site.site.clone(),
            box_id: config.site.id.clone(),
            topics,
            keys: Keys::from(entry.key.current().public().clone()),
            question: Arc::new(question),
            signers: Arc::new(Signers { first: key, issuer, second: None }),
            ids: round_ids().map_err(|fault| fault.to_string())?,
            wait: ANSWER_WITHIN,
            clock: self.rooms.clock.clone(),
        });
        let pair = UnixStream::pair().and_then(|(ours, theirs)| {
            entry.connections.serve(theirs, Arc::clone(&entry.host))?;
            Ok(ours)
        });
        let ours = pair.map_err(|e| format!("no connection to the executor: {e}"))?;
        talk::converse(talk, &ours, &root).map(|(_, outcome)| outcome).map_err(words)
    }
}
