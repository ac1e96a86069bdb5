//! A box whose daemon does not run, asked by hand: the store and the executor, in the process of who asks.
//!
//! The same envelope, keyring, journal and audit as in the daemon; there are no cameras and no session.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::afterwards::After;
use super::base::{Base, Origin, Trust};
use super::commands::{self, Commands};
use super::controls::NoDaemon;
use super::wipe;
use crate::centre::carry::Carrier;
use crate::centre::note;
use crate::centre::wire::StateDigests;
use crate::clock::Clock;
use crate::command::Afterwards;
use crate::config::Config;
use crate::health::Health;
use crate::log::LogRing;
use crate::shutdown::Shutdown;

/// See the module.
pub struct Alone {
    config: Arc<Config>,
    base: Base,
    commands: Commands,
    after: After,
}

impl Alone {
    /// Opens the store and starts the executor.
    ///
    /// # Errors
    /// When another process has the store, or keys, keyring or store cannot be used.
    pub fn start(config: &Arc<Config>, config_path: &Path, clock: &Clock) -> anyhow::Result<Self> {
        let centre = config.centre.as_ref().context(
            "there is no [centre] in the configuration, so no keyring: nobody's key counts for anything on this box",
        )?;
        wipe::finish(config)?;
        let digests = StateDigests::new(config.digest, []);
        let base = Base::open(config, Health::new(), digests, Vec::new(), clock)?;
        let trust = Trust::read(config, centre)?;
        base.store.sign_checkpoints(note::signer(&config.site.site, &config.site.id, trust.key.clone()));
        let origin = Origin { config_path: PathBuf::from(config_path), log: LogRing::default() };
        let controls = Arc::new(NoDaemon { reporter: base.reporter.clone() });
        let after = After::new(Shutdown::new(), clock.clone());
        let commands = Commands::start(commands::Parts {
            rooms: base.rooms(config, &origin, &trust, controls)?,
            centre,
            // Nothing is asked by MQTT here.
            carrier: Carrier::new(clock.clone()),
            budget: base.budget.clone(),
            reporter: base.reporter.clone(),
            challenges: base.challenges.clone(),
            after: after.clone(),
        })?;
        Ok(Self { config: Arc::clone(config), base, commands, after })
    }

    /// A connection, as to a daemon's socket.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn connect(&self) -> std::io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.commands.serve(theirs)?;
        Ok(ours)
    }

    /// Ends in good order.
    ///
    /// # Errors
    /// When a wipe that was asked for could not be done whole.
    pub fn end(self) -> anyhow::Result<()> {
        let Self { config, base, commands, after } = self;
        commands.stop();
        let lost = base.recorder.stop();
        anyhow::ensure!(lost == 0, "{lost} entries could not be stored");
        let then = after.what();
        drop((base.store, base.reporter));
        if then == Some(Afterwards::Wipe) {
            wipe::wipe(&config)?;
        }
        Ok(())
    }
}
