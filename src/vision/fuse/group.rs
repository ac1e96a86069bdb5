//! Which reads of a track are of one plate: a tracker at times takes another vehicle's plate for a frame or two.

use super::Kept;
use crate::domain::confusable;

/// Two texts are of one plate when this share of the shorter one's characters, or look-alikes of them, stand in the
/// other in the same order. What hides a part of a plate takes characters away; another plate puts other ones there.
const SHARED: f32 = 0.7;

/// The reads that are like the one that most weight is like, in their order.
pub(super) fn of_one_plate(kept: &[Kept]) -> Vec<&Kept> {
    let support = |centre: &Kept| kept.iter().filter(|k| are_alike(centre, k)).map(|k| k.weight).sum::<f32>();
    let mut best: Option<(&Kept, f32)> = None;
    for centre in kept {
        let sum = support(centre);
        if best.is_none_or(|(_, most)| sum > most) {
            best = Some((centre, sum));
        }
    }
    best.map_or_else(Vec::new, |(centre, _)| kept.iter().filter(|k| are_alike(centre, k)).collect())
}

fn are_alike(a: &Kept, b: &Kept) -> bool {
    is_part_of(a.text.as_str(), b.text.as_str())
}

/// Whether two texts are of one plate, one of them perhaps hidden or cut off in part, or read a little differently.
#[must_use]
pub fn is_part_of(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    in_common(a, b) as f32 >= SHARED * a.len().min(b.len()) as f32
}

/// Length of the longest common subsequence, look-alikes counting as the same.
fn in_common(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0_usize; b.len()];
    for x in a {
        let (mut corner, mut left) = (0, 0);
        for (cell, y) in row.iter_mut().zip(b) {
            let above = *cell;
            *cell = if confusable::alike(*x, *y) { corner + 1 } else { above.max(left) };
            (corner, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_texts_have_in_common_is_counted_in_order() {
        for (a, b, want) in [("ABC123", "ABC123", 6), ("ABC123", "C123", 4), ("ABC123", "321CBA", 1), ("", "AB", 0)] {
            assert_eq!(in_common(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
        }
        assert_eq!(in_common(b"AB0", b"A8O"), 3);
    }
}
