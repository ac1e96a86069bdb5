//! The box's contact with the outside: the session with the centre, and the executor of what it and the unix socket bring.

use std::sync::Arc;
use std::time::Duration;

use super::afterwards::After;
use super::base::{Base, Origin, Trust};
use super::commands::{self, Commands};
use super::delivery::{self, Delivery};
use super::socket_path;
use crate::centre::carry::Carrier;
use crate::command::Controls;
use crate::config::{Centre, Config};
use crate::shutdown::Shutdown;

/// What it is made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) centre: &'a Centre,
    pub(super) trust: Trust,
    pub(super) origin: &'a Origin,
    pub(super) controls: Arc<dyn Controls>,
    pub(super) carrier: Carrier,
    pub(super) after: &'a After,
}

/// See the module.
pub(super) struct Contact {
    delivery: Delivery,
    commands: Option<Commands>,
    hang_up: Shutdown,
}

impl Contact {
    /// Starts executor, session and socket. Neither broker nor anybody at the socket need be there.
    pub(super) fn start(base: &Base, parts: Parts<'_>) -> anyhow::Result<Self> {
        let (config, clock) = (parts.config, parts.after.clock());
        let mut commands = Commands::start(commands::Parts {
            rooms: base.rooms(config, parts.origin, &parts.trust, parts.controls)?,
            centre: parts.centre,
            carrier: parts.carrier.clone(),
            budget: base.budget.clone(),
            reporter: base.reporter.clone(),
            challenges: base.challenges.clone(),
            after: parts.after.clone(),
        })?;
        // The session stops after everybody else: it has a flag of its own.
        let hang_up = Shutdown::new();
        let delivery = Delivery::start(delivery::Parts {
            config,
            centre: parts.centre,
            trust: parts.trust,
            outbox: base.store.outbox(),
            news: base.news.clone(),
            carrier: parts.carrier,
            budget: base.budget.clone(),
            downward: Some(commands.downward()),
            reporter: base.reporter.clone(),
            health: Arc::clone(&base.health),
            clock: clock.clone(),
            shutdown: hang_up.clone(),
        })?;
        commands.listen(&socket_path(config));
        Ok(Self { delivery, commands: Some(commands), hang_up })
    }

    /// Where the console puts its questions.
    pub(super) fn entry(&self) -> Option<super::console::Entry> {
        self.commands.as_ref().map(Commands::entry)
    }

    /// Whether executor and session still run.
    pub(super) fn is_running(&self) -> bool {
        self.delivery.is_running() && self.commands.as_ref().is_none_or(Commands::is_running)
    }

    /// Waits until the outbox is empty; false when `within` was too short.
    pub(super) fn drained(&self, within: Duration) -> bool {
        self.delivery.drained(within)
    }

    /// Takes no more commands; the one under way is done first, where that takes no longer than `at_most`. False: its thread
    /// was left behind.
    #[must_use]
    pub(super) fn stop_commands(&mut self, at_most: Duration) -> bool {
        self.commands.take().is_none_or(|commands| commands.stop_within(at_most))
    }

    /// Says goodbye to the centre; false: that was not over within `at_most`, and the session was left behind.
    #[must_use]
    pub(super) fn end(self, at_most: Duration) -> bool {
        self.hang_up.trigger();
        self.delivery.end(at_most)
    }
}
