//! The judge's process: the centre of the run, which receives, acknowledges and remembers, and in the end judges.
//!
//! The same binary under a hidden argument, so that nothing that happens to the campaign or to the box changes what it
//! remembers. It says one line for each thing that it hears; on `verdict` (a line on its stdin) it ends its session in
//! good order, reads what was announced as committed, opens the store of the box, which must have been stopped, and says
//! its verdict. When its stdin ends it ends too, and with it the daemon that the last `mind <pid>` named.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use watchpost::centre::boxes::Boxes;
use watchpost::centre::client::{Client, Heard, Next, Parts};
use watchpost::centre::keys::SigningKey;
use watchpost::centre::link::LinkSettings;
use watchpost::centre::receipts::Receipts;
use watchpost::centre::tls::TlsFiles;
use watchpost::centre::topics;
use watchpost::clock::Clock;
use watchpost::domain::Broker;
use watchpost::shutdown::Shutdown;
use watchpost::{config, supervise};

use super::judge::{Came, History, judge};

/// The hidden argument.
pub const ARGUMENT: &str = "--judge";
/// File of the box's folder in which its feed announces what was fed and committed.
pub const ANNOUNCED: &str = "announced";

/// Says a line; who listens may have ended.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// `--judge FOLDER BROKER`: the folder of a box with its centre, and where the broker is.
pub fn main(folder: &Path, broker: &str) -> ExitCode {
    let shutdown = Shutdown::new();
    let (stop, minding) = (shutdown.clone(), folder.to_owned());
    // Whether a verdict is wanted.
    let asked = std::thread::spawn(move || {
        let mut minded = None;
        let wanted = std::io::stdin().lines().map_while(Result::ok).any(|line| {
            minded = line.strip_prefix("mind ").map(str::to_owned).or(minded.take());
            line == "verdict"
        });
        // The campaign was killed: its daemon would run on.
        if let Some(pid) = minded.filter(|pid| !wanted && is_of(pid, &minding)) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
        stop.trigger();
        wanted
    });
    let history = hear(folder, broker, &shutdown);
    if !asked.join().unwrap() {
        return ExitCode::SUCCESS;
    }
    let said = match complete(folder, history) {
        Ok(history) => serde_json::to_string(&judge(&history)).unwrap(),
        Err(why) => serde_json::json!({ "error": why }).to_string(),
    };
    say(&format!("verdict {said}"));
    ExitCode::SUCCESS
}

/// Whether this process works in the box's folder.
fn is_of(pid: &str, folder: &Path) -> bool {
    let said = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    said.contains(&folder.display().to_string())
}

/// Receives and acknowledges until the shutdown.
fn hear(folder: &Path, broker: &str, shutdown: &Shutdown) -> History {
    let broker = Broker::parse(broker).unwrap();
    let tls = broker.tls.then(|| TlsFiles {
        ca: folder.join("centre/tls/ca.pem"),
        certificate: folder.join("centre/tls/centre.pem"),
        private_key: folder.join("centre/tls/centre-key.pem"),
    });
    let client = Client::new(Parts {
        link: LinkSettings::new(broker, tls, "judge"),
        topic_root: topics::DEFAULT_ROOT.to_owned(),
        boxes: Boxes::read(&folder.join("centre/boxes.toml")).unwrap(),
        delivery_key: SigningKey::read(&folder.join("centre/keys/delivery.key")).unwrap(),
        receipts: Receipts::open(&folder.join("judge.state")).unwrap(),
        gap_after: Duration::from_secs(2),
        clock: Clock::system(),
    });
    let mut history = History::default();
    let mut on = |heard: Heard| {
        note(heard, &mut history);
        Next::Continue
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(client.run(shutdown, &mut on)) {
        say(&format!("broken {error}"));
    }
    history
}

fn note(heard: Heard, history: &mut History) {
    match heard {
        Heard::Alert { alert, at, .. } => {
            let clock = alert.clock.as_str();
            say(&format!("came {} {} {} {clock}", alert.track, alert.seq, at.since(alert.time)));
            let plate = alert.plate.map(|plate| plate.to_string()).unwrap_or_default();
            let place = (alert.epoch.to_string(), alert.seq);
            history.came.push(Came { number: alert.track, plate, place });
        }
        Heard::Shed { shed, .. } => {
            say(&format!("shed {} {}", shed.first, shed.last));
            let epoch = shed.epoch.to_string();
            history.shed.push((epoch.clone(), shed.first, shed.last));
            // The entry has a number of its own.
            history.shed.push((epoch, shed.seq, shed.seq));
        }
        Heard::Duplicate { .. } => say("duplicate"),
        Heard::Refused { topic, reason } => say(&format!("refused {topic}: {reason}")),
        Heard::Connected => say("connected"),
        Heard::Lost(fault) => say(&format!("disconnected {fault}")),
        Heard::Status { status, .. } => say(&format!("status {}", status.state.as_str())),
        Heard::Camera { status, .. } => {
            let reason = status.reason.unwrap_or_default();
            say(&format!("camera {} {} {reason}", status.number, status.state.as_str()));
        }
        Heard::GapOpened(_) | Heard::GapClosed(_) | Heard::Health { .. } | Heard::Checkpoint { .. } | Heard::Tick => {}
    }
}

/// Adds what was announced and what the store says.
fn complete(folder: &Path, mut history: History) -> Result<History, String> {
    let text = std::fs::read_to_string(folder.join(ANNOUNCED)).map_err(|error| format!("{ANNOUNCED}: {error}"))?;
    let mut epoch = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["life", of] => (*of).clone_into(&mut epoch),
            ["fed", number] => drop(history.fed.insert(number.parse().map_err(|_| line.to_owned())?)),
            ["committed", number, seq] => {
                let (number, seq) =
                    (number.parse().map_err(|_| line.to_owned())?, seq.parse().map_err(|_| line.to_owned())?);
                history.committed.insert(number, (epoch.clone(), seq));
            }
            _ => return Err(format!("{ANNOUNCED}: {line:?}")),
        }
    }
    let config = config::load(&folder.join("watchpost.toml")).map_err(|faults| faults.to_string())?;
    let store = supervise::open_store(&config, [0; 4], &Clock::system()).map_err(|error| format!("{error:#}"))?;
    for hit in store.recent_hits(usize::MAX).map_err(|error| error.to_string())? {
        let alert = hit.alert;
        history.stored.insert(alert.track, (alert.epoch.to_string(), alert.seq));
    }
    let (outbox, here) = (store.outbox(), store.epoch().to_string());
    let waiting = outbox.next(&BTreeSet::new(), usize::MAX).map_err(|error| error.to_string())?;
    history.waiting = waiting.iter().map(|item| (here.clone(), item.seq)).collect();
    Ok(history)
}
