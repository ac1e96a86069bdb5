//! Closing a pipeline without waiting for ever.
//!
//! Elements stop their threads when a pipeline is closed, and `rtspsrc` (1.22) cannot be stopped in the middle of a
//! server's message: a server that sends a byte now and then holds it for as long as it likes. So a thread closes the
//! pipeline while the camera's own waits only [`WITHIN`]; what is not closed by then stays behind, and at most
//! [`MOST_BEHIND`] do for each camera before it is opened again: bounded, and gone as soon as the server lets go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::camera::Error;
use crate::camera::toil::Toil;
use crate::health::CameraCounters;
use crate::memory;

/// How long the camera's thread waits; shorter than the stop of the daemon waits for it.
const WITHIN: Duration = Duration::from_millis(1_500);

/// Openings of a camera that may still be closing when it is opened again.
const MOST_BEHIND: u64 = 2;

/// Whether another opening is allowed.
pub(super) fn check(origin: &str, counters: &CameraCounters) -> Result<(), Error> {
    if counters.closing.load(Ordering::Relaxed) < MOST_BEHIND {
        return Ok(());
    }
    Err(Error::HeldOpen { origin: origin.to_owned() })
}

/// Closes `pipeline`; returns when that is done, or when it takes too long. `toil` is of its threads; it rests
/// when they have ended and not before, since a decoder may not come back from its last picture.
pub(super) fn close(pipeline: &gst::Pipeline, origin: &str, counters: &Arc<CameraCounters>, toil: Option<Arc<Toil>>) {
    counters.closing.fetch_add(1, Ordering::Relaxed);
    let (own, name, counted) = (pipeline.clone(), origin.to_owned(), Arc::clone(counters));
    // Room for the one word: the thread never waits.
    let (done, wait) = sync_channel(1);
    let run = move || {
        if own.set_state(gst::State::Null).is_err() {
            tracing::warn!(uri = %name, "pipeline did not stop cleanly");
        }
        // Again, for a decoder that was added while the others stopped: nothing is added any more, its thread has ended.
        let _ = own.set_state(gst::State::Null);
        if let Some(toil) = &toil {
            toil.rest();
        }
        counted.closing.fetch_sub(1, Ordering::Relaxed);
        let _ = done.send(());
        drop(own);
        // A decoder took much, and the next one's pieces lie elsewhere.
        memory::give_back();
    };
    match std::thread::Builder::new().name("close".to_owned()).spawn(run) {
        Ok(_) if wait.recv_timeout(WITHIN).is_ok() => {}
        Ok(_) => tracing::warn!(uri = %origin, "the connection is held open by its server, left behind"),
        Err(error) => {
            tracing::error!(uri = %origin, %error, "no thread to close a pipeline");
            let _ = pipeline.set_state(gst::State::Null);
            counters.closing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_at_once_is_not_counted_and_a_camera_with_two_left_behind_is_not_opened() {
        crate::camera::pipeline::init().unwrap();
        let counters = Arc::new(CameraCounters::default());
        close(&gst::Pipeline::new(), "rtsp://h/x", &counters, None);
        assert_eq!(counters.closing.load(Ordering::Relaxed), 0);
        check("rtsp://h/x", &counters).unwrap();
        counters.closing.store(MOST_BEHIND, Ordering::Relaxed);
        let error = check("rtsp://h/x", &counters).unwrap_err();
        assert!(!error.is_lasting(), "it is tried again");
        assert!(error.to_string().contains("rtsp://h/x: holds earlier connections open"), "{error}");
    }
}
