//! Memory for pictures that have to be copied: three planes that go back to a pool when the frame is dropped.
//!
//! A fresh vector of a few megabytes costs more (pages that the system has to clear) than what is written into it. The
//! pool keeps the planes of two pictures; what else comes back is freed, so its memory is bounded by the frames in use.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Pixels;

/// Vectors that are kept.
const KEPT: usize = 6;

/// Vectors to be used again. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// An empty vector that has held about `bytes` before, where there is one.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = kept.iter().position(|v| (bytes..=bytes.saturating_mul(2)).contains(&v.capacity()));
        fits.map_or_else(|| Vec::with_capacity(bytes), |at| kept.swap_remove(at))
    }

    fn give(&self, mut vector: Vec<u8>) {
        vector.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // The oldest: after a change of size it fits nothing any more.
            kept.remove(0);
        }
        kept.push(vector);
    }
}

/// Planes of one picture, rows without gaps.
#[derive(Debug)]
pub(super) struct Planes {
    planes: [Vec<u8>; 3],
    pool: Pool,
}

impl Planes {
    pub(super) fn new(planes: [Vec<u8>; 3], pool: &Pool) -> Self {
        Self { planes, pool: pool.clone() }
    }
}

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        self.planes.get(index).map_or(&[], Vec::as_slice)
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        for plane in std::mem::take(&mut self.planes) {
            if plane.capacity() > 0 {
                self.pool.give(plane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_back_and_the_pool_stays_small() {
        let pool = Pool::default();
        let planes = Planes::new([vec![1; 100], vec![2; 25], Vec::new()], &pool);
        assert_eq!((planes.plane(1), planes.plane(3)), (&[2; 25][..], &[][..]));
        drop(planes);
        let again = pool.take(90);
        assert!(again.is_empty() && again.capacity() >= 100);
        // Too large a vector is not lent for a small picture.
        assert!(pool.take(5).capacity() < 25);
        for size in 1..20 {
            drop(Planes::new([vec![0; size], vec![0; size], vec![0; size]], &pool));
        }
        assert_eq!(pool.0.lock().unwrap().len(), KEPT);
        assert_eq!(pool.take(19).capacity(), 19);
    }
}
