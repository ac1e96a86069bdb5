//! Pictures that were kept, decoded in a worker: for clips with masks, and for second looks.
//!
//! All of them are handed over first (no ring keeps more than 24 MiB), then decoded ones are asked for one at a time. Frames carry the times that
//! the daemon knows of their coded pictures, not what the worker says.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Workers;
use super::carry::Needs;
use super::form::Form;
use super::remote::RemoteSource;
use super::wire::{Address, Ask, Unit, Wanted};
use crate::camera::decode::ORIGIN;
use crate::camera::ring::Span;
use crate::camera::{Error, Next, Rotation, Settings, Source as _, SourceUri, pipeline};
use crate::domain::{CameraId, Frame};

/// How long the worker may take for a picture: it may have to decode seconds of others first, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Workers {
    /// As [`Decoder::pictures`](crate::camera::decode::Decoder::pictures), in the worker of a camera.
    pub(in crate::camera) fn decode(
        &self,
        camera: &CameraId,
        (span, rotation): (&Span, Rotation),
        on: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        pipeline::init()?;
        let failed = |why: String| Error::Worker { origin: ORIGIN.to_owned(), why };
        let form = Form::of(&span.caps).ok_or_else(|| failed("was given pictures without a form".to_owned()))?;
        let claim = self.worker_for(camera, Needs::default()).map_err(failed)?;
        let mut settings = Settings::new(camera.clone(), 0, SourceUri::File(ORIGIN.into()));
        settings.rotate = Some(rotation);
        let wanted =
            Wanted { address: Address::Kept(form), ..Wanted::of(&settings).ok_or_else(|| failed(String::new()))? };
        let mut source = RemoteSource::once(claim.worker(), wanted, &settings, &self.0.clock)?;
        for coded in &span.pictures {
            let bytes =
                coded.unit.map_readable().map_err(|_| failed("was given pictures that can't be read".to_owned()))?;
            source.feed(&Ask::Unit(source.number(), Unit::of(coded)), bytes.as_slice()).map_err(failed)?;
        }
        source.feed(&Ask::Fed(source.number()), &[]).map_err(failed)?;
        let known: HashMap<Duration, _> = span.pictures.iter().map(|coded| (coded.pts, coded.at)).collect();
        loop {
            match source.next(PATIENCE)? {
                Next::Frame(mut frame) => {
                    let at = known.get(&frame.pts).copied();
                    frame.at = at.ok_or_else(|| failed("gave a picture that is none of those kept".to_owned()))?;
                    if on(frame).is_break() {
                        return Ok(());
                    }
                }
                Next::Idle => return Err(failed(format!("gave nothing for {} s", PATIENCE.as_secs()))),
                Next::End => return Ok(()),
            }
        }
    }
}
