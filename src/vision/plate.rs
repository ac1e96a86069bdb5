//! Reads plates: rectified by their corners, through the reader's model, to a text with its certainty.
//!
//! Takes the full-size frame, not the detector's small picture: strokes are what counts. Plates of one frame go through
//! the model in batches. Corners are never exact, and a crop that cuts a character off is read wrong: a plate whose read
//! is doubtful is cut out in other ways too, and that text counts in which two looks agree best. Called by the analyser
//! and by the verb `read`; waits only for a free session.

use super::Error;
use super::crop;
use super::ctc::{self, Probs};
use super::legend::Legend;
use super::model::{Manifest, Net, Runtime, View};
use super::rectify::{is_large_enough, widened};
use crate::domain::{Candidate, Class, Detection, Frame, PlateRead, PlateText, Quad, Rect};

/// A model that reads plates.
#[derive(Debug)]
pub struct Reader {
    net: Net,
    legend: Legend,
}

impl Reader {
    /// Loads the reader of `manifest` with `workers` sessions.
    ///
    /// # Errors
    /// [`Error::WrongFamily`] for a detector, and what [`Net::load`] says.
    pub fn load(runtime: &Runtime, manifest: Manifest, workers: usize) -> Result<Self, Error> {
        if !manifest.family.reads() {
            let family = manifest.family.as_str();
            return Err(Error::WrongFamily { model: manifest.name, family, role: "reader" });
        }
        let legend = Legend::of(&manifest);
        let wanted = legend.wanted(&manifest);
        Ok(Self { net: Net::load(runtime, manifest, wanted, workers)?, legend })
    }

    /// The model behind it.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Reads the plates among `found`, in its order: `None` for what is no plate, too small, or holds no text.
    ///
    /// # Errors
    /// [`Error::Rectify`], and what [`Net::run`] says.
    pub fn read(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        let margin = self.net.manifest().margin;
        let looks = found.iter().map(|d| {
            let outline = (d.class == Class::Plate).then(|| outline(d)).filter(is_large_enough)?;
            Some(looks_at_plate(&outline, &Quad::from_rect(&d.rect), margin))
        });
        self.read_looks(frame, &looks.collect::<Vec<_>>())
    }

    /// As [`Reader::read`] by the first look alone: what the other looks bring and cost is measured against it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_once(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        let margin = self.net.manifest().margin;
        let quads = found.iter().map(|d| {
            let outline = (d.class == Class::Plate).then(|| outline(d)).filter(is_large_enough)?;
            Some(widened(&outline, margin))
        });
        self.look(frame, &quads.collect::<Vec<_>>())
    }

    /// What the model is shown of a plate at the first look, as it goes in: channel, row, column. For people who ask why it was
    /// read so; `None` when there is nothing to read.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn shown(&self, frame: &Frame, found: &Detection) -> Result<Option<Vec<f32>>, Error> {
        let manifest = self.net.manifest();
        crop::of_plate(frame, &widened(&outline(found), manifest.margin), &manifest.input)
    }

    /// Reads a picture that shows one plate and hardly anything else.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_crop(&self, frame: &Frame) -> Result<Option<PlateRead>, Error> {
        let (width, height) = frame.size();
        let whole = Quad::from_rect(&Rect::new(0.0, 0.0, width, height));
        let looks = is_large_enough(&whole).then(|| looks_at_crop(&whole, self.net.manifest().margin));
        Ok(self.read_looks(frame, &[looks])?.pop().flatten())
    }

    /// Reads plates by their first look, and those that stay doubtful by all.
    fn read_looks(&self, frame: &Frame, plates: &[Option<Looks>]) -> Result<Vec<Option<PlateRead>>, Error> {
        let first: Vec<Option<Quad>> = plates.iter().map(|p| p.as_ref().map(|looks| looks.first)).collect();
        let mut reads = self.look(frame, &first)?;
        let mut doubtful = Vec::new();
        let mut others = Vec::new();
        for (place, (read, looks)) in reads.iter().zip(plates).enumerate() {
            if let (Some(_), Some(looks)) = (read.as_ref().filter(|r| r.confidence < SURE), looks) {
                doubtful.push(place);
                others.extend(looks.others.map(Some));
            }
        }
        let others = self.look(frame, &others)?;
        let floor = self.net.manifest().thresholds.read;
        for (place, others) in doubtful.into_iter().zip(others.chunks(OTHER_LOOKS)) {
            if let Some(slot) = reads.get_mut(place) {
                let looks: Vec<PlateRead> = slot.take().into_iter().chain(others.iter().flatten().cloned()).collect();
                *slot = agreed(&looks).filter(|read| read.confidence >= floor);
            }
        }
        Ok(reads)
    }

    /// Reads the plates cut out by `quads`, in their order.
    fn look(&self, frame: &Frame, quads: &[Option<Quad>]) -> Result<Vec<Option<PlateRead>>, Error> {
        let input = &self.net.manifest().input;
        let mut reads = vec![None; quads.len()];
        let mut inputs = Vec::new();
        let mut places = Vec::new();
        for (place, quad) in quads.iter().enumerate() {
            if let Some(values) = quad.as_ref().map(|q| crop::of_plate(frame, q, input)).transpose()?.flatten() {
                inputs.push(values);
                places.push(place);
            }
        }
        let batch = if self.legend.is_single() { 1 } else { self.net.batch() };
        for (inputs, places) in inputs.chunks(batch).zip(places.chunks(batch)) {
            let batch: Vec<f32> = inputs.iter().flatten().copied().collect();
            let texts = self.net.run(places.len(), &batch, |outputs| self.decode(outputs, places.len()))??;
            for (place, read) in places.iter().zip(texts) {
                if let Some(slot) = reads.get_mut(*place) {
                    *slot = read;
                }
            }
        }
        Ok(reads)
    }

    fn decode(&self, outputs: &[View<'_>], plates: usize) -> Result<Vec<Option<PlateRead>>, Error> {
        let Some(view) = outputs.first() else { return Ok(Vec::new()) };
        let manifest = self.net.manifest();
        let (floor, classes) = (&manifest.thresholds, self.legend.classes());
        (0..plates)
            .map(|plate| {
                let data = self.legend.steps(manifest, view, (plate, plates))?;
                let read = ctc::decode(Probs { data: &data, classes }, self.legend.alphabet(), floor.min_length);
                Ok(read.filter(|read| read.confidence >= floor.read))
            })
            .collect()
    }
}

/// A read this sure is not looked at again.
const SURE: f32 = 0.97;

/// How many other ways there are to cut a doubtful plate out.
const OTHER_LOOKS: usize = 3;

/// The ways in which one plate is cut out.
#[derive(Debug, Clone, Copy)]
struct Looks {
    first: Quad,
    /// Taken when the first leaves doubt.
    others: [Quad; OTHER_LOOKS],
}

/// A found plate by its corners with the reader's margin; with more around it, by its box, and with hardly anything
/// around it.
///
/// What the other looks bring stands in `docs/models.md`.
fn looks_at_plate(outline: &Quad, boxed: &Quad, [x, y]: [f32; 2]) -> Looks {
    let by = |share: f32| widened(outline, [x * share, y * share]);
    Looks { first: by(1.0), others: [by(1.6), widened(boxed, [x, y]), by(0.3)] }
}

/// A picture that is a crop already: as it is; and, since who cut it left more or less around the plate, without its rim,
/// without twice as much, and with a little of its border repeated.
fn looks_at_crop(whole: &Quad, [x, y]: [f32; 2]) -> Looks {
    let by = |share: f32| widened(whole, [x * share, y * share]);
    Looks { first: *whole, others: [by(-0.5), by(-0.9), by(0.5)] }
}

/// One read of several looks at the same plate.
///
/// A text is as probable as the mean of the two looks that find it most so: one look alone is often sure of a text that
/// it has cut a character off. The lattice is that of the look that is surest of the text.
fn agreed(looks: &[PlateRead]) -> Option<PlateRead> {
    let probability = |text: &PlateText| {
        let mut found: Vec<f32> = looks
            .iter()
            .map(|look| look.candidates.iter().find(|c| c.text == *text).map_or(0.0, |c| c.confidence))
            .collect();
        found.sort_by(|a, b| b.total_cmp(a));
        found.iter().take(2).sum::<f32>() / 2.0
    };
    let rank = |a: &PlateRead, b: &PlateRead| {
        let by_text = probability(&a.text).total_cmp(&probability(&b.text));
        by_text.then(a.confidence.total_cmp(&b.confidence))
    };
    let best = looks.iter().max_by(|a, b| rank(a, b))?;
    let mut texts: Vec<PlateText> = looks.iter().flat_map(|l| l.candidates.iter().map(|c| c.text.clone())).collect();
    texts.sort();
    texts.dedup();
    let mut candidates: Vec<Candidate> =
        texts.into_iter().map(|text| Candidate { confidence: probability(&text), text }).collect();
    // The read's own text leads even where rounding makes another one as probable.
    let own = |c: &Candidate| c.text == best.text;
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(own(b).cmp(&own(a))));
    candidates.truncate(ctc::MAX_CANDIDATES);
    Some(PlateRead { confidence: probability(&best.text), candidates, ..best.clone() })
}

/// The corners when they are fit to be rectified and agree with the box, else the box.
fn outline(found: &Detection) -> Quad {
    let boxed = Quad::from_rect(&found.rect);
    match found.corners {
        Some(quad) if quad.is_convex() && quad.bounds().iou(&found.rect) >= MIN_AGREEMENT => quad,
        _ => boxed,
    }
}

/// Corners whose bounds overlap the box by less (intersection over union) are not believed.
const MIN_AGREEMENT: f32 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Point;

    fn plate(corners: [(f32, f32); 4]) -> Detection {
        Detection {
            class: Class::Plate,
            score: 0.9,
            rect: Rect::new(10.0, 10.0, 50.0, 30.0),
            corners: Some(Quad { points: corners.map(|(x, y)| Point { x, y }) }),
        }
    }

    fn look(texts: &[(&str, f32)]) -> PlateRead {
        let candidates: Vec<Candidate> = texts
            .iter()
            .map(|(text, confidence)| Candidate { text: PlateText::from_raw(text).unwrap(), confidence: *confidence })
            .collect();
        PlateRead {
            text: candidates[0].text.clone(),
            confidence: candidates[0].confidence,
            char_confidences: vec![1.0; candidates[0].text.as_str().len()],
            candidates,
            lattice: crate::domain::Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 1,
        }
    }

    #[test]
    fn a_text_that_two_looks_agree_on_beats_one_that_a_single_look_is_sure_of() {
        let looks = [
            look(&[("B123", 0.9), ("AB123", 0.05)]),
            look(&[("AB123", 0.8), ("A8123", 0.1)]),
            look(&[("AB123", 0.7), ("B123", 0.2)]),
        ];
        let read = agreed(&looks).unwrap();
        assert_eq!(read.text.as_str(), "AB123");
        assert!((read.confidence - 0.75).abs() < 1e-6);
        assert_eq!(read.char_confidences.len(), 5);
        let told: Vec<&str> = read.candidates.iter().map(|c| c.text.as_str()).collect();
        assert_eq!(told, ["AB123", "B123", "A8123"]);
        assert!((read.candidates[1].confidence - 0.55).abs() < 1e-6);
        assert!(agreed(&[]).is_none());
    }

    #[test]
    fn corners_that_fold_or_lie_elsewhere_give_way_to_the_box() {
        let good = plate([(11.0, 12.0), (49.0, 10.0), (50.0, 28.0), (10.0, 30.0)]);
        assert_eq!(outline(&good), good.corners.unwrap());
        let boxed = Quad::from_rect(&good.rect);
        let folded = plate([(11.0, 12.0), (49.0, 10.0), (10.0, 30.0), (50.0, 28.0)]);
        assert_eq!(outline(&folded), boxed);
        let elsewhere = plate([(111.0, 112.0), (149.0, 110.0), (150.0, 128.0), (110.0, 130.0)]);
        assert_eq!(outline(&elsewhere), boxed);
    }
}
