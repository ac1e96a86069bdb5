//! What do the privacy masks leave to be seen?
//!
//! Reckoned on a picture of 640 × 360: shares of a camera's picture hardly depend on its size.

use super::Finding;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::Polygon;
use crate::vision::mask::Spans;

/// The picture that is reckoned with.
const SIZE: (u32, u32) = (640, 360);

/// Share of the picture, or of the region of interest, above which a mask leaves too little to be meant.
const TOO_MUCH: f64 = 0.9;

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    let masked = config.cameras.iter().filter(|c| c.enabled && !c.privacy_mask.is_empty());
    let findings: Vec<Finding> = masked.map(judge).collect();
    if findings.is_empty() { vec![Finding::ok("privacy", "no camera has a privacy mask")] } else { findings }
}

fn judge(camera: &config::Camera) -> Finding {
    let spans = |of: &[config::Polygon]| {
        let polygons: Vec<Polygon> = of.iter().cloned().map(Polygon::new).collect();
        Spans::of(&polygons, SIZE.0, SIZE.1)
    };
    let (id, mask, roi) = (&camera.id, spans(&camera.privacy_mask), spans(&camera.roi));
    let percent = mask.share() * 100.0;
    if mask.share() > TOO_MUCH {
        let todo = "points are shares of the picture from its top left; docs/privacy.md";
        return Finding::warning(
            "privacy",
            format!("{id}: its privacy_mask blanks {percent:.0} % of the picture"),
            todo,
        );
    }
    let hidden = roi.share_within(&mask);
    if hidden > TOO_MUCH {
        let todo = "nothing can be read there: move one of the two; docs/privacy.md";
        return Finding::warning(
            "privacy",
            format!("{id}: its privacy_mask blanks {:.0} % of its roi", hidden * 100.0),
            todo,
        );
    }
    Finding::ok("privacy", format!("{id}: {percent:.0} % of the picture is blanked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::Level;

    fn finding(mask: &str, roi: &str) -> Finding {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        let text = format!(
            "[box]\nid = \"box-1\"\nsite = \"north\"\n[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"/a.mp4\"\n\
             privacy_mask = {mask}\nroi = {roi}\n"
        );
        std::fs::write(&path, text).unwrap();
        check(&config::load(&path).unwrap(), &Clock::system()).pop().unwrap()
    }

    #[test]
    fn a_mask_that_leaves_nothing_to_be_seen_is_told() {
        let all = finding("[[0, 0], [1, 0], [1, 1], [0, 1]]", "[]");
        assert_eq!((all.level, all.what.contains("100 % of the picture")), (Level::Warning, true), "{all:?}");
        let left = "[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]";
        let roi = finding(left, "[[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]");
        assert_eq!((roi.level, roi.what.contains("100 % of its roi")), (Level::Warning, true), "{roi:?}");
        let half = finding(left, "[[0.1, 0.1], [1, 0.1], [1, 0.4]]");
        assert_eq!((half.level, half.what.contains("50 % of the picture")), (Level::Ok, true), "{half:?}");
        assert!(finding("[]", "[]").what.contains("no camera"));
    }
}
