//! `watchpostctl tail`: what boxes tell the centre, as it comes.
//!
//! Alerts go to stdout, as a table or, with `--json`, one object a line; what is to be said beside them (gaps, boxes that
//! come and go, faults) goes to stderr, and with `--json` to stdout as objects too. An alert is acknowledged when it has
//! been written out and the state file knows it. Ends at SIGINT or SIGTERM, or as asked, with a summary.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::summary::{Summary, gap_json, gap_text};
use super::table::{self, CameraNames, RuleNames, Table};
use super::watching::{self, Watching};
use super::{Centre, printable};
use crate::centre::client::{Client, Heard, Next, Parts};
use crate::centre::receipts::Receipts;
use crate::centre::topics::{Address, Kind};
use crate::centre::wire::{CameraStatus, Link, Wire as _};
use crate::centre::witness::Witness;
use crate::clock::Clock;
use crate::domain::{Alert, BoxId, CameraId, TimeMs};
use crate::shutdown::Shutdown;

/// The head of the table is repeated after so many lines on a terminal.
const HEAD_EVERY: u64 = 40;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Options {
    /// Where it is kept what was received [default: tail.state in the centre's folder]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// End after so many seconds without a new alert
    #[arg(long, value_name = "SECONDS")]
    until_idle: Option<u64>,
    /// End after so many alerts
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// A gap in a box's numbers is told when it has been open for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    gap_after: u64,
}

pub(super) async fn run(centre: &Centre, options: Options) -> anyhow::Result<ExitCode> {
    let state = options.state.clone().or_else(|| centre.state.clone()).context(
        "--state is not given: it remembers what was received, so that nothing is shown twice (or give --centre DIR)",
    )?;
    let clock = Clock::system();
    let boxes = centre.boxes()?;
    let table = Table::new(boxes.iter().map(|(id, _)| id));
    let client = Client::new(Parts {
        link: centre.link.clone(),
        topic_root: centre.topic_root.clone(),
        boxes,
        delivery_key: centre.delivery_key()?,
        receipts: Receipts::open(&state)?,
        gap_after: Duration::from_secs(options.gap_after),
        clock: clock.clone(),
    });
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    let witness = Witness::new(&state.parent().unwrap_or(Path::new(".")).join("audit"));
    let asking = watching::auditor(centre);
    let (ask, wanted) = tokio::sync::mpsc::channel(watching::WAITING);
    let beside = centre.beside()?;
    let (tell, proven) = tokio::sync::mpsc::channel(watching::WAITING);
    let watched = Watching::new(witness.clone(), asking.is_some().then_some(ask));
    let mut tail = Tail::new(options, table, clock, watched, proven);
    tail.begin();
    let proofs = async {
        if let Some(asking) = &asking {
            watching::prove(&beside, asking, &witness, wanted, tell).await;
        }
        // The client's end is the end of all.
        std::future::pending::<()>().await;
    };
    let mut hear = |heard| tail.hear(heard);
    let receipts = tokio::select! {
        receipts = client.run(&shutdown, &mut hear) => receipts?,
        () = proofs => bail!("the witness has ended"),
    };
    tail.end(&receipts)
}

fn stop_on_signals(shutdown: &Shutdown) -> anyhow::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut arrived = signal(kind).context("signals cannot be taken")?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            arrived.recv().await;
            shutdown.trigger();
        });
    }
    Ok(())
}

/// Writes what is heard; counts.
struct Tail {
    options: Options,
    clock: Clock,
    summary: Summary,
    table: Table,
    names: CameraNames,
    rules: RuleNames,
    /// What each camera was doing last.
    doing: BTreeMap<(BoxId, CameraId), (Link, Option<String>)>,
    last_alert: Duration,
    lines: u64,
    connected_once: bool,
    terminal: bool,
    /// Writing failed: whoever read us is gone.
    failed: Option<io::Error>,
    watching: Watching,
    /// What came of proofs that were asked for.
    proven: tokio::sync::mpsc::Receiver<watching::Told>,
    /// Audit logs that contradict what was witnessed.
    alarms: u64,
}

impl Tail {
    fn new(
        options: Options,
        table: Table,
        clock: Clock,
        watching: Watching,
        proven: tokio::sync::mpsc::Receiver<watching::Told>,
    ) -> Self {
        Self {
            options,
            last_alert: clock.monotonic(),
            clock,
            summary: Summary::default(),
            table,
            names: CameraNames::new(),
            rules: RuleNames::new(),
            doing: BTreeMap::new(),
            lines: 0,
            connected_once: false,
            terminal: io::stdout().is_terminal(),
            failed: None,
            watching,
            proven,
            alarms: 0,
        }
    }

    fn begin(&mut self) {
        if !self.options.json {
            self.write(&self.table.head());
        }
    }

    fn hear(&mut self, heard: Heard) -> Next {
        match heard {
            Heard::Alert { from, alert, at } => self.alert(&from, &alert, at),
            Heard::Shed { from, shed } => {
                let run = shed.last - shed.first + 1;
                self.summary.shed += run;
                let text = format!(
                    "box {} shed {run} alerts ({}–{}, up to {}) from its full outbox; their hits stay in its store",
                    from.box_id, shed.first, shed.last, shed.severity
                );
                self.notice(&text, &with_box(shed.to_json(), &from));
            }
            Heard::Duplicate { .. } => self.summary.duplicates += 1,
            Heard::GapOpened(gap) => {
                let told = json!({ "kind": "gap", "state": "open", "gap": gap_json(&gap) });
                self.notice(&gap_text(&gap), &told);
            }
            Heard::GapClosed(gap) => {
                let told = json!({ "kind": "gap", "state": "closed", "gap": gap_json(&gap) });
                self.notice(&format!("{}: has arrived", gap_text(&gap)), &told);
            }
            Heard::Status { from, status } => {
                let text =
                    format!("box {} {} (version {})", from.box_id, status.state.as_str(), printable(&status.software));
                self.notice(&text, &with_box(status.to_json(), &from));
            }
            Heard::Camera { from, status } => self.camera(&from, status),
            Heard::Health { from, report } => {
                if self.options.json {
                    self.write(&with_box(report.to_json(), &from).to_string());
                }
            }
            Heard::Refused { topic, reason } => {
                self.summary.refused += 1;
                let text = format!("refused a message under {}: {reason}", printable(&topic));
                self.notice(&text, &json!({ "kind": "refused", "topic": topic, "reason": reason.to_string() }));
            }
            Heard::Connected => {
                self.connected_once = true;
                self.notice("session with the broker", &json!({ "kind": "session", "state": "connected" }));
            }
            Heard::Lost(fault) => {
                let text = format!("no session with the broker: {fault}: {}", fault.cause.advice());
                let told = json!({ "kind": "session", "state": "lost", "reason": fault.to_string() });
                self.notice(&text, &told);
            }
            Heard::Checkpoint { from, keys, note } => {
                let now = (self.clock.utc(), self.clock.monotonic());
                let told = self.watching.hear(&from, &keys, &note, now);
                self.audit(told);
            }
            Heard::Tick => {
                while let Ok(told) = self.proven.try_recv() {
                    self.audit(Some(told));
                }
            }
        }
        self.next()
    }

    /// Tells something about an audit log.
    fn audit(&mut self, told: Option<watching::Told>) {
        if let Some(told) = told {
            self.alarms += u64::from(told.wrong);
            self.notice(&told.text, &told.json);
        }
    }

    /// Learns the camera's name; says what it is doing when that is news.
    fn camera(&mut self, from: &Address, status: CameraStatus) {
        let Kind::CameraStatus(camera) = &from.kind else { return };
        self.names.insert((from.box_id.clone(), status.number), camera.clone());
        for rule in status.rules.iter().flatten() {
            self.rules.insert((from.box_id.clone(), rule.number), rule.id.clone());
        }
        let told = with_box(status.to_json(), from);
        let doing = (status.state, status.reason);
        let why = doing.1.as_deref().map_or_else(String::new, |reason| format!(": {}", printable(reason)));
        let text = format!("box {} camera {} {camera} {}{why}", from.box_id, status.number, doing.0.as_str());
        let key = (from.box_id.clone(), camera.clone());
        let before = self.doing.insert(key, doing.clone());
        if self.options.json || before != Some(doing) {
            self.notice(&text, &told);
        }
    }

    fn alert(&mut self, from: &Address, alert: &Alert, at: TimeMs) {
        let latency = at.since(alert.time);
        self.summary.alerts += 1;
        *self.summary.by_severity.entry(alert.severity).or_default() += 1;
        self.summary.latencies.add(latency);
        self.last_alert = self.clock.monotonic();
        if self.options.json {
            let mut told = with_box(alert.to_json(), from);
            if let Some(map) = told.as_object_mut() {
                map.insert("received".to_owned(), json!(at.to_string()));
                map.insert("latency_ms".to_owned(), json!(latency));
                if let Some(name) = self.names.get(&(from.box_id.clone(), alert.camera)) {
                    map.insert("camera_id".to_owned(), json!(name.as_str()));
                }
                if let Some(name) = alert.rule.and_then(|rule| self.rules.get(&(from.box_id.clone(), rule))) {
                    map.insert("rule_id".to_owned(), json!(name.as_str()));
                }
            }
            return self.write(&told.to_string());
        }
        self.lines += 1;
        if self.terminal && self.lines.is_multiple_of(HEAD_EVERY) {
            self.write(&self.table.head());
        }
        let line = self.table.line(from, alert, at, (&self.names, &self.rules));
        match table::colour(alert.severity) {
            colour if self.terminal && !colour.is_empty() => self.write(&format!("{colour}{line}\x1b[0m")),
            _ => self.write(&line),
        }
    }

    fn next(&self) -> Next {
        let idle = self.options.until_idle.map(Duration::from_secs);
        let idle_over = idle.is_some_and(|idle| self.clock.monotonic() >= self.last_alert + idle);
        let counted = self.options.count.is_some_and(|count| self.summary.alerts >= count);
        match self.failed {
            Some(_) => Next::Abandon,
            None if counted || idle_over => Next::Stop,
            None => Next::Continue,
        }
    }

    /// Says something beside the alerts.
    fn notice(&mut self, text: &str, told: &Value) {
        if self.options.json {
            self.write(&told.to_string());
        } else {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(io::stderr(), "-- {text}");
        }
    }

    fn write(&mut self, line: &str) {
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            self.failed.get_or_insert(error);
        }
    }

    fn end(mut self, receipts: &Receipts) -> anyhow::Result<ExitCode> {
        let gaps = receipts.open_gaps();
        if self.options.json {
            self.write(&self.summary.json(&gaps).to_string());
        } else {
            self.write(&format!("\n{}", self.summary.text(&gaps)));
        }
        if let Some(error) = self.failed
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error).context("alerts could not be written to stdout");
        }
        let wrong = !self.connected_once
            || self.summary.refused > 0
            || self.alarms > 0
            || gaps.iter().any(|g| !g.before_first_contact);
        Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn with_box(mut told: Value, from: &Address) -> Value {
    if let Some(map) = told.as_object_mut() {
        map.insert("site".to_owned(), json!(from.site.as_str()));
        map.insert("from".to_owned(), json!(from.box_id.as_str()));
        if let Kind::CameraStatus(camera) = &from.kind {
            map.insert("id".to_owned(), json!(camera.as_str()));
        }
    }
    told
}
