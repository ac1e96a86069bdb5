//! Exposure of a plate: how bright its ground is, how dark its letters, how much is burnt out or drowned.

use super::{Part, percentile, real};

/// From this value on a pixel is burnt out; up to that it is drowned.
const BURNT: f32 = 251.0;
const DROWNED: f32 = 6.0;

/// Light of one plate, 0 to 255 of full range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Mean.
    pub mean: f32,
    /// The brighter of ground and letters: nine tenths of the plate are darker.
    pub ground: f32,
    /// The darker: one tenth is darker.
    pub letters: f32,
    /// From the one to the other.
    pub contrast: f32,
    /// Share of pixels that are burnt out.
    pub burnt: f32,
    /// Share of pixels that are drowned in black.
    pub drowned: f32,
}

impl Light {
    /// Measures what lies inside; `None` without a pixel.
    #[must_use]
    pub fn of(part: &Part) -> Option<Self> {
        let sorted = part.sorted();
        let count = real(sorted.len().max(1));
        let below = |limit: f32| sorted.partition_point(|v| *v < limit);
        let (letters, ground) = (percentile(&sorted, 0.1), percentile(&sorted, 0.9));
        (!sorted.is_empty()).then(|| Self {
            mean: sorted.iter().sum::<f32>() / count,
            ground,
            letters,
            contrast: ground - letters,
            burnt: real(sorted.len() - below(BURNT)) / count,
            drowned: real(below(DROWNED)) / count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::plate;
    use super::super::testing::{Drawn, framed};
    use super::*;
    use crate::domain::{Class, Detection};

    fn light(ground: f32, letters: f32, around: f32) -> Light {
        let (frame, rect) = framed(&Drawn { width: 120.0, ground, letters, around, ..Drawn::default() }, 320, 120);
        plate(&frame, &Detection { class: Class::Plate, score: 0.9, rect, corners: None }).light.unwrap()
    }

    #[test]
    fn what_is_burnt_out_or_drowned_is_a_share_and_contrast_goes_with_it() {
        let (good, burnt, dark) = (light(210.0, 30.0, 90.0), light(255.0, 215.0, 250.0), light(30.0, 4.0, 3.0));
        assert!(good.burnt < 0.01 && good.drowned < 0.01 && good.contrast > 150.0, "{good:?}");
        assert!(burnt.burnt > 0.5 && burnt.contrast < 60.0, "{burnt:?}");
        assert!(dark.drowned > 0.1 && dark.ground < 40.0, "{dark:?}");
    }
}
