//! What the centre has been told of the sightings that are under way, and so in which stage each hit is.
//!
//! One a camera, on its analysis thread. A match is `new` once, `update` while the read changes, `end` when the track is
//! over. A read that is corrected so that no entry matches any more makes an update that withdraws the match: the
//! operator must see that, not guess it. What a rule has seen stays so, unless the rule asks for a list or region that the
//! corrected read is not of.

use std::collections::HashMap;

use crate::domain::{EventId, Hit, HitCause, ListMatch, SightingEvent, Stage};

/// Causes told so far, by sighting.
#[derive(Debug, Default)]
pub struct Told {
    causes: HashMap<EventId, Vec<HitCause>>,
}

impl Told {
    /// The hits of `event`, whose read matches `matches` (empty for an event without a read), and to which `rules` give
    /// causes.
    pub fn hits(&mut self, event: &SightingEvent, matches: Vec<ListMatch>, rules: Vec<HitCause>) -> Vec<Hit> {
        let id = event.sighting.id;
        let (told_lists, told_rules): (Vec<_>, Vec<_>) =
            self.causes.remove(&id).unwrap_or_default().into_iter().partition(|c| matches!(c, HitCause::List(_)));
        let lists: Vec<HitCause> = matches.into_iter().map(HitCause::List).collect();
        let mut hits = Vec::new();
        // What is taken back comes first: an alert of the same id that says what is true now follows it. With another match
        // of a list under the same id its alert says so already; only the last match to go is taken back in so many words.
        if lists.is_empty() && event.sighting.read.is_some() {
            hits.extend(told_lists.iter().take(1).map(|cause| hit(event, cause, Stage::Update, true)));
        }
        let gone = told_rules.iter().filter(|t| !rules.iter().any(|r| r.key() == t.key()));
        hits.extend(gone.map(|cause| hit(event, cause, Stage::Update, true)));
        let now: Vec<HitCause> = lists.into_iter().chain(rules).collect();
        for cause in &now {
            let known = told_lists.iter().chain(&told_rules).any(|t| t.key() == cause.key());
            let stage = match (known, event.stage) {
                (false, _) => Stage::New,
                (true, Stage::End) => continue,
                (true, _) => Stage::Update,
            };
            hits.push(hit(event, cause, stage, false));
        }
        if event.stage == Stage::End {
            hits.extend(now.iter().map(|cause| hit(event, cause, Stage::End, false)));
        } else if !now.is_empty() {
            self.causes.insert(id, now);
        }
        hits
    }
}

fn hit(event: &SightingEvent, cause: &HitCause, stage: Stage, withdrawn: bool) -> Hit {
    Hit { sighting: event.sighting.clone(), cause: cause.clone(), stage, withdrawn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        CameraId, Class, ClockState, How, Lattice, ListId, PlateRead, PlateText, RuleId, Severity, Sighting, TimeMs,
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
        SightingEvent::new(stage, sighting, None, TimeMs(1))
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
        assert_eq!(stages(&told.hits(&event(Stage::New), vec![entry(1)], Vec::new())), [(Stage::New, false)]);
        assert_eq!(stages(&told.hits(&event(Stage::Update), vec![entry(1)], Vec::new())), [(Stage::Update, false)]);
        assert_eq!(stages(&told.hits(&event(Stage::End), vec![entry(1)], Vec::new())), [(Stage::End, false)]);
        assert!(told.causes.is_empty());
    }

    #[test]
    fn a_corrected_read_tells_the_new_match_under_the_same_id() {
        let mut told = Told::default();
        told.hits(&read(Stage::New), vec![entry(1)], Vec::new());
        assert_eq!(stages(&told.hits(&read(Stage::Update), vec![entry(2)], Vec::new())), [(Stage::New, false)]);
        assert_eq!(stages(&told.hits(&read(Stage::End), vec![entry(2)], Vec::new())), [(Stage::End, false)]);
    }

    #[test]
    fn a_corrected_read_that_matches_nothing_takes_the_match_back_once() {
        let mut told = Told::default();
        told.hits(&read(Stage::New), vec![entry(1)], Vec::new());
        assert_eq!(stages(&told.hits(&read(Stage::Update), Vec::new(), Vec::new())), [(Stage::Update, true)]);
        assert!(told.hits(&read(Stage::End), Vec::new(), Vec::new()).is_empty());
    }

    #[test]
    fn a_match_that_comes_only_with_the_end_is_told_as_new_and_ended() {
        let mut told = Told::default();
        assert!(told.hits(&event(Stage::New), Vec::new(), Vec::new()).is_empty());
        let hits = told.hits(&event(Stage::End), vec![entry(1)], Vec::new());
        assert_eq!(stages(&hits), [(Stage::New, false), (Stage::End, false)]);
    }

    #[test]
    fn a_rule_and_a_list_are_told_side_by_side_under_one_id_and_end_together() {
        let mut told = Told::default();
        let rule = |number| HitCause::Rule { rule: RuleId::new("r").unwrap(), number, severity: Severity::Minor };
        let stages = |hits: Vec<Hit>| -> Vec<(bool, Stage, bool)> {
            hits.iter().map(|h| (matches!(h.cause, HitCause::Rule { .. }), h.stage, h.withdrawn)).collect()
        };
        assert_eq!(stages(told.hits(&event(Stage::New), Vec::new(), vec![rule(7)])), [(true, Stage::New, false)]);
        let both = told.hits(&read(Stage::Update), vec![entry(1)], vec![rule(7)]);
        assert_eq!(stages(both), [(false, Stage::New, false), (true, Stage::Update, false)]);
        let corrected = told.hits(&read(Stage::Update), Vec::new(), vec![rule(7)]);
        assert_eq!(stages(corrected), [(false, Stage::Update, true), (true, Stage::Update, false)]);
        let end = told.hits(&read(Stage::End), Vec::new(), vec![rule(7), rule(8)]);
        assert_eq!(stages(end), [(true, Stage::New, false), (true, Stage::End, false), (true, Stage::End, false)]);
        assert!(told.causes.is_empty());
    }

    #[test]
    fn a_rule_that_a_corrected_read_is_not_for_is_taken_back() {
        let mut told = Told::default();
        let rule = HitCause::Rule { rule: RuleId::new("r").unwrap(), number: 7, severity: Severity::Minor };
        told.hits(&read(Stage::New), Vec::new(), vec![rule]);
        assert_eq!(stages(&told.hits(&read(Stage::Update), Vec::new(), Vec::new())), [(Stage::Update, true)]);
    }
}
