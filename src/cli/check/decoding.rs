//! Can cameras be decoded in a process of their own, and how well is it fenced in here?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;

#[cfg(not(feature = "gst"))]
pub(super) fn check(_config: &Config, _clock: &Clock) -> Vec<Finding> {
    // `pipelines` says that nothing is decoded.
    Vec::new()
}

#[cfg(feature = "gst")]
pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    use crate::camera::worker::{Fence, Workers};
    use crate::config::DecodeWorkers;
    use crate::supervise::models::trial::this_program;

    if config.decode.workers == DecodeWorkers::None {
        return vec![Finding::ok("decoding", "cameras are decoded in the daemon itself: [decode] workers is \"none\"")];
    }
    let finding = match Workers::try_out(&this_program()) {
        Ok(Fence { lacks, holds }) if lacks.is_empty() => {
            Finding::ok("decoding", format!("a decode worker starts, and is fenced in: {}", holds.join("; ")))
        }
        Ok(Fence { lacks, holds }) => Finding::warning(
            "decoding",
            format!(
                "a decode worker starts, but is not fenced in whole: {}; what holds: {}",
                lacks.join("; "),
                if holds.is_empty() { "nothing".to_owned() } else { holds.join("; ") }
            ),
            "a kernel from 6.7 on with Landlock and seccomp (CONFIG_SECURITY_LANDLOCK, lsm=landlock,…) has all of it",
        ),
        Err(why) => Finding::failure(
            "decoding",
            format!("no decode worker can be started: it {why}"),
            "see that the program may be executed and the system has memory; [decode] workers = \"none\" decodes in the daemon",
        ),
    };
    vec![finding]
}
