//! The models of this run, as the analysis threads take them: between two frames, without an end of what is under way.
//!
//! Others are put beside those that run ([`InUse::put`]); each thread looks at a number with every frame and takes them when
//! it has changed. What no thread holds any more gives its memory back: a camera that gives no frames holds the old ones
//! until its next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::vision::Models;

/// See the module; a clone is the same.
#[derive(Clone)]
pub(in crate::supervise) struct InUse(Arc<Shared>);

struct Shared {
    turn: AtomicU64,
    models: Mutex<Models>,
}

impl InUse {
    pub(in crate::supervise) fn new(models: Models) -> Self {
        Self(Arc::new(Shared { turn: AtomicU64::new(0), models: Mutex::new(models) }))
    }

    /// How often others were put; to be asked before [`InUse::now`], so that none are missed.
    pub(in crate::supervise) fn turn(&self) -> u64 {
        self.0.turn.load(Ordering::Acquire)
    }

    /// The models of now.
    pub(in crate::supervise) fn now(&self) -> Models {
        self.0.models.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others from now on.
    pub(in crate::supervise) fn put(&self, models: Models) {
        let before = std::mem::replace(&mut *self.0.models.lock().unwrap_or_else(PoisonError::into_inner), models);
        self.0.turn.fetch_add(1, Ordering::Release);
        drop(before);
    }
}
