//! A pass as a camera sees it: the plate comes near and grows, and one kind of damage lies over it.

use std::time::Duration;

use watchpost::domain::{Class, Detection, Frame, FrameFormat, PixelFormat, Pixels, Point, Quad, Rect, TimeMs};

use super::plates::{AROUND, Plate};
use super::{Picture, Rng, coded};

/// What is hard about a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but distance and a detector's error.
    Clear,
    /// A long exposure: smeared by up to half a letter.
    Motion,
    /// Out of focus, more and less.
    Focus,
    /// Posts and passers-by before it.
    Hidden,
    /// Glare that wanders, an exposure that swings.
    Light,
    /// Little contrast, much noise.
    Night,
    /// Seen at 20 to 60 degrees, more so when near.
    Angle,
    /// H.264 of a low rate.
    Coded,
    /// It never comes near: letters of 5 to 9 pixels.
    Far,
    /// In every eighth frame another vehicle's plate, some in a row.
    Swapped,
    /// Some of all.
    Mixed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Clear,
        Self::Motion,
        Self::Focus,
        Self::Hidden,
        Self::Light,
        Self::Night,
        Self::Angle,
        Self::Coded,
        Self::Far,
        Self::Swapped,
        Self::Mixed,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Motion => "motion blur",
            Self::Focus => "out of focus",
            Self::Hidden => "partly hidden",
            Self::Light => "glare, exposure",
            Self::Night => "dark, noise",
            Self::Angle => "angle",
            Self::Coded => "H.264",
            Self::Far => "far",
            Self::Swapped => "another plate at times",
            Self::Mixed => "mixed",
        }
    }
}

/// One frame and what a detector found in it.
#[derive(Debug)]
pub struct Shot {
    /// The picture around the plate.
    pub frame: Frame,
    /// The plate, with the detector's error.
    pub plate: Detection,
}

/// One vehicle's pass.
#[derive(Debug)]
pub struct Pass {
    /// What its plate says.
    pub text: String,
    /// Whose layout it has.
    pub region: &'static str,
    /// Its frames in order.
    pub shots: Vec<Shot>,
}

/// Size of the drawn part of the frame.
pub const SIZE: (usize, usize) = (320, 144);

/// Focal length in pixels: how strongly what is near is larger.
const FOCAL: f32 = 1500.0;

/// Draws a pass.
///
/// # Errors
/// What the H.264 encoder or decoder says.
pub fn pass(kind: Kind, seed: u64) -> Result<Pass, String> {
    let mut rng = Rng::new(seed, kind as u64 + 1);
    let plate = Plate::random(&mut rng);
    let other = Plate::random(&mut rng);
    let frames = 15 + rng.below(14);
    let mut way = Way::new(kind, &mut rng);
    let mut swapped = 0_usize;
    let (mut pictures, mut plates) = (Vec::new(), Vec::new());
    let mips = [mips(&plate), mips(&other)];
    for n in 0..frames {
        let t = n as f32 / (frames - 1) as f32;
        let view = way.view(&mut rng, t, &plate);
        if kind == Kind::Swapped && swapped == 0 && rng.chance(0.08) {
            swapped = 1 + rng.below(3);
        }
        let (shown, mips) = if swapped > 0 { (&other, &mips[1]) } else { (&plate, &mips[0]) };
        swapped = swapped.saturating_sub(1);
        let corners = view.corners(shown);
        pictures.push(view.picture(&mut rng, shown, mips, &corners));
        plates.push(way.found(&mut rng, &corners));
    }
    let pictures = match way.quantiser {
        Some(quantiser) => coded::through_h264(&pictures, SIZE, quantiser)?,
        None => pictures,
    };
    let shots = pictures.into_iter().zip(plates).enumerate();
    let shots =
        shots.map(|(n, (luma, plate))| Shot { frame: frame(luma, n, way.quantiser.is_none()), plate }).collect();
    Ok(Pass { text: plate.text, region: plate.region, shots })
}

struct Grey(Vec<u8>, Vec<u8>);

impl Pixels for Grey {
    fn plane(&self, index: usize) -> &[u8] {
        if index == 0 { &self.0 } else { &self.1 }
    }
}

fn frame(luma: Vec<u8>, index: usize, full_range: bool) -> Frame {
    let (w, h) = SIZE;
    let side = |n: usize| u32::try_from(n).unwrap_or(0);
    let format = FrameFormat {
        width: side(w),
        height: side(h),
        pixels: PixelFormat::I420,
        strides: [w, w / 2, w / 2],
        full_range,
    };
    let at = 40 * index as u64;
    let pixels = Grey(luma, vec![128; w * h / 4]);
    Frame::new(format, TimeMs(at), Duration::from_millis(at), index as u64, Box::new(pixels))
}

/// The plate's picture in halves of its size.
fn mips(plate: &Plate) -> Vec<Picture> {
    let mut all = vec![plate.picture.clone()];
    for _ in 0..4 {
        all.extend(all.last().map(Picture::halved));
    }
    all
}

/// What stays the same, or goes on, over a pass.
struct Way {
    kind: Kind,
    /// Heights of the letters at the beginning and the end, pixels.
    letters: (f32, f32),
    yaw: (f32, f32),
    pitch: f32,
    roll: f32,
    soft: f32,
    noise: f32,
    /// How strong the damage is, 0 to 1, and where in its cycle it begins.
    strength: f32,
    phase: f32,
    direction: f32,
    shade: f32,
    bar: f32,
    gain: f32,
    shift: (f32, f32),
    quantiser: Option<usize>,
    /// Which damages a mixed pass has.
    mix: usize,
}

impl Way {
    fn new(kind: Kind, rng: &mut Rng) -> Self {
        let first = rng.between(5.5, 7.5);
        let letters =
            if kind == Kind::Far { (first, first * rng.between(1.0, 1.2)) } else { (first, rng.between(13.0, 25.0)) };
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let yaw = if kind == Kind::Angle {
            (side * rng.between(0.3, 0.6), side * rng.between(0.75, 1.08))
        } else {
            (rng.between(-0.3, 0.3), rng.between(-0.4, 0.4))
        };
        let strength = rng.between(0.25, 1.0);
        let mix = rng.below(32);
        let is_coded = kind == Kind::Coded || kind == Kind::Mixed && mix >> 4 & 1 == 1;
        Self {
            kind,
            letters,
            yaw,
            pitch: if kind == Kind::Angle { rng.between(-0.5, 0.5) } else { rng.between(-0.1, 0.35) },
            roll: if kind == Kind::Angle { rng.between(-0.22, 0.22) } else { rng.between(-0.07, 0.07) },
            soft: rng.between(0.4, 0.65),
            noise: rng.between(1.5, 3.5),
            strength,
            phase: rng.share(),
            direction: if rng.chance(0.7) { rng.between(-0.4, 0.4) } else { rng.between(1.2, 1.9) },
            shade: if rng.chance(0.6) { rng.between(10.0, 70.0) } else { rng.between(120.0, 230.0) },
            bar: rng.between(0.06, 0.16),
            gain: 0.0,
            shift: (0.0, 0.0),
            // Farther than the rest of a frame from what an encoder spends bits on.
            quantiser: is_coded.then(|| 30 + rng.below(11)),
            mix,
        }
    }

    /// Whether this pass has a damage; a mixed one has several.
    fn has(&self, kind: Kind, bit: usize) -> bool {
        self.kind == kind || self.kind == Kind::Mixed && self.mix >> bit & 1 == 1
    }

    /// How the camera sees at `t` of the way, 0 to 1.
    fn view(&mut self, rng: &mut Rng, t: f32, plate: &Plate) -> View {
        let (from, to) = self.letters;
        let letters = 1.0 / (1.0 / from + (1.0 / to - 1.0 / from) * t);
        let weak = if self.kind == Kind::Mixed { 0.6 } else { 1.0 };
        let strength = self.strength * weak;
        let mut view = View {
            scale: letters / plate.letters,
            yaw: self.yaw.0 + (self.yaw.1 - self.yaw.0) * t,
            pitch: self.pitch,
            roll: self.roll,
            centre: (SIZE.0 as f32 / 2.0 + rng.between(-6.0, 6.0), SIZE.1 as f32 / 2.0 + rng.between(-4.0, 4.0)),
            smear: (0.0, 0.0),
            blur: self.soft,
            contrast: 1.0,
            lift: 0.0,
            noise: self.noise,
            glare: None,
            bars: Vec::new(),
        };
        if self.has(Kind::Motion, 0) {
            let sharp = if rng.chance(0.15) { 0.3 } else { 1.0 };
            let length = letters * 0.5 * strength * sharp * rng.between(0.7, 1.2);
            view.smear = (length * self.direction.cos(), length * self.direction.sin());
        }
        if self.has(Kind::Focus, 1) {
            let hunting = 1.0 + 0.4 * (9.0 * t + 6.0 * self.phase).sin();
            view.blur = view.blur.max(letters * 0.14 * strength * hunting);
        }
        if self.has(Kind::Hidden, 2) {
            let along = |speed: f32, phase: f32| ((t * speed + phase) % 1.0) * 1.5 - 0.25;
            view.bars.push((along(1.6, self.phase), self.bar, self.shade));
            if strength > 0.5 {
                view.bars.push((along(-0.9, 1.0 + self.phase * 0.7), self.bar * 0.7, self.shade * 0.8));
            }
        }
        if self.has(Kind::Light, 3) {
            self.gain = 0.85 * self.gain + 0.5 * rng.normal();
            view.contrast = (1.0 + 0.35 * strength * self.gain).clamp(0.3, 2.6);
            let place = (1.3 * ((t * 0.8 + self.phase) % 1.0) - 0.15, 0.3 + 0.4 * self.phase);
            view.glare = Some((place, rng.between(0.1, 0.22), 220.0 * strength));
        }
        if self.has(Kind::Night, 4) && self.kind != Kind::Mixed {
            view.contrast = 0.55 - 0.4 * strength;
            view.lift = 25.0;
            view.noise = 5.0 + 9.0 * strength;
        }
        view
    }

    /// The plate as a detector would tell it.
    fn found(&mut self, rng: &mut Rng, corners: &[(f32, f32); 4]) -> Detection {
        let quad = Quad { points: corners.map(|(x, y)| Point { x, y }) };
        let bounds = quad.bounds();
        let (w, h) = (bounds.width(), bounds.height());
        // A detector errs alike in frames that follow each other.
        self.shift.0 = 0.7 * self.shift.0 + rng.normal() * (0.008 * w + 0.15);
        self.shift.1 = 0.7 * self.shift.1 + rng.normal() * (0.025 * h + 0.15);
        let mut points = quad.points.map(|p| Point {
            x: p.x + self.shift.0 + rng.normal() * (0.008 * w + 0.15),
            y: p.y + self.shift.1 + rng.normal() * (0.025 * h + 0.15),
        });
        if rng.chance(0.04) {
            // An end is cut off.
            let (cut, left) = (rng.between(0.05, 0.13), rng.chance(0.5));
            let [a, b, c, d] = &mut points;
            for (near, far) in if left { [(a, &*b), (d, &*c)] } else { [(b, &*a), (c, &*d)] } {
                near.x += (far.x - near.x) * cut;
                near.y += (far.y - near.y) * cut;
            }
        }
        let corners = Quad { points };
        let b = corners.bounds();
        let mut edge = |v: f32, side: f32| v + rng.normal() * 0.01 * side;
        let rect = Rect::new(edge(b.x1, w), edge(b.y1, h), edge(b.x2, w), edge(b.y2, h));
        let score = (0.4 + 0.5 * (w / 110.0).min(1.0) + 0.08 * rng.normal()).clamp(0.2, 0.97);
        Detection { class: Class::Plate, score, rect, corners: Some(corners) }
    }
}

/// One frame's view.
struct View {
    /// Pixels a millimetre.
    scale: f32,
    yaw: f32,
    pitch: f32,
    roll: f32,
    centre: (f32, f32),
    smear: (f32, f32),
    blur: f32,
    contrast: f32,
    lift: f32,
    noise: f32,
    /// Place on the plate (shares of its sides), radius in its widths, strength.
    glare: Option<((f32, f32), f32, f32)>,
    /// Middle and half of the width in the plate's widths, and brightness.
    bars: Vec<(f32, f32, f32)>,
}

impl View {
    /// Where the plate's corners are seen: top left, top right, bottom right, bottom left.
    fn corners(&self, plate: &Plate) -> [(f32, f32); 4] {
        let (w, h) = (plate.size.0 / 2.0, plate.size.1 / 2.0);
        [(-w, -h), (w, -h), (w, h), (-w, h)].map(|(x, y)| {
            let (x, y) = (x * self.roll.cos() - y * self.roll.sin(), x * self.roll.sin() + y * self.roll.cos());
            let deep = FOCAL / self.scale + x * self.yaw.sin() + y * self.pitch.sin();
            (self.centre.0 + FOCAL * x * self.yaw.cos() / deep, self.centre.1 + FOCAL * y * self.pitch.cos() / deep)
        })
    }

    /// The picture, as bytes of luma.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held to a byte, and to a mip")]
    fn picture(&self, rng: &mut Rng, plate: &Plate, mips: &[Picture], corners: &[(f32, f32); 4]) -> Vec<u8> {
        let level = (1.0 / self.scale).log2().max(0.0) as usize;
        let Some(texture) = mips.get(level.min(mips.len() - 1)) else { return Vec::new() };
        let shrink = texture.width as f32 / plate.picture.width as f32;
        let back = onto_square(corners);
        let (w, h) = plate.size;
        let bounds = Quad { points: corners.map(|(x, y)| Point { x, y }) }.bounds();
        let near = bounds.grown(8.0 + 0.12 * bounds.width()).clamped(SIZE.0 as f32, SIZE.1 as f32);
        let (left, top) = (near.x1.floor(), near.y1.floor());
        let mut seen = Picture::flat((near.x2 - left) as usize, (near.y2 - top) as usize, 0.0);
        seen.each(|x, y, value| {
            for (dx, dy) in SPOTS {
                let (u, v) = back(left + x + dx, top + y + dy);
                let light = texture.sample((AROUND + u * w) * shrink, (AROUND + v * h) * shrink);
                *value += self.lit(light, (u, v), h / w) / SPOTS.len() as f32;
            }
        });
        let seen = seen.smeared(self.smear.0, self.smear.1).blurred(self.blur);
        let mut tone = |v: f32| {
            let v = v * self.contrast + self.lift + rng.normal() * self.noise;
            v.round().clamp(0.0, 255.0) as u8
        };
        let mut out = vec![tone(plate.picture.sample(4.0, 4.0)); SIZE.0 * SIZE.1];
        let rows = out.chunks_exact_mut(SIZE.0).skip(top as usize);
        for (row, values) in rows.zip(seen.values.chunks_exact(seen.width.max(1))) {
            for (out, value) in row.iter_mut().skip(left as usize).zip(values) {
                *out = tone(*value);
            }
        }
        out
    }

    /// What reaches the camera from a place of the plate, in shares of its sides; `shape` is its height by its width.
    fn lit(&self, mut light: f32, (u, v): (f32, f32), shape: f32) -> f32 {
        for (middle, half, shade) in &self.bars {
            if (u - middle + 0.04 * (v - 0.5)).abs() < *half {
                light = *shade;
            }
        }
        if let Some(((gu, gv), radius, strength)) = self.glare {
            let away = ((u - gu) / radius).powi(2) + ((v - gv) * shape / radius).powi(2);
            light += strength * (-away).exp();
        }
        light
    }
}

/// Where within a pixel it is sampled.
const SPOTS: [(f32, f32); 5] = [(0.0, 0.0), (-0.3, -0.15), (0.15, -0.3), (0.3, 0.15), (-0.15, 0.3)];

/// From the picture to the unit square of a quadrilateral: the inverse of Heckbert 1989, section 2.2.3.
pub fn onto_square(corners: &[(f32, f32); 4]) -> impl Fn(f32, f32) -> (f32, f32) {
    let [p0, p1, p2, p3] = *corners;
    let (sx, sy) = (p0.0 - p1.0 + p2.0 - p3.0, p0.1 - p1.1 + p2.1 - p3.1);
    let (dx1, dx2, dy1, dy2) = (p1.0 - p2.0, p3.0 - p2.0, p1.1 - p2.1, p3.1 - p2.1);
    let det = dx1 * dy2 - dx2 * dy1;
    let (g, h) = ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det);
    let (a, b, c) = (p1.0 - p0.0 + g * p1.0, p3.0 - p0.0 + h * p3.0, p0.0);
    let (d, e, f) = (p1.1 - p0.1 + g * p1.1, p3.1 - p0.1 + h * p3.1, p0.1);
    move |x, y| {
        let u = (e - f * h) * x + (c * h - b) * y + (b * f - c * e);
        let v = (f * g - d) * x + (a - c * g) * y + (c * d - a * f);
        let w = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d);
        (u / w, v / w)
    }
}
