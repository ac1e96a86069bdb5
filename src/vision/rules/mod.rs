//! Object events: what vehicles, persons and plates do in the zones and at the lines of one camera.
//!
//! | file | what it does |
//! |---|---|
//! | `line` | crossing a line, which way, and once |
//! | `zone` | in and out of a zone with inertia, and against its heading |
//! | [`Judge`] | from object events to hits: lists, regions, cooldown |
//!
//! [`Watch`] takes the objects of each look and tells which rules' events have happened, and which crossings are to be
//! counted. An object is where the middle of its box's lower edge is: there a vehicle or person stands on the ground. It
//! outlives its track for a while, so that a post or a lost detection does not begin its time in a zone anew: what
//! appears where one of its sort was lost goes on as that. A rule speaks once of an object.
//!
//! Pure: times and objects in, events out; no clock, no I/O, no frame. Called on the camera's analysis thread by the
//! analyser; what rules ask of the plate is left to [`Judge`], which knows what was read.

mod judge;
mod line;
mod zone;

use std::sync::Arc;
use std::time::Duration;

pub use self::judge::Judge;
use self::line::{Crossing, Segment};
use self::zone::{Change, Presence};
use crate::domain::{Class, ObjectEvent, PlaceId, Plan, Point, Rect, Rule, RuleMatch, TimeMs, Way};

/// Most objects that are remembered; the one that was seen least lately goes first.
const MOST: usize = 256;

/// How long an object that is not seen any more is remembered: one that moved, and one that stood.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_STANDING: Duration = Duration::from_secs(30);

/// Overlap at which what appears where an object was lost is that object.
const SAME: f32 = 0.4;

/// How long before a still scene an object may have been seen last to stand in it.
const HELD: Duration = Duration::from_millis(700);

/// Degrees off its way at which an object that is suddenly elsewhere is another, and the step below which it has no way,
/// in shares of its size.
const OFF_ITS_WAY: f32 = 60.0;
const NO_WAY: f32 = 0.05;

/// How far an object may stray from where it stands, as a share of its size, and how long it must have stood.
const STRAY: f32 = 0.25;
const STANDS: Duration = Duration::from_secs(2);

/// A place in the picture: both axes in shares of its height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Place {
    x: f32,
    y: f32,
}

impl Place {
    fn minus(self, other: Self) -> Self {
        Self { x: self.x - other.x, y: self.y - other.y }
    }

    fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Degrees clockwise from up.
    fn heading(self) -> f32 {
        self.x.atan2(-self.y).to_degrees().rem_euclid(360.0)
    }
}

/// Which track an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A plate's, while no vehicle around it is known.
    Plate(u32),
    /// A vehicle's or person's.
    Object(u32),
    /// None any more: its track went on as something else.
    Gone,
}

/// An object of a look.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Its track.
    pub key: Key,
    /// Its class, as far as is known.
    pub class: Class,
    /// Where, in pixels of the frame.
    pub rect: Rect,
    /// Its track is sure.
    pub confirmed: bool,
}

/// When a look was, and at how large a frame.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The frame's time.
    pub at: TimeMs,
    /// Whether that can be believed; schedules hold always while it can't.
    pub clock_is_set: bool,
    /// Width and height of the frame, pixels.
    pub size: (f32, f32),
}

/// What a look told.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A rule's event, to the object of this number.
    Rule(u32, RuleMatch),
    /// An object crossed a line, or entered (`Forward`) or left a zone.
    Passed(PlaceId, Way, Class),
    /// The object of this number is over.
    Gone(u32),
}

/// One object.
#[derive(Debug, Clone)]
struct Object {
    number: u32,
    key: Key,
    class: Class,
    confirmed: bool,
    /// Where it was seen last, pixels.
    rect: Rect,
    foot: Place,
    /// Where it was at the look before.
    before: Place,
    looks: u32,
    /// Mean of its width and height, a share of the picture's height.
    size: f32,
    seen: TimeMs,
    /// It stands in a still scene.
    is_held: bool,
    /// Where it stands, and since when.
    stand: (Place, TimeMs),
    crossings: Vec<Crossing>,
    presences: Vec<Presence>,
    /// Numbers of the rules that have spoken of it.
    fired: Vec<u16>,
}

/// Watches the zones and lines of one camera.
#[derive(Debug)]
pub struct Watch {
    plan: Plan,
    objects: Vec<Object>,
    numbers: u32,
    /// When something was looked at last.
    looked: TimeMs,
    /// Lines in the units of paths, for the shape of picture that they were made for.
    segments: (f32, Vec<Segment>),
}

impl Watch {
    /// Watches over `plan`.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, objects: Vec::new(), numbers: 0, looked: TimeMs(0), segments: (0.0, Vec::new()) }
    }

    /// Takes the objects of a look, of one sort or of both; others are where they were.
    pub fn step(&mut self, look: Look, seen: &[Seen]) -> Vec<Happened> {
        let mut told = self.part(look.at);
        self.looked = look.at;
        self.objects.iter_mut().for_each(|o| o.is_held = false);
        self.measure(look.size);
        let keys: Vec<Key> = seen.iter().map(|s| s.key).collect();
        for one in seen.iter().filter(|s| [s.rect.x1, s.rect.y1, s.rect.x2, s.rect.y2].iter().all(|v| v.is_finite())) {
            let at = self.object_of(one, &keys, look);
            if let Some(object) = self.objects.get_mut(at) {
                object.place(one, look);
            }
            self.follow(at, look, &mut told);
        }
        told
    }

    /// Nothing has moved: every object that was seen of late is where it was. What had been lost before stays lost.
    pub fn hold(&mut self, look: Look) -> Vec<Happened> {
        let mut told = self.part(look.at);
        self.measure(look.size);
        let looked = self.looked;
        for at in 0..self.objects.len() {
            let held = |o: &&mut Object| {
                o.key != Key::Gone && (o.is_held || u128::from(looked.since(o.seen)) <= HELD.as_millis())
            };
            if let Some(object) = self.objects.get_mut(at).filter(held) {
                (object.is_held, object.seen) = (true, look.at);
                self.follow(at, look, &mut told);
            }
        }
        told
    }

    /// Places were in pixels of a picture that has so many times as many now, across and down.
    pub fn scale(&mut self, by: (f32, f32)) {
        for object in &mut self.objects {
            let r = object.rect;
            object.rect = Rect::new(r.x1 * by.0, r.y1 * by.1, r.x2 * by.0, r.y2 * by.1);
        }
    }

    /// Ends all: the stream is over or begins anew.
    pub fn end_all(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.objects).iter().map(|o| Happened::Gone(o.number)).collect()
    }

    /// The number of the object that this track is.
    #[must_use]
    pub fn number_of(&self, key: Key) -> Option<u32> {
        self.objects.iter().find(|o| o.key == key).map(|o| o.number)
    }

    /// The track that the object of this number is.
    #[must_use]
    pub fn key_of(&self, number: u32) -> Option<Key> {
        self.objects.iter().find(|o| o.number == number).map(|o| o.key)
    }

    /// A plate that was an object of its own is a part of another: what happened to it happened to that.
    pub fn join(&mut self, plate: Key, to: Key) {
        let Some(at) = self.objects.iter().position(|o| o.key == plate) else { return };
        if !self.objects.iter().any(|o| o.key == to) {
            return;
        }
        let part = self.objects.swap_remove(at);
        let Some(whole) = self.objects.iter_mut().find(|o| o.key == to) else { return };
        whole.fired.extend(part.fired);
        for (crossing, part) in whole.crossings.iter_mut().zip(&part.crossings) {
            if let Some(way) = part.last() {
                crossing.was_counted(way);
            }
        }
    }

    /// Whether an object stands where a rule asks how long.
    #[must_use]
    pub fn waits(&self, key: Key) -> bool {
        let inside = |object: &Object, zone: &PlaceId| {
            self.plan.zones.iter().zip(&object.presences).any(|(z, p)| z.name == *zone && p.is_inside())
        };
        self.objects.iter().filter(|o| o.key == key && o.confirmed).any(|o| {
            self.plan.rules.iter().any(|rule| match &rule.event {
                _ if o.fired.contains(&rule.number) || !rule.is_for(o.class) => false,
                ObjectEvent::Dwell(zone, _) | ObjectEvent::Stopped(Some(zone), _) => inside(o, zone),
                ObjectEvent::Stopped(None, _) => true,
                _ => false,
            })
        })
    }

    /// Forgets objects that have not been seen for long.
    fn part(&mut self, now: TimeMs) -> Vec<Happened> {
        let mut told = Vec::new();
        self.objects.retain(|o| {
            let linger = if o.stands() { LINGER_STANDING } else { LINGER };
            let stays = u128::from(now.since(o.seen)) <= linger.as_millis();
            if !stays {
                told.push(Happened::Gone(o.number));
            }
            stays
        });
        while self.objects.len() > MOST {
            let Some((at, _)) = self.objects.iter().enumerate().min_by_key(|(_, o)| o.seen) else { break };
            told.push(Happened::Gone(self.objects.swap_remove(at).number));
        }
        told
    }

    fn measure(&mut self, size: (f32, f32)) {
        let aspect = size.0 / size.1.max(1.0);
        if (self.segments.0 - aspect).abs() > 1e-6 {
            let place = |p: [f64; 2]| place(p, aspect);
            let lines = self.plan.lines.iter().map(|line| Segment::new(place(line.from), place(line.to)));
            self.segments = (aspect, lines.collect());
        }
    }

    /// Index of the object that `one` is: known by its track, or by where it was lost, or new.
    fn object_of(&mut self, one: &Seen, keys: &[Key], look: Look) -> usize {
        if let Some(at) = self.objects.iter().position(|o| o.key == one.key) {
            match self.objects.get_mut(at).filter(|o| o.is_left(one, look)) {
                Some(left) => left.key = Key::Gone,
                None => return at,
            }
        }
        let sort = |class: Class, key: Key| (matches!(key, Key::Plate(_)), class == Class::Person);
        let same =
            |o: &Object| sort(o.class, o.key) == sort(one.class, one.key) && !keys.contains(&o.key) && o.seen < look.at;
        let lost = self.objects.iter().enumerate().filter(|(_, o)| same(o)).map(|(at, o)| (at, o.rect.iou(&one.rect)));
        if let Some((at, _)) = lost.filter(|(_, iou)| *iou >= SAME).max_by(|a, b| a.1.total_cmp(&b.1)) {
            return at;
        }
        self.numbers = self.numbers.wrapping_add(1);
        let mut object = Object {
            number: self.numbers,
            key: one.key,
            class: one.class,
            confirmed: false,
            rect: one.rect,
            foot: Place::default(),
            before: Place::default(),
            looks: 0,
            size: 0.0,
            seen: look.at,
            is_held: false,
            stand: (Place::default(), look.at),
            crossings: vec![Crossing::default(); self.plan.lines.len()],
            presences: vec![Presence::default(); self.plan.zones.len()],
            fired: Vec::new(),
        };
        object.place(one, look);
        (object.stand, object.before) = ((object.foot, look.at), object.foot);
        self.objects.push(object);
        self.objects.len() - 1
    }

    /// Takes the next place of the object at `at` through lines, zones and rules.
    fn follow(&mut self, at: usize, look: Look, told: &mut Vec<Happened>) {
        let Some(object) = self.objects.get_mut(at) else { return };
        let mut events = Events::default();
        for ((line, segment), crossing) in self.plan.lines.iter().zip(&self.segments.1).zip(&mut object.crossings) {
            if let Some(way) = crossing.step(segment, object.foot, object.size) {
                events.passed.push((&line.name, way));
                if line.allowed == Some(way.reversed()) {
                    events.wrong.push(&line.name);
                }
            }
        }
        let foot = object.rect.foot();
        for (zone, presence) in self.plan.zones.iter().zip(&mut object.presences) {
            let is_in = zone.polygon.contains(foot, look.size.0, look.size.1);
            match presence.step(zone, is_in, look.at) {
                Some(Change::Entered) => events.passed.push((&zone.name, Way::Forward)),
                Some(Change::Left) => events.passed.push((&zone.name, Way::Backward)),
                None => {}
            }
            if presence.is_wrong_way(zone, object.foot, object.size) {
                events.wrong.push(&zone.name);
            }
        }
        if !object.confirmed {
            return;
        }
        told.extend(events.passed.iter().map(|(name, way)| Happened::Passed((*name).clone(), *way, object.class)));
        for rule in &self.plan.rules {
            let spoken = object.fired.contains(&rule.number) || !rule.is_for(object.class);
            let holds = |r: &Rule| !look.clock_is_set || r.schedule.as_ref().is_none_or(|s| s.covers(look.at));
            if !spoken && events.are(rule, object, &self.plan, look.at) && holds(rule) {
                object.fired.push(rule.number);
                told.push(Happened::Rule(object.number, RuleMatch { rule: Arc::clone(rule), at: look.at }));
            }
        }
    }
}

/// What happened to an object in one look.
#[derive(Default)]
struct Events<'a> {
    passed: Vec<(&'a PlaceId, Way)>,
    wrong: Vec<&'a PlaceId>,
}

impl Events<'_> {
    /// Whether they are what `rule` asks for.
    fn are(&self, rule: &Rule, object: &Object, plan: &Plan, at: TimeMs) -> bool {
        let passed = |place: &PlaceId, way: Option<Way>| {
            self.passed.iter().any(|(name, went)| *name == place && way.is_none_or(|way| way == *went))
        };
        let presence = |zone: &PlaceId| {
            plan.zones.iter().zip(&object.presences).find(|(z, _)| z.name == *zone).map(|(_, presence)| presence)
        };
        let long = |since: TimeMs, time: &Duration| u128::from(at.since(since)) >= time.as_millis();
        match &rule.event {
            ObjectEvent::Seen => true,
            ObjectEvent::Enter(zone) => passed(zone, Some(Way::Forward)),
            ObjectEvent::Leave(zone) => passed(zone, Some(Way::Backward)),
            ObjectEvent::Cross(line, way) => passed(line, *way),
            ObjectEvent::WrongWay(place) => self.wrong.contains(&place),
            ObjectEvent::Dwell(zone, time) => {
                presence(zone).and_then(Presence::since).is_some_and(|since| long(since, time))
            }
            ObjectEvent::Stopped(zone, time) => {
                let inside = zone.as_ref().is_none_or(|zone| presence(zone).is_some_and(Presence::is_inside));
                inside && long(object.stand.1, time)
            }
        }
    }
}

impl Object {
    /// Takes where it is seen now.
    fn place(&mut self, one: &Seen, look: Look) {
        let height = look.size.1.max(1.0);
        let foot = one.rect.foot();
        self.key = one.key;
        self.class = one.class;
        self.confirmed |= one.confirmed;
        self.rect = one.rect;
        (self.before, self.looks) = (self.foot, self.looks.saturating_add(1));
        self.foot = Place { x: foot.x / height, y: foot.y / height };
        self.size = one.rect.width().midpoint(one.rect.height()) / height;
        self.seen = self.seen.max(look.at);
        if self.foot.minus(self.stand.0).length() > STRAY * self.size {
            self.stand = (self.foot, look.at);
        }
    }

    /// Whether its track has jumped to something else: it is said to be farther away than its own size, and not on its way.
    fn is_left(&self, one: &Seen, look: Look) -> bool {
        let height = look.size.1.max(1.0);
        let foot = one.rect.foot();
        let jump = Place { x: foot.x / height, y: foot.y / height }.minus(self.foot);
        if self.looks < 2 || self.rect.iou(&one.rect) > 0.0 || jump.length() < self.size {
            return false;
        }
        let way = self.foot.minus(self.before);
        let off = (jump.heading() - way.heading()).rem_euclid(360.0);
        way.length() < NO_WAY * self.size || off.min(360.0 - off) > OFF_ITS_WAY
    }

    fn stands(&self) -> bool {
        u128::from(self.seen.since(self.stand.1)) >= STANDS.as_millis()
    }
}

/// A configured point in the units of paths.
#[expect(clippy::cast_possible_truncation, reason = "shares of a picture")]
fn place([x, y]: [f64; 2], aspect: f32) -> Place {
    Place { x: x as f32 * aspect, y: y as f32 }
}

impl Rect {
    /// Where what is in the box stands: the middle of its lower edge.
    fn foot(&self) -> Point {
        Point { x: self.x1.midpoint(self.x2), y: self.y2 }
    }
}

#[cfg(test)]
mod tests;
