//! The doors of this room for the fuzz targets ([`crate::fuzz`]): what a model says of a picture.

use super::ctc::{self, Probs};
use super::detect;
use super::legend::Legend;
use super::model::{Family, Manifest, Spec, View};
use super::prior::Patterns;

/// A manifest of each family and form, those of the shipped models first.
pub(crate) const MANIFESTS: [&str; 19] = [
    include_str!("../../models/plates-1/manifest.toml"),
    include_str!("../../models/objects-1/manifest.toml"),
    include_str!("../../models/reader-1/manifest.toml"),
    include_str!("../../models/corners-1/manifest.toml"),
    include_str!("../../tests/fixtures/models/both/manifest.toml"),
    include_str!("../../tests/fixtures/models/deployed/manifest.toml"),
    include_str!("../../tests/fixtures/models/ended/manifest.toml"),
    include_str!("../../tests/fixtures/models/grid/manifest.toml"),
    include_str!("../../tests/fixtures/models/in-graph/manifest.toml"),
    include_str!("../../tests/fixtures/models/issuer/manifest.toml"),
    include_str!("../../tests/fixtures/models/kept/manifest.toml"),
    include_str!("../../tests/fixtures/models/queries/manifest.toml"),
    include_str!("../../tests/fixtures/models/query-rows/manifest.toml"),
    include_str!("../../tests/fixtures/models/slots/manifest.toml"),
    include_str!("../../tests/fixtures/models/spread/manifest.toml"),
    include_str!("../../tests/fixtures/models/strip/manifest.toml"),
    include_str!("../../tests/fixtures/models/text/manifest.toml"),
    include_str!("../../tests/fixtures/models/v5/manifest.toml"),
    include_str!("../../tests/fixtures/models/v8/manifest.toml"),
];

/// Most values of an output that are made up.
const MOST: usize = 1 << 16;

/// A byte for the manifest, four for free sizes, one for how values are made, then values: of each manifest, some of each.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let values = [0_u8, 40, 200, 255, 127, 3, 90, 250, 12, 180];
    let sample = |(number, how): (u8, u8)| [&[number, 4, 8, 3, 5, how], &values[..]].concat();
    (0_u8..19).flat_map(|number| (0..3).map(move |how| (number, how))).map(sample).collect()
}

/// Outputs of a model, finite as `Net` lets them through and otherwise anything: each becomes an error, or boxes and texts
/// that are finite and as many as there may be.
pub(crate) fn outputs(bytes: &[u8]) {
    let Some((&[which, a, b, c, d, how], values)) = bytes.split_first_chunk::<6>() else { return };
    let text = MANIFESTS.get(usize::from(which) % MANIFESTS.len()).copied().unwrap_or_default();
    let Ok(mut manifest) = Manifest::parse(text) else { return };
    if manifest.characters.is_empty() {
        manifest.characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars().map(String::from).collect();
    }
    let said = |wanted: &[Spec]| said(wanted, [a, b, c, d], how, values);
    if manifest.family.reads() {
        let legend = Legend::of(&manifest);
        let (shapes, data) = said(&legend.wanted(&manifest));
        let Ok(sight) = legend.sight(&manifest, &views(&shapes, &data), (0, 1)) else { return };
        let probs = Probs { data: &sight.steps, classes: legend.classes() };
        for patterns in [None, Some(Patterns::default())] {
            let weights = patterns.and_then(|patterns| patterns.weights(&sight.regions));
            let read = ctc::decode(probs, legend.alphabet(), 3, weights.as_ref());
            assert!(
                read.is_none_or(|read| read.confidence.is_finite() && read.candidates.len() <= ctc::MAX_CANDIDATES)
            );
        }
        let _ = ctc::best_path(probs, legend.alphabet());
    } else if manifest.family != Family::Corners {
        let heads = detect::heads(&manifest);
        let Some(wanted) = detect::wanted(&manifest, &heads) else { return };
        let (shapes, data) = said(&wanted);
        let Ok(found) =
            detect::decode((&manifest, manifest.input.size), &manifest.known_classes(), &heads, &views(&shapes, &data))
        else {
            return;
        };
        assert!(found.iter().all(|d| d.score.is_finite() && d.score <= 1.0 + 1e-3), "a score that is none: {found:?}");
    }
}

/// Outputs of the wanted shapes, free sizes chosen by `sizes`.
fn said(wanted: &[Spec], sizes: [u8; 4], how: u8, values: &[u8]) -> (Vec<Vec<i64>>, Vec<Vec<f32>>) {
    let mut all = (Vec::new(), Vec::new());
    for (number, spec) in wanted.iter().enumerate() {
        // Most often all outputs have the same cells, as of one model; at times not.
        let mut free = sizes.iter().cycle().skip(if how & 0x80 == 0 { 0 } else { number });
        let size = |n: &i64| if *n < 0 { i64::from(free.next().copied().unwrap_or(1) % 64) } else { *n };
        let shape: Vec<i64> = spec.shape_of(1).iter().map(size).collect();
        let count = shape.iter().try_fold(1_usize, |all, n| all.checked_mul(usize::try_from(*n).ok()?)).unwrap_or(0);
        if count > MOST {
            continue;
        }
        let value = |place: usize| {
            let byte = values.get(place.wrapping_mul(number + 1) % values.len().max(1)).copied().unwrap_or(0);
            match how % 4 {
                0 => f32::from(byte) / 255.0,
                1 => f32::from(byte) - 128.0,
                2 => (f32::from(byte) - 128.0) * 1e36,
                _ => {
                    let four = values.get(place * 4..place * 4 + 4).and_then(|b| b.try_into().ok());
                    four.map(f32::from_le_bytes).filter(|v| v.is_finite()).unwrap_or(0.5)
                }
            }
        };
        all.1.push((0..count).map(value).collect());
        all.0.push(shape);
    }
    all
}

fn views<'a>(shapes: &'a [Vec<i64>], data: &'a [Vec<f32>]) -> Vec<View<'a>> {
    shapes.iter().zip(data).map(|(shape, data)| View { shape, data }).collect()
}
