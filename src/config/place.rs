//! `[[camera.zone]]` and `[[camera.line]]`: where in a camera's picture object events happen.

use std::time::Duration;

use super::section::Section;
use super::tree::Node;
use crate::domain::{Line, PlaceId, Polygon, Way, Zone};

/// Most zones, and most lines, of one camera.
const MOST: usize = 16;

/// The zones and lines of a camera, whose names differ; those that are at fault are left out.
pub(super) fn read(s: &mut Section<'_>) -> (Vec<Zone>, Vec<Line>) {
    let zone = |mut z: Section<'_>| {
        let (zone, whole) = (zone(&mut z), z.is_there());
        z.finish();
        zone.filter(|_| whole)
    };
    let line = |mut l: Section<'_>| {
        let (line, whole) = (line(&mut l), l.is_there());
        l.finish();
        line.filter(|_| whole)
    };
    let zones: Vec<Zone> = each(s, "zone", "camera.zone", zone);
    let lines: Vec<Line> = each(s, "line", "camera.line", line);
    let names: Vec<(&str, &PlaceId)> =
        zones.iter().map(|z| ("zone", &z.name)).chain(lines.iter().map(|l| ("line", &l.name))).collect();
    let twice = names.iter().enumerate().filter(|(n, (_, name))| names.iter().take(*n).any(|(_, other)| other == name));
    for (_, (key, name)) in twice {
        s.fault(key, format!("{name} names two zones or lines of this camera; each needs its own name"));
    }
    (zones, lines)
}

fn each<T>(
    s: &mut Section<'_>,
    key: &'static str,
    doc_name: &'static str,
    mut read: impl FnMut(Section<'_>) -> Option<T>,
) -> Vec<T> {
    let nodes: Vec<&Node> = s.tables(key);
    if nodes.len() > MOST {
        s.fault(key, format!("there are {} of them, wanted at most {MOST}", nodes.len()));
    }
    let numbered = nodes.into_iter().zip(1..);
    numbered.filter_map(|(node, n)| read(s.part(&format!("{key}[{n}]"), doc_name, node))).collect()
}

fn zone(s: &mut Section<'_>) -> Option<Zone> {
    let name = s.required("name", "Name of the zone: 1–16 of `a-z0-9-`, unique among the camera's zones and lines.");
    let polygons = s.polygons(
        "points",
        "Its corners in turn, 3 to 32 `[x, y]`, shares 0–1 of the upright picture. An object is in it when the middle of its \
         box's lower edge is.",
    );
    s.must("points");
    let direction = s.real(
        "direction",
        0.0,
        359.0,
        "The way that traffic has to take in it: degrees clockwise from up in the picture; for `event = \"wrong-way\"`.",
    );
    let looks = s.number("inertia", 2, 1, 100, "Looks in a row after which an object counts as in, or as out.");
    let ms = s.number("inertia_ms", 200, 0, 10_000, "Milliseconds that it must have been so, as well.");
    if polygons.len() > 1 {
        s.fault("points", format!("has {} polygons, wanted one: make a zone of each", polygons.len()));
    }
    Some(Zone {
        name: name?,
        polygon: Polygon::new(polygons.into_iter().next()?),
        heading: direction.map(whole),
        inertia: (u32::try_from(looks).ok()?, Duration::from_millis(ms)),
    })
}

fn line(s: &mut Section<'_>) -> Option<Line> {
    let name = s.required("name", "Name of the line: 1–16 of `a-z0-9-`, unique among the camera's zones and lines.");
    let points = s.segment(
        "points",
        "Its two ends, `[[x, y], [x, y]]`, shares 0–1 of the upright picture. `forward` is from the left to the right of who \
         walks from the first to the second: over a line drawn from left to right, down the picture.",
    );
    s.must("points");
    let allowed = s.text(
        "direction",
        "The way that traffic has to take over it: `forward` or `backward`; for `event = \"wrong-way\"`.",
    );
    s.one_of(&Way::ALL.map(Way::as_str));
    let allowed = allowed.and_then(|word| way(s, "direction", &word));
    let [from, to] = points?;
    Some(Line { name: name?, from, to, allowed })
}

/// `forward` or `backward`.
pub(super) fn way(s: &mut Section<'_>, key: &str, word: &str) -> Option<Way> {
    let found = Way::ALL.into_iter().find(|way| way.as_str() == word);
    if found.is_none() {
        s.fault(key, format!("is {word:?}, wanted \"forward\" or \"backward\""));
    }
    found
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 359")]
fn whole(degrees: f64) -> u16 {
    degrees.round() as u16 % 360
}
