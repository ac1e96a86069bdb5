//! What a detector found in one frame.

use std::fmt;

use minicbor::{Decode, Encode};

use super::geometry::{Quad, Rect};

/// What was found. There is no class for faces, and there will be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Class {
    /// A licence plate.
    #[n(0)]
    Plate,
    /// A car, van or pick-up.
    #[n(1)]
    Car,
    /// A bus or coach.
    #[n(2)]
    Bus,
    /// A lorry.
    #[n(3)]
    Truck,
    /// A motorbike or scooter.
    #[n(4)]
    Motorbike,
    /// A person.
    #[n(5)]
    Person,
}

impl Class {
    /// All that moves by itself, in the order in which it is counted.
    pub const OBJECTS: [Self; 5] = [Self::Car, Self::Bus, Self::Truck, Self::Motorbike, Self::Person];

    /// Whether it carries a plate.
    #[must_use]
    pub fn is_vehicle(self) -> bool {
        match self {
            Self::Car | Self::Bus | Self::Truck | Self::Motorbike => true,
            Self::Plate | Self::Person => false,
        }
    }

    /// The word in config, manifests and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plate => "plate",
            Self::Car => "car",
            Self::Bus => "bus",
            Self::Truck => "truck",
            Self::Motorbike => "motorbike",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// What it is.
    pub class: Class,
    /// The detector's score, 0..1.
    pub score: f32,
    /// Where, in pixels of the full-size frame.
    pub rect: Rect,
    /// The four corners, when the model gives them.
    pub corners: Option<Quad>,
}
