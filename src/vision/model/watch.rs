//! Ends runs of models that do not come back, and gives up models that did not do.
//!
//! A model is a program by somebody else, and a graph can loop as long as it likes. A thread, `model-watch`, one for each
//! set of models that are loaded together, looks at the runs under way and asks the library to end one that takes longer
//! than a run may ([`super::Settings::run_within`]). The library obeys between two operators, in loops as well; one operator that never
//! comes back is not ended by anything but the process. Only such time counts in which the thread ran: a process that was
//! stopped for a while ends no run. Once the models are given up ([`Watch::give_up`]) nobody waits for a session any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ort::session::{NoSelectedOutputs, RunOptions};

/// How often runs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    within: Duration,
    under_way: Mutex<Vec<Arc<Run>>>,
    given_up: AtomicBool,
    hung: AtomicU64,
}

struct Run {
    options: RunOptions<NoSelectedOutputs>,
    lasts: Mutex<Duration>,
    ended: AtomicBool,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("lasts", &self.lasts).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// A run under way; over when it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    watch: Arc<Watch>,
    run: Arc<Run>,
}

impl Watch {
    /// Starts the thread. It ends with the last model that is watched.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(within: Duration) -> std::io::Result<Arc<Self>> {
        let watch = Arc::new(Self {
            within,
            under_way: Mutex::default(),
            given_up: AtomicBool::default(),
            hung: AtomicU64::default(),
        });
        let watched = Arc::downgrade(&watch);
        std::thread::Builder::new().name("model-watch".to_owned()).spawn(move || look_after(&watched))?;
        Ok(watch)
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a run may take.
    pub(super) fn within(&self) -> Duration {
        self.within
    }

    /// Runs that did not come back in time.
    pub(super) fn hung(&self) -> u64 {
        self.hung.load(Ordering::Relaxed)
    }

    /// Nobody runs these models any more: what is under way is ended, who waits for a session waits no longer.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.under_way().iter().for_each(|run| run.end());
    }

    /// Whether they are given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// A run begins.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn begin(self: &Arc<Self>) -> ort::Result<UnderWay> {
        let run = Arc::new(Run { options: RunOptions::new()?, lasts: Mutex::default(), ended: AtomicBool::new(false) });
        self.under_way().push(Arc::clone(&run));
        if self.is_given_up() {
            run.end();
        }
        Ok(UnderWay { watch: Arc::clone(self), run })
    }

    /// So much time has passed.
    fn look(&self, passed: Duration) {
        let under_way = self.under_way().clone();
        for run in under_way.iter().filter(|run| !run.ended.load(Ordering::Relaxed)) {
            let mut lasts = run.lasts.lock().unwrap_or_else(PoisonError::into_inner);
            *lasts += passed;
            if *lasts > self.within {
                self.hung.fetch_add(1, Ordering::Relaxed);
                run.end();
            }
        }
    }
}

impl Run {
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Err(error) = self.options.terminate() {
            tracing::warn!(%error, "a run of a model cannot be ended");
        }
    }
}

impl UnderWay {
    /// What the run is to be given.
    pub(super) fn options(&self) -> &RunOptions<NoSelectedOutputs> {
        &self.run.options
    }

    /// It was ended.
    pub(super) fn was_ended(&self) -> bool {
        self.run.ended.load(Ordering::Relaxed)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.watch.under_way().retain(|run| !Arc::ptr_eq(run, &self.run));
    }
}

fn look_after(watched: &Weak<Watch>) {
    let mut looked = Instant::now();
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(watch) = watched.upgrade() else { return };
        let now = Instant::now();
        // What was longer, this thread was held up, and so were the runs.
        watch.look(now.duration_since(looked).min(LOOK_EVERY * 2));
        looked = now;
    }
}
