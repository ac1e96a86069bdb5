//! [`LinkGauge`]: what went over the link today, as health tells it.

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use crate::centre::budget::{STEPS, Traffic};

/// What went over the link in this UTC day, headers by estimate, and what the budget makes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct LinkGauge {
    /// The day, counted from 1970-01-01.
    #[n(0)]
    pub day: u32,
    /// Bytes sent, in the order of [`Traffic::ALL`].
    #[n(1)]
    pub up: [u64; 12],
    /// Bytes received; the budget does not count them.
    #[n(2)]
    pub down: u64,
    /// How many of [`STEPS`], from the first on, wait or go less often now.
    #[n(3)]
    pub waits: u8,
    /// Alerts that wait for the budget.
    #[n(4)]
    pub held: u64,
    /// Bytes a day, and how much of them is allowed by now; absent without a budget.
    #[n(5)]
    pub budget: Option<[u64; 2]>,
}

impl LinkGauge {
    /// All that was sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.up.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// What waits or goes less often now, in words.
    pub fn waiting(&self) -> impl Iterator<Item = &'static str> {
        STEPS.iter().take(usize::from(self.waits)).map(|what| what.as_str())
    }

    pub(super) fn to_json(self) -> Value {
        let up = Traffic::ALL.iter().zip(self.up).filter(|(_, n)| *n > 0);
        json!({
            "day": self.day,
            "up": up.map(|(what, n)| (what.as_str().to_owned(), json!(n))).collect::<Value>(),
            "sent": self.sent(),
            "down": self.down,
            "budget": self.budget.map(|[bytes, _]| bytes),
            "allowed": self.budget.map(|[_, allowed]| allowed),
            "waits": self.waiting().collect::<Vec<_>>(),
            "held": self.held,
        })
    }
}
