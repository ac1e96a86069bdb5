//! The verbs of `watchpostctl`, the centre's client: one file a verb, and what they share: where broker and keys are.
//!
//! A centre's folder, as `watchpost init --centre` makes it, holds `watchpostctl.toml`, which names the rest; each of its
//! entries can be given on the command line instead. Needs neither GStreamer nor ONNX Runtime nor OpenCV.

pub mod ask;
pub mod audit;
pub mod boxes;
pub mod camera;
pub mod config;
pub mod evidence;
pub mod hold;
pub mod hotlist;
pub mod ignore;
mod key;
pub mod log;
pub mod model;
pub mod query;
pub mod report;
pub mod retention;
pub mod secret;
mod staged;
mod summary;
mod table;
pub mod tail;
pub mod this_box;
pub mod trace;
pub mod verdict;
mod watching;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::centre::boxes::Boxes;
use crate::centre::keys::{SigningKey, random_32};
use crate::centre::link::LinkSettings;
use crate::centre::tls::TlsFiles;
use crate::centre::topics;
use crate::cli::paper;
use crate::clock::Clock;
use crate::domain::Broker;

/// Name of the file in a centre's folder that names the rest.
pub const CENTRE_FILE: &str = "watchpostctl.toml";

/// The centre's client for Watchpost boxes.
#[derive(Debug, Parser)]
#[command(name = "watchpostctl", version, about, max_term_width = 100)]
pub struct Ctl {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

/// What the centre does; in the order of the alphabet.
#[derive(Debug, Subcommand)]
enum Verb {
    /// The boxes' audit logs: verified against what was witnessed, shown, proven, exported
    Audit(audit::Options),
    /// The boxes themselves: how they are now, restart, wipe
    Box(this_box::Options),
    /// Every box of the fleet: state, version, cameras, outbox, clock, disk, and what is wrong
    Boxes(boxes::Options),
    /// Cameras: state, another, one less, a pause, a picture of now
    Camera(camera::Options),
    /// Completions for a shell, on stdout
    Completions(paper::Completions),
    /// Configurations: what is in force and where it comes from, another one on probation
    Config(config::Options),
    /// Evidence for a court: a hit with all that proves it in one file, and such a file verified
    Evidence(evidence::Options),
    /// Holds: place one for a case, release it, list them
    Hold(hold::Options),
    /// Hotlists: what is there, pack one, compare two, send them, try them, take them away
    Hotlist(hotlist::Options),
    /// Plates that never make a hit
    Ignore(ignore::Options),
    /// Who may do what: the keyring and its keys; the boxes' own keys
    Key(key::Options),
    /// The newest lines of a daemon's log
    Log(log::Options),
    /// The man page, on stdout
    Man,
    /// Models: what is there, pack one, send it, put it in force, go back
    Model(model::Options),
    /// Reads and hits by plate, time, camera, class; with their pictures
    Query(Box<query::Options>),
    /// How long boxes keep things: show, set
    Retention(retention::Options),
    /// A month of boxes in counts, small ones left out: as text, JSON, CSV or a page
    Report(report::Options),
    /// Credentials, sealed so that the box alone can open them
    Secret(secret::Options),
    /// Receive alerts: verify, show, remove duplicates, tell of gaps, acknowledge
    Tail(tail::Options),
    /// Where a plate was seen, by every box that is asked: one timeline, and GeoJSON
    Trace(Box<trace::Options>),
    /// What hits were found to be: look at one with its pictures, judge it, close it
    Verdict(verdict::Options),
}

/// Where the broker, the keys and the boxes are.
#[derive(Debug, Args)]
struct Connection {
    /// Folder of the centre, as `watchpost init --centre` makes it: its watchpostctl.toml says all that follows
    #[arg(long, global = true, value_name = "DIR", help_heading = "Centre")]
    centre: Option<PathBuf>,
    /// Broker, mqtts://HOST:PORT
    #[arg(long, global = true, value_name = "URL", help_heading = "Centre")]
    broker: Option<String>,
    /// PEM file of the authorities that may have signed the broker's certificate
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    ca: Option<PathBuf>,
    /// PEM file of our certificate
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    cert: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    key: Option<PathBuf>,
    /// The key that acknowledges alerts
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    delivery_key: Option<PathBuf>,
    /// The registry of boxes and their keys
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    boxes: Option<PathBuf>,
    /// Folder of the people's keys, ROLE.key each
    #[arg(long, global = true, value_name = "DIR", help_heading = "Centre")]
    keys: Option<PathBuf>,
    /// The keyring, which names the keys that sign
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    keyring: Option<PathBuf>,
    /// Public key of the root that signed the keyring
    #[arg(long, global = true, value_name = "FILE", help_heading = "Centre")]
    root_key: Option<PathBuf>,
    /// First part of every topic [default: watchpost/v1]
    #[arg(long, global = true, value_name = "TOPIC", help_heading = "Centre")]
    topic_root: Option<String>,
    /// MQTT client id; two clients with the same id end each other's sessions [default: watchpostctl for tail, a
    /// new one for each other verb]
    #[arg(long, global = true, value_name = "ID", help_heading = "Centre")]
    client_id: Option<String>,
    /// Speak mqtt:// without TLS to another machine: anyone between can read and end the session
    #[arg(long, global = true, help_heading = "Centre")]
    allow_plaintext: bool,
}

/// `watchpostctl.toml`; paths are relative to its folder.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CentreFile {
    broker: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
    delivery_key: Option<PathBuf>,
    boxes: Option<PathBuf>,
    keys: Option<PathBuf>,
    keyring: Option<PathBuf>,
    root_key: Option<PathBuf>,
    state: Option<PathBuf>,
    topic_root: Option<String>,
}

/// What a verb works with.
#[derive(Clone)]
struct Centre {
    link: LinkSettings,
    topic_root: String,
    boxes: PathBuf,
    delivery_key: Option<PathBuf>,
    keys: Option<PathBuf>,
    keyring: Option<PathBuf>,
    root_key: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Centre {
    /// The same over a connection of its own: who asks beside a `tail` with its client id would end its session.
    fn beside(&self) -> anyhow::Result<Self> {
        let client_id = of_ones_own(&self.link.client_id)?;
        Ok(Self { link: LinkSettings { client_id, ..self.link.clone() }, ..self.clone() })
    }
}

impl Ctl {
    /// Runs the verb; 0 done, 1 it failed or found something wrong.
    ///
    /// # Errors
    /// What failed, with where and what to do.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if let Verb::Model(options) = &self.verb
            && let Some(packing) = options.packing()
        {
            return model::pack(packing, self.connection.key_folder()?);
        }
        if let Verb::Hotlist(options) = &self.verb
            && options.is_offline()
        {
            return hotlist::offline(options, &self.connection.known_keys()?);
        }
        if let Verb::Evidence(options) = &self.verb
            && let Some(verifying) = options.verifying()
        {
            return evidence::verify(verifying, &self.connection.known_keys()?);
        }
        let client_id = match &self.verb {
            Verb::Completions(options) => return paper::completions(options, Self::command()),
            Verb::Man => return paper::man(&Self::command()),
            Verb::Key(options) if options.is_offline() => {
                return options.run_offline(&self.connection.key_files()?, &mut std::io::stdout().lock());
            }
            Verb::Tail(_) => "watchpostctl".to_owned(),
            // A question must not end the session of a tail, or of somebody who asks at the same time.
            _ => of_ones_own("watchpostctl")?,
        };
        let centre = self.connection.resolve(client_id)?;
        // One thread serves: there is one connection.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the tokio runtime")?;
        runtime.block_on(async {
            match self.verb {
                Verb::Audit(options) => audit::run(&centre, options).await,
                Verb::Box(options) => this_box::run(&centre, options).await,
                Verb::Boxes(options) => boxes::run(&centre, options).await,
                Verb::Camera(options) => camera::run(&centre, options).await,
                Verb::Config(options) => config::run(&centre, options).await,
                Verb::Evidence(options) => evidence::run(&centre, options).await,
                Verb::Hotlist(options) => hotlist::run(&centre, options).await,
                Verb::Key(options) => key::run(&centre, options).await,
                Verb::Log(options) => log::run(&centre, options).await,
                Verb::Model(options) => model::run(&centre, options).await,
                Verb::Query(options) => query::run(&centre, *options).await,
                Verb::Report(options) => report::run(&centre, options).await,
                Verb::Secret(options) => secret::run(&centre, options).await,
                Verb::Hold(options) => hold::run(&centre, options).await,
                Verb::Ignore(options) => ignore::run(&centre, options).await,
                Verb::Retention(options) => retention::run(&centre, options).await,
                Verb::Verdict(options) => verdict::run(&centre, options).await,
                Verb::Tail(options) => tail::run(&centre, options).await,
                Verb::Trace(options) => trace::run(&centre, *options).await,
                // They need no centre and were done before.
                Verb::Completions(_) | Verb::Man => Ok(ExitCode::SUCCESS),
            }
        })
    }
}

impl Connection {
    /// The folder of people's keys, where one is known.
    fn key_folder(&self) -> anyhow::Result<Option<PathBuf>> {
        let file = self.centre.as_deref().map(CentreFile::read).transpose()?.unwrap_or_default();
        Ok(self.keys.clone().or(file.keys))
    }

    /// Where keyring, root and keys are, for what needs no broker.
    fn key_files(self) -> anyhow::Result<key::Files> {
        let file = self.centre.as_deref().map(CentreFile::read).transpose()?.unwrap_or_default();
        Ok(key::Files {
            keyring: self.keyring.or(file.keyring),
            root_key: self.root_key.or(file.root_key),
            keys: self.keys.or(file.keys),
        })
    }

    /// Keys and keyring, as far as they are known without a broker.
    fn known_keys(&self) -> anyhow::Result<ask::Keys> {
        let file = self.centre.as_deref().map(CentreFile::read).transpose()?.unwrap_or_default();
        Ok(ask::Keys {
            dir: self.keys.clone().or(file.keys),
            keyring: self.keyring.clone().or(file.keyring),
            root: self.root_key.clone().or(file.root_key),
        })
    }

    fn resolve(self, client_id: String) -> anyhow::Result<Centre> {
        let file = self.centre.as_deref().map(CentreFile::read).transpose()?.unwrap_or_default();
        let broker = self.broker.or(file.broker).with_context(|| missing("broker"))?;
        let broker = Broker::parse(&broker)?;
        broker.check_plaintext(self.allow_plaintext)?;
        let tls = if broker.tls {
            Some(TlsFiles {
                ca: self.ca.or(file.ca).with_context(|| missing("ca"))?,
                certificate: self.cert.or(file.certificate).with_context(|| missing("cert"))?,
                private_key: self.key.or(file.private_key).with_context(|| missing("key"))?,
            })
        } else {
            None
        };
        Ok(Centre {
            link: LinkSettings::new(broker, tls, self.client_id.unwrap_or(client_id)),
            topic_root: self.topic_root.or(file.topic_root).unwrap_or_else(|| topics::DEFAULT_ROOT.to_owned()),
            boxes: self.boxes.or(file.boxes).with_context(|| missing("boxes"))?,
            delivery_key: self.delivery_key.or(file.delivery_key),
            keys: self.keys.or(file.keys),
            keyring: self.keyring.or(file.keyring),
            root_key: self.root_key.or(file.root_key),
            state: file.state,
        })
    }
}

/// A client id that no other connection to the broker has, from whatever machine: process numbers are the same in containers.
fn of_ones_own(name: &str) -> anyhow::Result<String> {
    let random = random_32()?;
    Ok(format!("{name}-{}", data_encoding::HEXLOWER.encode(random.get(..4).unwrap_or_default())))
}

fn missing(what: &str) -> String {
    format!("{what} is not given: name the centre's folder with --centre DIR, or give --{what}")
}

impl CentreFile {
    fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(CENTRE_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{} cannot be read: `watchpost init --centre DIR` makes a centre's folder", path.display())
        })?;
        let mut file: Self = toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
        let paths = [
            &mut file.ca,
            &mut file.certificate,
            &mut file.private_key,
            &mut file.delivery_key,
            &mut file.boxes,
            &mut file.keys,
            &mut file.keyring,
            &mut file.root_key,
            &mut file.state,
        ];
        for path in paths.into_iter().flatten() {
            *path = dir.join(&*path);
        }
        Ok(file)
    }
}

impl Centre {
    fn boxes(&self) -> anyhow::Result<Boxes> {
        let mut boxes = Boxes::read(&self.boxes)?;
        boxes.forget_over(Clock::system().utc());
        if boxes.iter().next().is_none() {
            bail!("{} names no box: nothing that arrives could be believed", self.boxes.display());
        }
        Ok(boxes)
    }

    fn delivery_key(&self) -> anyhow::Result<SigningKey> {
        let path = self.delivery_key.as_deref().with_context(|| missing("delivery-key"))?;
        Ok(SigningKey::read(path)?)
    }
}

/// A text of a box or a broker without what could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Ctl as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_centre_folder_names_everything_and_the_command_line_wins() {
        let dir = tempfile::tempdir().unwrap();
        let text = "broker = \"mqtts://127.0.0.1:8883\"\nca = \"ca.pem\"\ncertificate = \"c.pem\"\nprivate_key = \"c.key\"\n\
                    delivery_key = \"d.key\"\nboxes = \"boxes.toml\"\nstate = \"tail.state\"\n";
        std::fs::write(dir.path().join(CENTRE_FILE), text).unwrap();
        let folder = dir.path().to_str().unwrap();
        let ctl = Ctl::try_parse_from(["watchpostctl", "--centre", folder, "tail", "--boxes", "/b.toml"]).unwrap();
        let centre = ctl.connection.resolve("c".to_owned()).unwrap();
        assert_eq!(centre.link.tls.unwrap().ca, dir.path().join("ca.pem"));
        assert_eq!(centre.boxes, Path::new("/b.toml"));
        assert_eq!(centre.topic_root, "watchpost/v1");
        assert_eq!(centre.state.unwrap(), dir.path().join("tail.state"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let ctl = Ctl::try_parse_from(["watchpostctl", "tail", "--broker", "mqtts://127.0.0.1:8883"]).unwrap();
        let error = ctl.connection.resolve("c".to_owned()).err().unwrap().to_string();
        assert!(error.contains("--centre") && error.contains("--ca"), "{error}");
        let ctl = Ctl::try_parse_from(["watchpostctl", "tail", "--broker", "mqtt://192.0.2.1:1883"]).unwrap();
        assert!(ctl.connection.resolve("c".to_owned()).err().unwrap().to_string().contains("plain TCP"));
    }
}
