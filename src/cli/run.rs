//! `watchpost run`: the daemon.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::causes;
#[cfg(not(feature = "testkit"))]
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::log::LogRing;
use crate::memory;
use crate::shutdown::Shutdown;
use crate::supervise::probation::Probation;
use crate::supervise::{self, Options, Reload, Summary, Wiped};

/// Arguments of `watchpost run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration.
    #[arg(long, default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// End when every file camera has ended and everything is stored and delivered.
    #[arg(long)]
    pub until_eos: bool,
}

/// What a wiped box ends with: whoever restarts daemons is not to restart this one (systemd/watchpost.service).
const EXIT_WIPED: u8 = 78;

/// Runs the daemon until SIGTERM, SIGINT or the end of the files; with `--until-eos` prints what was done to `out`.
///
/// # Errors
/// A faulty configuration, or what could not be started.
pub fn run(args: &Args, log: &LogRing, out: &mut dyn Write) -> anyhow::Result<u8> {
    keep_memory_private();
    memory::keep_together();
    let shutdown = Shutdown::new();
    let reload = Reload::default();
    listen_for_signals(shutdown.clone(), reload.clone())?;
    let summary = match live(args, log, &shutdown, reload) {
        Err(error) if error.is::<Wiped>() => {
            tracing::error!("{error}");
            return Ok(EXIT_WIPED);
        }
        other => other?,
    };
    if args.until_eos {
        print(&summary, out).context("stdout")?;
    }
    let complete = summary.failed.is_empty() && summary.lost == 0 && (!args.until_eos || summary.undelivered == 0);
    Ok(u8::from(!complete))
}

/// A life that lasted so long began well.
const PROVEN_AFTER: Duration = Duration::from_mins(1);

/// One life of the daemon after the other, until one ends that wants no other. A configuration on probation that does not
/// start is rolled back, and what was before is started.
fn live(args: &Args, log: &LogRing, shutdown: &Shutdown, reload: Reload) -> anyhow::Result<Summary> {
    #[cfg(not(feature = "testkit"))]
    let clock = Clock::system_known();
    #[cfg(feature = "testkit")]
    let clock = supervise::testkit::clock();
    let (until_eos, config_path) = (args.until_eos, args.config.clone());
    let mut options = Options { until_eos, config_path, log: log.clone(), probation: None, reload };
    let mut config: Option<Arc<Config>> = None;
    // The configuration of the life before, while the present one has not proven itself.
    let mut before: Option<Arc<Config>> = None;
    let mut goes_back = false;
    loop {
        let began = clock.monotonic();
        options.probation = Probation::begin(&args.config, &clock);
        let rolls_back = |why: &str| options.probation.as_ref().is_some_and(|p| p.failed(why)) && !shutdown.is_set();
        let newest = match (config::load(&args.config), &config) {
            (_, Some(good)) if std::mem::take(&mut goes_back) => Arc::clone(good),
            (Ok(newest), _) => Arc::new(newest),
            (Err(faults), _) if rolls_back(&faults.to_string()) => continue,
            (Err(faults), None) => return Err(faults.into()),
            (Err(faults), Some(before)) => {
                // It was good when the restart was asked for; a box that watches is better than one that does not.
                tracing::error!(%faults, "the configuration has faults: the one of before stays in force");
                Arc::clone(before)
            }
        };
        let newest = config.insert(newest);
        match supervise::run(newest, &options, &clock, shutdown) {
            Ok(summary) => {
                // What was wiped gets no book of its configurations again.
                if supervise::refuse_wiped(newest).is_ok() {
                    options.probation.iter().for_each(|p| p.stopped());
                }
                if !summary.again {
                    return Ok(summary);
                }
                before = Some(Arc::clone(newest));
            }
            Err(error) if error.is::<Wiped>() => return Err(error),
            Err(error) if rolls_back(&causes::line(&error)) => {}
            Err(error) => {
                let is_new = clock.monotonic().saturating_sub(began) < PROVEN_AFTER;
                let Some(good) = before.take().filter(|_| is_new && !shutdown.is_set()) else { return Err(error) };
                // A box that watches is better than one that does not; the next start reads the file again.
                tracing::error!(
                    error = causes::line(&error),
                    "the configuration does not start: the one of before stays in force"
                );
                config = Some(good);
                goes_back = true;
            }
        }
        tracing::info!("starts anew");
    }
}

fn print(summary: &Summary, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<16} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
        "camera", "frames", "analysed", "rested", "dropped", "reads", "unread", "hits"
    )?;
    for (id, c) in summary.health.cameras() {
        let (id, frames, analysed) = (id.as_str(), c.received.get(), c.analysed.get());
        let (rested, dropped) = (c.rested.get(), c.dropped.get());
        let (reads, unread, hits) = (c.reads.get(), c.unread.get(), c.hits.get());
        writeln!(out, "{id:<16} {frames:>8} {analysed:>8} {rested:>8} {dropped:>8} {reads:>6} {unread:>6} {hits:>6}")?;
    }
    for (id, why) in &summary.failed {
        writeln!(out, "{id}: {why}")?;
    }
    let (looked, changed) = (summary.health.second_looks.get(), summary.health.second_reads.get());
    if looked > 0 {
        writeln!(out, "second looks: {looked}, told otherwise since: {changed}")?;
    }
    let centre = &summary.health.centre;
    writeln!(
        out,
        "alerts: {} acknowledged by the centre, {} sent again, {} waiting",
        centre.acked.get(),
        centre.resent.get(),
        summary.undelivered
    )
}

/// No core file and no look into this process by others of its user: what it has in memory are keys, passwords and plates.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // The limit alone does not hold where cores go into a pipe, as to systemd-coredump.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let done = set_dumpable_behavior(DumpableBehavior::NotDumpable).and_then(|()| setrlimit(Resource::Core, none));
    if let Err(error) = done {
        tracing::warn!(%error, "core files of this process can't be ruled out");
    }
}

/// A thread of its own waits for SIGTERM and SIGINT and sets the flag; a second one of these ends the process at once. SIGHUP has the
/// configuration read again.
fn listen_for_signals(shutdown: Shutdown, reload: Reload) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the tokio runtime")?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    let wait = move || {
        runtime.block_on(async {
            let mut asked = false;
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        reload.ask();
                        continue;
                    }
                }
                if std::mem::replace(&mut asked, true) {
                    std::process::exit(1);
                }
                tracing::info!("asked to stop");
                shutdown.trigger();
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}
