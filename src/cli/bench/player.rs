//! A clip that begins anew at its end, as fast as it can be decoded.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::camera::{self, Next, Source, SourceUri};
use crate::clock::Clock;
use crate::domain::{CameraId, Frame, TimeMs};
use crate::health::CameraCounters;

/// See the module. Decoding goes on in threads of the source, some frames ahead.
pub(super) struct Player {
    settings: camera::Settings,
    source: Box<dyn Source>,
    /// No frame came since the clip was opened.
    fresh: bool,
    begun_anew: bool,
    /// UTC of the last frame.
    last: TimeMs,
    /// What is added to times, so that they go on where the clip begins anew.
    ahead_ms: u64,
}

impl Player {
    /// Opens the clip.
    ///
    /// # Errors
    /// What is no file, or can't be played.
    pub(super) fn open(clip: &Path) -> anyhow::Result<Self> {
        let uri: SourceUri = clip.to_string_lossy().parse()?;
        anyhow::ensure!(!uri.is_live(), "{}: bench plays files, not cameras", clip.display());
        let settings = camera::Settings::new(CameraId::new("bench")?, 1, uri);
        let source = Self::source(&settings)?;
        Ok(Self { settings, source, fresh: true, begun_anew: false, last: TimeMs(0), ahead_ms: 0 })
    }

    fn source(settings: &camera::Settings) -> anyhow::Result<Box<dyn Source>> {
        Ok(camera::open(settings, &Clock::system(), Arc::new(CameraCounters::default()))?)
    }

    /// The next frame; the first one again behind the last.
    ///
    /// # Errors
    /// A clip without frames, one that stands still, what the decoder says.
    pub(super) fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            match self.source.next(Duration::from_secs(5))? {
                Next::Frame(mut frame) => {
                    if std::mem::take(&mut self.fresh) {
                        // Time goes on, however fast the clip was played.
                        self.ahead_ms = (self.last.0 + 40).saturating_sub(frame.at.0);
                    }
                    frame.at = TimeMs(frame.at.0 + self.ahead_ms);
                    self.last = frame.at;
                    return Ok(frame);
                }
                Next::End if self.fresh => anyhow::bail!("the clip holds no frame"),
                Next::End => {
                    self.source = Self::source(&self.settings)?;
                    (self.fresh, self.begun_anew) = (true, true);
                }
                Next::Idle => anyhow::bail!("no frame within 5 s"),
            }
        }
    }

    /// Whether the clip began anew since this was asked last: places in the stream begin anew.
    pub(super) fn has_begun_anew(&mut self) -> bool {
        std::mem::take(&mut self.begun_anew)
    }
}
