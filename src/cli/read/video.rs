//! Videos through `watchpost read`: every frame as a line, or every finished track.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Reading, Stage, line};
use crate::camera::{self, Next, Source, SourceUri};
use crate::domain::{CameraId, Frame};
use crate::health::CameraCounters;

/// How long one call waits for a frame; a file that gives none for [`STALL`] is given up.
const WAIT: Duration = Duration::from_millis(500);

/// Longest wait for the next frame of a file.
const STALL: Duration = Duration::from_secs(20);

impl Reading<'_> {
    pub(super) fn video(&mut self, path: &Path) -> Result<()> {
        let id = CameraId::new("file").context("the name for files")?;
        let settings = camera::Settings::new(id, 0, SourceUri::File(path.to_path_buf()));
        let mut source = camera::open(&settings, &self.clock, Arc::new(CameraCounters::default()))?;
        while let Some(frame) = self.next(source.as_mut(), path)? {
            self.frame(path, &frame)?;
        }
        Ok(())
    }

    /// The next frame; `None` at the end.
    fn next(&mut self, source: &mut dyn Source, path: &Path) -> Result<Option<Frame>> {
        let began = self.clock.monotonic();
        loop {
            match self.timing.of(Stage::Load, || source.next(WAIT))? {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::End => return Ok(None),
                Next::Idle if self.clock.monotonic().saturating_sub(began) > STALL => {
                    anyhow::bail!("{}: no frame for {} s", path.display(), STALL.as_secs())
                }
                Next::Idle => {}
            }
        }
    }

    fn frame(&mut self, path: &Path, frame: &Frame) -> Result<()> {
        let plates = self.plates(frame).with_context(|| path.display().to_string())?;
        self.timing.pictures += 1;
        self.output.line(&line(path, frame, &plates, true))?;
        if plates.is_empty() { Ok(()) } else { self.draw(path, &format!("-{:06}", frame.index), frame, &plates) }
    }
}
