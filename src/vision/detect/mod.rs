//! What is in one frame: tensor, model, decoding, boxes in pixels of the full-size frame.
//!
//! Called by the analyser for each frame that the gate lets through; waits only for a free session. What comes out is
//! finite, inside the picture and sorted by score. Tracking and reading are done elsewhere.

mod boxes;
mod centre;
mod db;
mod end2end;
mod nanodet;
mod nms;
mod rtdetr;
mod yolov5;
mod yolov8;
mod yolox;

use std::sync::{Mutex, PoisonError};

use self::centre::Head;
use super::Error;
use super::area::Area;
use super::model::{Family, Manifest, Net, Runtime, Spec, Values, View};
use super::preprocess::{Placement, Scratch, tensor_sized};
use super::search::{Grid, Part};
use crate::domain::{Class, Detection, Frame, Quad};

/// Most detections of one head in one frame; a picture with more is no street.
pub const MAX_DETECTIONS: usize = 100;

/// Buffers that calls in progress give back, so that a frame allocates nothing.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    input: Values,
}

/// A model that finds plates or vehicles.
#[derive(Debug)]
pub struct Detector {
    net: Net,
    classes: Vec<Option<Class>>,
    /// Of family `centre`; none for others.
    heads: Vec<Head>,
    idle: Mutex<Vec<Work>>,
}

impl Detector {
    /// Loads the detector of `manifest` with `workers` sessions.
    ///
    /// # Errors
    /// [`Error::WrongFamily`] for a reader, and what [`Net::load`] says.
    pub fn load(runtime: &Runtime, manifest: Manifest, workers: usize) -> Result<Self, Error> {
        let classes = manifest.known_classes();
        let heads = heads(&manifest);
        let Some(wanted) = wanted(&manifest, &heads) else {
            let family = manifest.family.as_str();
            return Err(Error::WrongFamily { model: manifest.name, family, role: "detector" });
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
        self.detect_sized(frame, area, self.net.manifest().input.size)
    }

    /// The tiles that looks at parts of `area` are made of; `None` where the model takes one size alone, or tells of more than
    /// plates: who follows vehicles wants all of them.
    #[must_use]
    pub fn grid(&self, area: Area) -> Option<Grid> {
        let manifest = self.net.manifest();
        let alone = !manifest.finds(|class| class != Class::Plate);
        Grid::new(area, manifest.input.size, manifest.input.unit.filter(|_| alone)?)
    }

    /// What is in `parts` of the area that `grid` lies over, as large as in a look at the whole area. What an inner edge cuts is
    /// left out.
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn detect_parts(&self, frame: &Frame, grid: &Grid, parts: &[Part]) -> Result<Vec<Detection>, Error> {
        let mut all = Vec::new();
        for part in parts {
            let Some(area) = grid.place(part, frame) else { continue };
            let found = self.detect_sized(frame, area, grid.size(part))?;
            all.extend(found.into_iter().filter(|d| !grid.is_cut(&d.rect, area)));
        }
        // Whoever asks may ask for parts that overlap.
        nms::best(&mut all, self.net.manifest().thresholds.nms);
        Ok(all)
    }

    fn detect_sized(&self, frame: &Frame, area: Area, size: [u32; 2]) -> Result<Vec<Detection>, Error> {
        let mut work = self.idle().pop().unwrap_or_default();
        let found = self.detect_with(frame, (area, size), &mut work);
        self.idle().push(work);
        found
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Work>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn detect_with(
        &self,
        frame: &Frame,
        (area, size): (Area, [u32; 2]),
        work: &mut Work,
    ) -> Result<Vec<Detection>, Error> {
        let manifest = self.net.manifest();
        let placement = tensor_sized(frame, area, (&manifest.input, size), &mut work.scratch, &mut work.input)?;
        let read = |outputs: &[View<'_>]| decode((manifest, size), &self.classes, &self.heads, outputs);
        let mut found = self.net.run_sized(size, 1, &work.input, read)??;
        if manifest.family != Family::Centre {
            // What is not suppressed is only sorted: a limit of 1 keeps all.
            nms::best(&mut found, if manifest.family.overlaps() { manifest.thresholds.nms } else { 1.0 });
            found.truncate(MAX_DETECTIONS);
        }
        Ok(found.iter().filter_map(|d| in_frame(d, &placement, area)).collect())
    }
}

/// The heads of a model of family `centre`; none of others.
pub(super) fn heads(manifest: &Manifest) -> Vec<Head> {
    if manifest.family == Family::Centre { centre::heads(manifest) } else { Vec::new() }
}

/// The outputs that a detector needs; `None` for what is none.
pub(super) fn wanted(manifest: &Manifest, heads: &[Head]) -> Option<Vec<Spec>> {
    Some(match manifest.family {
        Family::Centre => heads.iter().flat_map(Head::wanted).collect(),
        Family::Yolox if manifest.decode.decoded() => yolov5::wanted(manifest, "output"),
        Family::Yolox => yolox::wanted(manifest),
        Family::Yolov5 => yolov5::wanted(manifest, "output0"),
        Family::Yolov8 => yolov8::wanted(manifest),
        Family::End2end => end2end::wanted(manifest),
        Family::RtDetr => rtdetr::wanted(manifest),
        Family::Nanodet => nanodet::wanted(manifest),
        Family::Db => db::wanted(manifest),
        Family::Ctc | Family::Lprnet | Family::Slots | Family::Corners => return None,
    })
}

/// What the outputs say, in pixels of an input of `size`.
pub(super) fn decode(
    (manifest, size): (&Manifest, [u32; 2]),
    classes: &[Option<Class>],
    heads: &[Head],
    outputs: &[View<'_>],
) -> Result<Vec<Detection>, Error> {
    match manifest.family {
        Family::Centre => centre::decode(heads, (manifest, size), outputs),
        Family::Yolox if !manifest.decode.decoded() => yolox::decode(outputs, manifest, classes),
        Family::Yolox | Family::Yolov5 => yolov5::decode(outputs, manifest, classes),
        Family::Yolov8 => yolov8::decode(outputs, manifest, classes),
        Family::End2end => end2end::decode(outputs, manifest, classes),
        Family::RtDetr => rtdetr::decode(outputs, manifest, classes),
        Family::Nanodet => nanodet::decode(outputs, manifest, classes),
        Family::Db => db::decode(outputs, manifest, classes),
        // Refused when it was loaded.
        Family::Ctc | Family::Lprnet | Family::Slots | Family::Corners => Ok(Vec::new()),
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
