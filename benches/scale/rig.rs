//! Everything that runs, and how a phase is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;
use watchpost::clock::Clock;
use watchpost::shutdown::Shutdown;

use crate::asked::Asked;
use crate::book::Book;
use crate::boxes::{Feeder, SimBox, tell_checkpoints};
use crate::broker::{Mosquitto, Said};
use crate::centre::{Centre, Counts};
use crate::measure::{Used, Wire, millis, peak, percentile};
use crate::site::Site;

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a phase came to.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Alerts that were made in it.
    pub alerts: usize,
    /// Of these, never heard.
    pub lost: usize,
    /// Of these, handed on as new twice.
    pub twice: usize,
    /// Copies that the centre threw away.
    pub duplicates: u64,
    /// Hit to centre: median, 99th percentile, longest, milliseconds.
    pub latency_ms: [u64; 3],
    /// What the broker, the centre and the boxes' process used.
    pub used: [Used; 3],
    /// What else there is to tell, by name.
    pub more: Vec<(&'static str, f64)>,
}

/// How things stood when a phase began.
pub struct Begun {
    /// When.
    pub at: Instant,
    /// The same, UTC milliseconds.
    pub utc_ms: u64,
    phase: u8,
    used: [Used; 3],
    counts: Counts,
    resent: u64,
    wire: Option<Wire>,
}

/// The running parts.
pub struct Rig {
    /// How the run is made.
    pub asked: Asked,
    /// The broker.
    pub broker: Mosquitto,
    /// The centre.
    pub centre: Centre,
    /// The boxes.
    pub boxes: Vec<SimBox>,
    /// Who lets them make alerts.
    pub feeder: Feeder,
    /// What was made and heard.
    pub book: Arc<Book>,
    /// Time.
    pub clock: Clock,
    site: Site,
    phase: u8,
    tellers: Shutdown,
    telling: Option<std::thread::JoinHandle<()>>,
}

impl Rig {
    /// Starts broker and centre and opens the stores of all boxes; no box is connected yet.
    pub async fn new(asked: Asked, own: &Path) -> Result<Self> {
        let clock = Clock::system();
        let mut site = Site::new(&asked.dir)?;
        let who = (0..asked.boxes).map(|n| site.add_box(n)).collect::<Result<Vec<_>>>()?;
        site.write_registry()?;
        let (stores, at) = (site.dir.path().join("stores"), clock.clone());
        std::fs::create_dir(&stores)?;
        let opening = move || who.into_iter().map(|who| SimBox::open(&stores, who, &at)).collect::<Result<Vec<_>>>();
        let boxes = tokio::task::spawn_blocking(opening).await??;
        let book = Arc::new(Book::new(asked.boxes));
        let broker = Mosquitto::start(site.broker_config())?;
        let centre = Centre::start(&site, own, Arc::clone(&book))?;
        let feeder = Feeder::start(Arc::clone(&book), boxes.iter().map(SimBox::hits).collect(), clock.clone())?;
        let tellers = Shutdown::new();
        let who = if asked.checkpoints { boxes.iter().map(SimBox::teller).collect() } else { Vec::new() };
        let telling = Some(tell_checkpoints(who, tellers.clone())?);
        Ok(Self { asked, broker, centre, boxes, feeder, book, clock, site, phase: 0, tellers, telling })
    }

    fn used(&self) -> [Used; 3] {
        [self.broker.used(), self.centre.used(), Used::of(std::process::id())]
    }

    fn resent(&self) -> u64 {
        self.boxes.iter().map(|one| one.counters()[0]).sum()
    }

    /// How many boxes have a session.
    pub fn connected(&self) -> usize {
        self.boxes.iter().filter(|one| one.is_connected()).count()
    }

    /// A phase begins: what is made from now on is its.
    pub fn begin(&mut self) -> Begun {
        self.phase += 1;
        self.book.turn_to(self.phase);
        Begun {
            phase: self.phase,
            used: self.used(),
            counts: self.centre.counts(),
            resent: self.resent(),
            wire: Wire::of(self.site.port),
            at: Instant::now(),
            utc_ms: self.clock.utc().0,
        }
    }

    /// Waits until `reached` holds; how long that took, and nothing when it never did.
    pub async fn until(&self, reached: impl Fn(&Self) -> bool) -> Option<Duration> {
        let begin = Instant::now();
        while !reached(self) {
            if begin.elapsed() > self.asked.patience {
                return None;
            }
            sleep(LOOK).await;
        }
        Some(begin.elapsed())
    }

    /// Waits until the centre has heard every alert and every box knows it.
    pub async fn settle(&self) -> Option<Duration> {
        self.until(|rig| rig.book.missing() == 0 && rig.boxes.iter().all(|one| one.waiting() == 0)).await
    }

    /// Bytes of all boxes since a phase began; only of use where no connection ended in between.
    pub fn flow(&self, begun: &Begun) -> Option<crate::measure::Flow> {
        Some(Wire::of(self.site.port)?.since(begun.wire?))
    }

    /// What was said of connections since `from`: how many knocked and got a session, the most in any second, and when
    /// half and all of the boxes had one, in seconds.
    pub fn storm(&self, from: Instant) -> Vec<(&'static str, f64)> {
        let said = self.broker.said(from);
        let times = |kind: Said| -> Vec<u64> {
            said.iter().filter(|(_, what)| *what == kind).map(|(at, _)| millis(from, *at)).collect()
        };
        let (knocks, sessions) = (times(Said::Knock), times(Said::Session));
        let nth = |n: usize| sessions.get(n.saturating_sub(1)).map_or(0.0, |ms| *ms as f64 / 1e3);
        vec![
            ("tries", knocks.len() as f64),
            ("most tries in 1 s", peak(knocks) as f64),
            ("most sessions in 1 s", peak(sessions.clone()) as f64),
            ("broken off", times(Said::Broken).len() as f64),
            ("half back after s", nth(self.boxes.len() / 2)),
            ("all back after s", sessions.last().map_or(0.0, |ms| *ms as f64 / 1e3)),
        ]
    }

    /// A phase is over.
    pub fn end(&self, name: &str, begun: &Begun, more: Vec<(&'static str, f64)>) -> Row {
        let fate = self.book.fate(begun.phase);
        let counts = self.centre.counts();
        let mut used = self.used();
        used.iter_mut().zip(begun.used).for_each(|(now, before)| *now = now.since(before));
        let mut row = Row {
            name: name.to_owned(),
            seconds: begun.at.elapsed().as_secs_f64(),
            alerts: fate.made,
            lost: fate.lost,
            twice: fate.twice,
            duplicates: counts.duplicates - begun.counts.duplicates,
            latency_ms: [0.5, 0.99, 1.0].map(|share| percentile(&fate.latency_ms, share)),
            used,
            more,
        };
        row.more.push(("sent again", (self.resent() - begun.resent) as f64));
        row
    }

    /// Stops everything in good order; faults that no phase could see.
    pub async fn stop(mut self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        self.feeder.pause();
        self.tellers.trigger();
        if let Some(telling) = self.telling.take() {
            tokio::task::spawn_blocking(move || telling.join()).await.ok();
        }
        self.centre.stop()?;
        let counts = self.centre.counts();
        let refused: u64 = self.boxes.iter().map(|one| one.counters()[2]).sum();
        let mut stopping = tokio::task::JoinSet::new();
        self.boxes.drain(..).for_each(|one| drop(stopping.spawn(one.stop())));
        let untaken: usize = stopping.join_all().await.into_iter().sum();
        let mut fault = |what: &str, count: u64| {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        };
        fault("hits that a store did not take", u64::try_from(untaken)?);
        fault("acks or commands that boxes refused", refused);
        fault("messages that the centre refused", u64::try_from(counts.refused.len())?);
        fault("checkpoints that the centre did not believe", counts.alarms);
        fault("alerts that nobody made", self.book.strangers());
        fault("holes that stayed", counts.at_the_end.unwrap_or(u64::MAX));
        Ok(faults)
    }
}
