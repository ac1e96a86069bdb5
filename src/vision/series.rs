//! The series of number plates by who issues them: which shapes plates have, how often, and how many have none of them.
//!
//! A shape is spelled with `L` (letter) and `D` (digit) in reading order; gaps, dashes and emblems are left out, as reads
//! leave them out. Shares are rough, by what each authority publishes of its series, and were never fitted to pictures:
//! what counts is whether a shape exists. Only [`super::prior`] reads this; what it makes of it stands in `docs/models.md`.

/// Shapes of one issuer.
#[derive(Debug)]
pub(super) struct Series {
    /// The region that readers tell: `us`, `eu`, ….
    pub region: &'static str,
    /// Who issues them within the region; empty where nothing smaller is told apart.
    pub part: &'static str,
    /// Share of the issuer's plates that follow none of the shapes: personal, old, official.
    pub free: f32,
    /// Shapes with their shares, of any sum; issuers of one region share it by these sums.
    pub shapes: &'static [(&'static str, f32)],
}

const fn series(region: &'static str, part: &'static str, free: f32, shapes: &'static [(&'static str, f32)]) -> Series {
    Series { region, part, free, shapes }
}

/// How often each region is expected where neither a reader nor a camera tells.
pub(super) const USUAL: &[(&str, f32)] = &[
    ("us", 0.25),
    ("eu", 0.25),
    ("br", 0.15),
    ("in", 0.10),
    ("gb", 0.06),
    ("mx", 0.05),
    ("tr", 0.05),
    ("ar", 0.04),
    ("vn", 0.05),
];

/// All that are known.
pub(super) const ALL: &[Series] = &[
    series("us", "", 0.12, US),
    series("eu", "at", 0.06, &[("LLDDDLL", 2.0), ("LDDDDDL", 1.0), ("LLDDDDL", 0.7), ("LDDDDLL", 0.5)]),
    series("eu", "be", 0.06, &[("DLLLDDD", 2.0), ("LLLDDD", 0.7), ("DDDLLL", 0.3)]),
    series("eu", "bg", 0.03, &[("LLDDDDLL", 2.0), ("LDDDDLL", 0.7)]),
    series("eu", "ch", 0.03, &[("LLDDDDDD", 1.0), ("LLDDDDD", 0.7), ("LLDDDD", 0.2)]),
    series("eu", "cz", 0.04, &[("DLDDDDD", 10.0), ("DLLDDDD", 1.5), ("LLLDDDD", 2.0)]),
    series("eu", "de", 0.06, DE),
    series("eu", "dk", 0.06, &[("LLDDDDD", 2.0)]),
    series("eu", "ee", 0.04, &[("DDDLLL", 1.0)]),
    series("eu", "es", 0.02, &[("DDDDLLL", 3.0), ("LDDDDLL", 0.4), ("LLDDDDL", 0.2), ("LLDDDDLL", 0.2)]),
    series("eu", "fi", 0.05, &[("LLLDDD", 1.0)]),
    series("eu", "fr", 0.02, &[("LLDDDLL", 3.0), ("DDDLLLDD", 0.5), ("DDDDLLDD", 0.5), ("DDDLLDD", 0.2)]),
    series("eu", "gr", 0.02, &[("LLLDDDD", 1.0)]),
    series("eu", "hr", 0.05, &[("LLDDDLL", 1.2), ("LLDDDDLL", 1.0), ("LLDDDL", 0.2)]),
    series("eu", "hu", 0.05, &[("LLLDDD", 2.5), ("LLLLDDD", 1.0)]),
    series("eu", "ie", 0.02, &[("DDDLDDDDD", 0.4), ("DDDLDDDD", 0.4), ("DDLDDDDD", 0.7), ("DDLDDDD", 0.3)]),
    series("eu", "it", 0.02, &[("LLDDDLL", 3.0)]),
    series("eu", "lt", 0.04, &[("LLLDDD", 1.0)]),
    series("eu", "lu", 0.10, &[("LLDDDD", 1.0)]),
    series("eu", "lv", 0.06, &[("LLDDDD", 1.0), ("LLDDD", 0.2)]),
    series("eu", "nl", 0.02, NL),
    series("eu", "no", 0.03, &[("LLDDDDD", 2.0)]),
    series("eu", "pl", 0.04, PL),
    series("eu", "pt", 0.02, &[("DDLLDD", 1.0), ("DDDDLL", 1.0), ("LLDDDD", 0.4), ("LLDDLL", 0.6)]),
    series("eu", "ro", 0.03, &[("LLDDLLL", 3.0), ("LDDDLLL", 1.0), ("LDDLLL", 1.0)]),
    series("eu", "rs", 0.05, &[("LLDDDLL", 0.7), ("LLDDDDLL", 0.5)]),
    series("eu", "se", 0.04, &[("LLLDDD", 2.0), ("LLLDDL", 0.7)]),
    series("eu", "si", 0.10, &[("LLLLDDD", 0.4), ("LLLDDDD", 0.4), ("LLDDLLL", 0.2), ("LLDDDLL", 0.2)]),
    series("eu", "sk", 0.04, &[("LLDDDLL", 10.0)]),
    series("eu", "ua", 0.03, &[("LLDDDDLL", 1.5)]),
    series("gb", "", 0.06, &[("LLDDLLL", 8.0), ("LDDDLLL", 1.5), ("LLLDDDL", 0.7), ("LLLDDD", 0.3), ("DDDLLL", 0.2)]),
    series("br", "", 0.01, &[("LLLDDDD", 6.0), ("LLLDLDD", 5.0)]),
    series("ar", "", 0.02, &[("LLLDDD", 2.0), ("LLDDDLL", 2.0), ("LDDDLLL", 0.3), ("DDDLLL", 0.3)]),
    series("in", "", 0.04, IN),
    series("mx", "", 0.04, MX),
    series("tr", "", 0.02, TR),
    series(
        "vn",
        "",
        0.04,
        &[("DDLDDDDD", 5.0), ("DDLDDDD", 2.0), ("DDLDDDDDD", 2.0), ("DDLLDDDDD", 0.6), ("DDLLDDDD", 0.3)],
    ),
];

const US: &[(&str, f32)] = &[
    ("LLLDDDD", 20.0),
    ("LLLDDD", 17.0),
    ("DDDLLL", 12.0),
    ("DLLLDDD", 10.0),
    ("LLDLDL", 8.0),
    ("LDDDDDD", 6.0),
    ("LLDLDDD", 4.0),
    ("DLDDDDD", 4.0),
    ("DDDDDDD", 4.0),
    ("LLDDDDD", 4.0),
    ("DDDDDLD", 2.5),
    ("LLLLDD", 2.5),
    ("LLDDDD", 2.0),
    ("DDDDDD", 2.0),
    ("LLDDLL", 2.0),
    ("LDDLLL", 2.0),
    ("LDDLDD", 1.5),
    ("LLLDDL", 1.5),
    ("DLLDDDD", 1.0),
    ("DLLDDD", 1.0),
    ("DLLLDD", 1.0),
    ("DDLDDDD", 1.0),
    ("DDLDDDL", 1.0),
    ("DDDLDD", 1.0),
    ("LDDDDD", 1.0),
    ("LDLDDD", 1.0),
    ("LDDDLL", 1.0),
    ("LLDDDL", 1.0),
    ("DDDDLL", 1.0),
    ("DLDDDDL", 1.0),
    ("DDDDD", 1.0),
    ("LDDDDL", 0.5),
    ("DDLLL", 0.5),
    ("DDLLLD", 0.5),
    ("DDDDDDL", 0.5),
    ("DDDLLLL", 0.5),
    ("LLLLDDD", 0.5),
    ("LLDDD", 0.5),
    // What drivers choose is mostly letters.
    ("LLLLLLL", 1.0),
    ("LLLLLL", 1.0),
    ("LLLLL", 0.7),
    ("LLLLLD", 0.7),
    ("LLLLLLD", 0.3),
    ("DLLLL", 0.3),
];

const DE: &[(&str, f32)] = &[
    ("LLLDDDD", 3.0),
    ("LLLLDDD", 3.0),
    ("LLLLDDDD", 2.0),
    ("LLLDDD", 2.0),
    ("LLLLDD", 1.0),
    ("LLLLLDD", 1.5),
    ("LLLLLDDD", 1.0),
    ("LLDDDD", 0.7),
    ("LLLDD", 0.5),
    ("LLDDD", 0.3),
    ("LLLLD", 0.2),
    ("LLLD", 0.1),
];

const NL: &[(&str, f32)] = &[
    ("LLDDDL", 1.0),
    ("LDDDLL", 0.7),
    ("DDLLLD", 1.0),
    ("DLLLDD", 0.6),
    ("DDLLLL", 0.6),
    ("LLLLDD", 0.3),
    ("LLDDLL", 0.2),
];

const PL: &[(&str, f32)] = &[
    ("LLDDDDD", 5.0),
    ("LLLDDLL", 1.5),
    ("LLDDDDL", 1.5),
    ("LLLLDDD", 1.0),
    ("LLLDDDDD", 1.0),
    ("LLDDDLL", 0.7),
    ("LLLDDDL", 0.3),
];

const IN: &[(&str, f32)] = &[
    ("LLDDLLDDDD", 8.0),
    ("LLDDLDDDD", 2.0),
    ("LLDLLLDDDD", 0.7),
    ("LLDDLLLDDDD", 0.3),
    ("LLDDDDDD", 0.3),
    ("LLDDDDDDD", 0.2),
    ("DDLLDDDDLL", 0.4),
    ("DDLLDDDDL", 0.4),
];

const MX: &[(&str, f32)] = &[
    ("LLLDDDD", 2.0),
    ("LLLDDDL", 2.0),
    ("LDDLLL", 1.0),
    ("DDDLLL", 0.7),
    ("LLDDDDD", 1.0),
    ("LDDDDD", 0.4),
    ("LLDDDDL", 0.4),
    ("LDDDLLL", 0.2),
];

const TR: &[(&str, f32)] =
    &[("DDLDDDD", 1.0), ("DDLDDDDD", 2.0), ("DDLLDDD", 2.0), ("DDLLDDDD", 2.0), ("DDLLLDD", 2.0), ("DDLLLDDD", 2.5)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PlateText;

    #[test]
    fn every_shape_is_one_that_a_plate_can_have_and_stands_once_with_its_issuer() {
        for one in ALL {
            let mut seen = std::collections::BTreeSet::new();
            for (shape, share) in one.shapes {
                assert!((4..=PlateText::MAX_LEN).contains(&shape.len()) && *share > 0.0, "{one:?}");
                assert!(shape.bytes().all(|b| b == b'L' || b == b'D') && seen.insert(shape), "{one:?}");
            }
            assert!((0.0..0.5).contains(&one.free) && !one.shapes.is_empty(), "{one:?}");
            assert!(USUAL.iter().any(|(region, _)| *region == one.region), "{one:?}");
        }
    }

    #[test]
    fn shares_of_the_regions_are_a_whole() {
        let sum: f32 = USUAL.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert!(USUAL.iter().all(|(region, _)| ALL.iter().any(|one| one.region == *region)));
    }
}
