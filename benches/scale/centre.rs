//! The centre in a process of its own, so that what it costs can be told, and so that it can die.
//!
//! It is the product's: `centre::client` verifies, removes duplicates, sees holes, makes its state durable and acknowledges
//! with the delivery key; `centre::witness` keeps checkpoints. The bench starts itself once more for it ([`AS_CENTRE`]).
//! What it hears it writes to its standard output, a line each and before it is acknowledged: `A box track ms`, `D` (a
//! duplicate), `H box ms` (health), `O`/`F` (a hole opened, filled), `R why` (refused), `C`, `L why` (session made, lost), `K`
//! (a checkpoint), `!` (a checkpoint that contradicts), `S` (a status), `E n` (ended, with n holes). It ends in good order when its standard input
//! does, so it does not outlive the bench.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use watchpost::centre::boxes::Boxes;
use watchpost::centre::client::{Client, Heard, Next, Parts};
use watchpost::centre::keys::SigningKey;
use watchpost::centre::receipts::Receipts;
use watchpost::centre::topics;
use watchpost::centre::witness::{self, Watched, Witness};
use watchpost::clock::Clock;
use watchpost::shutdown::Shutdown;

use crate::book::Book;
use crate::measure::Used;
use crate::site;

/// First argument of the process that is the centre; the site's folder, the broker's port and its own folder follow.
pub const AS_CENTRE: &str = "--as-centre";
/// A hole is said when it lasts so long while its box fills none.
const GAP_AFTER: Duration = Duration::from_secs(30);

/// Is the centre until standard input ends.
pub fn be(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut argument = || arguments.next().context("an argument of the centre's process");
    let (dir, port, own) = (PathBuf::from(argument()?), argument()?.parse()?, PathBuf::from(argument()?));
    let clock = Clock::system();
    let client = Client::new(Parts {
        link: site::link(&dir, port, site::CENTRE)?,
        topic_root: topics::DEFAULT_ROOT.to_owned(),
        boxes: Boxes::read(&dir.join("boxes.toml"))?,
        delivery_key: SigningKey::read(&dir.join("delivery.key"))?,
        receipts: Receipts::open(&own.join("tail.state"))?,
        gap_after: GAP_AFTER,
        clock: clock.clone(),
    });
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    std::thread::Builder::new().name("until-eof".to_owned()).spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.trigger();
    })?;
    let witness = Witness::new(&own.join("audit"));
    let mut out = std::io::stdout();
    let mut hear = |heard| match tell(&mut out, heard, &witness, &clock) {
        Ok(()) => Next::Continue,
        Err(_) => Next::Abandon,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let receipts = runtime.block_on(client.run(&shutdown, &mut hear))?;
    writeln!(out, "E {}", receipts.open_gaps().len())?;
    Ok(())
}

fn tell(out: &mut impl std::io::Write, heard: Heard, witness: &Witness, clock: &Clock) -> std::io::Result<()> {
    let now = clock.utc();
    match heard {
        Heard::Alert { from, alert, at } => writeln!(out, "A {} {} {}", from.box_id, alert.track, at.0),
        Heard::Duplicate { .. } => writeln!(out, "D"),
        Heard::Health { from, .. } => writeln!(out, "H {} {}", from.box_id, now.0),
        Heard::GapOpened(_) => writeln!(out, "O"),
        Heard::GapClosed(_) => writeln!(out, "F"),
        Heard::Refused { topic, reason } => writeln!(out, "R {topic}: {reason}"),
        Heard::Connected => writeln!(out, "C"),
        Heard::Lost(fault) => writeln!(out, "L {fault}"),
        Heard::Checkpoint { from, keys, note } => {
            let of = Watched { site: &from.site, box_id: &from.box_id, keys: &keys };
            match witness.hear(&of, &note, now) {
                Ok(witness::Heard::Alarm { .. }) | Err(_) => writeln!(out, "!"),
                Ok(_) => writeln!(out, "K"),
            }
        }
        Heard::Status { .. } | Heard::Camera { .. } => writeln!(out, "S"),
        Heard::Shed { .. } | Heard::Tick => Ok(()),
    }
}

/// What a centre said, in counts.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Sessions it made.
    pub connected: u64,
    /// Why it had none.
    pub lost: Vec<String>,
    /// What it threw away since it had it already.
    pub duplicates: u64,
    /// Holes that it said.
    pub holes: u64,
    /// Of these, filled.
    pub filled: u64,
    /// Messages that it did not believe.
    pub refused: Vec<String>,
    /// Checkpoints that it did not believe.
    pub alarms: u64,
    /// When health came, UTC milliseconds.
    pub health_ms: Vec<u64>,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Status messages of boxes and cameras.
    pub statuses: u64,
    /// Holes when it ended in good order.
    pub at_the_end: Option<u64>,
}

/// The centre's process as the bench has it.
pub struct Centre {
    arguments: [PathBuf; 3],
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
    /// What its dead predecessors used.
    before: u64,
    book: Arc<Book>,
    counts: Arc<Mutex<Counts>>,
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Centre {
    /// Starts it; its state is kept in `own`.
    pub fn start(site: &site::Site, own: &Path, book: Arc<Book>) -> Result<Self> {
        let arguments = [site.dir.path().to_owned(), PathBuf::from(site.port.to_string()), own.to_owned()];
        let mut centre =
            Self { arguments, child: None, reader: None, before: 0, book, counts: Arc::new(Mutex::default()) };
        centre.restart()?;
        Ok(centre)
    }

    /// Starts it again after [`Centre::kill`].
    pub fn restart(&mut self) -> Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(AS_CENTRE)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("the centre's output")?).lines();
        self.child = Some(child);
        let (book, counts) = (Arc::clone(&self.book), Arc::clone(&self.counts));
        let reader = std::thread::Builder::new().name("centre-says".to_owned()).spawn(move || {
            lines.map_while(Result::ok).for_each(|line| note(&book, &mut lock(&counts), &line));
        })?;
        self.reader = Some(reader);
        Ok(())
    }

    /// SIGKILL, as when its machine loses power; what it had said is noted when this returns.
    pub fn kill(&mut self) {
        self.before = self.used().cpu_ms;
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// Ends it in good order.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the centre has ended by itself")?;
        drop(child.stdin.take());
        let status = child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if !status.success() {
            bail!("the centre ended with {status}");
        }
        Ok(())
    }

    /// What it and its predecessors used.
    pub fn used(&self) -> Used {
        let now = self.child.as_ref().map(|child| Used::of(child.id())).unwrap_or_default();
        Used { cpu_ms: now.cpu_ms + self.before, ..now }
    }

    /// What it has said so far.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        self.kill();
    }
}

fn note(book: &Book, counts: &mut Counts, line: &str) {
    let mut words = line.split(' ');
    match words.next().unwrap_or_default() {
        "A" => {
            let n = words.next().and_then(site::box_number).unwrap_or(usize::MAX);
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            let (track, at) = (number(), number());
            book.hear(n, u32::try_from(track).unwrap_or(0), at);
        }
        "D" => counts.duplicates += 1,
        "H" => counts.health_ms.extend(words.nth(1).and_then(|word| word.parse::<u64>().ok())),
        "O" => counts.holes += 1,
        "F" => counts.filled += 1,
        "R" => counts.refused.push(line.to_owned()),
        "C" => counts.connected += 1,
        "L" => counts.lost.push(line.to_owned()),
        "K" => counts.checkpoints += 1,
        "S" => counts.statuses += 1,
        "!" => counts.alarms += 1,
        "E" => counts.at_the_end = words.next().and_then(|word| word.parse().ok()),
        _ => {}
    }
}
