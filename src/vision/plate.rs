//! Reads plates: rectified by their corners, through the reader's model, to a text with its certainty.
//!
//! Takes the full-size frame, not the detector's small picture: strokes are what counts. Plates of one frame go through
//! the model in batches. A reader may tell that what it was shown is no plate, that the plate has two lines, and which
//! region issued it: then there is no read, the two lines are read one by one and joined, and the series of the region
//! weigh in ([`super::prior`]). A plate whose read is doubtful is cut out in other ways too (`looks`), and that text
//! counts in which two looks agree best. Called by the analyser and by the verb `read`; waits only for a free session.

use std::sync::Arc;

use super::Error;
use super::corners::Corners;
use super::crop;
use super::ctc::{self, Probs};
use super::legend::Legend;
use super::looks::{Look, Looks, OTHERS};
use super::model::{Manifest, Net, Runtime};
use super::prior::{self, Patterns};
use super::rectify::{is_large_enough, widened};
use super::skew;
use super::stack::Cut;
use crate::domain::{Candidate, Class, Detection, Frame, PlateRead, PlateText, Quad, Rect};

/// What a plate was read as in one frame, and what was cut out for that.
pub type ReadAndCut = (Option<PlateRead>, Option<Cut>);

/// A model that reads plates.
#[derive(Debug)]
pub struct Reader {
    net: Arc<Net>,
    legend: Arc<Legend>,
    corners: Option<Arc<Corners>>,
    patterns: Patterns,
}

impl Reader {
    /// Loads the reader of `manifest` with `workers` sessions. Series of all regions weigh in; [`Reader::expecting`] gives
    /// one that goes by others.
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
        let net = Arc::new(Net::load(runtime, manifest, wanted, workers)?);
        Ok(Self { net, legend: Arc::new(legend), corners: None, patterns: Patterns::default() })
    }

    /// A reader of the same model, sharing its sessions, that goes by `patterns`.
    #[must_use]
    pub fn expecting(&self, patterns: Patterns) -> Self {
        Self { net: Arc::clone(&self.net), legend: Arc::clone(&self.legend), corners: self.corners.clone(), patterns }
    }

    /// The same reader, which has the corners of plates corrected before it cuts them out.
    #[must_use]
    pub fn with_corners(self, corners: Corners) -> Self {
        Self { corners: Some(Arc::new(corners)), ..self }
    }

    /// Who corrects corners.
    #[must_use]
    pub fn corners(&self) -> Option<&Corners> {
        self.corners.as_deref()
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
        Ok(self.read_looks(frame, &self.looks(frame, found)?, SURE)?.into_iter().map(|(read, _)| read).collect())
    }

    /// As [`Reader::read`], with what the model was shown of each plate at the first look, for pictures of several frames to be
    /// laid over each other ([`super::stack`]) and given to [`Reader::read_cut`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_and_cut(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        self.read_looks(frame, &self.looks(frame, found)?, SURE)
    }

    /// The same by the first look alone, however doubtful.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn glance(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<ReadAndCut>, Error> {
        self.read_looks(frame, &self.looks(frame, found)?, 0.0)
    }

    /// Reads what was cut out before; `None` for what is no plate, has two lines, or holds no text.
    ///
    /// # Errors
    /// What [`Net::run`] says.
    pub fn read_cut(&self, cut: &Cut) -> Result<Option<PlateRead>, Error> {
        let thresholds = &self.net.manifest().thresholds;
        let sight = self.seen(&[Some(cut.values.as_slice())])?.pop().flatten();
        let sight = sight.filter(|sight| sight.no_plate() < thresholds.plate && sight.lines < TWO_LINES);
        Ok(sight.and_then(|sight| self.decode(&sight)).filter(|read| read.confidence >= thresholds.read))
    }

    /// As [`Reader::read`] by the first look alone: what the other looks bring and cost is measured against it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_once(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<Option<PlateRead>>, Error> {
        let looks = self.looks(frame, found)?.into_iter().map(|looks| looks.map(|l| l.first));
        let (sights, _) = self.sights(frame, &looks.collect::<Vec<_>>())?;
        let floor = self.net.manifest().thresholds.read;
        let read = |sight: Option<Sight>| self.decode(&sight?).filter(|read| read.confidence >= floor);
        Ok(sights.into_iter().map(read).collect())
    }

    fn looks(&self, frame: &Frame, found: &[Detection]) -> Result<Vec<Option<Looks>>, Error> {
        let margin = self.net.manifest().margin;
        let plates = found.iter().map(|d| (d.class == Class::Plate).then(|| outline(d)).filter(is_large_enough));
        let outlines = self.corrected(frame, plates.collect())?;
        let looks = |(outline, d): (Option<Quad>, &Detection)| {
            Some(Looks::at_plate(&outline?, &Quad::from_rect(&d.rect), margin))
        };
        Ok(outlines.into_iter().zip(found).map(looks).collect())
    }

    /// The outlines with their corners where they are.
    fn corrected(&self, frame: &Frame, outlines: Vec<Option<Quad>>) -> Result<Vec<Option<Quad>>, Error> {
        let Some(corners) = &self.corners else { return Ok(outlines) };
        let found: Vec<Quad> = outlines.iter().flatten().copied().collect();
        let mut corrected = corners.correct(frame, &found)?.into_iter();
        Ok(outlines.into_iter().map(|outline| outline.and_then(|_| corrected.next())).collect())
    }

    /// What the model is shown of a plate at the first look, as it goes in: channel, row, column. For people who ask why it was
    /// read so; `None` when there is nothing to read.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn shown(&self, frame: &Frame, found: &Detection) -> Result<Option<Vec<f32>>, Error> {
        let manifest = self.net.manifest();
        let Some(quad) = self.corrected(frame, vec![Some(outline(found))])?.pop().flatten() else { return Ok(None) };
        crop::of_plate(frame, &widened(&quad, manifest.margin), &manifest.input)
    }

    /// Reads a picture that shows one plate and hardly anything else.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_crop(&self, frame: &Frame) -> Result<Option<PlateRead>, Error> {
        let (width, height) = frame.size();
        let whole = Quad::from_rect(&Rect::new(0.0, 0.0, width, height));
        if !is_large_enough(&whole) {
            return Ok(None);
        }
        let margin = self.net.manifest().margin;
        let looks = match self.corrected(frame, vec![Some(whole)])?.pop().flatten().filter(|_| self.corners.is_some()) {
            Some(outline) => Looks::within(&outline, &whole, margin),
            None => Looks::at_crop(&whole, skew::outline(&frame.luma(), &whole)?, margin),
        };
        Ok(self.read_looks(frame, &[Some(looks)], SURE)?.pop().and_then(|(read, _)| read))
    }

    /// Reads plates by their first look, and those that it leaves less than `sure` by all; with what the first look cut out.
    fn read_looks(&self, frame: &Frame, plates: &[Option<Looks>], sure: f32) -> Result<Vec<ReadAndCut>, Error> {
        let firsts: Vec<Option<Look>> = plates.iter().map(|p| p.as_ref().map(|looks| looks.first)).collect();
        let (sights, cuts) = self.sights(frame, &firsts)?;
        let floor = self.net.manifest().thresholds.read;
        let mut reads = Vec::with_capacity(plates.len());
        let mut doubtful = Vec::new();
        let mut others = Vec::new();
        for (place, (sight, looks)) in sights.iter().zip(plates).enumerate() {
            let read = sight.as_ref().and_then(|sight| self.decode(sight));
            if let (Some(read), Some(sight), Some(looks)) = (&read, sight, looks)
                && read.confidence < sure
            {
                doubtful.push(place);
                others.extend(looks.others.map(|look| (look, sight.clone())));
            }
            reads.push(read);
        }
        let others = self.again(frame, &others)?;
        for (place, others) in doubtful.into_iter().zip(others.chunks(OTHERS)) {
            if let Some(slot) = reads.get_mut(place) {
                let looks: Vec<PlateRead> = slot.take().into_iter().chain(others.iter().flatten().cloned()).collect();
                *slot = agreed(&looks);
            }
        }
        let reads = reads.into_iter().map(|read| read.filter(|read| read.confidence >= floor));
        let [width, height] = self.net.manifest().input.size.map(|s| s as usize);
        let cut = |values: Option<Vec<f32>>| values.map(|values| Cut { width, height, values });
        Ok(reads.zip(cuts.into_iter().map(cut)).collect())
    }

    /// What the model sees of plates, of those with two lines line by line: `None` for what is no plate. And what it was shown.
    fn sights(&self, frame: &Frame, looks: &[Option<Look>]) -> Result<(Vec<Option<Sight>>, Vec<Shown>), Error> {
        let plate = self.net.manifest().thresholds.plate;
        let wholes: Vec<Option<Quad>> = looks.iter().map(|look| look.as_ref().map(Look::whole)).collect();
        let cuts = self.cuts(frame, &wholes)?;
        let mut sights = self.seen(&cuts.iter().map(Option::as_deref).collect::<Vec<_>>())?;
        for slot in &mut sights {
            if slot.as_ref().is_some_and(|sight| sight.no_plate() >= plate) {
                *slot = None;
            }
        }
        let two = |sight: &Option<Sight>| sight.as_ref().is_some_and(|sight| sight.lines >= TWO_LINES);
        let pairs = looks.iter().zip(&sights).filter(|(_, sight)| two(sight)).filter_map(|(look, _)| look.as_ref());
        let halves = self.halves(frame, &pairs.collect::<Vec<_>>())?;
        for (slot, steps) in sights.iter_mut().filter(|s| two(s)).zip(halves) {
            *slot = slot.take().zip(steps).map(|(sight, steps)| Sight { steps, ..sight });
        }
        Ok((sights, cuts))
    }

    /// Other looks at plates whose first sight says how many lines and which region they have.
    fn again(&self, frame: &Frame, looks: &[(Look, Sight)]) -> Result<Vec<Option<PlateRead>>, Error> {
        let two = |sight: &Sight| sight.lines >= TWO_LINES;
        let wholes: Vec<Option<Quad>> = looks.iter().map(|(l, s)| (!two(s)).then(|| l.whole())).collect();
        let pairs: Vec<&Look> = looks.iter().filter(|(_, s)| two(s)).map(|(l, _)| l).collect();
        let mut halves = self.halves(frame, &pairs)?.into_iter();
        let wholes = self.look(frame, &wholes)?;
        let read = |((_, first), whole): (&(Look, Sight), Option<Sight>)| {
            let steps = if two(first) { halves.next().flatten()? } else { whole?.steps };
            self.decode(&Sight { steps, regions: first.regions.clone(), lines: first.lines })
        };
        Ok(looks.iter().zip(wholes).map(read).collect())
    }

    /// The joined steps of the two lines of plates.
    fn halves(&self, frame: &Frame, looks: &[&Look]) -> Result<Vec<Option<Vec<f32>>>, Error> {
        let quads: Vec<Option<Quad>> = looks.iter().flat_map(|look| look.halves()).map(Some).collect();
        let mut lines = self.look(frame, &quads)?.into_iter();
        let mut joined = Vec::with_capacity(looks.len());
        while let (Some(top), Some(bottom)) = (lines.next(), lines.next()) {
            joined.push(top.zip(bottom).map(|(top, bottom)| self.legend.joined(&top.steps, &bottom.steps)));
        }
        Ok(joined)
    }

    /// What the model sees in the parts of the frame that `quads` cut out, in their order.
    fn look(&self, frame: &Frame, quads: &[Option<Quad>]) -> Result<Vec<Option<Sight>>, Error> {
        let cuts = self.cuts(frame, quads)?;
        self.seen(&cuts.iter().map(Option::as_deref).collect::<Vec<_>>())
    }

    /// The model's inputs of these parts of the frame.
    fn cuts(&self, frame: &Frame, quads: &[Option<Quad>]) -> Result<Vec<Shown>, Error> {
        let input = &self.net.manifest().input;
        let cut = |quad: &Option<Quad>| quad.as_ref().map_or(Ok(None), |quad| crop::of_plate(frame, quad, input));
        quads.iter().map(cut).collect()
    }

    /// What the model sees in its inputs, in their order.
    fn seen(&self, cuts: &[Option<&[f32]>]) -> Result<Vec<Option<Sight>>, Error> {
        let manifest = self.net.manifest();
        let mut sights = vec![None; cuts.len()];
        let there = cuts.iter().enumerate().filter_map(|(place, cut)| Some((place, (*cut)?)));
        let (places, inputs): (Vec<usize>, Vec<&[f32]>) = there.unzip();
        let batch = if self.legend.is_single() { 1 } else { self.net.batch() };
        for (inputs, places) in inputs.chunks(batch).zip(places.chunks(batch)) {
            let batch = inputs.concat();
            let count = places.len();
            let seen = self.net.run(count, &batch, |outputs| {
                (0..count).map(|at| self.legend.sight(manifest, outputs, (at, count))).collect::<Result<Vec<_>, _>>()
            })??;
            for (place, sight) in places.iter().zip(seen) {
                if let Some(slot) = sights.get_mut(*place) {
                    *slot = Some(sight);
                }
            }
        }
        Ok(sights)
    }

    fn decode(&self, sight: &Sight) -> Option<PlateRead> {
        let (legend, least) = (&self.legend, self.net.manifest().thresholds.min_length);
        let weights = self.patterns.weights(&sight.regions);
        let probs = Probs { data: &sight.steps, classes: legend.classes() };
        let mut read = ctc::decode(probs, legend.alphabet(), least, weights.as_ref())?;
        if weights.is_none() || sight.regions.is_empty() {
            read.region = prior::region_of(&sight.regions);
        }
        read.regions.clone_from(&sight.regions);
        Some(read)
    }
}

/// What the model was shown of one plate, as it goes in; `None` where there was nothing to be shown.
type Shown = Option<Vec<f32>>;

/// What a model saw in one cut.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Rows of probabilities of our characters, class 0 the blank.
    pub(super) steps: Vec<f32>,
    /// Regions with their probabilities, most probable first; empty where the model does not tell.
    pub(super) regions: Vec<(String, f32)>,
    /// Probability that the plate has two lines; 0 where the model does not tell.
    pub(super) lines: f32,
}

impl Sight {
    /// Probability that it shows no plate.
    fn no_plate(&self) -> f32 {
        self.regions.iter().find(|(name, _)| name == prior::NO_PLATE).map_or(0.0, |(_, p)| *p)
    }
}

/// A read this sure is not looked at again.
const SURE: f32 = 0.97;

/// Probability from which a plate is read as one of two lines.
const TWO_LINES: f32 = 0.5;

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
