//! What the centre has been told of the sightings that are under way, and so in which stage each hit is.
//!
//! One a camera, on its analysis thread. A match is `new` once, `update` while the read changes, `end` when the track is
//! over. A read that is corrected so that no entry matches any more makes an update that withdraws the match: the
//! operator must see that, not guess it.

use std::collections::HashMap;

use crate::domain::{EventId, Hit, HitCause, ListMatch, SightingEvent, Stage};

/// Causes told so far, by sighting.
#[derive(Debug, Default)]
pub struct Told {
    causes: HashMap<EventId, Vec<HitCause>>,
}

impl Told {
    /// The hits of `event`, whose read matches `matches` (empty for an event without a read).
    pub fn hits(&mut self, event: &SightingEvent, matches: Vec<ListMatch>) -> Vec<Hit> {
        let sighting = &event.sighting;
        let told = self.causes.remove(&sighting.id).unwrap_or_default();
        let hit = |cause: &HitCause, stage, withdrawn| Hit {
            sighting: sighting.clone(),
            cause: cause.clone(),
            stage,
            withdrawn,
        };
        let now: Vec<HitCause> = matches.into_iter().map(HitCause::List).collect();
        let mut hits = Vec::new();
        for cause in &now {
            let known = told.iter().any(|t| t.key() == cause.key());
            let stage = match (known, event.stage) {
                (false, _) => Stage::New,
                (true, Stage::End) => continue,
                (true, _) => Stage::Update,
            };
            hits.push(hit(cause, stage, false));
        }
        // With another match under the same id, its alert says already what is true now; only the last match to go is
        // taken back in so many words.
        if now.is_empty() && sighting.read.is_some() {
            hits.extend(told.iter().take(1).map(|cause| hit(cause, Stage::Update, true)));
        }
        if event.stage == Stage::End {
            hits.extend(now.iter().map(|cause| hit(cause, Stage::End, false)));
        } else if !now.is_empty() {
            self.causes.insert(sighting.id, now);
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        CameraId, Class, ClockState, How, Lattice, ListId, PlateRead, PlateText, Severity, Sighting, TimeMs,
    };

    fn event(stage: Stage) -> SightingEvent {
        let sighting = Sighting {
            id: EventId([1; 16]),
            camera: CameraId::new("gate").unwrap(),
            camera_number: 1,
            track: 1,
            begin: TimeMs(0),
            end: TimeMs(1),
            clock: ClockState::Synced,
            class: Class::Plate,
            vehicle: None,
            read: None,
            rect: [0.0; 4],
            direction: None,
        };
        SightingEvent { stage, sighting, pictures: None, cause_at: TimeMs(1) }
    }

    fn read(stage: Stage) -> SightingEvent {
        let mut event = event(stage);
        event.sighting.read = Some(PlateRead {
            text: PlateText::from_raw("AB123CD").unwrap(),
            confidence: 0.9,
            char_confidences: Vec::new(),
            candidates: Vec::new(),
            lattice: Lattice::default(),
            region: None,
            regions: Vec::new(),
            frames: 3,
        });
        event
    }

    fn entry(entry: u32) -> ListMatch {
        ListMatch {
            list: ListId::new("l").unwrap(),
            list_number: 1,
            list_serial: 1,
            entry,
            how: How::Exact,
            confidence: 0.9,
            expiry_day: None,
            stale: false,
            severity: Severity::Info,
            owner: None,
        }
    }

    fn stages(hits: &[Hit]) -> Vec<(Stage, bool)> {
        hits.iter().map(|h| (h.stage, h.withdrawn)).collect()
    }

    #[test]
    fn a_match_is_new_once_then_updated_then_ended() {
        let mut told = Told::default();
        assert_eq!(stages(&told.hits(&event(Stage::New), vec![entry(1)])), [(Stage::New, false)]);
        assert_eq!(stages(&told.hits(&event(Stage::Update), vec![entry(1)])), [(Stage::Update, false)]);
        assert_eq!(stages(&told.hits(&event(Stage::End), vec![entry(1)])), [(Stage::End, false)]);
        assert!(told.causes.is_empty());
    }

    #[test]
    fn a_corrected_read_tells_the_new_match_under_the_same_id() {
        let mut told = Told::default();
        told.hits(&read(Stage::New), vec![entry(1)]);
        assert_eq!(stages(&told.hits(&read(Stage::Update), vec![entry(2)])), [(Stage::New, false)]);
        assert_eq!(stages(&told.hits(&read(Stage::End), vec![entry(2)])), [(Stage::End, false)]);
    }

    #[test]
    fn a_corrected_read_that_matches_nothing_takes_the_match_back_once() {
        let mut told = Told::default();
        told.hits(&read(Stage::New), vec![entry(1)]);
        assert_eq!(stages(&told.hits(&read(Stage::Update), Vec::new())), [(Stage::Update, true)]);
        assert!(told.hits(&read(Stage::End), Vec::new()).is_empty());
    }

    #[test]
    fn a_match_that_comes_only_with_the_end_is_told_as_new_and_ended() {
        let mut told = Told::default();
        assert!(told.hits(&event(Stage::New), Vec::new()).is_empty());
        let hits = told.hits(&event(Stage::End), vec![entry(1)]);
        assert_eq!(stages(&hits), [(Stage::New, false), (Stage::End, false)]);
    }
}
