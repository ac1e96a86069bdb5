//! Rules on object events: what has to happen where, to what, and when, to be a hit.
//!
//! Zones and lines belong to a camera; a [`Plan`] is all that one camera's analysis has to know. Places are shares of the
//! upright picture, 0..1. Whether an event has happened is decided in `vision::rules`.

use std::sync::Arc;
use std::time::Duration;

use super::detection::Class;
use super::hit::{HitCause, Severity};
use super::id::{ListId, PlaceId, RuleId};
use super::polygon::Polygon;
use super::region::Region;
use super::schedule::Schedule;
use super::time::TimeMs;

/// A part of the picture that objects enter, stay in and leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Its name, unique among the zones and lines of its camera.
    pub name: PlaceId,
    /// Where it is: an object is in it when the middle of its box's lower edge is.
    pub polygon: Polygon,
    /// The way that traffic has to take in it: degrees clockwise from up in the picture.
    pub heading: Option<u16>,
    /// Looks in a row, and time, that an object must be in or out before it counts as that.
    pub inertia: (u32, Duration),
}

/// A line that objects cross.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name, unique among the zones and lines of its camera.
    pub name: PlaceId,
    /// Its first point.
    pub from: [f64; 2],
    /// Its last.
    pub to: [f64; 2],
    /// The way that traffic has to take over it.
    pub allowed: Option<Way>,
}

/// Over a line: `Forward` from the left to the right of who walks from its first point to its last. Of a zone: in, out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// To the right; into.
    Forward,
    /// To the left; out of.
    Backward,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Backward];

    /// The word for the way over a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }

    /// The other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }
}

/// What has to happen to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectEvent {
    /// It is there.
    Seen,
    /// It comes into the zone.
    Enter(PlaceId),
    /// It leaves the zone.
    Leave(PlaceId),
    /// It stays in the zone for so long, moving or not.
    Dwell(PlaceId, Duration),
    /// It stands still for so long, in the zone or anywhere.
    Stopped(Option<PlaceId>, Duration),
    /// It crosses the line, this way or either.
    Cross(PlaceId, Option<Way>),
    /// It crosses the line against its way, or drives in the zone against its heading.
    WrongWay(PlaceId),
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// Its number in alerts.
    pub number: u16,
    /// Severity of its hits.
    pub severity: Severity,
    /// What has to happen.
    pub event: ObjectEvent,
    /// To what; empty: to anything.
    pub classes: Vec<Class>,
    /// To a plate on one of these lists; empty: to any.
    pub lists: Vec<ListId>,
    /// To a plate of one of these regions; empty: of any.
    pub regions: Vec<Region>,
    /// When; `None`: always.
    pub schedule: Option<Schedule>,
    /// How long it makes no other hit on the same camera after one.
    pub cooldown: Duration,
}

/// Zones, lines and rules of one camera.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Its zones.
    pub zones: Vec<Zone>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The rules that hold on it.
    pub rules: Vec<Arc<Rule>>,
}

impl Plan {
    /// Whether there is nothing to look after.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty() && self.lines.is_empty() && self.rules.is_empty()
    }
}

/// A rule whose object event has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleMatch {
    /// The rule.
    pub rule: Arc<Rule>,
    /// When.
    pub at: TimeMs,
}

impl RuleMatch {
    /// What it is as the cause of a hit.
    #[must_use]
    pub fn cause(&self) -> HitCause {
        let Rule { id, number, severity, .. } = &*self.rule;
        HitCause::Rule { rule: id.clone(), number: *number, severity: *severity }
    }
}

impl Rule {
    /// Whether it is for objects of `class`.
    #[must_use]
    pub fn is_for(&self, class: Class) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }

    /// Whether a plate of this region, and on these lists, is one that it is for; `None`: no plate was read.
    #[must_use]
    pub fn takes_plate(&self, plate: Option<(Option<&str>, &[ListId])>) -> bool {
        let of_region = |region: Option<&str>| {
            let within = |wanted: &Region, region: &str| {
                let rest = region.strip_prefix(wanted.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            };
            region.is_some_and(|region| self.regions.iter().any(|wanted| within(wanted, region)))
        };
        match plate {
            None => self.lists.is_empty() && self.regions.is_empty(),
            Some((region, lists)) => {
                (self.lists.is_empty() || lists.iter().any(|list| self.lists.contains(list)))
                    && (self.regions.is_empty() || of_region(region))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_takes_plates_of_its_lists_and_regions_alone() {
        let list = |name: &str| ListId::new(name).unwrap();
        let rule = Rule {
            id: RuleId::new("r").unwrap(),
            number: 1,
            severity: Severity::Info,
            event: ObjectEvent::Seen,
            classes: vec![Class::Truck],
            lists: vec![list("watched")],
            regions: vec!["us".parse().unwrap(), "eu-sk".parse().unwrap()],
            schedule: None,
            cooldown: Duration::ZERO,
        };
        assert!(rule.is_for(Class::Truck) && !rule.is_for(Class::Plate));
        assert!(!rule.takes_plate(None));
        for (region, lists, takes) in [
            (Some("us-ca"), "watched", true),
            (Some("eu-sk"), "watched", true),
            (Some("usa"), "watched", false),
            (Some("eu"), "watched", false),
            (None, "watched", false),
            (Some("us"), "other", false),
        ] {
            assert_eq!(rule.takes_plate(Some((region, &[list(lists)]))), takes, "{region:?} {lists}");
        }
        let any = Rule { lists: Vec::new(), regions: Vec::new(), ..rule };
        assert!(any.takes_plate(None) && any.takes_plate(Some((None, &[]))));
    }
}
