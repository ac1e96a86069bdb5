//! What changes under way, and after. What becomes of the analysis when the camera's view changes: nothing is joined across a hard cut, and where masks may
//! lie wrong nothing is looked at, if the camera's settings want it so.

use super::{Analyser, Error, VehicleSource, Vehicles, View};
use crate::domain::{Class, EventId, Frame, PlateRead, Rect, SightingEvent, TimeMs};
use crate::vision::Models;
use crate::vision::mask::Seen;
use crate::vision::track::Track;
use crate::vision::view::{Kept, News, Whereabouts};

/// Something that is followed, where it is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marked {
    /// What it is.
    pub class: Class,
    /// Where it was seen last, pixels of the frame.
    pub rect: Rect,
    /// Where it may have come to since, with some room: what hides it must cover this.
    pub cover: Rect,
    /// Its track is sure.
    pub confirmed: bool,
}

/// Room around what is to be hidden, a share of its larger side.
const COVER: f32 = 0.15;

/// What hides `rect`.
pub(super) fn covering(rect: &Rect) -> Rect {
    rect.grown(COVER * rect.width().max(rect.height()))
}

impl Marked {
    pub(super) fn of(track: &Track, class: Class) -> Self {
        let cover = covering(&track.rect().joined(&track.last_rect()));
        Self { class, rect: track.last_rect(), cover, confirmed: track.is_confirmed() }
    }
}

impl Analyser {
    /// What is followed now: plates, vehicles, persons; for who looks at the picture.
    #[must_use]
    pub fn marked(&self) -> Vec<Marked> {
        let plates = self.tracker.tracks().map(|track| Marked::of(track, Class::Plate));
        plates.chain(self.vehicles.iter().flat_map(Vehicles::marked)).collect()
    }

    /// What must be covered so that nobody in this very frame can be recognised, pixels of the frame: whatever gate, region
    /// and pace would leave out is looked at too. Nothing where no model tells of persons.
    ///
    /// # Errors
    /// What the model says: who is in the frame is not known.
    pub fn persons(&self, frame: &Seen<'_>) -> Result<Vec<Rect>, Error> {
        self.vehicles.as_ref().map_or_else(|| Ok(Vec::new()), |vehicles| vehicles.persons(frame, &*self.finder))
    }

    /// Watches the view as well; `view` may know it from another start.
    #[must_use]
    pub fn with_view(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }

    /// Takes other models from the next frame on; tracks and sightings go on.
    pub fn take_models(&mut self, models: &Models) {
        self.finder = Box::new(std::sync::Arc::clone(&models.detector));
        self.reader = Box::new(models.reader.expecting(self.settings.patterns.clone()));
        // What was cut out for one model is no input of another.
        self.memory.forget_stacks();
        match (VehicleSource::of(&models.vehicles), &mut self.vehicles) {
            (Some(source), Some(vehicles)) => vehicles.take_source(source),
            (Some(source), vehicles) => *vehicles = Some(Vehicles::new(source, &self.settings)),
            // What the detector told of beside plates is not told of any more.
            (None, vehicles) => *vehicles = None,
        }
    }

    /// The watch over the view, for the analyser that takes this one's place.
    pub fn take_view(&mut self) -> Option<View> {
        self.view.take()
    }

    /// Whether masks lie where they were drawn, as far as that is watched; `None`: it is not.
    #[must_use]
    pub fn whereabouts(&self) -> Option<Whereabouts> {
        self.view.as_ref().map(View::whereabouts)
    }

    /// When what a sighting is of was seen last; `None` when it is not followed (any more).
    #[must_use]
    pub fn last_seen(&self, id: EventId) -> Option<TimeMs> {
        let object = || self.objects.as_ref().and_then(|objects| objects.last_seen(id));
        self.memory.last_seen(id).or_else(object)
    }

    /// What went wrong with the view, or is over, since the last call.
    pub fn take_view_news(&mut self) -> Vec<News> {
        self.view.as_mut().map(View::take_news).unwrap_or_default()
    }

    /// The pictures of the view, when they changed since the last call.
    pub fn take_kept_view(&mut self) -> Option<Kept> {
        self.view.as_mut().and_then(View::take_kept)
    }

    /// What is known of the view, to be kept at the end.
    #[must_use]
    pub fn kept_view(&self) -> Option<Kept> {
        self.view.as_ref().and_then(View::kept)
    }

    /// Whether nothing is looked at, since the masks may lie wrong.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Takes `read`, of a second look, for what was read of the sighting `id`, which has ended, so that its vehicle is known
    /// again by it. False: it is not to be told, another sighting has that plate.
    pub fn put_right(&mut self, id: EventId, read: &PlateRead) -> bool {
        self.memory.put_right(id, read, &self.settings)
    }

    /// The stream begins anew: the view may have been moved meanwhile, and is watched on.
    pub fn begin_stream(&mut self) {
        if let Some(view) = &mut self.view {
            view.begin_stream();
        }
    }

    /// Looks at the view in a frame, before anything else does. False: the frame is not to be analysed.
    pub(super) fn watch(&mut self, frame: &Frame, events: &mut Vec<SightingEvent>) -> Result<bool, Error> {
        let Some(view) = &mut self.view else { return Ok(true) };
        let cut = view.step(frame, self.sight.mask())?;
        let blind = self.settings.stop_while_moved && view.is_elsewhere();
        if cut || (blind && !self.blind) {
            events.extend(self.finish(frame.at));
            self.sight.begin();
        }
        self.blind = blind;
        Ok(!blind)
    }
}
