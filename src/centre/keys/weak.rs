//! Public keys under which anyone can sign, and such as are not spelled in the one canonical way.

/// y coordinates of the points whose order divides 8, non-canonical spellings included, little-endian and without the
/// sign of x. The two of order 8 are roots of d·y⁴ + 2·y² − 1 on the curve of RFC 8032.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    [0; 32],
    y_small(1, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    y_small(0xec, 0xff),
    y_small(0xed, 0xff),
    y_small(0xee, 0xff),
];

/// A y whose first byte is `first` and whose others are `rest`, the top bit clear.
const fn y_small(first: u8, rest: u8) -> [u8; 32] {
    let mut y = [rest; 32];
    y[0] = first;
    y[31] = rest & 0x7f;
    y
}

fn without_sign(bytes: &[u8; 32]) -> [u8; 32] {
    let mut y = *bytes;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    y
}

pub(super) fn is_small_order(bytes: &[u8; 32]) -> bool {
    SMALL_ORDER_Y.contains(&without_sign(bytes))
}

/// y < 2^255 − 19.
pub(super) fn is_canonical(bytes: &[u8; 32]) -> bool {
    let prime = y_small(0xed, 0xff);
    without_sign(bytes).iter().rev().lt(prime.iter().rev())
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::super::{Error, PublicKey};
    use super::*;

    /// Each refused point really lets anyone sign: with S = 0 and R among the points of small order, ring takes a
    /// forged signature for one message in at most eight.
    #[test]
    fn public_keys_of_small_order_are_refused_and_ring_takes_forgeries_under_them() {
        let spellings = |y: &[u8; 32]| {
            let mut signed = *y;
            signed[31] |= 0x80;
            [*y, signed]
        };
        let points: Vec<[u8; 32]> = SMALL_ORDER_Y.iter().flat_map(spellings).collect();
        let mut forged = 0;
        for point in &points {
            assert!(matches!(PublicKey::from_bytes(*point), Err(Error::Weak { .. })));
            let ring_key = UnparsedPublicKey::new(&ED25519, point);
            let taken =
                (0..200_u8).any(|n| points.iter().any(|r| ring_key.verify(&[n], &[&r[..], &[0; 32]].concat()).is_ok()));
            forged += usize::from(taken);
        }
        // Eight points have order 1, 2, 4, 4, 8, 8, 8, 8; other spellings are not taken by ring.
        assert!(forged >= 8, "{forged}");
    }

    #[test]
    fn non_canonical_public_keys_are_refused() {
        // y = p + 2 and up to 2^255 - 1 are below the small-order ones' spellings in no list.
        for first in 0xef..=0xff {
            assert!(matches!(PublicKey::from_bytes(y_small(first, 0xff)), Err(Error::Weak { .. })));
        }
        let mut below = y_small(0xeb, 0xff);
        assert!(PublicKey::from_bytes(below).is_ok());
        below[31] |= 0x80;
        assert!(PublicKey::from_bytes(below).is_ok());
    }
}
