//! Names of things: site, box, camera, list, rule (1–16 of `[a-z0-9-]`), and the id of an event (UUIDv7).

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::time::TimeMs;

/// Longest name of a site, box, camera, list or rule, in bytes.
pub const MAX_LEN: usize = 16;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}: 1 to 16 of a-z, 0-9 and '-' are allowed")]
pub struct IdError {
    /// What the text should have named.
    pub kind: &'static str,
    /// The text as it came, at most 40 characters of it.
    pub text: String,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] String);

        impl $name {
            /// Checks and wraps `text`.
            ///
            /// # Errors
            /// [`IdError`] when it is empty, longer than 16 bytes or has other characters than `a-z`, `0-9`, `-`.
            pub fn new(text: &str) -> Result<Self, IdError> {
                let good = (1..=MAX_LEN).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { kind: $kind, text: text.chars().take(40).collect() })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                let text = String::deserialize(de)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
                ser.serialize_str(&self.0)
            }
        }
    };
}

id_type!(
    /// A site: the place with one or more boxes.
    SiteId, "site id"
);
id_type!(
    /// A box; unique in the fleet, also the MQTT client id and the certificate's common name.
    BoxId, "box id"
);
id_type!(
    /// A camera of this box.
    CameraId, "camera id"
);
id_type!(
    /// A hotlist.
    ListId, "list id"
);
id_type!(
    /// A rule on object events.
    RuleId, "rule id"
);

id_type!(
    /// A zone or line of a camera.
    PlaceId, "name of a zone or line"
);

/// Id of a sighting, hit and its alerts: a UUIDv7, so ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// A UUIDv7 of `at_ms` (UTC milliseconds) with 74 random bits from `random`.
    #[must_use]
    pub fn from_parts(at_ms: u64, random: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid().as_bytes())
    }

    /// The time in it (RFC 9562, section 5.7: the first 48 bits).
    #[must_use]
    pub fn time(self) -> TimeMs {
        TimeMs(self.0.iter().take(6).fold(0, |ms, byte| (ms << 8) | u64::from(*byte)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_bytes(self.0).hyphenated())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<C> Encode<C> for EventId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for EventId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        <[u8; 16]>::try_from(bytes)
            .map(Self)
            .map_err(|_| minicbor::decode::Error::message(format!("event id of {} bytes, wanted 16", bytes.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_only_lower_case_digits_and_hyphens() {
        assert!(CameraId::new("gate-1").is_ok());
        for bad in ["", "Gate", "a b", "seventeen-letters", "ü", "a/b", "a+"] {
            let error = CameraId::new(bad).unwrap_err();
            assert!(error.to_string().contains("camera id"), "{error}");
        }
    }

    #[test]
    fn event_ids_sort_by_time() {
        let early = EventId::from_parts(1_000, [255; 10]);
        let late = EventId::from_parts(1_001, [0; 10]);
        assert!(early < late);
        assert_eq!(minicbor::decode::<EventId>(&minicbor::to_vec(late).unwrap()).unwrap(), late);
    }
}
