//! Decoding in a process of its own: what a codec's crash or a hostile stream can cost is that process.
//!
//! `watchpost decode-worker`, a hidden verb of the same program, runs the sources of one camera or of all ([`Share`]); the daemon has a
//! [`Source`] of each that speaks to it over a socket and finds its pictures in shared memory. The loop around the source, the ring of coded pictures, idle
//! decoding's words and all counters stay in the daemon: nothing above [`open`](super::open) knows. Why it is so stands in
//! `docs/decisions/0020`.
//!
//! | file | side | what |
//! |---|---|---|
//! | `wire`, `link` | both | messages and the socket |
//! | `carry`, `fault`, `form` | both | settings, errors, forms of coded pictures as messages |
//! | `memory` | both | shared memory, sealed |
//! | `host`, `opening` | daemon | the process; one source of it, and what is looked at before it is believed |
//! | `remote`, `kept` | daemon | that source as a camera's thread has it; kept pictures decoded there |
//! | `serve`, `job`, `fence` | worker | its main loop; one source; what it may not do any more |
//!
//! Kept pictures, for clips with masks and second looks, are decoded there as well ([`Workers::decode`]). Left out: folders of pictures, which are read
//! in the daemon, by Rust code; packing and writing clips.

mod carry;
mod fault;
mod fence;
mod form;
mod host;
mod job;
mod kept;
mod link;
mod memory;
mod opening;
mod remote;
pub mod serve;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use host::{Fence, VERB};

use super::{Error, Settings, Source, gst, hardware, pipeline};
use crate::clock::Clock;
use crate::domain::CameraId;
use crate::health::{CameraCounters, Health};
use carry::Needs;
use host::{Claim, Worker};
use remote::{Places, RemoteSource};
use wire::Wanted;

/// Which cameras share a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    All,
    /// Each has its own.
    Each,
}

/// So many losses of a shared worker in this time, and each camera gets its own: one of them kills it.
const LOSSES: usize = 2;
const CALM: Duration = Duration::from_mins(10);

/// The decode workers of a daemon; clones are the same.
#[derive(Clone)]
pub struct Workers(Arc<Pool>);

struct Pool {
    program: PathBuf,
    share: Share,
    clock: Clock,
    health: Arc<Health>,
    state: Mutex<State>,
    losses: Arc<Mutex<VecDeque<Duration>>>,
    /// Files whose worker was lost.
    places: Places,
}

#[derive(Default)]
struct State {
    /// What every camera that is known needs.
    needs: Needs,
    /// Those that run, by camera where they are of one alone.
    running: HashMap<Option<String>, (Arc<Worker>, Needs)>,
    /// What could not be fenced in was told.
    told: bool,
}

impl Workers {
    /// Workers of `program`, which is this one; none is started yet.
    #[must_use]
    pub fn new(program: PathBuf, share: Share, clock: Clock, health: Arc<Health>) -> Self {
        let (state, losses, places) = (Mutex::default(), Arc::default(), Places::default());
        Self(Arc::new(Pool { program, share, clock, health, state, losses, places }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a camera will be opened: a shared worker is started with what all need, since it can't be allowed more
    /// later.
    pub fn expect(&self, settings: &Settings) {
        let mut needs = Needs::of(&hardware::resolved(settings));
        if let Some(main) = settings.of_main() {
            needs.join(Needs::of(&hardware::resolved(&main)));
        }
        self.state().needs.join(needs);
    }

    /// Opens a source in a worker, which is started where none runs that may do so.
    pub(super) fn open(
        &self,
        settings: &Settings,
        clock: &Clock,
        counters: Arc<CameraCounters>,
    ) -> Result<Box<dyn Source>, Error> {
        let Some(wanted) = Wanted::of(settings) else { return gst::open(settings, clock, counters) };
        // For what is kept in the ring; and the registry of plugins is up to date when the worker reads it.
        pipeline::init()?;
        let mut needs = Needs::of(settings);
        if let Some(main) = settings.of_main() {
            needs.join(Needs::of(&main));
        }
        let claim = self.worker_for(&settings.id, needs);
        let claim = claim.map_err(|why| Error::Worker { origin: settings.uri.to_string(), why })?;
        Ok(Box::new(RemoteSource::open(claim.worker(), wanted, settings, (clock, counters), &self.0.places)?))
    }

    /// The worker that a camera is to be decoded in; waits until it is ready, and keeps no other camera from its own.
    fn worker_for(&self, camera: &CameraId, needs: Needs) -> Result<Claim, String> {
        let claim = self.take(camera, needs)?;
        let fence = claim.worker().ready()?;
        if !fence.lacks.is_empty() && !std::mem::replace(&mut self.state().told, true) {
            tracing::warn!(lacks = fence.lacks.join("; "), "decode workers are not fenced in whole");
        }
        Ok(claim)
    }

    /// One that runs already and may do what is needed, or one that has just been started.
    fn take(&self, camera: &CameraId, needs: Needs) -> Result<Claim, String> {
        let is_isolating = self.is_isolating();
        let own = (self.0.share == Share::Each || is_isolating).then(|| camera.to_string());
        let mut state = self.state();
        state.needs.join(needs.clone());
        if own.is_none()
            && let Some((alone, _)) = state.running.remove(&Some(camera.to_string()))
        {
            // Things are calm again.
            alone.retire();
        }
        if let Some((worker, covered)) = state.running.get(&own).filter(|(worker, _)| !worker.is_lost())
            && covered.covers(&needs)
        {
            return Ok(Claim::new(worker));
        }
        let all = if own.is_some() { needs } else { state.needs.clone() };
        let (losses, clock, health) = (Arc::clone(&self.0.losses), self.0.clock.clone(), Arc::clone(&self.0.health));
        let counts = own.is_none() || is_isolating;
        let on_loss = move |why: &str| {
            health.worker_lost(clock.utc(), why);
            if counts {
                let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
                losses.push_back(clock.monotonic());
                let surplus = losses.len().saturating_sub(LOSSES);
                losses.drain(..surplus);
            }
        };
        let worker = Worker::start(&self.0.program, all.limits(), Box::new(on_loss))?;
        tracing::info!(camera = own.as_deref().unwrap_or("all"), "a decode worker was started");
        // One that may do less runs on as long as a camera is open in it.
        if let Some((before, _)) = state.running.insert(own, (Arc::clone(&worker), all)) {
            before.retire();
        }
        Ok(Claim::new(&worker))
    }

    /// Whether each camera gets its own for now, since one of them kills what all share.
    fn is_isolating(&self) -> bool {
        if self.0.share == Share::Each {
            return false;
        }
        let losses = self.0.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.clock.monotonic();
        losses.len() >= LOSSES && losses.iter().all(|at| now.saturating_sub(*at) < CALM)
    }

    /// Starts a worker, and says what of its fence can be put up here and what not; then it ends.
    ///
    /// # Errors
    /// Why none can be started.
    pub fn try_out(program: &std::path::Path) -> Result<Fence, String> {
        let worker = Worker::start(program, Needs::default().limits(), Box::new(|_| ()))?;
        let fence = worker.ready();
        worker.end();
        fence
    }

    /// Numbers of the processes that run, for tests and tools.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let state = self.state();
        let running = state.running.values().filter(|(worker, _)| !worker.is_lost());
        // 0: its process is being started.
        running.map(|(worker, _)| worker.pid()).filter(|pid| *pid != 0).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.running.values().for_each(|(worker, _)| worker.end());
        state.running.values().for_each(|(worker, _)| worker.wait());
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("share", &self.0.share).finish_non_exhaustive()
    }
}
