//! The pictures of a clip, any of them at any time.

use std::time::Duration;

use watchpost::domain::{Frame, FrameFormat, PixelFormat, Pixels, TimeMs};

use super::super::Rng;
use super::camera::{Aim, Camera, Pixel, Spot};
use super::layer::{Layer, rgb};
use super::place::{LANE, street};
use super::spoil::{Sensor, spoilt};
use super::vehicle::Vehicle;
use super::{Clip, Pass};

/// A picture in planes, video range, BT.709; sides are even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture420 {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Luma, row by row.
    pub luma: Vec<u8>,
    /// Cb and Cr at half the size.
    pub chroma: [Vec<u8>; 2],
}

impl Picture420 {
    /// A black one.
    pub fn black(width: usize, height: usize) -> Self {
        let quarter = vec![128; width / 2 * (height / 2)];
        Self { width, height, luma: vec![16; width * height], chroma: [quarter.clone(), quarter] }
    }

    /// The planes one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        [self.luma.as_slice(), &self.chroma[0], &self.chroma[1]].concat()
    }
}

impl Pixels for Picture420 {
    fn plane(&self, index: usize) -> &[u8] {
        match index {
            0 => &self.luma,
            1 | 2 => &self.chroma[index - 1],
            _ => &[],
        }
    }
}

/// A clip made ready to be drawn.
pub struct Film {
    clip: Clip,
    views: Vec<View>,
    movers: Vec<Mover>,
    sensor: Sensor,
}

/// What the camera sees from some time on.
struct View {
    from_s: f32,
    camera: Camera,
    empty: Picture420,
    /// Another place: nobody passes.
    elsewhere: bool,
}

/// A pass with its vehicle and its way.
pub struct Mover {
    pub(super) pass: Pass,
    pub(super) vehicle: Vehicle,
    x: f32,
    /// Where it is at the begin, and its speed, metres a second (below 0 towards the camera).
    begin: f32,
    speed: f32,
    /// Its speed in the picture where the plate is widest, pixels a second.
    fastest: f32,
    /// What hides it, a part of the picture: left, top, right, bottom.
    sign: Option<[f32; 4]>,
}

/// How long a passer-by and his way back take, seconds.
const STROLL_S: f32 = 6.0;

/// Beyond these places, metres along the road, a vehicle is not drawn.
const SEEN: (f32, f32) = (-12.0, 160.0);

impl Mover {
    fn new(camera: &Camera, pass: &Pass, vehicle: Vehicle) -> Self {
        let x = f32::from(pass.lane) * LANE + Rng::new(pass.seed, 3).between(-0.35, 0.35);
        let mut mover = Self { pass: pass.clone(), vehicle, x, begin: 0.0, speed: 0.0, fastest: 0.0, sign: None };
        mover.begin = mover.where_wide(camera, pass.plate_px.0);
        if !pass.stands {
            mover.speed = (mover.where_wide(camera, pass.plate_px.1) - mover.begin) / pass.lasts_s.max(0.04);
            let widest = if pass.plate_px.0 > pass.plate_px.1 { pass.from_s } else { pass.from_s + pass.lasts_s };
            mover.fastest = mover.speed_in(camera, widest).map_or(0.0, |(dx, dy)| dx.hypot(dy));
            mover.sign = mover.sign_before(camera);
        }
        mover
    }

    /// Where its plate is this wide in the picture.
    fn where_wide(&self, camera: &Camera, px: f32) -> f32 {
        let (mut near, mut far) = (-10.0_f32, 400.0_f32);
        for _ in 0..40 {
            let middle = f32::midpoint(near, far);
            if self.width_at(camera, middle) > px {
                near = middle;
            } else {
                far = middle;
            }
        }
        near
    }

    fn width_at(&self, camera: &Camera, y: f32) -> f32 {
        let corners = self.vehicle.plate_corners(self.x, y).map(|p| camera.project(p));
        if corners.iter().any(|seen| seen.1 < 0.6) {
            return f32::MAX;
        }
        let [a, b, c, d] = corners.map(|seen| seen.0);
        f32::midpoint((b.0 - a.0).hypot(b.1 - a.1), (c.0 - d.0).hypot(c.1 - d.1))
    }

    /// Where it is; `None` when it is not there.
    pub(super) fn place(&self, at: f32) -> Option<f32> {
        let (pass, since) = (&self.pass, at - self.pass.from_s);
        let y = if !pass.stands {
            self.begin + self.speed * since
        } else if since < 0.0 {
            // It brakes, and drives off in the way it looks.
            self.begin + if pass.away { -1.5 } else { 1.5 } * since * since
        } else if since > pass.lasts_s {
            self.begin + if pass.away { 1.0 } else { -1.0 } * (since - pass.lasts_s).powi(2)
        } else {
            self.begin
        };
        let is_there = !pass.stands || since >= 0.0 || pass.from_s > 0.0;
        (is_there && y > SEEN.0 && y < SEEN.1).then_some(y)
    }

    /// The plate's corners in the picture.
    pub(super) fn plate(&self, camera: &Camera, at: f32) -> Option<[Pixel; 4]> {
        let seen = camera.face(&self.vehicle.plate_corners(self.x, self.place(at)?))?;
        seen.try_into().ok()
    }

    /// The box around the vehicle in the picture.
    pub(super) fn bounds(&self, camera: &Camera, at: f32) -> Option<[f32; 4]> {
        Some(around(&camera.face(&self.vehicle.bounds(self.x, self.place(at)?))?))
    }

    /// How fast the plate moves in the picture, pixels a second across and down.
    fn speed_in(&self, camera: &Camera, at: f32) -> Option<(f32, f32)> {
        let middle = |at: f32| Some(around(&self.plate(camera, at)?));
        let (a, b) = (middle(at - 0.02)?, middle(at + 0.02)?);
        Some(((b[0] + b[2] - a[0] - a[2]) / 0.08, (b[1] + b[3] - a[1] - a[3]) / 0.08))
    }

    /// A sign that the plate passes behind for the share of the pass that is to be hidden.
    fn sign_before(&self, camera: &Camera) -> Option<[f32; 4]> {
        let pass = &self.pass;
        if pass.hidden <= 0.0 {
            return None;
        }
        let mut rng = Rng::new(pass.seed, 0x51);
        let begin = rng.between(0.12, (0.8 - pass.hidden).max(0.14));
        let time = |share: f32| pass.from_s + pass.lasts_s * share;
        let [first, last] = [time(begin), time(begin + pass.hidden)].map(|t| self.plate(camera, t).map(|p| around(&p)));
        let (first, last) = (first?, last?);
        let wide = (first[2] - first[0]).max(last[2] - last[0]);
        let (left, right) = (first[0].min(last[0]) - 0.35 * wide, first[2].max(last[2]) + 0.35 * wide);
        // Its edge is reached by the plate's edge at the first time and left at the second.
        let (upper, lower) = if first[1] < last[1] { (first, last) } else { (last, first) };
        let (mut top, mut bottom) = (upper[3], lower[1]);
        if bottom - top < 1.1 * (upper[3] - upper[1]) {
            (top, bottom) = (upper[1], lower[3]);
        }
        Some([left, top, right, bottom])
    }

    /// Whether something is before the plate.
    pub(super) fn hidden(&self, camera: &Camera, at: f32) -> bool {
        let Some(plate) = self.plate(camera, at).map(|p| around(&p)) else { return false };
        let mut before: Vec<[f32; 4]> = self.sign.into_iter().collect();
        before.extend(self.stroller(camera, at).map(|s| s.bounds));
        before.iter().any(|b| b[0] < plate[2] && b[2] > plate[0] && b[1] < plate[3] && b[3] > plate[1])
    }

    /// Someone who walks before it.
    fn stroller(&self, camera: &Camera, at: f32) -> Option<Stroller> {
        let (pass, since) = (&self.pass, at - self.pass.from_s);
        if !pass.stands || pass.hidden <= 0.0 || since < 0.0 || since > pass.lasts_s {
            return None;
        }
        // Half a metre of person and the plate's width, in the share of the time that is asked for.
        let speed = (0.5 + self.vehicle.plate.size.0 / 1000.0) / (pass.hidden.min(0.9) * STROLL_S);
        let round = (since / STROLL_S).floor();
        let way = (since - (round + 0.5) * STROLL_S) * speed * if round % 2.0 == 0.0 { 1.0 } else { -1.0 };
        let (x, y) = (self.x + way, self.begin - 0.7);
        let step = 0.22 * (since * 7.0).sin();
        let flat = |points: &[(f32, f32)]| -> Option<Vec<Pixel>> {
            camera.face(&points.iter().map(|p| [x + p.0, y, p.1]).collect::<Vec<Spot>>())
        };
        let legs = [
            flat(&[(-0.14, 0.85), (0.02, 0.85), (step + 0.08, 0.0), (step - 0.1, 0.0)])?,
            flat(&[(-0.02, 0.85), (0.14, 0.85), (-step + 0.1, 0.0), (-step - 0.08, 0.0)])?,
        ];
        let body = flat(&[(-0.25, 0.55), (0.25, 0.55), (0.24, 1.35), (0.12, 1.5), (-0.12, 1.5), (-0.24, 1.35)])?;
        let round: Vec<(f32, f32)> = (0..10_u8)
            .map(|n| (f32::from(n) * std::f32::consts::TAU / 10.0).sin_cos())
            .map(|(sin, cos)| (0.11 * cos, 1.63 + 0.14 * sin))
            .collect();
        let head = flat(&round)?;
        let mut bounds = around(&body);
        bounds[3] = around(&legs[0])[3].max(around(&legs[1])[3]);
        Some(Stroller { legs, body, head, bounds })
    }
}

struct Stroller {
    legs: [Vec<Pixel>; 2],
    body: Vec<Pixel>,
    head: Vec<Pixel>,
    bounds: [f32; 4],
}

impl Film {
    /// Draws the empty street and sets everybody on his way.
    pub fn new(clip: &Clip) -> Self {
        let size = (clip.size.0 as usize / 2 * 2, clip.size.1 as usize / 2 * 2);
        let vehicles: Vec<Vehicle> = clip.passes.iter().map(Vehicle::of).collect();
        let mut scales = (f32::MAX, 0.0_f32);
        for (pass, vehicle) in clip.passes.iter().zip(&vehicles) {
            for px in [pass.plate_px.0, if pass.stands { pass.plate_px.0 * 1.2 } else { pass.plate_px.1 }] {
                let scale = px * 1000.0 / vehicle.plate.size.0;
                scales = (scales.0.min(scale), scales.1.max(scale));
            }
        }
        if scales.1 <= 0.0 {
            scales = (110.0 * size.1 as f32 / 720.0, 200.0 * size.1 as f32 / 720.0);
        }
        let aim = Aim {
            size: (size.0 as f32, size.1 as f32),
            scales,
            x: clip.passes.iter().map(|pass| f32::from(pass.lane)).sum::<f32>() * LANE
                / clip.passes.len().max(1) as f32,
            tilt_deg: clip.spoil.tilt_deg,
            yaw_deg: clip.spoil.yaw_deg,
            moved_deg: (0.0, 0.0),
        };
        let camera = |seed: u64, aim: &Aim| Camera::new(&mut Rng::new(seed, 0xca), aim);
        let first = camera(clip.seed, &aim);
        let mut views =
            vec![View { from_s: f32::MIN, camera: first, empty: street(clip.seed, &first, size), elsewhere: false }];
        if let Some(from_s) = clip.spoil.moved_at_s {
            let turned = camera(clip.seed, &Aim { moved_deg: (3.5, 1.5), ..aim });
            views.push(View { from_s, camera: turned, empty: street(clip.seed, &turned, size), elsewhere: false });
        }
        if let Some(from_s) = clip.spoil.cut_at_s {
            let seed = clip.seed ^ 0xc07;
            let other = camera(seed, &Aim { scales: (scales.0 * 0.4, scales.1 * 0.5), moved_deg: (6.0, -2.0), ..aim });
            views.push(View { from_s, camera: other, empty: street(seed, &other, size), elsewhere: true });
        }
        let movers = clip.passes.iter().zip(vehicles).map(|(pass, vehicle)| Mover::new(&first, pass, vehicle));
        let movers = movers.collect();
        let sensor = Sensor::new(clip.seed, clip.spoil.noise + 9.0 * clip.spoil.dark);
        Self { clip: clip.clone(), views, movers, sensor }
    }

    /// What is drawn.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// Who passes, as the clip has them.
    pub fn movers(&self) -> &[Mover] {
        &self.movers
    }

    /// The camera before anybody moved it.
    pub fn camera(&self) -> &Camera {
        &self.views[0].camera
    }

    fn view(&self, at: f32) -> &View {
        let begun = self.views.iter().filter(|view| view.from_s <= at);
        begun.max_by(|a, b| a.from_s.total_cmp(&b.from_s)).unwrap_or(&self.views[0])
    }

    /// Frame `n`.
    pub fn picture(&self, n: usize) -> Picture420 {
        let frozen = self.clip.spoil.frozen_at_s.map(|s| (s * self.clip.fps as f32).ceil() as usize);
        let n = frozen.map_or(n, |frozen| n.min(frozen));
        let at = self.clip.at(n);
        let view = self.view(at);
        let mut picture = view.empty.clone();
        if !view.elsewhere {
            let mut there: Vec<(f32, &Mover)> =
                self.movers.iter().filter_map(|mover| Some((mover.place(at)?, mover))).collect();
            there.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (y, mover) in there {
                self.paint(&mut picture, &view.camera, mover, y, at);
            }
            for sign in self.movers.iter().filter_map(|mover| mover.sign) {
                hung(&mut picture, sign);
            }
        }
        spoilt(&self.clip, &self.sensor, n, &mut picture);
        picture
    }

    fn paint(&self, picture: &mut Picture420, camera: &Camera, mover: &Mover, y: f32, at: f32) {
        let size = (picture.width, picture.height);
        let Some(bounds) = camera.face(&mover.vehicle.bounds(mover.x, y)).map(|points| around(&points)) else { return };
        for (ground, dark) in mover.vehicle.shadows(mover.x, y).iter().zip([0.62, 0.4]) {
            let Some(points) = camera.face(ground) else { continue };
            let b = around(&points);
            let reach = camera.scale(ground[0]) * 0.04;
            if let Some(mut layer) = Layer::new(size, (b[0] - 9.0, b[1] - 9.0), (b[2] + 9.0, b[3] + 9.0)) {
                layer.fill(&points, [0, 128, 128]);
                layer.shade(picture, dark, reach);
            }
        }
        let smear = self.smear(camera, mover, at);
        let (dx, dy) = (smear.0.abs() + 1.0, smear.1.abs() + 1.0);
        let (low, high) = ((bounds[0] - dx, bounds[1] - dy), (bounds[2] + dx, bounds[3] + dy));
        if let Some(mut layer) = Layer::new(size, low, high) {
            mover.vehicle.paint(&mut layer, camera, mover.x, y);
            layer.onto(picture, smear);
        }
        if let Some(someone) = mover.stroller(camera, at) {
            let all = around(&[someone.legs.concat(), someone.body.clone(), someone.head.clone()].concat());
            if let Some(mut layer) = Layer::new(size, (all[0], all[1]), (all[2], all[3])) {
                someone.legs.iter().for_each(|leg| layer.fill(leg, rgb(0.18, 0.2, 0.28)));
                layer.fill(&someone.body, rgb(0.35, 0.25, 0.22));
                layer.fill(&someone.head, rgb(0.3, 0.22, 0.18));
                layer.onto(picture, (0.0, 0.0));
            }
        }
    }

    /// How far, and which way, the vehicle moves in the picture while the shutter is open.
    fn smear(&self, camera: &Camera, mover: &Mover, at: f32) -> (f32, f32) {
        let Some((dx, dy)) = mover.speed_in(camera, at).filter(|v| v.0.hypot(v.1) > 1.0) else { return (0.0, 0.0) };
        let speed = dx.hypot(dy);
        let pass = &mover.pass;
        let share = if pass.even_blur || mover.fastest <= 0.0 { 1.0 } else { speed / mover.fastest };
        // The plate grows a little beyond its pass: never more than a quarter longer than what is asked for.
        let length = (pass.blur_px * share.min(1.25)).max(self.clip.spoil.smear_px);
        (dx / speed * length, dy / speed * length)
    }

    /// Frame `n`, as the analysis takes it.
    pub fn frame(&self, n: usize) -> Frame {
        let picture = self.picture(n);
        let (w, h) = (picture.width, picture.height);
        let side = |n: usize| u32::try_from(n).unwrap_or(0);
        let format = FrameFormat {
            width: side(w),
            height: side(h),
            pixels: PixelFormat::I420,
            strides: [w, w / 2, w / 2],
            full_range: false,
        };
        let pts = Duration::from_secs(n as u64) / self.clip.fps.max(1);
        Frame::new(format, TimeMs(pts.as_millis() as u64), pts, n as u64, Box::new(picture))
    }
}

/// A board seen from behind, on an arm that reaches in from the nearer side.
fn hung(picture: &mut Picture420, [left, top, right, bottom]: [f32; 4]) {
    let size = (picture.width, picture.height);
    let wide = picture.width as f32;
    let (end, middle) = (if left + right < wide { -2.0 } else { wide + 2.0 }, f32::midpoint(top, bottom));
    let rect = |l: f32, t: f32, r: f32, b: f32| [(l, t), (r, t), (r, b), (l, b)];
    let Some(mut layer) = Layer::new(size, (left.min(end), top), (right.max(end), bottom)) else { return };
    let thick = (0.06 * (bottom - top)).max(3.0);
    layer.fill(&rect(end.min(left), middle - thick, end.max(right), middle + thick), rgb(0.42, 0.43, 0.45));
    layer.fill(&rect(left, top, right, bottom), rgb(0.5, 0.51, 0.53));
    layer.fill(&rect(left + 3.0, top + 3.0, right - 3.0, bottom - 3.0), rgb(0.58, 0.59, 0.6));
    layer.fill(&rect(left, middle - thick * 0.7, right, middle + thick * 0.7), rgb(0.46, 0.47, 0.5));
    layer.onto(picture, (0.0, 0.0));
}

/// Left, top, right, bottom.
pub(super) fn around(points: &[Pixel]) -> [f32; 4] {
    let fold = |begin: f32, of: fn(f32, f32) -> f32, axis: fn(&Pixel) -> f32| points.iter().map(axis).fold(begin, of);
    [
        fold(f32::MAX, f32::min, |p| p.0),
        fold(f32::MAX, f32::min, |p| p.1),
        fold(f32::MIN, f32::max, |p| p.0),
        fold(f32::MIN, f32::max, |p| p.1),
    ]
}
