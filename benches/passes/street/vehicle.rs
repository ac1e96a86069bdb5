//! A vehicle: a body of faces with glass, lamps, wheels and a drawn plate at the end that the camera sees.

use super::super::camera::onto_square;
use super::super::plates::{AROUND, Plate};
use super::super::{Picture, Rng};
use super::Pass;
use super::camera::{Camera, Pixel, Spot, cross, dot, unit};
use super::layer::{Colour, Layer, rgb};

/// From where the sun shines.
const SUN: Spot = [-0.45, -0.5, 0.74];

/// What a face is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stuff {
    Paint(f32),
    Glass,
    Black,
    Chrome,
    Lamp,
    Tail,
    Amber,
    Rim,
}

/// A polygon of the vehicle: x across, y from the plate's end backwards, z up.
#[derive(Debug, Clone)]
struct Face {
    points: Vec<Spot>,
    stuff: Stuff,
}

/// One that can be painted anywhere on the road.
pub struct Vehicle {
    /// What its plate says, and whose it is.
    pub plate: Plate,
    mips: Vec<Picture>,
    /// How bright the plate is seen: whitest, 0 to 1.
    light: f32,
    paint: [f32; 3],
    wide: f32,
    long: f32,
    body: Vec<Face>,
    details: Vec<Face>,
    /// Top left, top right, bottom right, bottom left, as the camera sees them.
    plate_at: [Spot; 4],
}

/// A body's outline along its length: y, height of the top, half its width there, glass from here on; from front to rear.
type Outline = &'static [(f32, f32, f32, bool)];

/// Height of the waist, half the width below it, outline.
const BODIES: [(f32, f32, Outline); 5] = [
    (
        0.93,
        0.9,
        &[
            (0.0, 0.72, 0.8, false),
            (0.6, 0.9, 0.82, false),
            (1.15, 0.97, 0.8, true),
            (1.95, 1.42, 0.6, false),
            (3.2, 1.42, 0.6, true),
            (3.9, 1.02, 0.78, false),
            (4.5, 0.95, 0.78, false),
        ],
    ),
    (
        0.95,
        0.88,
        &[
            (0.0, 0.75, 0.78, false),
            (0.5, 0.93, 0.8, false),
            (0.95, 1.0, 0.8, true),
            (1.75, 1.5, 0.62, false),
            (3.4, 1.46, 0.62, true),
            (3.95, 1.0, 0.76, false),
            (4.0, 0.98, 0.76, false),
        ],
    ),
    (1.2, 0.98, &[(0.0, 1.0, 0.9, false), (0.6, 1.2, 0.9, true), (1.4, 1.9, 0.84, false), (5.0, 1.98, 0.86, false)]),
    (
        1.1,
        0.95,
        &[
            (0.0, 0.92, 0.84, false),
            (0.6, 1.06, 0.86, false),
            (1.2, 1.12, 0.85, true),
            (1.95, 1.68, 0.7, false),
            (4.2, 1.66, 0.68, true),
            (4.65, 1.15, 0.8, false),
            (4.7, 1.1, 0.8, false),
        ],
    ),
    (
        0.96,
        0.91,
        &[
            (0.0, 0.74, 0.8, false),
            (0.6, 0.92, 0.82, false),
            (1.2, 1.0, 0.8, true),
            (2.0, 1.45, 0.62, false),
            (4.2, 1.44, 0.62, true),
            (4.65, 1.02, 0.78, false),
            (4.7, 0.98, 0.78, false),
        ],
    ),
];

/// Red, green and blue of lacquers, as they are driven.
const PAINTS: [[f32; 3]; 9] = [
    [0.85, 0.86, 0.87],
    [0.62, 0.63, 0.65],
    [0.42, 0.43, 0.45],
    [0.12, 0.12, 0.14],
    [0.16, 0.22, 0.38],
    [0.5, 0.1, 0.1],
    [0.2, 0.3, 0.24],
    [0.62, 0.56, 0.46],
    [0.24, 0.42, 0.62],
];

impl Vehicle {
    /// The vehicle of a pass.
    pub fn of(pass: &Pass) -> Self {
        let plate = plate_of(pass);
        let mut rng = Rng::new(pass.seed, 0x7e);
        let kind = rng.below(BODIES.len());
        let (belt, wide, outline) = BODIES[kind];
        let long = outline[outline.len() - 1].0;
        let mut line: Vec<(f32, f32, f32, bool)> = outline.to_vec();
        if pass.away {
            // A strip's glass belongs to what is its front: the next point when turned round.
            line = outline.iter().rev().map(|p| (long - p.0, p.1, p.2, false)).collect();
            for (turned, strip) in line.iter_mut().zip(outline.iter().rev().skip(1)) {
                turned.3 = strip.3;
            }
        }
        let low = if kind == 2 || kind == 3 { 0.3 } else { 0.22 };
        let body = body(&line, (low, belt, wide));
        let (w, h) = (plate.size.0 / 1000.0, plate.size.1 / 1000.0);
        let face_top = line[0].1;
        let z = if pass.away && face_top > 0.9 && rng.chance(0.6) {
            (face_top - 0.3).min(0.85)
        } else {
            low + rng.between(0.2, 0.28)
        };
        let mut details =
            if pass.away { rear(&mut rng, &line, (low, wide)) } else { front(&mut rng, &line, (low, wide)) };
        details.push(block(
            (-w / 2.0 - 0.05, w / 2.0 + 0.05),
            (z - h / 2.0 - 0.04, z + h / 2.0 + 0.05),
            -0.035,
            Stuff::Paint(0.6),
        ));
        details.push(block(
            (-w / 2.0 - 0.012, w / 2.0 + 0.012),
            (z - h / 2.0 - 0.015, z + h / 2.0 + 0.012),
            -0.04,
            Stuff::Black,
        ));
        let at = |x: f32, dz: f32| [x * w / 2.0, -0.045, z + dz * h / 2.0];
        let mips = {
            let mut all = vec![plate.picture.clone()];
            for _ in 0..4 {
                all.extend(all.last().map(Picture::halved));
            }
            all
        };
        let tint = rng.between(0.85, 1.1);
        Self {
            mips,
            plate,
            light: rng.between(0.72, 0.95),
            paint: PAINTS[rng.below(PAINTS.len())].map(|v| v * tint),
            wide,
            long,
            body,
            details,
            plate_at: [at(-1.0, 1.0), at(1.0, 1.0), at(1.0, -1.0), at(-1.0, -1.0)],
        }
    }

    /// The plate's corners on the road, when its end is at (`x`, `y`).
    pub fn plate_corners(&self, x: f32, y: f32) -> [Spot; 4] {
        self.plate_at.map(|p| place(p, x, y))
    }

    /// The corners of a box around it.
    pub fn bounds(&self, x: f32, y: f32) -> Vec<Spot> {
        let top = self.body.iter().flat_map(|f| &f.points).map(|p| p[2]).fold(0.0, f32::max);
        let mut all = Vec::new();
        for side in [-1.15, 1.15] {
            for along in [-0.1, self.long + 0.1] {
                all.extend([0.0, top].map(|z| place([side * self.wide, along, z], x, y)));
            }
        }
        all
    }

    /// The dark under and beside it, as polygons on the ground.
    pub fn shadows(&self, x: f32, y: f32) -> [Vec<Spot>; 2] {
        let (w, l) = (self.wide, self.long);
        let under = [(-w - 0.05, -0.15), (w + 0.05, -0.15), (w + 0.05, l + 0.1), (-w - 0.05, l + 0.1)];
        let cast = [(-w * 0.9, 0.2), (w + 0.75, 0.75), (w + 0.75, l + 0.6), (w * 0.8, l + 0.9), (-w * 0.9, l)];
        [cast.map(|p| place([p.0, p.1, 0.01], x, y)).to_vec(), under.map(|p| place([p.0, p.1, 0.01], x, y)).to_vec()]
    }

    /// Paints it, its end with the plate at (`x`, `y`).
    pub fn paint(&self, on: &mut Layer, camera: &Camera, x: f32, y: f32) {
        let mut faces: Vec<(f32, &Face, Vec<Spot>)> = Vec::new();
        for face in &self.body {
            let points: Vec<Spot> = face.points.iter().map(|p| place(*p, x, y)).collect();
            let middle = mean(&points);
            let normal = normal(&points);
            let towards = camera.towards(middle);
            if dot(normal, towards) < 0.0 {
                faces.push((dot(towards, towards), face, points));
            }
        }
        faces.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, face, points) in &faces {
            if let Some(seen) = camera.face(points) {
                on.fill(&seen, self.colour(face.stuff, normal(points), camera.towards(mean(points))));
            }
        }
        for face in &self.details {
            let points: Vec<Spot> = face.points.iter().map(|p| place(*p, x, y)).collect();
            let towards = camera.towards(mean(&points));
            if dot(normal(&points), towards) < 0.0
                && let Some(seen) = camera.face(&points)
            {
                on.fill(&seen, self.colour(face.stuff, normal(&points), towards));
            }
        }
        self.paint_plate(on, camera, x, y);
    }

    fn paint_plate(&self, on: &mut Layer, camera: &Camera, x: f32, y: f32) {
        let Some(seen) = camera.face(&self.plate_corners(x, y)) else { return };
        let corners: [Pixel; 4] = [seen[0], seen[1], seen[2], seen[3]];
        let (w, h) = self.plate.size;
        // The layer has two points a pixel.
        let scale = 2.0 * (corners[1].0 - corners[0].0).hypot(corners[1].1 - corners[0].1) / w;
        let level = ((1.0 / scale.max(1e-3)).log2().max(0.0) as usize).min(self.mips.len() - 1);
        let texture = &self.mips[level];
        let shrink = texture.width as f32 / self.plate.picture.width as f32;
        let back = onto_square(&corners);
        on.paint(&corners, |px, py| {
            let (u, v) = back(px, py);
            let value = texture.sample((AROUND + u * w) * shrink, (AROUND + v * h) * shrink);
            (16.0 + value * self.light * 219.0 / 255.0).clamp(16.0, 235.0) as u8
        });
    }

    /// How a face looks: its own colour by the sun and the sky, and what it mirrors.
    fn colour(&self, stuff: Stuff, normal: Spot, towards: Spot) -> Colour {
        let sun = dot(normal, unit(SUN)).max(0.0);
        let light = 0.42 + 0.2 * normal[2].max(0.0) + 0.5 * sun;
        let view = unit(towards);
        let mirror = [0, 1, 2].map(|n| view[n] - 2.0 * dot(view, normal) * normal[n]);
        let sky = 0.25 + 0.75 * (mirror[2] * 1.5).clamp(0.0, 1.0);
        let (own, gloss) = match stuff {
            Stuff::Paint(shade) => (self.paint.map(|v| v * shade), 0.16),
            Stuff::Glass => ([0.07, 0.08, 0.09], 0.32),
            Stuff::Black => ([0.07, 0.07, 0.075], 0.03),
            Stuff::Chrome => ([0.55, 0.56, 0.58], 0.3),
            Stuff::Lamp => ([0.8, 0.82, 0.85], 0.2),
            Stuff::Tail => ([0.55, 0.06, 0.06], 0.1),
            Stuff::Amber => ([0.75, 0.4, 0.08], 0.1),
            Stuff::Rim => ([0.4, 0.41, 0.43], 0.1),
        };
        let [r, g, b] = own.map(|v| v * light * (1.0 - gloss) + gloss * sky * 0.85);
        rgb(r, g, b)
    }
}

/// The plate of a pass: of its region, where one is asked for.
fn plate_of(pass: &Pass) -> Plate {
    let mut seed = pass.seed;
    loop {
        let plate = Plate::random(&mut Rng::new(seed, 0x91));
        if pass.region.is_none_or(|wanted| wanted == plate.region) {
            return plate;
        }
        seed = seed.wrapping_add(0x1_0000_0001);
    }
}

/// The hull: its end, its top in strips, its sides below and above the waist.
fn body(line: &[(f32, f32, f32, bool)], (low, belt, wide): (f32, f32, f32)) -> Vec<Face> {
    let mut faces = Vec::new();
    let mut add = |points: [Spot; 4], stuff: Stuff| faces.push(Face { points: points.to_vec(), stuff });
    let (z0, w0) = (line[0].1, line[0].2);
    let middle = f32::midpoint(low, z0);
    add([[-wide, 0.0, low], [wide, 0.0, low], [wide, 0.0, middle], [-wide, 0.0, middle]], Stuff::Paint(0.9));
    add([[-wide, 0.0, middle], [wide, 0.0, middle], [w0, 0.06, z0], [-w0, 0.06, z0]], Stuff::Paint(1.0));
    for pair in line.windows(2) {
        let ((y1, z1, w1, glass), (y2, z2, w2, _)) = (pair[0], pair[1]);
        let stuff = if glass { Stuff::Glass } else { Stuff::Paint(1.0) };
        // In thirds: a strip is bent, not flat.
        for third in 0..3_u8 {
            let (a, b) = (f32::from(third) / 3.0, f32::from(third + 1) / 3.0);
            let at = |t: f32| (y1 + (y2 - y1) * t, z1 + (z2 - z1) * t, w1 + (w2 - w1) * t);
            let ((ya, za, wa), (yb, zb, wb)) = (at(a), at(b));
            let shade = match stuff {
                Stuff::Paint(_) => Stuff::Paint(1.0 - 0.04 * f32::from(third)),
                other => other,
            };
            add([[-wa, ya, za], [wa, ya, za], [wb, yb, zb], [-wb, yb, zb]], shade);
        }
        for side in [-1.0, 1.0] {
            let mut quad = |points: [Spot; 4], stuff: Stuff| {
                let turned = if side > 0.0 { points } else { [points[3], points[2], points[1], points[0]] };
                add(turned, stuff);
            };
            let (b1, b2) = (belt.min(z1), belt.min(z2));
            quad(
                [[side * wide, y1, low], [side * wide, y2, low], [side * wide, y2, b2], [side * wide, y1, b1]],
                Stuff::Paint(1.0),
            );
            if z1 > b1 || z2 > b2 {
                quad(
                    [[side * wide, y1, b1], [side * wide, y2, b2], [side * w2, y2, z2], [side * w1, y1, z1]],
                    Stuff::Glass,
                );
            } else {
                quad(
                    [[side * wide, y1, b1], [side * wide, y2, b2], [side * w2, y2, z2], [side * w1, y1, z1]],
                    Stuff::Paint(1.0),
                );
            }
        }
    }
    faces
}

/// A rectangle on the end, this far out of it.
fn block((x1, x2): (f32, f32), (z1, z2): (f32, f32), y: f32, stuff: Stuff) -> Face {
    Face { points: vec![[x1, y, z1], [x2, y, z1], [x2, y, z2], [x1, y, z2]], stuff }
}

/// The same on both sides.
fn pair((x1, x2): (f32, f32), (z1, z2): (f32, f32), y: f32, stuff: Stuff) -> [Face; 2] {
    [block((x1, x2), (z1, z2), y, stuff), block((-x2, -x1), (z1, z2), y, stuff)]
}

fn front(rng: &mut Rng, line: &[(f32, f32, f32, bool)], (low, wide): (f32, f32)) -> Vec<Face> {
    let top = line[0].1;
    let h = top - low;
    let mut all = wheels(line, wide);
    all.push(block((-wide * 0.95, wide * 0.95), (low - 0.06, low + 0.12 * h), -0.01, Stuff::Black));
    all.push(block((-wide * 0.6, wide * 0.6), (low + 0.14 * h, low + 0.34 * h), -0.015, Stuff::Black));
    let (g1, g2) = (low + h * rng.between(0.62, 0.68), low + h * rng.between(0.86, 0.94));
    let grille = wide * rng.between(0.4, 0.52);
    all.push(block((-grille, grille), (g1, g2), 0.02, Stuff::Black));
    for bar in 0..3_u8 {
        let z = g1 + (g2 - g1) * (0.2 + 0.3 * f32::from(bar));
        all.push(block((-grille * 0.96, grille * 0.96), (z, z + 0.018), 0.015, Stuff::Chrome));
    }
    all.push(block((-0.055, 0.055), (f32::midpoint(g1, g2) - 0.05, f32::midpoint(g1, g2) + 0.05), 0.01, Stuff::Chrome));
    all.extend(pair((wide * 0.6, wide * 0.96), (low + 0.6 * h, low + 0.9 * h), 0.02, Stuff::Lamp));
    all.extend(pair((wide * 0.68, wide * 0.8), (low + 0.66 * h, low + 0.84 * h), 0.015, Stuff::Glass));
    all.extend(pair((wide * 0.9, wide * 0.97), (low + 0.62 * h, low + 0.76 * h), 0.015, Stuff::Amber));
    if rng.chance(0.6) {
        all.extend(pair((wide * 0.72, wide * 0.86), (low + 0.2 * h, low + 0.34 * h), -0.015, Stuff::Chrome));
    }
    let (y, z) = line.iter().find(|p| p.3).map_or((1.0, 1.0), |p| (p.0, p.1));
    for side in [-1.0_f32, 1.0] {
        let (a, b) = if side > 0.0 { (wide, wide + 0.2) } else { (-wide - 0.2, -wide) };
        all.push(Face {
            points: vec![
                [a, y + 0.35, z + 0.05],
                [b, y + 0.35, z + 0.05],
                [b, y + 0.35, z + 0.2],
                [a, y + 0.35, z + 0.2],
            ],
            stuff: Stuff::Paint(0.9),
        });
    }
    all
}

fn rear(rng: &mut Rng, line: &[(f32, f32, f32, bool)], (low, wide): (f32, f32)) -> Vec<Face> {
    let top = line[0].1;
    let h = top - low;
    let mut all = wheels(line, wide);
    all.push(block((-wide * 0.95, wide * 0.95), (low - 0.05, low + 0.12), -0.01, Stuff::Black));
    all.push(block((-wide * 0.97, wide * 0.97), (low + 0.38, low + 0.4), -0.005, Stuff::Black));
    let (z1, z2) = if top > 1.5 { (low + 0.35 * h, low + 0.62 * h) } else { (low + 0.58 * h, low + 0.88 * h) };
    all.extend(pair((wide * rng.between(0.66, 0.78), wide * 0.97), (z1, z2), -0.008, Stuff::Tail));
    all.extend(pair((wide * 0.82, wide * 0.95), (z1 + 0.2 * (z2 - z1), z1 + 0.45 * (z2 - z1)), -0.012, Stuff::Amber));
    if top > 1.5 {
        all.extend(pair((0.05, wide * 0.8), (top - 0.75, top - 0.15), -0.006, Stuff::Glass));
        all.push(block((-0.012, 0.012), (low + 0.1, top), -0.008, Stuff::Black));
    } else {
        all.push(block((-0.06, 0.06), (top - 0.13, top - 0.06), -0.006, Stuff::Chrome));
    }
    if rng.chance(0.5) {
        all.push(block((wide * 0.45, wide * 0.6), (low - 0.04, low + 0.03), -0.015, Stuff::Chrome));
    }
    all
}

/// Discs at both sides, and the treads that are seen under the end.
fn wheels(line: &[(f32, f32, f32, bool)], wide: f32) -> Vec<Face> {
    let long = line[line.len() - 1].0;
    let mut all = Vec::new();
    for side in [-1.0_f32, 1.0] {
        let (a, b) = if side > 0.0 { (wide - 0.24, wide - 0.03) } else { (-wide + 0.03, -wide + 0.24) };
        all.push(block((a, b), (0.0, 0.3), 0.02, Stuff::Black));
        for y in [0.85, long - 0.85] {
            for (radius, stuff) in [(0.33, Stuff::Black), (0.21, Stuff::Rim)] {
                let mut points: Vec<Spot> = (0..14_u8)
                    .map(|n| {
                        let (sin, cos) = (f32::from(n) * std::f32::consts::TAU / 14.0).sin_cos();
                        [side * (wide + 0.01), y + radius * cos, 0.32 + radius * sin]
                    })
                    .collect();
                if side < 0.0 {
                    points.reverse();
                }
                all.push(Face { points, stuff });
            }
        }
    }
    all
}

fn place(p: Spot, x: f32, y: f32) -> Spot {
    [p[0] + x, p[1] + y, p[2]]
}

fn mean(points: &[Spot]) -> Spot {
    let count = points.len().max(1) as f32;
    [0, 1, 2].map(|n| points.iter().map(|p| p[n]).sum::<f32>() / count)
}

fn normal(points: &[Spot]) -> Spot {
    let third = points.len() / 3;
    let [a, b, c] = [points[0], points[third.max(1)], points[(2 * third).max(2).min(points.len() - 1)]];
    unit(cross([0, 1, 2].map(|n| b[n] - a[n]), [0, 1, 2].map(|n| c[n] - a[n])))
}
