//! Where things of the street are seen: a pinhole camera, and how one is set up for a clip's passes.

use super::super::Rng;

/// A point of the street, metres.
pub type Spot = [f32; 3];

/// A point of the picture, pixels.
pub type Pixel = (f32, f32);

/// The highest pole, metres: a bridge over the road.
pub const HIGHEST: f32 = 10.0;

/// A camera above the road.
#[derive(Debug, Clone, Copy)]
pub struct Camera {
    at: Spot,
    /// Right, down, ahead.
    axes: [Spot; 3],
    focal: f32,
    middle: Pixel,
}

/// How a camera is to stand.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// Pixels of the picture.
    pub size: (f32, f32),
    /// Pixels a metre at the plates: the least and the most.
    pub scales: (f32, f32),
    /// What it is aimed at: metres to the right of the road's middle.
    pub x: f32,
    /// Turned about its own axis, degrees.
    pub tilt_deg: f32,
    /// Seen from the side, degrees between the road and the line of sight.
    pub yaw_deg: f32,
    /// Turned away by this from where it was set up, degrees to the right and down.
    pub moved_deg: (f32, f32),
}

impl Camera {
    /// A camera for plates of these scales: the largest is seen at the lower edge of the picture.
    pub fn new(rng: &mut Rng, aim: &Aim) -> Self {
        let (least, most) = aim.scales;
        let height = (0.92 * aim.size.1 / (most - 0.75 * least).max(1.0)).clamp(3.5, HIGHEST);
        let depression = rng.between(18.0_f32, 24.0).to_radians();
        let away = height / depression.sin();
        let focal = most * away;
        let beside = rng.between(-1.5, 1.5) - away * aim.yaw_deg.to_radians().tan();
        // The line of sight lies above that to the largest plate: that one is seen at 0.93 of the height.
        let pitch = depression - (0.43 * aim.size.1 / focal).atan() + aim.moved_deg.1.to_radians();
        let yaw = (-beside / (away * 1.25)).atan() * if aim.yaw_deg == 0.0 { 0.7 } else { 1.0 };
        let yaw = yaw + aim.moved_deg.0.to_radians();
        let ahead = [yaw.sin() * pitch.cos(), yaw.cos() * pitch.cos(), -pitch.sin()];
        let right = [yaw.cos(), -yaw.sin(), 0.0];
        let down = cross(ahead, right);
        let (sin, cos) = aim.tilt_deg.to_radians().sin_cos();
        let turned = |a: Spot, b: Spot, p: f32, q: f32| [0, 1, 2].map(|n| a[n] * p + b[n] * q);
        let axes = [turned(right, down, cos, sin), turned(down, right, cos, -sin), ahead];
        Self {
            // The largest plates are near y = 0, so that what stands beside the road is in the same place for all.
            at: [aim.x + beside, -away * depression.cos(), height + 0.5],
            axes,
            focal,
            middle: (aim.size.0 / 2.0, aim.size.1 / 2.0),
        }
    }

    /// Where a point is seen, and how far ahead it is; nearer than half a metre it is held there.
    pub fn project(&self, p: Spot) -> (Pixel, f32) {
        let from = [0, 1, 2].map(|n| p[n] - self.at[n]);
        let [x, y, z] = self.axes.map(|axis| dot(axis, from));
        let deep = z.max(0.5);
        ((self.middle.0 + self.focal * x / deep, self.middle.1 + self.focal * y / deep), z)
    }

    /// The points of a face as pixels; `None` when one is behind the camera.
    pub fn face(&self, points: &[Spot]) -> Option<Vec<Pixel>> {
        points.iter().map(|p| Some(self.project(*p)).filter(|seen| seen.1 > 0.6).map(|seen| seen.0)).collect()
    }

    /// From the camera to a point.
    pub fn towards(&self, p: Spot) -> Spot {
        [0, 1, 2].map(|n| p[n] - self.at[n])
    }

    /// Pixels a metre at a point.
    pub fn scale(&self, p: Spot) -> f32 {
        self.focal / dot(self.axes[2], self.towards(p)).max(0.5)
    }
}

/// The scalar product.
pub fn dot(a: Spot, b: Spot) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The vector product.
pub fn cross(a: Spot, b: Spot) -> Spot {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Of length one.
pub fn unit(a: Spot) -> Spot {
    let length = dot(a, a).sqrt().max(1e-6);
    a.map(|v| v / length)
}
