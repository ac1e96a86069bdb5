//! Steps at the borders of the coding's blocks: how much a picture was squeezed.
//!
//! Differences of neighbours across every eighth column and row against those halfway between (as Wang, Bovik and Evans,
//! "Blind measurement of blocking artifacts in images", ICIP 2000, weigh them). Motion JPEG shows it plainly; H.264 and H.265
//! smooth their borders, so that 1 means little there and what they were quantised by tells more.

use super::real;
use crate::domain::Frame;

/// Side of a block, pixels.
const BLOCK: usize = 8;

/// Steps at borders over those within, 1 where nothing is seen of blocks; `None` of a picture that is flat or tiny.
#[must_use]
pub fn blockiness(frame: &Frame) -> Option<f32> {
    let luma = frame.luma();
    let (mut at, mut within) = ((0.0, 0.0), (0.0, 0.0));
    let add = |sum: &mut (f32, f32), a: u8, b: u8| *sum = (sum.0 + f32::from(a.abs_diff(b)), sum.1 + 1.0);
    for y in (0..luma.height).step_by(5) {
        let row = luma.row(y)?;
        for (x, pair) in row.windows(2).enumerate() {
            let &[a, b] = pair else { continue };
            match (x + 1) % BLOCK {
                0 => add(&mut at, a, b),
                4 => add(&mut within, a, b),
                _ => {}
            }
        }
    }
    for y in 1..luma.height {
        let sum = match y % BLOCK {
            0 => &mut at,
            4 => &mut within,
            _ => continue,
        };
        for (a, b) in luma.row(y - 1)?.iter().zip(luma.row(y)?).step_by(5) {
            add(sum, *a, *b);
        }
    }
    let mean = |(sum, count): (f32, f32)| sum / count.max(1.0);
    (within.1 > real(BLOCK * BLOCK) && mean(within) > 0.05).then(|| mean(at) / mean(within))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Noise, grey};
    use super::*;

    #[test]
    fn a_smooth_picture_has_no_blocks_and_one_of_means_has_them() {
        let mut random = Noise(3);
        let smooth: Vec<f32> = (0..320 * 180)
            .map(|n| {
                100.0
                    + 60.0 * ((n % 320) as f32 / 30.0).sin()
                    + 20.0 * ((n / 320) as f32 / 17.0).cos()
                    + random.normal()
            })
            .collect();
        let told = blockiness(&grey(&smooth, 320, 180)).unwrap();
        assert!((0.9..1.1).contains(&told), "{told}");
        let squeezed: Vec<f32> = (0..320 * 180)
            .map(|n| {
                let (x, y) = (n % 320 / BLOCK * BLOCK, n / 320 / BLOCK * BLOCK);
                0.8 * smooth[y * 320 + x] + 0.2 * smooth[n]
            })
            .collect();
        let told = blockiness(&grey(&squeezed, 320, 180)).unwrap();
        assert!(told > 2.0, "{told}");
        assert_eq!(blockiness(&grey(&vec![90.0; 320 * 180], 320, 180)), None);
    }
}
