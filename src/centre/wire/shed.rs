//! [`Shed`] on the wire: the entry that stands for alerts whose copies were shed.

use serde_json::{Value, json};

use super::Wire;
use crate::centre::topics::Kind;
use crate::domain::Shed;
use crate::domain::alert::SHED_VERSION;

impl Wire for Shed {
    const NAME: &'static str = "shed";
    const VERSION: u8 = SHED_VERSION;
    const MAX_SIGNED: usize = 192;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.version != SHED_VERSION {
            return Err(("version", format!("{}, wanted {SHED_VERSION}", self.version)));
        }
        if self.first == 0 || self.first > self.last {
            return Err(("first", format!("run {}..={} is empty or starts at 0", self.first, self.last)));
        }
        if self.seq <= self.last {
            return Err(("seq", format!("{} is not after the run {}..={}", self.seq, self.first, self.last)));
        }
        Ok(())
    }

    fn fits(&self, kind: &Kind) -> bool {
        *kind == Kind::Shed
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": Self::NAME,
            "version": self.version,
            "epoch": self.epoch.to_string(),
            "seq": self.seq,
            "first": self.first,
            "last": self.last,
            "severity": self.severity.as_str(),
            "time": self.time.to_string(),
            "time_ms": self.time.0,
        })
    }
}
