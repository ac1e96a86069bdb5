//! [`Alert`] on the wire. Its keys are in `domain::alert`: the outbox stores the same bytes that are signed.

use serde_json::{Value, json};

use super::{Wire, check_permille};
use crate::centre::keys::hex;
use crate::centre::topics::Kind;
use crate::domain::alert::ALERT_VERSION;
use crate::domain::{Alert, Colour};

/// The words shown to people for any match: a reader can be wrong, and so can a list.
pub const POSSIBLE_MATCH: &str = "possible match";

impl Wire for Alert {
    const NAME: &'static str = "alert";
    const VERSION: u8 = ALERT_VERSION;
    const MAX_SIGNED: usize = 384;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.version != ALERT_VERSION {
            return Err(("version", format!("{}, wanted {ALERT_VERSION}", self.version)));
        }
        if self.seq == 0 {
            return Err(("seq", "0: numbers start at 1".to_owned()));
        }
        check_permille("confidence", self.confidence.unwrap_or(0))?;
        if let Some(candidates) = &self.candidates {
            if !(1..=Alert::MAX_CANDIDATES).contains(&candidates.len()) {
                return Err(("candidates", format!("{}, wanted 1 to 3 or none at all", candidates.len())));
            }
            candidates.iter().try_for_each(|c| {
                check_plate("candidates", c.text.as_str())?;
                check_permille("candidates", c.permille)
            })?;
        }
        if let Some(plate) = &self.plate {
            check_plate("plate", plate.as_str())?;
        }
        if let Some(region) = &self.region {
            let good = (1..=Alert::MAX_REGION).contains(&region.len())
                && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !good {
                return Err(("region", format!("{region:?}, wanted 1 to 8 of letters, digits and '-'")));
            }
        }
        if let Some(vehicle) = &self.vehicle {
            check_permille("vehicle", vehicle.permille)?;
        }
        if self.stale == Some(false) {
            return Err(("stale", "false: it is left out then".to_owned()));
        }
        match self.direction {
            Some(degrees @ 360..) => Err(("direction", format!("{degrees} degrees, at most 359"))),
            _ => Ok(()),
        }
    }

    fn fits(&self, kind: &Kind) -> bool {
        *kind == Kind::Alert(self.severity)
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "kind": Self::NAME,
            "version": self.version,
            "id": self.id.to_string(),
            "epoch": self.epoch.to_string(),
            "seq": self.seq,
            "stage": self.stage.as_str(),
            "severity": self.severity.as_str(),
            "time": self.time.to_string(),
            "time_ms": self.time.0,
            "clock": super::status::clock_word(self.clock),
            "camera": self.camera,
            "track": self.track,
        });
        let mut put = |name: &str, value: Option<Value>| {
            if let (Some(value), Some(map)) = (value, json.as_object_mut()) {
                map.insert(name.to_owned(), value);
            }
        };
        put("plate", self.plate.as_ref().map(|p| json!(p.as_str())));
        put("confidence", self.confidence.map(share));
        put(
            "candidates",
            self.candidates
                .as_ref()
                .map(|list| list.iter().map(|c| json!([c.text.as_str(), share(c.permille)])).collect()),
        );
        put("region", self.region.as_ref().map(|r| json!(r)));
        put(
            "match",
            self.matched.as_ref().map(|m| {
                let mut mark = json!({
                    "says": POSSIBLE_MATCH, "list": m.list, "serial": m.serial, "entry": m.entry, "how": m.how.as_str(),
                });
                if let (Some(day), Some(map)) = (m.expiry_day, mark.as_object_mut()) {
                    map.insert("expires".to_owned(), json!(day_text(day)));
                }
                if let (Some(stale), Some(map)) = (self.stale, mark.as_object_mut()) {
                    map.insert("stale".to_owned(), json!(stale));
                }
                mark
            }),
        );
        put("rule", self.rule.map(|r| json!(r)));
        put("withdrawn", self.is_withdrawn().then_some(Value::Bool(true)));
        put(
            "vehicle",
            self.vehicle.as_ref().map(
                |v| json!({ "class": v.class.as_str(), "colour": colour(v.colour), "confidence": share(v.permille) }),
            ),
        );
        put("direction", self.direction.map(|d| json!(d)));
        put("box", self.rect.map(|r| r.iter().map(|v| json!(round4(f64::from(*v) / 65535.0))).collect()));
        put("frames", self.frames.map(|f| json!(f)));
        put("crop", self.crop.map(|c| json!(hex(&c))));
        put("state", self.state.map(|s| json!(hex(&s))));
        json
    }
}

/// A plate's text came through a decoder that takes any text: it is held to the form that readers make.
fn check_plate(field: &'static str, text: &str) -> Result<(), (&'static str, String)> {
    let good = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    // The text itself stays out of the error: errors are logged.
    if good { Ok(()) } else { Err((field, format!("text of {} bytes, wanted 1 to 16 of A-Z and 0-9", text.len()))) }
}

/// The word for a colour; its number where this version has none.
fn colour(number: Option<u8>) -> Value {
    number.map_or(Value::Null, |n| Colour::of_number(n).map_or(json!(n), |colour| json!(colour.as_str())))
}

fn share(permille: u16) -> Value {
    json!(f64::from(permille) / 1000.0)
}

fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// A day counted from 1970-01-01 as `YYYY-MM-DD`.
fn day_text(day: u32) -> String {
    let text = crate::domain::TimeMs(u64::from(day) * 86_400_000).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}
