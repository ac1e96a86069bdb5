//! What the box's own verbs share that ask its store: the daemon's unix socket, or, where no daemon holds the store, the
//! same executor in this process.
//!
//! The same envelope, keyring, purposes and audit as over MQTT: a key signs, and the daemon believes nothing else, not even
//! root. Replies are verified with the box's own public key.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::ctl::ask::{self, Outcome, Question, Show, Signing};
use crate::centre::ask::{Talk, TalkParts, round_ids};
use crate::centre::keyring::book;
use crate::centre::keys::{Keys, PublicKey, SigningKey};
use crate::centre::topics::{self, Topics};
use crate::clock::Clock;
use crate::command::local;
use crate::config::{self, Config};
use crate::domain::{BoxId, Purpose};
use crate::supervise;

/// Where a daemon under systemd has its socket.
const SYSTEM_SOCKET: &str = "/run/watchpost/watchpost.sock";

/// Options of every verb that asks this box.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The configuration
    #[arg(long, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Your key: what its role may do, it may do here
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Key of a second person, where two have to sign
    #[arg(long, value_name = "FILE")]
    pub second: Option<PathBuf>,
    /// What for: stolen-vehicle, missing-person, wanted-person, crime-investigation, traffic, emergency, data-subject,
    /// maintenance
    #[arg(long, value_name = "CODE")]
    pub purpose: Option<Purpose>,
    /// Case number
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Seconds that the answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: u64,
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Asks, and shows what comes: 0 when it was done.
///
/// # Errors
/// No such key, or neither a daemon nor a store that can be opened.
pub fn run(options: &Options, question: Question, show: &dyn Show, out: &mut dyn Write) -> anyhow::Result<u8> {
    let answers = [gather(options, question)?];
    let complete = ask::report(&answers, options.json, show, out)?;
    Ok(u8::from(!complete))
}

/// Asks, and gives back what came of it.
///
/// # Errors
/// As [`run`].
pub fn gather(options: &Options, mut question: Question) -> anyhow::Result<(BoxId, Outcome)> {
    let config = Arc::new(config::load(&options.config)?);
    let clock = Clock::system();
    let signing = options.signing();
    signing.put_into(&mut question);
    let talk = talk(&config, &signing, options, question, &clock)?;
    let root = config.centre.as_ref().map_or(topics::DEFAULT_ROOT, |centre| centre.topic_root.as_str());
    if let Some(stream) = daemon(&config)? {
        return supervise::converse(talk, &stream, root);
    }
    let alone = supervise::Alone::start(&config, &options.config, &clock)
        .context("no daemon answers on this box, and its store cannot be opened here")?;
    let stream = alone.connect().context("a connection to the store")?;
    let answer = supervise::converse(talk, &stream, root);
    alone.end()?;
    answer
}

impl Options {
    fn signing(&self) -> Signing {
        Signing {
            signer: Some(self.key.display().to_string()),
            second: self.second.as_ref().map(|path| path.display().to_string()),
            purpose: self.purpose,
            case: self.case.clone(),
            json: self.json,
        }
    }
}

fn talk(
    config: &Config,
    signing: &Signing,
    options: &Options,
    question: Question,
    clock: &Clock,
) -> anyhow::Result<Talk> {
    let centre = config.centre.as_ref().context(
        "there is no [centre] in the configuration, so no keyring: nobody's key counts for anything on this box",
    )?;
    let root = PublicKey::read(&centre.root_key)?;
    let (_, keyring) = book::newest(&config.site.data_dir.join("keys"), &centre.keyring, &root)?;
    let keys = ask::Keys { dir: None, keyring: Some(keyring), root: Some(centre.root_key.clone()) };
    let signers = signing.signers(&keys, question.op)?;
    // Private, and readable by who runs this: the verbs are for the box's owner.
    let own = SigningKey::read(&supervise::box_key_path(config)).context("the box's key, which signs its answers")?;
    Ok(Talk::new(TalkParts {
        site: config.site.site.clone(),
        box_id: config.site.id.clone(),
        topics: Topics::new(&centre.topic_root, &config.site.site, &config.site.id)?,
        keys: Keys::from(own.public().clone()),
        question: Arc::new(question),
        signers: Arc::new(signers),
        ids: round_ids().map_err(|fault| anyhow::anyhow!("{fault}"))?,
        wait: Duration::from_secs(options.wait),
        clock: clock.clone(),
    }))
}

/// A connection to the daemon of this configuration, where one runs.
fn daemon(config: &Config) -> anyhow::Result<Option<UnixStream>> {
    let places =
        [supervise::socket_path(config), config.site.data_dir.join("run").join(local::FILE), SYSTEM_SOCKET.into()];
    for path in places {
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                bail!("{}: {error}: the socket is for the user that the daemon runs as", path.display());
            }
            // Not there, or of a daemon that is gone.
            Err(_) => {}
        }
    }
    Ok(None)
}
