//! What the centre has been told of the sightings that are under way, and so in which stage each hit is.
//!
//! One a camera, on its analysis thread. A match is `new` once, `update` while the read changes, `end` when the track is
//! over. A read that is corrected so that an entry no longer matches makes an update that withdraws the match: the
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
        let mut told = self.causes.remove(&sighting.id).unwrap_or_default();
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
        let gone = told.extract_if(.., |t| !now.iter().any(|c| c.key() == t.key())).collect::<Vec<_>>();
        hits.extend(gone.iter().map(|cause| hit(cause, Stage::Update, true)));
        told = now;
        if event.stage == Stage::End {
            hits.extend(told.iter().map(|cause| hit(cause, Stage::End, false)));
        } else if !told.is_empty() {
            self.causes.insert(sighting.id, told);
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CameraId, Class, ClockState, How, ListId, Severity, Sighting, TimeMs};

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
            read: None,
            rect: [0.0; 4],
            direction: None,
        };
        SightingEvent { stage, sighting, pictures: None, cause_at: TimeMs(1) }
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
    fn a_corrected_read_withdraws_the_old_match_and_tells_the_new_one() {
        let mut told = Told::default();
        told.hits(&event(Stage::New), vec![entry(1)]);
        let hits = told.hits(&event(Stage::Update), vec![entry(2)]);
        assert_eq!(stages(&hits), [(Stage::New, false), (Stage::Update, true)]);
        assert_eq!(stages(&told.hits(&event(Stage::End), vec![entry(2)])), [(Stage::End, false)]);
    }

    #[test]
    fn a_match_that_comes_only_with_the_end_is_told_as_new_and_ended() {
        let mut told = Told::default();
        assert!(told.hits(&event(Stage::New), Vec::new()).is_empty());
        let hits = told.hits(&event(Stage::End), vec![entry(1)]);
        assert_eq!(stages(&hits), [(Stage::New, false), (Stage::End, false)]);
    }
}
