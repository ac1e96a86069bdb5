//! Least-cost assignment of tracks to detections: the Hungarian method in its O(n³) form with potentials
//! (Kuhn 1955, Munkres 1957; shortest augmenting paths as in Jonker and Volgenant 1987).
//!
//! Deterministic: equal costs go to the lower numbers. Called by the tracker with at most [`MAX`] rows and columns.

// bounds: every index below is 0..=rows or 0..=columns, and every vector is made one longer than that.
#![allow(clippy::indexing_slicing, reason = "kernel over vectors made here, sized rows + 1 and columns + 1")]

/// Most rows and columns; what is beyond is not assigned.
pub(super) const MAX: usize = 128;

/// Pairs `(row, column)` of least total cost, where a row without a column costs `limit`: a pair is only made where it
/// is worth it. `cost` gives `None` for a pair that must not be; costs of `limit` and above, and those that are no
/// numbers, count as `None`.
pub(super) fn assign(
    rows: usize,
    columns: usize,
    limit: f32,
    cost: impl Fn(usize, usize) -> Option<f32>,
) -> Vec<(usize, usize)> {
    let (rows, columns) = (rows.min(MAX), columns.min(MAX));
    let swapped = rows > columns;
    let (n, m) = if swapped { (columns, rows) } else { (rows, columns) };
    if n == 0 {
        return Vec::new();
    }
    // With at least as many columns as rows, a row given to a column at `limit` stands for a row without one.
    let mut costs = vec![limit; n * m];
    for i in 0..n {
        for j in 0..m {
            let pair = if swapped { cost(j, i) } else { cost(i, j) };
            costs[i * m + j] = pair.filter(|c| c.is_finite()).map_or(limit, |c| c.clamp(-1e6, limit));
        }
    }
    let row_of = solve(&costs, n, m);
    let mut pairs: Vec<(usize, usize)> = (1..=m)
        .filter(|j| row_of[*j] > 0)
        .map(|j| (row_of[j] - 1, j - 1))
        .filter(|(i, j)| costs[i * m + j] < limit)
        .map(|(i, j)| if swapped { (j, i) } else { (i, j) })
        .collect();
    pairs.sort_unstable();
    pairs
}

/// The row (from 1) that each column (from 1) is given to, 0 for none; `n <= m`.
fn solve(costs: &[f32], n: usize, m: usize) -> Vec<usize> {
    let (mut u, mut v) = (vec![0.0_f64; n + 1], vec![0.0_f64; m + 1]);
    let (mut row_of, mut way) = (vec![0_usize; m + 1], vec![0_usize; m + 1]);
    for row in 1..=n {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; m + 1];
        let mut used = vec![false; m + 1];
        // Grows the alternating tree until it reaches a free column: at most one step a column.
        while row_of[column] != 0 {
            used[column] = true;
            let i = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for j in 1..=m {
                if used[j] {
                    continue;
                }
                let reduced = f64::from(costs[(i - 1) * m + j - 1]) - u[i] - v[j];
                if reduced < least[j] {
                    least[j] = reduced;
                    way[j] = column;
                }
                if least[j] < delta {
                    delta = least[j];
                    next = j;
                }
            }
            for j in 0..=m {
                if used[j] {
                    u[row_of[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            let before = way[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    row_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sum_counts_and_not_the_nearest() {
        let costs = [[1.0, 2.0], [2.0, 10.0]];
        assert_eq!(assign(2, 2, 20.0, |i, j| Some(costs[i][j])), [(0, 1), (1, 0)]);
    }

    #[test]
    fn forbidden_pairs_are_never_made() {
        assert_eq!(assign(2, 3, 9.0, |i, j| (i == 0 && j == 2).then_some(5.0)), [(0, 2)]);
        assert_eq!(assign(3, 1, 9.0, |i, _| Some(if i == 1 { 0.5 } else { f32::NAN })), [(1, 0)]);
        assert!(assign(0, 3, 9.0, |_, _| Some(0.0)).is_empty() && assign(2, 0, 9.0, |_, _| Some(0.0)).is_empty());
    }

    #[test]
    fn a_pair_that_spoils_a_better_one_is_not_made() {
        let costs = [[1.0, 8.0], [8.0, f32::NAN]];
        assert_eq!(assign(2, 2, 9.0, |i, j| Some(costs[i][j])), [(0, 0)]);
    }

    /// The least sum, by trying everything.
    fn best(costs: &[Vec<Option<u8>>], columns: usize, row: usize, taken: u32) -> i64 {
        let Some(this) = costs.get(row) else { return 0 };
        let mut least = LIMIT + best(costs, columns, row + 1, taken);
        for (j, cost) in this.iter().enumerate().take(columns) {
            if let Some(c) = cost.filter(|_| taken & (1 << j) == 0) {
                least = least.min(i64::from(c) + best(costs, columns, row + 1, taken | (1 << j)));
            }
        }
        least
    }

    const LIMIT: i64 = 40;

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(
            costs in proptest::collection::vec(proptest::collection::vec(proptest::option::of(0_u8..50), 5), 0..5),
            columns in 0_usize..=5,
        ) {
            let pairs = assign(costs.len(), columns, 40.0, |i, j| costs[i][j].map(f32::from));
            let sum: i64 = pairs.iter().map(|(i, j)| i64::from(costs[*i][*j].unwrap())).sum();
            let alone = i64::try_from(costs.len() - pairs.len()).unwrap();
            prop_assert_eq!(sum + alone * LIMIT, best(&costs, columns, 0, 0));
            let mut columns: Vec<usize> = pairs.iter().map(|p| p.1).collect();
            columns.sort_unstable();
            columns.dedup();
            prop_assert_eq!(columns.len(), pairs.len());
        }
    }
}
