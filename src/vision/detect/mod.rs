//! What is in one frame: tensor, model, decoding, boxes in pixels of the full-size frame.
//!
//! Called by the analyser for each frame that the gate lets through; waits only for a free session. What comes out is
//! finite, inside the picture and sorted by score. Tracking and reading are done elsewhere.

mod centre;
mod nms;
mod yolox;

use std::sync::{Mutex, PoisonError};

use super::Error;
use super::area::Area;
use super::model::{Family, Manifest, Net, Runtime, Spec};
use super::preprocess::{Placement, Scratch, tensor_of};
use crate::domain::{Class, Detection, Frame, Quad};

/// Most detections of one head in one frame; a picture with more is no street.
pub const MAX_DETECTIONS: usize = 100;

/// Buffers that calls in progress give back, so that a frame allocates nothing.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    input: Vec<f32>,
}

/// A model that finds plates or vehicles.
#[derive(Debug)]
pub struct Detector {
    net: Net,
    classes: Vec<Option<Class>>,
    /// Of family `centre`; none for others.
    heads: Vec<centre::Head>,
    idle: Mutex<Vec<Work>>,
}

impl Detector {
    /// Loads the detector of `manifest` with `workers` sessions.
    ///
    /// # Errors
    /// [`Error::WrongFamily`] for a reader, and what [`Net::load`] says.
    pub fn load(runtime: &Runtime, manifest: Manifest, workers: usize) -> Result<Self, Error> {
        let (width, height) = (i64::from(manifest.input.size[0]), i64::from(manifest.input.size[1]));
        let classes = manifest.known_classes();
        let count = i64::try_from(classes.len()).unwrap_or(i64::MAX);
        let names = &manifest.output;
        let heads = if manifest.family == Family::Centre { centre::heads(&manifest) } else { Vec::new() };
        let wanted = match manifest.family {
            Family::Centre => heads.iter().flat_map(centre::Head::wanted).collect(),
            Family::Yolox => {
                let cells = yolox::STRIDES.iter().map(|s| (height / s) * (width / s)).sum();
                vec![Spec::new(names.grid.as_deref(), "output", &[1, cells, 5 + count])]
            }
            Family::Ctc => {
                let family = manifest.family.as_str();
                return Err(Error::WrongFamily { model: manifest.name, family, role: "detector" });
            }
        };
        let net = Net::load(runtime, manifest, wanted, workers)?;
        centre::check(&heads, net.manifest(), net.shapes())?;
        Ok(Self { net, classes, heads, idle: Mutex::default() })
    }

    /// The model behind it.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// What is in `frame`, best first, at most [`MAX_DETECTIONS`] a head.
    ///
    /// # Errors
    /// [`Error::ShortFrame`], and what [`Net::run`] says.
    pub fn detect(&self, frame: &Frame) -> Result<Vec<Detection>, Error> {
        self.detect_in(frame, Area::whole(frame))
    }

    /// What is in `area` of `frame`, in pixels of the whole frame. The model is shown the area alone, as large as its input
    /// allows, so what is small in the frame is found; what the area's edge cuts is told as far as it lies inside.
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn detect_in(&self, frame: &Frame, area: Area) -> Result<Vec<Detection>, Error> {
        let Some(area) = area.within(frame) else { return Ok(Vec::new()) };
        let mut work = self.idle().pop().unwrap_or_default();
        let found = self.detect_with(frame, area, &mut work);
        self.idle().push(work);
        found
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Work>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn detect_with(&self, frame: &Frame, area: Area, work: &mut Work) -> Result<Vec<Detection>, Error> {
        let manifest = self.net.manifest();
        let placement = tensor_of(frame, area, &manifest.input, &mut work.scratch, &mut work.input)?;
        let mut found = self.net.run(1, &work.input, |outputs| match manifest.family {
            Family::Centre => centre::decode(&self.heads, manifest, outputs),
            Family::Yolox => Ok(yolox::decode(outputs, manifest, &self.classes)),
            Family::Ctc => Ok(Vec::new()),
        })??;
        if manifest.family == Family::Yolox {
            nms::best(&mut found, manifest.thresholds.nms);
            found.truncate(MAX_DETECTIONS);
        }
        Ok(found.iter().filter_map(|d| in_frame(d, &placement, area)).collect())
    }
}

/// The detection in pixels of the frame; `None` when nothing of it is inside the area.
fn in_frame(found: &Detection, placement: &Placement, area: Area) -> Option<Detection> {
    let to_frame = |p| area.to_frame(placement.to_frame(p));
    let (all, corners) = (area.rect(), Quad::from_rect(&found.rect).points.map(to_frame));
    let rect = Quad { points: corners }.bounds().within(&all);
    let finite = [rect.x1, rect.y1, rect.x2, rect.y2, found.score].iter().all(|v| v.is_finite());
    if !finite || rect.width() < 1.0 || rect.height() < 1.0 {
        return None;
    }
    // Corners may lie a little outside: a plate that the picture's edge cuts is rectified all the same.
    let corners = found.corners.map(|q| Quad { points: q.points.map(to_frame) });
    let corners = corners.filter(|q| q.points.iter().all(|p| p.x.is_finite() && p.y.is_finite()));
    Some(Detection { class: found.class, score: found.score, rect, corners })
}
