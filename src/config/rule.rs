//! `[[rule]]`: what has to happen before which camera to be a hit.

use std::sync::Arc;
use std::time::Duration;

use super::camera::Camera;
use super::place;
use super::section::Section;
use super::tree::Fault;
use crate::domain::rule::Plan;
use crate::domain::{CameraId, Class, ObjectEvent, PlaceId, Rule as Wanted, Schedule, Severity, TimeZone, Way};

/// `[[rule]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What has to happen, to what, and when.
    pub rule: Arc<Wanted>,
    /// The cameras that it holds on.
    pub cameras: Vec<CameraId>,
    /// Off: configured, but not looked after.
    pub enabled: bool,
}

/// What rules may name, and what they need.
pub(super) struct Known<'a> {
    /// `None`: one of them is at fault, and names can't be told to be wrong.
    pub cameras: Option<Vec<&'a Camera>>,
    /// Vehicles and persons are looked for.
    pub vehicles: bool,
    pub timezone: Option<&'a TimeZone>,
}

/// The words for events.
const EVENTS: [&str; 7] = ["seen", "enter", "leave", "dwell", "stopped", "cross", "wrong-way"];

/// Most seconds of a time.
const WEEK_S: u64 = 7 * 86_400;

pub(super) fn read(mut s: Section<'_>, known: &Known<'_>) -> Option<Rule> {
    let id = s.required("id", "Name of the rule: 1–16 of `a-z0-9-`.");
    let number = s.required_number("number", 1, 65_535, "Number of the rule in alerts, 1–65535.");
    let enabled = s.flag("enabled", true, "`false`: configured, but not looked after.");
    let cameras: Vec<CameraId> =
        s.named("cameras", "The cameras that it holds on; without them all that have its zone or line.");
    let event = event(&mut s);
    let classes = classes(&mut s, known.vehicles);
    let lists = s.named(
        "lists",
        "Only plates on one of these hotlists, also of lists that come by `hotlist.put`; without them any, read or not.",
    );
    let regions = s.named("regions", "Only plates of one of these regions: `us`, `eu-sk` …; without them any.");
    let schedule = schedule(&mut s, known.timezone);
    let severity = s.choice(
        "severity",
        &Severity::ALL.map(Severity::as_str),
        "Severity of its hits: `info` (default), `minor`, `serious`, `critical`.",
    );
    let cooldown =
        s.number("cooldown_s", 0, 0, WEEK_S, "Seconds after a hit in which it makes no other on that camera.");
    let everything = event == Some(ObjectEvent::Seen) && classes.is_empty() && lists.is_empty() && regions.is_empty();
    if everything {
        s.fault("event", "is \"seen\", and everything is: name `classes`, `lists` or `regions`, or a `zone` or `line`");
    }
    let cameras = event.as_ref().and_then(|event| places(&mut s, event, &cameras, known));
    s.finish();
    let rule = Wanted {
        id: id?,
        number: u16::try_from(number).ok()?,
        severity: severity.unwrap_or(Severity::Info),
        event: event?,
        classes,
        lists,
        regions,
        schedule: schedule.ok()?,
        cooldown: Duration::from_secs(cooldown),
    };
    Some(Rule { rule: Arc::new(rule), cameras: cameras?, enabled })
}

/// Ids and numbers must differ.
pub(super) fn check_unique(rules: &[Option<Rule>], faults: &mut Vec<Fault>) {
    let known: Vec<&Wanted> = rules.iter().flatten().map(|r| &*r.rule).collect();
    super::check_twice("rule", "id", &known.iter().map(|r| r.id.to_string()).collect::<Vec<_>>(), faults);
    super::check_twice("rule", "number", &known.iter().map(|r| r.number).collect::<Vec<_>>(), faults);
}

/// Zones, lines and rules of a camera.
pub(super) fn plan(camera: &Camera, rules: &[Rule]) -> Plan {
    let held = rules.iter().filter(|r| r.enabled && r.cameras.contains(&camera.id));
    Plan {
        zones: camera.zones.clone(),
        lines: camera.lines.clone(),
        rules: held.map(|r| Arc::clone(&r.rule)).collect(),
    }
}

/// What has to happen: `event`, where it happens and for how long.
fn event(s: &mut Section<'_>) -> Option<ObjectEvent> {
    let word = s.text(
        "event",
        "`seen`, `enter`, `leave`, `dwell`, `stopped`, `cross` or `wrong-way`. Without it: `cross` with a line, `dwell` with a \
         zone and `dwell_s`, `enter` with a zone alone, else `seen`.",
    );
    s.one_of(&EVENTS);
    let zone: Option<PlaceId> = s.parsed("zone", "The zone that it is about: its name on the camera.");
    let line: Option<PlaceId> = s.parsed("line", "The line that it is about: its name on the camera.");
    let direction = s.text("direction", "The way over the line that counts: `forward` or `backward`; without it both.");
    s.one_of(&Way::ALL.map(Way::as_str));
    let way = direction.as_deref().and_then(|word| place::way(s, "direction", word));
    let dwell = s.real("dwell_s", 0.1, 604_800.0, "Seconds in the zone (`dwell`), or of standing still (`stopped`).");
    let usual = match (&zone, &line, dwell) {
        (_, Some(_), _) => "cross",
        (Some(_), _, Some(_)) => "dwell",
        (Some(_), _, None) => "enter",
        (None, None, _) => "seen",
    };
    let word = word.as_deref().unwrap_or(usual);
    if !EVENTS.contains(&word) {
        s.fault("event", format!("is {word:?}, wanted one of {}", EVENTS.join(", ")));
        return None;
    }
    let times = matches!(word, "dwell" | "stopped");
    for (key, given, wanted) in [
        ("zone", zone.is_some(), !matches!(word, "seen" | "cross")),
        ("line", line.is_some(), matches!(word, "cross" | "wrong-way")),
        ("direction", direction.is_some(), word == "cross"),
        ("dwell_s", dwell.is_some(), times),
    ] {
        if given && !wanted {
            s.fault(key, format!("has no meaning for `event = \"{word}\"`; take it out, or name another event"));
        }
    }
    let time = dwell.map(Duration::from_secs_f64);
    if times && time.is_none() && !s.has("dwell_s") {
        s.fault("dwell_s", format!("is missing: `event = \"{word}\"` is after so many seconds"));
    }
    // A name that is no name has its fault already.
    let missing = |s: &mut Section<'_>, key: &str| {
        if !s.has(key) {
            s.fault(key, format!("is missing: `event = \"{word}\"` happens there"));
        }
    };
    match word {
        "seen" => Some(ObjectEvent::Seen),
        "stopped" => Some(ObjectEvent::Stopped(zone, time?)),
        "wrong-way" => match (zone, line) {
            (Some(_), Some(_)) => {
                s.fault("line", "stands beside `zone`: wrong-way is about one of them; make a rule of each");
                None
            }
            (None, None) => {
                missing(s, if s.has("line") { "line" } else { "zone" });
                None
            }
            (zone, line) => zone.or(line).map(ObjectEvent::WrongWay),
        },
        "cross" => {
            if line.is_none() {
                missing(s, "line");
            }
            line.map(|line| ObjectEvent::Cross(line, way))
        }
        _ => {
            let Some(zone) = zone else {
                missing(s, "zone");
                return None;
            };
            Some(match word {
                "enter" => ObjectEvent::Enter(zone),
                "leave" => ObjectEvent::Leave(zone),
                _ => ObjectEvent::Dwell(zone, time?),
            })
        }
    }
}

fn classes(s: &mut Section<'_>, vehicles: bool) -> Vec<Class> {
    let words: Vec<String> = s.named(
        "classes",
        "Only these: `car`, `bus`, `truck`, `motorbike`, `vehicle` (all four), `person`, `plate` (a plate on no vehicle that is \
         seen). Without them whatever is followed.",
    );
    s.one_of(&["car", "bus", "truck", "motorbike", "vehicle", "person", "plate"]);
    let mut classes = Vec::new();
    for word in &words {
        let known = |class: &Class| class.as_str() == word;
        match std::iter::once(Class::Plate).chain(Class::OBJECTS).find(known) {
            Some(class) => classes.push(class),
            None if word == "vehicle" => classes.extend(Class::OBJECTS.iter().filter(|class| class.is_vehicle())),
            None => {
                s.fault(
                    "classes",
                    format!("has {word:?}, wanted car, bus, truck, motorbike, vehicle, person or plate"),
                );
            }
        }
    }
    if !vehicles && classes.iter().any(|class| *class != Class::Plate) {
        s.fault(
            "classes",
            "names vehicles or persons, and those are looked for only when `[vision] vehicles` names a model, as \
             \"objects-1\"; set it, or leave `classes` out: the rule goes by plates then",
        );
    }
    classes
}

fn schedule(s: &mut Section<'_>, timezone: Option<&TimeZone>) -> Result<Option<Schedule>, ()> {
    let spans: Vec<String> = s.named(
        "schedule",
        "When it holds, in `box.timezone`: `\"mon-fri 07:00-19:00\"`, `\"sat,sun\"`, `\"22:00-06:00\"` (over midnight), or a list \
         of such; without it always.",
    );
    if !s.has("schedule") {
        return Ok(None);
    }
    let Some(zone) = timezone else {
        s.fault("schedule", "needs to know the local time: set `timezone` under [box], as \"Europe/Berlin\"");
        return Err(());
    };
    let schedule = Schedule::new(spans.iter().map(String::as_str), zone.clone());
    schedule.map(Some).map_err(|what| s.fault("schedule", what))
}

/// The cameras that the rule holds on: those that it names, or all that have its place.
fn places(s: &mut Section<'_>, event: &ObjectEvent, named: &[CameraId], known: &Known<'_>) -> Option<Vec<CameraId>> {
    let all = known.cameras.as_ref()?;
    for id in named.iter().filter(|id| !all.iter().any(|c| c.id == **id)) {
        let ids: Vec<&str> = all.iter().map(|c| c.id.as_str()).collect();
        s.fault("cameras", format!("names {id}, and there is no such camera; known are {}", ids.join(", ")));
    }
    let on: Vec<&Camera> = all.iter().copied().filter(|c| named.is_empty() || named.contains(&c.id)).collect();
    let (key, place) = match event {
        ObjectEvent::Seen | ObjectEvent::Stopped(None, _) => return Some(on.iter().map(|c| c.id.clone()).collect()),
        ObjectEvent::Cross(line, _) => ("line", line),
        ObjectEvent::WrongWay(place) if s.has("line") => ("line", place),
        ObjectEvent::Enter(zone)
        | ObjectEvent::Leave(zone)
        | ObjectEvent::Dwell(zone, _)
        | ObjectEvent::Stopped(Some(zone), _)
        | ObjectEvent::WrongWay(zone) => ("zone", zone),
    };
    let has = |c: &Camera| match key {
        "line" => c.lines.iter().any(|l| l.name == *place),
        _ => c.zones.iter().any(|z| z.name == *place),
    };
    let lacking: Vec<&str> = on.iter().filter(|c| !has(c)).map(|c| c.id.as_str()).collect();
    if !on.is_empty() && (!named.is_empty() && !lacking.is_empty() || lacking.len() == on.len()) {
        let who = if named.is_empty() { "no camera has".to_owned() } else { format!("{} has no", lacking.join(", ")) };
        let who = if named.is_empty() { format!("{who} a") } else { who };
        s.fault(key, format!("is {place}, and {who} {key} of this name"));
        return None;
    }
    let with: Vec<&Camera> = on.into_iter().filter(|c| has(c)).collect();
    if matches!(event, ObjectEvent::WrongWay(_)) {
        let directed = |c: &Camera| match key {
            "line" => c.lines.iter().any(|l| l.name == *place && l.allowed.is_some()),
            _ => c.zones.iter().any(|z| z.name == *place && z.heading.is_some()),
        };
        for camera in with.iter().filter(|c| !directed(c)) {
            s.fault(key, format!("is {place}, which has no `direction` on camera {}: what way is wrong?", camera.id));
        }
    }
    Some(with.iter().map(|c| c.id.clone()).collect())
}
