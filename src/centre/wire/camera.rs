//! [`CameraStatus`]: what one camera is doing. Retained; sent when it changes.

use std::sync::atomic::Ordering;

use minicbor::{Decode, Encode};
use serde_json::{Value, json};

use super::{Wire, check_text, cut};
use crate::centre::topics::Kind;
use crate::domain::{EventId, RuleId, TimeMs};
use crate::health::{CameraCounters, CameraState, Decoding};

const VERSION: u8 = 1;
const MAX_REASON: usize = 160;
const MAX_ROAD: usize = 128;
const MAX_RULES: usize = 16;

/// Where a camera is and what it looks at, as configured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// Latitude and longitude, degrees.
    pub location: Option<[f64; 2]>,
    /// Where it looks: degrees clockwise from north.
    pub heading: Option<f64>,
    /// The road that it looks at.
    pub road: Option<String>,
}

impl Place {
    /// Latitude and longitude in 10⁻⁷ degrees, whole degrees of the heading, the road. What is no place on Earth and no
    /// direction is left out.
    #[must_use]
    pub fn told(&self) -> (Option<[i32; 2]>, Option<u16>, Option<String>) {
        let location = self.location.and_then(|[lat, lon]| {
            let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
            on_earth.then(|| [e7(lat), e7(lon)])
        });
        let heading = self.heading.filter(|h| (0.0..=360.0).contains(h)).map(whole_degrees);
        (location, heading, self.road.as_deref().map(|road| cut(road, MAX_ROAD)))
    }
}

/// What a camera is doing, in the four words of `docs/mqtt.md` (A camera's status).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Link {
    /// Frames arrive.
    #[n(0)]
    Online,
    /// No frames.
    #[n(1)]
    Offline,
    /// Switched off by the config, or paused.
    #[n(2)]
    Disabled,
    /// Frames arrive, but something is wrong.
    #[n(3)]
    Degraded,
}

impl Link {
    /// The word in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Disabled => "disabled",
            Self::Degraded => "degraded",
        }
    }

    /// The word, and the reason, for what the counters say of a camera.
    #[must_use]
    pub fn of(state: &CameraState) -> (Self, Option<String>) {
        match state {
            CameraState::Starting => (Self::Offline, Some("starting".to_owned())),
            CameraState::Online => (Self::Online, None),
            CameraState::Offline(reason) => (Self::Offline, Some(cut(reason, MAX_REASON))),
            CameraState::Degraded(reason) => (Self::Degraded, Some(cut(reason, MAX_REASON))),
            CameraState::Ended => (Self::Offline, Some("file has ended".to_owned())),
            CameraState::Disabled => (Self::Disabled, None),
            CameraState::Paused(reason) => (Self::Disabled, Some(cut(reason, MAX_REASON))),
        }
    }
}

/// Status of one camera.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CameraStatus {
    #[n(0)]
    version: u8,
    /// What it is doing.
    #[n(1)]
    pub state: Link,
    /// Why, when it is not simply online; at most 160 bytes.
    #[n(2)]
    pub reason: Option<String>,
    /// Its number, as alerts name it.
    #[n(3)]
    pub number: u16,
    /// Latitude and longitude, in 10⁻⁷ degrees.
    #[n(4)]
    pub location: Option<[i32; 2]>,
    /// Frames that the decoder gave, since the start.
    #[n(5)]
    pub received: u64,
    /// Frames that were analysed.
    #[n(6)]
    pub analysed: u64,
    /// Frames replaced by a newer one before they were analysed.
    #[n(7)]
    pub dropped: u64,
    /// Received, analysed and dropped a second over the last while, in hundredths.
    #[n(8)]
    pub rates: Option<[u32; 3]>,
    /// When its newest frame was captured.
    #[n(9)]
    pub last_frame: Option<TimeMs>,
    /// When this was signed.
    #[n(10)]
    pub time: TimeMs,
    /// Where it looks: whole degrees clockwise from north, 0–359.
    #[n(11)]
    pub heading: Option<u16>,
    /// The road that it looks at; at most 128 bytes.
    #[n(12)]
    pub road: Option<String>,
    /// Frames on which the motion gate rested, since the start; absent before the first.
    #[n(13)]
    pub rested: Option<u64>,
    /// The same a second over the last while, in hundredths.
    #[n(14)]
    pub rested_rate: Option<u32>,
    /// The rules that hold on it, `[number, name]`: alerts name them by number; at most 16, absent where there is none.
    #[n(15)]
    pub rules: Option<Vec<RuleName>>,
    /// Coded pictures that were not decoded since nothing moved, since the start; absent before the first.
    #[n(16)]
    pub skipped: Option<u64>,
    /// How much is decoded now, by [`Decoding::number`]; absent: everything.
    #[n(17)]
    pub decoding: Option<u8>,
    /// Bytes of its last coded pictures, which are kept in memory, of the main stream where there is one; absent: none.
    #[n(18)]
    pub ring: Option<u64>,
    /// Where something is wrong with its picture: the id of the picture that shows it, for `evidence.get`.
    #[n(19)]
    pub view: Option<EventId>,
}

/// `[number, name]` of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RuleName {
    /// Its number, as alerts name it.
    #[n(0)]
    pub number: u16,
    /// Its name.
    #[n(1)]
    pub id: RuleId,
}

impl CameraStatus {
    /// Status of camera `number` by its counters.
    #[must_use]
    pub fn of(number: u16, counters: &CameraCounters, time: TimeMs) -> Self {
        let (state, reason) = Link::of(&counters.state());
        let last = counters.last_frame_ms.load(Ordering::Relaxed);
        Self {
            version: VERSION,
            state,
            reason,
            number,
            location: None,
            received: counters.received.get(),
            analysed: counters.analysed.get(),
            dropped: counters.dropped.get(),
            rates: None,
            last_frame: (last > 0).then_some(TimeMs(last)),
            time,
            heading: None,
            road: None,
            rested: Some(counters.rested.get()).filter(|n| *n > 0),
            rested_rate: None,
            rules: None,
            skipped: Some(counters.skipped.get()).filter(|n| *n > 0),
            decoding: Some(counters.decoding().number()).filter(|n| *n > 0),
            ring: Some(counters.main().unwrap_or(counters).ring_bytes.load(Ordering::Relaxed)).filter(|n| *n > 0),
            view: counters.view(),
        }
    }

    /// With where the camera is and looks. What is no place on Earth and no direction is left out.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        (self.location, self.heading, self.road) = place.told();
        self
    }

    /// With the names of the rules that hold on it.
    #[must_use]
    pub fn ruled(mut self, rules: &[RuleName]) -> Self {
        let told = rules.iter().take(MAX_RULES).cloned().collect::<Vec<_>>();
        self.rules = Some(told).filter(|rules| !rules.is_empty());
        self
    }

    /// With the rates since an earlier status of the same camera.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        let ms = self.time.since(earlier.time);
        let rate = |now: u64, then: u64| {
            let hundredths = now.saturating_sub(then).saturating_mul(100_000).checked_div(ms).unwrap_or(0);
            u32::try_from(hundredths).unwrap_or(u32::MAX)
        };
        self.rates = (ms > 0).then(|| {
            [
                rate(self.received, earlier.received),
                rate(self.analysed, earlier.analysed),
                rate(self.dropped, earlier.dropped),
            ]
        });
        let rested = self.rested.filter(|_| ms > 0);
        self.rested_rate = rested.map(|now| rate(now, earlier.rested.unwrap_or(0)));
        self
    }
}

/// Degrees in 10⁻⁷; within ±180 that fits.
#[expect(clippy::cast_possible_truncation, reason = "checked to be within ±180 degrees: at most 1.8e9")]
fn e7(degrees: f64) -> i32 {
    (degrees * 1e7).round() as i32
}

/// 0–359; 360 is north again.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within 0–360 degrees")]
fn whole_degrees(degrees: f64) -> u16 {
    degrees.round() as u16 % 360
}

impl Wire for CameraStatus {
    const NAME: &'static str = "camera";
    const VERSION: u8 = VERSION;
    const MAX_SIGNED: usize = 896;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some([lat, lon]) = self.location
            && !((-900_000_000..=900_000_000).contains(&lat) && (-1_800_000_000..=1_800_000_000).contains(&lon))
        {
            return Err(("location", format!("[{lat}, {lon}] is no place on Earth")));
        }
        if let Some(heading) = self.heading.filter(|h| *h > 359) {
            return Err(("heading", format!("{heading} degrees, at most 359")));
        }
        let rules = self.rules.as_deref().unwrap_or_default();
        if rules.len() > MAX_RULES {
            return Err(("rules", format!("{}, at most {MAX_RULES}", rules.len())));
        }
        for rule in rules {
            // The decoder takes any text for an id.
            RuleId::new(rule.id.as_str()).map_err(|error| ("rules", error.to_string()))?;
        }
        for (field, text, max) in [("reason", &self.reason, MAX_REASON), ("road", &self.road, MAX_ROAD)] {
            text.as_ref().map_or(Ok(()), |text| check_text(field, text, max))?;
        }
        Ok(())
    }

    fn fits(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::CameraStatus(_))
    }

    fn to_json(&self) -> Value {
        let mut told = json!({
            "kind": Self::NAME,
            "version": self.version,
            "state": self.state.as_str(),
            "reason": self.reason,
            "view": self.view.map(|id| id.to_string()),
            "number": self.number,
            "location": self.location.map(|[lat, lon]| [f64::from(lat) / 1e7, f64::from(lon) / 1e7]),
            "heading": self.heading,
            "road": self.road,
            "frames": {
                "received": self.received, "analysed": self.analysed, "dropped": self.dropped, "rested": self.rested,
                "skipped": self.skipped,
            },
            "ring_bytes": self.ring,
            "decoding": Decoding::of_number(self.decoding.unwrap_or(0)).map(Decoding::as_str),
            "fps": self.rates.map(|[received, analysed, dropped]| json!({
                "received": f64::from(received) / 100.0,
                "analysed": f64::from(analysed) / 100.0,
                "dropped": f64::from(dropped) / 100.0,
                "rested": self.rested_rate.map(|rested| f64::from(rested) / 100.0),
            })),
            "last_frame": self.last_frame.map(|t| t.to_string()),
            "time": self.time.to_string(),
            "time_ms": self.time.0,
        });
        if let (Some(rules), Some(map)) = (&self.rules, told.as_object_mut()) {
            let rules = rules.iter().map(|rule| json!({ "number": rule.number, "id": rule.id.as_str() }));
            map.insert("rules".to_owned(), rules.collect());
        }
        told
    }
}
