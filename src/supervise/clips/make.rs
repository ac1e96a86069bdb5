//! From gathered pictures to a file in the store. Runs on the thread `clips` alone.

use std::time::Duration;

use super::{Ready, Settings};
use crate::camera::clip::{self, Clip};
use crate::camera::decode::Decoder;
use crate::camera::ring::Span;
use crate::camera::{self, Rotation};
use crate::domain::{Footage, Media, Polygon};
use crate::health::Health;
use crate::store::{self, Attached, AttachedKind, RecorderHandle};
use crate::vision::mask::{Mask, same_shape};

/// How long the storing of a clip may take: on a full disk the recorder waits.
const STORE_WITHIN: Duration = Duration::from_secs(20);

/// Lets every other thread of the box go first.
pub(in crate::supervise) fn least_urgent() {
    // Of this thread alone, as Linux has it. Where it is refused the thread is as urgent as others.
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "a thread for what can wait is as urgent as others");
    }
}

/// Makes the clip and has it stored; where there is none, the reason.
pub(super) fn make_and_store(ready: Ready, settings: &Settings, recorder: &RecorderHandle, health: &Health) {
    let (camera, id) = (ready.wanted.view.camera.clone(), ready.wanted.wish.id);
    let mut attached = attached(ready, settings);
    let has_clip = !attached.bytes.is_empty();
    let stored = match recorder.attach(&attached, STORE_WITHIN) {
        Err(error) if has_clip => {
            tracing::warn!(%camera, %error, "clip not stored");
            let why = format!("it could not be stored: {error}");
            attached = Attached { bytes: Vec::new(), about: attached.about.noting(&why), ..attached };
            // What was given up waiting for may have been stored since: it stays, and this is not taken.
            let may_be_there = matches!(error, store::Error::FlushTimeout { .. });
            recorder.attach(&attached, STORE_WITHIN).map(|taken| may_be_there && !taken)
        }
        stored => stored.map(|kept| kept && has_clip),
    };
    match stored {
        Ok(true) => health.clips.inc(),
        Ok(false) => {
            health.clips_missing.inc();
            tracing::info!(%camera, sighting = %id, why = attached.about.note, "a hit has no clip");
        }
        Err(error) => {
            health.clips_missing.inc();
            tracing::warn!(%camera, %error, "clip not stored");
        }
    }
}

fn attached(ready: Ready, settings: &Settings) -> Attached {
    let Ready { wanted, instead } = ready;
    let (camera, id, masks) = (wanted.view.camera.clone(), wanted.wish.id, wanted.view.masks.clone());
    let decoder = wanted.view.decoder.clone();
    let (from, to, rotation) = (wanted.from, wanted.to, wanted.rotation());
    let drawn_for = wanted.wish.size;
    let about = Footage { camera, from, to, media: Media::Mp4, masked: !masks.is_empty(), note: None };
    let none = |about: Footage, why: &str| Attached {
        id,
        what: AttachedKind::Clip,
        about: about.noting(why),
        bytes: Vec::new(),
    };
    if let Some(why) = instead {
        return none(about, &why);
    }
    let (span, lacks) = wanted.into_span();
    let Some(span) = span else { return none(about, lacks.as_deref().unwrap_or("nothing was kept")) };
    match made((&span, rotation), &decoder, &masks, drawn_for) {
        Ok(clip) if clip.bytes.len() <= settings.bytes.saturating_mul(2) => {
            let about = Footage { from: clip.from, to: clip.to, ..about };
            let about = match lacks {
                Some(lacks) => about.noting(&lacks),
                None => about,
            };
            Attached { id, what: AttachedKind::Clip, about, bytes: clip.bytes }
        }
        Ok(clip) => none(about, &format!("it would have {} bytes: more than twice clip_mib", clip.bytes.len())),
        Err(error) => none(about, &error.to_string()),
    }
}

/// A camera with masks has clips with masks, or none. Masks were laid on frames of the size `drawn_for`.
fn made(
    (span, rotation): (&Span, Rotation),
    decoder: &Decoder,
    masks: &[Polygon],
    drawn_for: (u32, u32),
) -> Result<Clip, camera::Error> {
    if masks.is_empty() {
        return clip::remuxed(span, rotation);
    }
    let mask = Mask::new(masks.to_vec());
    clip::masked(span, rotation, decoder, &|frame, on| {
        fits(drawn_for, (frame.format.width, frame.format.height))?;
        let seen = mask.apply(frame).map_err(|error| error.to_string())?;
        on(&seen);
        Ok(())
    })
}

/// Whether pictures of the size `kept` show the view that masks were drawn for; why not.
fn fits(drawn_for: (u32, u32), kept: (u32, u32)) -> Result<(), String> {
    let float = |(w, h): (u32, u32)| (w as f32, h as f32);
    if same_shape(float(drawn_for), float(kept)) {
        return Ok(());
    }
    let ((w, h), (width, height)) = (drawn_for, kept);
    Err(format!("show another view ({width}×{height}) than the one that masks are drawn for ({w}×{h})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_laid_on_pictures_of_the_shape_alone_that_they_were_drawn_for() {
        for (kept, right) in [((1920, 1080), true), ((1920, 1088), true), ((640, 480), false), ((1080, 1920), false)] {
            assert_eq!(fits((640, 360), kept).is_ok(), right, "{kept:?}");
        }
        assert!(fits((0, 0), (640, 360)).is_err(), "where nothing is known nothing is given");
    }
}
