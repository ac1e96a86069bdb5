//! Tables of counts that may be told to anybody: small counts are left out, in a way that they can't be computed.
//!
//! A count of 1 to 4 could speak of single people. It is suppressed, and so is as much beside it as it takes that the
//! difference to the total tells of at least two counts that make five or more together: the smallest of the others first,
//! the total last (primary and complementary suppression, as statistical offices do it; Willenborg and de Waal, *Elements
//! of Statistical Disclosure Control*, 2001, chapter 4).

use minicbor::{Decode, Encode};

/// The smallest count that is told; 0 is told too.
pub const SMALL: u64 = 5;

/// Counts of one kind that add up to a total; `None` is suppressed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CountTable {
    /// What is counted: `reads`, `hits`, `queries` …
    #[n(0)]
    pub name: String,
    /// By what: `camera`, `purpose` …
    #[n(1)]
    pub by: String,
    /// The counts, by name.
    #[n(2)]
    pub rows: Vec<(String, Option<u64>)>,
    /// All together.
    #[n(3)]
    pub total: Option<u64>,
}

impl CountTable {
    /// Of these counts, what is small left out.
    #[must_use]
    pub fn suppressed(name: &str, by: &str, counts: impl IntoIterator<Item = (String, u64)>) -> Self {
        let counts: Vec<(String, u64)> = counts.into_iter().collect();
        let total = counts.iter().map(|(_, n)| n).sum::<u64>();
        let small = |n: u64| (1..SMALL).contains(&n);
        let mut hidden: Vec<bool> = counts.iter().map(|(_, n)| small(*n)).collect();
        let mut show_total = !small(total);
        if hidden.contains(&true) && show_total {
            show_total = complement(&counts, &mut hidden);
        }
        let rows = counts.into_iter().zip(hidden).map(|((name, n), hidden)| (name, (!hidden).then_some(n))).collect();
        Self { name: name.to_owned(), by: by.to_owned(), rows, total: show_total.then_some(total) }
    }

    /// Whether anything is left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total.is_none() || self.rows.iter().any(|(_, n)| n.is_none())
    }

    /// The count of a row, when it is there and told.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        self.rows.iter().find(|(row, _)| row == name).and_then(|(_, n)| *n)
    }
}

/// Hides more rows until the total gives nothing away; whether the total may be told.
fn complement(counts: &[(String, u64)], hidden: &mut [bool]) -> bool {
    loop {
        let sums = counts.iter().zip(&*hidden).filter(|(_, hidden)| **hidden);
        let (rows, sum) = sums.fold((0, 0), |(rows, sum), ((_, n), _)| (rows + 1, sum + n));
        if rows >= 2 && sum >= SMALL {
            return true;
        }
        // A 0 would hide nothing: that it is small is what its row would say.
        let next = counts.iter().enumerate().zip(&*hidden).filter(|((_, (_, n)), hidden)| !**hidden && *n > 0);
        let next = next.min_by_key(|((_, (_, n)), _)| *n).map(|((at, _), _)| at);
        match next.and_then(|at| hidden.get_mut(at)) {
            Some(hidden) => *hidden = true,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(counts: &[u64]) -> CountTable {
        CountTable::suppressed("reads", "camera", counts.iter().enumerate().map(|(n, c)| (format!("c{n}"), *c)))
    }

    #[test]
    fn what_is_small_is_left_out_and_can_t_be_computed() {
        let told = |counts: &[u64]| {
            let table = table(counts);
            (table.rows.into_iter().map(|(_, n)| n).collect::<Vec<_>>(), table.total)
        };
        assert_eq!(told(&[10, 0, 7]), (vec![Some(10), Some(0), Some(7)], Some(17)));
        assert_eq!(told(&[10, 3, 7]), (vec![Some(10), None, None], Some(20)));
        assert_eq!(told(&[10, 1, 1]), (vec![None, None, None], Some(12)));
        assert_eq!(told(&[10, 3, 4]), (vec![Some(10), None, None], Some(17)));
        assert_eq!(told(&[3, 0]), (vec![None, Some(0)], None));
        assert_eq!(told(&[2, 1, 0]), (vec![None, None, Some(0)], None));
        assert_eq!(told(&[]), (vec![], Some(0)));
    }

    proptest! {
        #[test]
        fn no_small_count_follows_from_what_is_told(counts in proptest::collection::vec(prop_oneof![0_u64..8, 0_u64..100], 0..8)) {
            let table = table(&counts);
            let hidden: Vec<u64> = counts.iter().zip(&table.rows).filter(|(_, (_, n))| n.is_none()).map(|(c, _)| *c).collect();
            for ((_, told), count) in table.rows.iter().zip(&counts) {
                prop_assert!(told.is_none_or(|n| n == *count && !(1..SMALL).contains(&n)));
            }
            if table.total.is_some() && !hidden.is_empty() {
                // What the total leaves is shared by at least two, none of which it pins down to a small count alone.
                prop_assert!(hidden.len() >= 2 && hidden.iter().sum::<u64>() >= SMALL);
            }
            if !counts.iter().any(|n| (1..SMALL).contains(n)) && !(1..SMALL).contains(&counts.iter().sum::<u64>()) {
                prop_assert!(!table.is_cut(), "nothing is left out without need");
            }
        }
    }
}
