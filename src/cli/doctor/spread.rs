//! Values over the passes that were seen, as an installer wants them: in the middle, and from where to where.

use serde::Serialize;

/// A distribution by three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    /// One value in ten is less.
    pub low: f32,
    /// Half are less.
    pub middle: f32,
    /// One in ten is more.
    pub high: f32,
    /// How many there are.
    pub count: usize,
}

impl Spread {
    /// Of these values, those that are no numbers left out; `None` of none.
    pub(super) fn of(values: impl IntoIterator<Item = f32>) -> Option<Self> {
        let mut values: Vec<f32> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |tenths: usize| values.get((last * tenths + 5) / 10).copied().unwrap_or_default();
        Some(Self { low: at(1), middle: at(5), high: at(9), count: values.len() })
    }
}

/// The value in the middle.
pub(super) fn middle(values: impl IntoIterator<Item = f32>) -> Option<f32> {
    Spread::of(values).map(|spread| spread.middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_what_most_lie_between() {
        let spread = Spread::of((0..=100_u8).map(f32::from).chain([f32::NAN])).unwrap();
        assert_eq!((spread.low, spread.middle, spread.high, spread.count), (10.0, 50.0, 90.0, 101));
        assert_eq!(middle([7.0]), Some(7.0));
        assert_eq!(Spread::of([]), None);
    }
}
