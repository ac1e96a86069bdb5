//! Colours of vehicles, by the words that registers and witnesses use.

use std::fmt;

/// A vehicle's main colour. The numbers are those of alerts and of the store; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// White.
    White,
    /// Silver or grey.
    Silver,
    /// Black.
    Black,
    /// Red.
    Red,
    /// Blue, turquoise included.
    Blue,
    /// Green.
    Green,
    /// Yellow or orange.
    Yellow,
    /// Brown, beige or gold.
    Brown,
}

impl Colour {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::White, Self::Silver, Self::Black, Self::Red, Self::Blue, Self::Green, Self::Yellow, Self::Brown];

    /// Its number in alerts and in the store.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::White => 0,
            Self::Silver => 1,
            Self::Black => 2,
            Self::Red => 3,
            Self::Blue => 4,
            Self::Green => 5,
            Self::Yellow => 6,
            Self::Brown => 7,
        }
    }

    /// The colour of that number; `None` for one that this version does not know.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.number() == number)
    }

    /// The word in JSON and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Silver => "silver",
            Self::Black => "black",
            Self::Red => "red",
            Self::Blue => "blue",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Brown => "brown",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A colour and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VehicleColour {
    /// Which.
    pub colour: Colour,
    /// Probability that it is right, 0..1.
    pub confidence: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_unknown_ones_are_none() {
        for (n, colour) in (0..).zip(Colour::ALL) {
            assert_eq!((colour.number(), Colour::of_number(n)), (n, Some(colour)));
        }
        assert_eq!(Colour::of_number(8), None);
    }
}
