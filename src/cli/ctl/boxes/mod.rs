//! `watchpostctl boxes`: every box of the fleet on one screen, and what is wrong with it.
//!
//! Asks nothing of the boxes: it reads what the broker has kept of them (status, cameras) and waits for the health that
//! each online box tells every 30 s. What a box did not sign itself is named and not believed. Exit 1 when something is
//! wrong with a box that is shown, or a box does not answer; a watch over the fleet can be made of that.

mod roster;
mod show;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Centre;
use crate::centre::listen::{self, Heard, listen};
use crate::centre::topics;
use crate::clock::Clock;
use crate::domain::{BoxId, SiteId};
use roster::{Roster, Row, State};
use show::Total;

/// After the last message that the broker had kept, so long a silence means that there are no more.
const QUIET: Duration = Duration::from_millis(700);
/// So many ticks without a message as well: what came while this process stood still is heard first.
const QUIET_TICKS: u32 = 3;
/// The broker must have taken the subscriptions within this time.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(20);

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    /// The boxes of this site alone
    #[arg(long, value_name = "SITE")]
    site: Option<SiteId>,
    /// This box alone
    #[arg(long = "box", value_name = "BOX")]
    box_id: Option<BoxId>,
    /// Show boxes in this state alone
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<State>,
    /// Show boxes with which something is wrong alone
    #[arg(long)]
    wrong: bool,
    /// Show every camera of each box: state, rates, last frame, where it stands and looks
    #[arg(long)]
    cameras: bool,
    /// Wait so long for the health of boxes that are online; they tell it every 30 s. 0: show what the broker has
    #[arg(long, value_name = "SECONDS", default_value_t = 35)]
    wait: u64,
    /// One JSON object a box, and a summary as the last
    #[arg(long)]
    json: bool,
}

/// What is waited for.
struct Watch {
    roster: Roster,
    clock: Clock,
    begin: Duration,
    /// Since the broker took the subscriptions.
    subscribed: Option<Duration>,
    /// When the last retained message came, or the subscriptions were taken.
    newest: Duration,
    /// Ticks since then.
    quiet: u32,
    wait: Duration,
    /// Says on stderr what it waits for.
    talks: bool,
}

impl Watch {
    /// Takes in what was heard; false: that is all.
    fn hear(&mut self, heard: Heard) -> bool {
        let now = self.clock.monotonic();
        match heard {
            Heard::Subscribed => {
                self.subscribed = Some(now);
                (self.newest, self.quiet) = (now, 0);
            }
            Heard::Told { from, message, retained, at } => {
                if retained {
                    (self.newest, self.quiet) = (now, 0);
                }
                self.roster.take(from, *message, at);
            }
            Heard::Refused { topic, reason } => {
                (self.newest, self.quiet) = (now, 0);
                self.roster.refuse(&topic, &reason);
            }
            Heard::Tick => {
                self.quiet += 1;
                return self.goes_on(now);
            }
        }
        true
    }

    fn goes_on(&mut self, now: Duration) -> bool {
        let Some(subscribed) = self.subscribed else { return now < self.begin + SUBSCRIBED_WITHIN };
        if now < self.newest + QUIET || self.quiet < QUIET_TICKS {
            // A broker that never falls silent does not hold this up for ever.
            return now < subscribed + self.wait.max(SUBSCRIBED_WITHIN);
        }
        let awaited = self.roster.awaited();
        let waits = awaited > 0 && now < subscribed + self.wait;
        if waits && std::mem::take(&mut self.talks) {
            let seconds = self.wait.as_secs();
            // Without a stderr there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "-- waiting for the health of {awaited} boxes, at most {seconds} s (--wait 0: without)"
            );
        }
        waits
    }
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let registry = centre.boxes()?;
    let wanted = |site: &SiteId, id: &BoxId| {
        options.site.as_ref().is_none_or(|s| s == site) && options.box_id.as_ref().is_none_or(|b| b == id)
    };
    let roster = Roster::new(&centre.topic_root, &registry, wanted);
    if roster.is_empty() {
        bail!("{} names no such box: see --site and --box", centre.boxes.display());
    }
    let filters = topics::board_filters(&centre.topic_root, options.site.as_ref(), options.box_id.as_ref())?;
    let begin = clock.monotonic();
    let mut watch = Watch {
        roster,
        clock: clock.clone(),
        begin,
        subscribed: None,
        newest: begin,
        quiet: 0,
        wait: Duration::from_secs(options.wait),
        talks: !options.json,
    };
    let parts = listen::Parts {
        link: &centre.link,
        topic_root: &centre.topic_root,
        filters: &filters,
        boxes: &registry,
        clock: &clock,
    };
    listen(parts, &mut |heard| watch.hear(heard))
        .await
        .map_err(|fault| anyhow::anyhow!("{}: {fault}: {}", centre.link.broker, fault.cause.advice()))?;
    if watch.subscribed.is_none() {
        bail!("{}: the broker did not take the subscriptions within 20 s", centre.link.broker);
    }
    let strangers = watch.roster.strangers().iter().cloned().collect();
    let mut rows = watch.roster.rows((options.wait > 0).then_some(options.wait), clock.utc());
    let shown = |row: &Row| {
        options.state.is_none_or(|state| state == row.state) && (!options.wrong || !row.troubles.is_empty())
    };
    rows.retain(shown);
    print(&rows, strangers, &options, &clock).or_else(closed).context("cannot write to stdout")
}

/// Prints the rows; whether all is well.
fn print(rows: &[Row], strangers: Vec<String>, options: &Options, clock: &Clock) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let total = Total { rows, strangers };
    if options.json {
        for row in rows {
            writeln!(out, "{}", show::json(row))?;
        }
        writeln!(out, "{}", total.json())?;
    } else {
        let how = show::How { colour: out.is_terminal(), cameras: options.cameras };
        write!(out, "{}\n{}", show::table(rows, clock.utc(), how), total.text())?;
    }
    out.flush()?;
    Ok(if total.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever read us has seen enough.
fn closed(error: io::Error) -> io::Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(ExitCode::SUCCESS) } else { Err(error) }
}
