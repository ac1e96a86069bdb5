//! Characters that look alike on a plate: the classes behind confusable-aware matching.
//!
//! Classes overlap (`6` looks like `G` and like `B`, but `G` does not look like `B`), so being alike is not transitive:
//! [`fold`] maps every chain of overlapping classes to one character and serves to look texts up; [`alike`] decides.
//! The classes are those that `docs/hotlists.md` promises (What matches): a changed one changes what lists match.

/// Sets of characters of which each looks like each other one.
pub const CLASSES: [&str; 10] = ["0OQD", "1IL", "2Z", "5S", "68B", "6G", "CG", "4A", "7T", "UV"];

/// Whether `a` and `b` are the same or look alike.
#[must_use]
pub fn alike(a: u8, b: u8) -> bool {
    a == b || CLASSES.iter().any(|class| class.as_bytes().contains(&a) && class.as_bytes().contains(&b))
}

/// One character for all that hang together by overlapping classes; what is in no class stays as it is.
#[must_use]
pub fn fold(c: u8) -> u8 {
    match c {
        b'O' | b'Q' | b'D' => b'0',
        b'I' | b'L' => b'1',
        b'Z' => b'2',
        b'S' => b'5',
        b'8' | b'B' | b'G' | b'C' => b'6',
        b'A' => b'4',
        b'T' => b'7',
        b'V' => b'U',
        other => other,
    }
}

/// Whether two texts are the same but for characters that look alike.
#[must_use]
pub fn texts_alike(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(x, y)| alike(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_joins_exactly_the_chains_of_overlapping_classes() {
        let all: Vec<u8> = (b'0'..=b'9').chain(b'A'..=b'Z').collect();
        for &a in &all {
            assert_eq!(fold(fold(a)), fold(a));
            // Everything that can be reached from `a` over classes folds alike, and nothing else does.
            let mut reached = vec![a];
            while let Some(&more) = all.iter().find(|c| !reached.contains(c) && reached.iter().any(|r| alike(*r, **c)))
            {
                reached.push(more);
            }
            for &b in &all {
                assert_eq!(fold(a) == fold(b), reached.contains(&b), "{} {}", char::from(a), char::from(b));
            }
        }
    }

    #[test]
    fn overlapping_classes_do_not_make_their_ends_alike() {
        assert!(alike(b'6', b'G') && alike(b'6', b'B') && !alike(b'G', b'B'));
        assert!(texts_alike("AB0C", "48OG") && !texts_alike("AB0C", "AB0") && !texts_alike("AB0C", "AX0C"));
    }
}
