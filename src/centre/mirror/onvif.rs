//! Alerts as ONVIF events: their topics, and their payloads in the JSON of `onvif-ej`.
//!
//! By the specifications of release 26.06: Core 9.12.5 (topics) and 9.12.6 (JSON event payload: time, source, data, in this
//! order; attributes as `@name`); Analytics A.1.1 (source and data of rules), A.2 LineDetector, A.3 FieldDetector, A.4
//! LoiteringDetector, G.3 License Plate Recognition; `metadatastream.xsd` for `LicensePlateInfo` and `VehicleInfo`. An
//! element with attributes and a text has the text as `#text`, as the example of Analytics 5.5.3 shows it. What is not told,
//! and why, stands in `docs/mqtt.md`.

use serde_json::{Value, json};

use super::{Names, json::is_of_person};
use crate::centre::topics::OnvifEvent;
use crate::domain::{Alert, Class, ObjectEvent, Stage, TimeMs};

/// An event of one alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub what: OnvifEvent,
    /// The values of its source, in their order.
    pub source: [String; 2],
    pub payload: String,
}

/// The events that an alert is: none, one, or one of its rule and one of its plate.
pub(super) fn events(alert: &Alert, names: &Names) -> Vec<Event> {
    if alert.is_withdrawn() || alert.stage == Stage::End {
        return Vec::new();
    }
    let rule = if alert.stage == Stage::New { of_rule(alert, names) } else { None };
    rule.into_iter().chain(of_plate(alert, names)).collect()
}

fn of_rule(alert: &Alert, names: &Names) -> Option<Event> {
    let rule = names.rules.get(&alert.rule?)?;
    let mut data = Items::default();
    let what = match &rule.event {
        ObjectEvent::Cross(..) => OnvifEvent::LineCrossed,
        ObjectEvent::WrongWay(place) if names.lines.contains(&(alert.camera, place.clone())) => OnvifEvent::LineCrossed,
        ObjectEvent::Enter(_) | ObjectEvent::Leave(_) => {
            data.put("IsInside", &json!(matches!(rule.event, ObjectEvent::Enter(_))));
            OnvifEvent::ObjectsInside
        }
        ObjectEvent::Dwell(_, time) | ObjectEvent::Stopped(_, time) => {
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            data.put("Since", &json!(TimeMs(alert.time.0.saturating_sub(ms)).to_string()));
            OnvifEvent::ObjectIsLoitering
        }
        ObjectEvent::Seen | ObjectEvent::WrongWay(_) => return None,
    };
    if !is_of_person(alert) {
        data.put("ObjectId", &json!(alert.track.to_string()));
    }
    let class = alert.vehicle.as_ref().map_or(Class::Plate, |vehicle| vehicle.class);
    data.put("ClassTypes", &json!(object_type(class)));
    let source = [camera(alert, names), rule.id.as_str().to_owned()];
    Some(Event { what, payload: message(alert, &source, &data), source })
}

fn of_plate(alert: &Alert, names: &Names) -> Option<Event> {
    let plate = alert.plate.as_ref().filter(|_| !is_of_person(alert))?;
    let likelihood = alert.confidence.map(share);
    let mut info = Items::default();
    info.put_raw("PlateNumber", &likely(plate.as_str(), likelihood));
    let (country, issuer) = issued_by(alert.region.as_deref().unwrap_or_default());
    for (name, value) in [("CountryCode", country), ("IssuingEntity", issuer)] {
        if let Some(value) = value {
            info.put(name, &json!(value));
        }
    }
    let mut data = Items::default();
    if let Some(likelihood) = likelihood {
        data.put("Likelihood", &json!(likelihood));
    }
    data.put("ObjectId", &json!({ "@ObjectId": alert.track }));
    if let Some([left, top, right, bottom]) = alert.rect {
        let across = |v: u16| round4(f64::from(v) / 65_535.0 * 2.0 - 1.0);
        let mut rectangle = Items::default();
        for (name, value) in
            [("@left", across(left)), ("@top", -across(top)), ("@right", across(right)), ("@bottom", -across(bottom))]
        {
            rectangle.put(name, &json!(value));
        }
        data.put_raw("BoundingBox", &rectangle.whole());
    }
    data.put_raw("LicensePlateInfo", &info.whole());
    if let Some(vehicle) = alert.vehicle.as_ref()
        && let Some(kind) = vehicle_type(vehicle.class)
    {
        let mut info = Items::default();
        info.put_raw("Type", &likely(kind, Some(share(vehicle.permille))));
        data.put_raw("VehicleInfo", &info.whole());
    }
    let rule = match (&alert.matched, alert.rule) {
        (Some(mark), _) => {
            names.lists.get(&mark.list).map_or_else(|| format!("list-{}", mark.list), |list| list.as_str().to_owned())
        }
        (None, Some(number)) => {
            names.rules.get(&number).map_or_else(|| format!("rule-{number}"), |rule| rule.id.as_str().to_owned())
        }
        (None, None) => return None,
    };
    let source = [camera(alert, names), rule];
    Some(Event { what: OnvifEvent::LicensePlate, payload: message(alert, &source, &data), source })
}

/// The name of an alert's camera, or its number where it is not configured any more.
fn camera(alert: &Alert, names: &Names) -> String {
    names.cameras.get(&alert.camera).map_or_else(|| format!("camera-{}", alert.camera), |id| id.as_str().to_owned())
}

fn message(alert: &Alert, [camera, rule]: &[String; 2], data: &Items) -> String {
    let mut source = Items::default();
    source.put("VideoSource", &json!(camera));
    source.put("Rule", &json!(rule));
    let mut message = Items::default();
    message.put("UtcTime", &json!(alert.time.to_string()));
    message.put_raw("Source", &source.whole());
    message.put_raw("Data", &data.whole());
    message.whole()
}

/// A `tt:StringLikelihood`.
fn likely(text: &str, likelihood: Option<f64>) -> String {
    let mut items = Items::default();
    if let Some(likelihood) = likelihood {
        items.put("@Likelihood", &json!(likelihood));
    }
    items.put("#text", &json!(text));
    items.whole()
}

/// ISO 3166-1 alpha-2 of the country, and the state within it, where the region says them. `eu` alone is no country.
fn issued_by(region: &str) -> (Option<String>, Option<String>) {
    let (first, part) = region.split_once('-').map_or((region, None), |(first, part)| (first, Some(part)));
    let country = if first == "eu" { part } else { Some(first) };
    let state = if first == "eu" { None } else { part };
    let upper = |text: &str| text.to_ascii_uppercase();
    let alpha_2 = |text: &&str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
    (country.filter(alpha_2).map(upper), state.map(upper))
}

/// `tt:ObjectType`.
fn object_type(class: Class) -> &'static str {
    match class {
        Class::Plate => "LicensePlate",
        Class::Car | Class::Bus | Class::Truck | Class::Motorbike => "Vehicle",
        Class::Person => "Human",
    }
}

/// `tt:VehicleType`.
fn vehicle_type(class: Class) -> Option<&'static str> {
    match class {
        Class::Car => Some("Car"),
        Class::Bus => Some("Bus"),
        Class::Truck => Some("Truck"),
        Class::Motorbike => Some("Motorcycle"),
        Class::Plate | Class::Person => None,
    }
}

fn share(permille: u16) -> f64 {
    f64::from(permille) / 1000.0
}

fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// A JSON object whose members stay in the order in which they were put, as the specification orders them.
#[derive(Default)]
struct Items(String);

impl Items {
    fn put(&mut self, name: &str, value: &Value) {
        self.put_raw(name, &value.to_string());
    }

    /// `value` is JSON already.
    fn put_raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    fn whole(&self) -> String {
        format!("{{{}}}", self.0)
    }
}
