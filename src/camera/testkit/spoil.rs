//! What is done to a stream while it is served: packets are lost, bits flip, the size changes, parameter sets lie.
//!
//! A switch between a test and its server: clones are the same one, and it may be turned at any time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of the coded pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    #[default]
    AsTheyAre,
    /// A few bits of each flip, anywhere in it.
    Flipped,
    /// Those of [`Serving::other`](super::Serving::other) are sent in their place, from the next key frame on.
    Others,
    /// The parameter sets (of H.264) speak of 16384×16384 pixels.
    Oversized,
}

/// The switch.
#[derive(Debug, Clone, Default)]
pub struct Spoil(Arc<State>);

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    lost_percent: AtomicU32,
    random: AtomicU64,
}

impl Default for State {
    fn default() -> Self {
        // Any number but 0.
        Self {
            manner: Mutex::default(),
            lost_percent: AtomicU32::new(0),
            random: AtomicU64::new(88_172_645_463_325_252),
        }
    }
}

/// A parameter set of H.264 (7.3.2.1.1) for pictures of 16384×16384, profile Main, level 6.2.
const OVERSIZED: [u8; 12] = [0x67, 0x4d, 0x00, 0x3e, 0xf2, 0x80, 0x08, 0x00, 0x00, 0x40, 0x0c, 0x80];
/// `nal_unit_type` of parameter sets.
const PARAMETERS: u8 = 7;
/// Most bits of a picture that flip.
const MOST_FLIPS: u64 = 8;

impl Spoil {
    /// From now on.
    pub fn pictures(&self, manner: Manner) {
        *self.0.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// So many of a hundred packets are lost from now on.
    pub fn lose(&self, percent: u32) {
        self.0.lost_percent.store(percent, Ordering::Relaxed);
    }

    pub(super) fn manner(&self) -> Manner {
        *self.0.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next packet is lost.
    pub(super) fn is_lost(&self) -> bool {
        let percent = self.0.lost_percent.load(Ordering::Relaxed);
        percent > 0 && self.random() % 100 < u64::from(percent)
    }

    /// A coded picture (a byte stream) as it is to be sent; `None`: as it is.
    pub(super) fn spoilt(&self, picture: &[u8]) -> Option<Vec<u8>> {
        match self.manner() {
            Manner::AsTheyAre | Manner::Others => None,
            Manner::Flipped => {
                let mut bytes = picture.to_vec();
                for _ in 0..=self.random() % MOST_FLIPS {
                    let at = usize::try_from(self.random()).unwrap_or(0).checked_rem(bytes.len()).unwrap_or(0);
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (self.random() & 7));
                }
                Some(bytes)
            }
            Manner::Oversized => Some(oversized(picture)),
        }
    }

    /// xorshift.
    fn random(&self) -> u64 {
        let mut x = self.0.random.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.random.store(x, Ordering::Relaxed);
        x
    }
}

/// The picture with another parameter set in the place of each of its own.
fn oversized(picture: &[u8]) -> Vec<u8> {
    let begins: Vec<usize> =
        picture.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = begins.iter().skip(1).copied().chain([picture.len()]);
    let mut bytes = Vec::with_capacity(picture.len());
    for (begin, end) in begins.iter().zip(ends) {
        let unit = picture.get(begin + 3..end).unwrap_or_default();
        // A start code of four bytes has its first in the unit before.
        bytes.extend([0, 0, 0, 1]);
        if unit.first().is_some_and(|head| head & 31 == PARAMETERS) {
            bytes.extend(OVERSIZED);
        } else {
            let last = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.extend(unit.get(..last).unwrap_or_default());
        }
    }
    bytes
}
