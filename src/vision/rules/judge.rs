//! From object events to hits: what a rule asks of the plate, and its cooldown.
//!
//! One a camera, on its analysis thread. A rule that asks for a list or a region waits for the read, as long as the
//! sighting lasts, and what it once held is taken back when the read is corrected and fits no more. After a hit of a rule
//! the next object event within its cooldown makes none, by the times of the events.

use std::collections::HashMap;

use crate::domain::{EventId, HitCause, ListId, SightingEvent, Stage, TimeMs};

/// Most sightings that are remembered while they are under way.
const MOST: usize = 1024;

/// Which rules made hits of what.
#[derive(Debug, Default)]
pub struct Judge {
    /// Event that each rule made its last hit of, by its number.
    last: HashMap<u16, TimeMs>,
    /// Rules that made a hit of a sighting under way.
    held: HashMap<EventId, Vec<u16>>,
}

impl Judge {
    /// The causes that rules give to `event`, whose plate is on these lists.
    pub fn causes(&mut self, event: &SightingEvent, lists: &[ListId]) -> Vec<HitCause> {
        let sighting = &event.sighting;
        let plate = sighting.read.as_ref().map(|read| (read.region.as_deref(), lists));
        let mut held = self.held.remove(&sighting.id).unwrap_or_default();
        let mut causes = Vec::new();
        for matched in event.rules.iter().filter(|m| m.rule.takes_plate(plate)) {
            let number = matched.rule.number;
            if !held.contains(&number) {
                let last = self.last.get(&number);
                let rests = |last: &TimeMs| {
                    let apart = matched.at.since(*last).max(last.since(matched.at));
                    u128::from(apart) < matched.rule.cooldown.as_millis()
                };
                if last.is_some_and(rests) {
                    continue;
                }
                self.last.insert(number, matched.at);
                held.push(number);
            }
            causes.push(matched.cause());
        }
        if event.stage != Stage::End && !held.is_empty() {
            if self.held.len() >= MOST
                && let Some(oldest) = self.held.keys().min().copied()
            {
                self.held.remove(&oldest);
            }
            self.held.insert(sighting.id, held);
        }
        causes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        CameraId, Class, ClockState, ObjectEvent, PlateRead, PlateText, Rule, RuleId, RuleMatch, Severity, Sighting,
    };

    fn rule(number: u16, lists: &[&str], cooldown_s: u64) -> Arc<Rule> {
        Arc::new(Rule {
            id: RuleId::new("r").unwrap(),
            number,
            severity: Severity::Minor,
            event: ObjectEvent::Seen,
            classes: Vec::new(),
            lists: lists.iter().map(|l| ListId::new(l).unwrap()).collect(),
            regions: Vec::new(),
            schedule: None,
            cooldown: Duration::from_secs(cooldown_s),
        })
    }

    fn event(id: u64, plate: Option<&str>, stage: Stage, rules: &[(&Arc<Rule>, u64)]) -> SightingEvent {
        let sighting = Sighting {
            id: EventId::from_parts(id, [0; 10]),
            camera: CameraId::new("gate").unwrap(),
            camera_number: 1,
            track: 1,
            begin: TimeMs(0),
            end: TimeMs(0),
            clock: ClockState::Synced,
            class: Class::Car,
            vehicle: None,
            read: plate.map(|text| PlateRead::of_text(PlateText::from_raw(text).unwrap())),
            rect: [0.0; 4],
            direction: None,
        };
        let rules = rules.iter().map(|(rule, at)| RuleMatch { rule: Arc::clone(rule), at: TimeMs(*at) }).collect();
        SightingEvent { rules, ..SightingEvent::new(stage, sighting, None, TimeMs(0)) }
    }

    fn numbers(causes: &[HitCause]) -> Vec<u16> {
        let number = |cause: &HitCause| if let HitCause::Rule { number, .. } = cause { Some(*number) } else { None };
        causes.iter().filter_map(number).collect()
    }

    #[test]
    fn a_rule_rests_after_a_hit_but_the_hit_goes_on() {
        let mut judge = Judge::default();
        let rule = rule(7, &[], 60);
        let mut at = |id, stage, ms| numbers(&judge.causes(&event(id, None, stage, &[(&rule, ms)]), &[]));
        assert_eq!(at(1, Stage::New, 1_000), [7]);
        assert_eq!(at(2, Stage::New, 60_999), [0_u16; 0]);
        assert_eq!(at(2, Stage::Update, 60_999), [0_u16; 0], "what came within the cooldown never makes a hit");
        assert_eq!(at(1, Stage::End, 1_000), [7]);
        assert_eq!(at(3, Stage::New, 61_000), [7]);
    }

    #[test]
    fn a_rule_for_a_list_waits_for_the_plate_and_lets_others_pass_without_resting() {
        let mut judge = Judge::default();
        let (rule, watched) = (rule(7, &["watched"], 60), [ListId::new("watched").unwrap()]);
        let mut at = |id, plate, lists: &[ListId]| {
            numbers(&judge.causes(&event(id, plate, Stage::Update, &[(&rule, id)]), lists))
        };
        assert_eq!(at(1, Some("AB123"), &[]), [0_u16; 0]);
        assert_eq!(at(2, None, &[]), [0_u16; 0]);
        assert_eq!(at(2, Some("XY987"), &watched), [7]);
        assert_eq!(at(2, Some("XY981"), &[]), [0_u16; 0], "the read was corrected");
        assert_eq!(at(2, Some("XY987"), &watched), [7]);
    }
}
