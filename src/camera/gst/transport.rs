//! The way a network camera's pictures travel when it is left open: TCP, and UDP where the camera offers nothing else.
//!
//! TCP first because nothing is lost on it and firewalls let it pass. A camera that refuses it says so at once (RTSP
//! status 461), and is asked again for UDP within the same opening.

use std::sync::Arc;
use std::time::Duration;

use super::GstSource;
use crate::camera::{Error, Next, Settings, Source, SourceUri};
use crate::clock::Clock;
use crate::domain::Transport;
use crate::health::CameraCounters;

/// Opens the source of `settings`.
pub(in crate::camera) fn open(
    settings: &Settings,
    clock: &Clock,
    counters: Arc<CameraCounters>,
) -> Result<Box<dyn Source>, Error> {
    let source = GstSource::open(settings, clock, Arc::clone(&counters))?;
    let is_open = settings.transport == Transport::Auto && !settings.uri.is_encrypted();
    if is_open && matches!(settings.uri, SourceUri::Rtsp { .. }) {
        let other = Settings { transport: Transport::Udp, ..settings.clone() };
        Ok(Box::new(EitherWay { source, other: Some(other), clock: clock.clone(), counters }))
    } else {
        Ok(Box::new(source))
    }
}

/// A source that is opened in another way when the first is refused.
struct EitherWay {
    source: GstSource,
    other: Option<Settings>,
    clock: Clock,
    counters: Arc<CameraCounters>,
}

impl Source for EitherWay {
    fn next(&mut self, wait: Duration) -> Result<Next, Error> {
        match self.source.next(wait) {
            Err(error @ Error::Transport { .. }) => {
                let Some(other) = self.other.take() else { return Err(error) };
                tracing::info!(camera = %other.id, "camera offers no TCP, asked for UDP");
                self.source = GstSource::open(&other, &self.clock, Arc::clone(&self.counters))?;
                Ok(Next::Idle)
            }
            next => next,
        }
    }

    fn heard(&self) -> Option<Duration> {
        self.source.heard()
    }
}
