//! What some runs of the same say together: the middle one, the least and the most.

/// Of one figure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of these values; of an even number the mean of the two in the middle.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = values.into_iter().collect();
        all.sort_by(f64::total_cmp);
        let at = |n: usize| all.get(n).copied().unwrap_or(0.0);
        let last = all.len().saturating_sub(1);
        Self { median: f64::midpoint(at(last / 2), at(all.len() / 2)), least: at(0), most: at(last) }
    }

    /// With so many decimals; with its ends where there is more than one run.
    pub(super) fn told(&self, decimals: usize, ends: bool) -> String {
        let Self { median, least, most } = self;
        if ends {
            format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
        } else {
            format!("{median:.decimals$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of([7.0]).told(1, false), "7.0");
        assert_eq!(Spread::of([]), Spread::default());
    }
}
