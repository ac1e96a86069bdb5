//! What polygons are painted on: twice the picture's size, then laid over it, smeared along a way.
//!
//! Rows are filled, not pixels set: it must be bearable in a debug build.

use super::camera::Pixel;
use super::film::Picture420;

/// Y, Cb, Cr of video range, BT.709.
pub type Colour = [u8; 3];

/// A colour of red, green and blue, 0 to 1 as a screen shows them.
pub fn rgb(r: f32, g: f32, b: f32) -> Colour {
    let [r, g, b] = [r, g, b].map(|v| v.clamp(0.0, 1.0));
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let byte = |v: f32| v.round().clamp(0.0, 255.0) as u8;
    [byte(16.0 + 219.0 * y), byte(128.0 + 224.0 * (b - y) / 1.8556), byte(128.0 + 224.0 * (r - y) / 1.5748)]
}

/// A part of the picture, with what covers it.
pub struct Layer {
    left: i32,
    top: i32,
    width: usize,
    height: usize,
    /// Twice as wide and high; 0 where nothing covers.
    luma: Vec<u8>,
    cover: Vec<u8>,
    chroma: [Vec<u8>; 2],
}

impl Layer {
    /// An empty one for the part of a picture between two corners; `None` when that is outside.
    pub fn new(size: (usize, usize), low: Pixel, high: Pixel) -> Option<Self> {
        let held = |v: f32, most: usize| (v as i32).clamp(0, most as i32) / 2 * 2;
        let (left, top) = (held(low.0 - 2.0, size.0), held(low.1 - 2.0, size.1));
        let (right, bottom) = (held(high.0 + 3.0, size.0), held(high.1 + 3.0, size.1));
        let (width, height) = (usize::try_from(right - left).ok()?, usize::try_from(bottom - top).ok()?);
        (width > 1 && height > 1).then(|| Self {
            left,
            top,
            width,
            height,
            luma: vec![0; 4 * width * height],
            cover: vec![0; 4 * width * height],
            chroma: [vec![128; width * height], vec![128; width * height]],
        })
    }

    /// Fills a polygon.
    pub fn fill(&mut self, points: &[Pixel], colour: Colour) {
        let (left, top, width, height) = (self.left as f32, self.top as f32, self.width, self.height);
        let fine: Vec<Pixel> = points.iter().map(|p| (2.0 * (p.0 - left), 2.0 * (p.1 - top))).collect();
        rows(&fine, 2 * width, 2 * height, |row, from, to| {
            self.luma[row * 2 * width + from..row * 2 * width + to].fill(colour[0]);
            self.cover[row * 2 * width + from..row * 2 * width + to].fill(1);
        });
        let coarse: Vec<Pixel> = points.iter().map(|p| (p.0 - left, p.1 - top)).collect();
        rows(&coarse, width, height, |row, from, to| {
            for (plane, value) in self.chroma.iter_mut().zip([colour[1], colour[2]]) {
                plane[row * width + from..row * width + to].fill(value);
            }
        });
    }

    /// Paints each point of a polygon by a function of its place in the picture; grey.
    pub fn paint(&mut self, points: &[Pixel], mut value: impl FnMut(f32, f32) -> u8) {
        self.fill(points, [128, 128, 128]);
        let (left, top, width, height) = (self.left as f32, self.top as f32, self.width, self.height);
        let fine: Vec<Pixel> = points.iter().map(|p| (2.0 * (p.0 - left), 2.0 * (p.1 - top))).collect();
        rows(&fine, 2 * width, 2 * height, |row, from, to| {
            let y = top + 0.5 * row as f32 + 0.25;
            for (n, out) in self.luma[row * 2 * width + from..row * 2 * width + to].iter_mut().enumerate() {
                *out = value(left + 0.5 * (from + n) as f32 + 0.25, y);
            }
        });
    }

    /// Means of fours: four times the luma and the cover of a pixel.
    fn halved(&self) -> (Vec<u16>, Vec<u16>) {
        let (w, wide) = (self.width, 2 * self.width);
        let mut both = (vec![0_u16; w * self.height], vec![0_u16; w * self.height]);
        for (from, to) in [(&self.luma, &mut both.0), (&self.cover, &mut both.1)] {
            for (out, pair) in to.chunks_exact_mut(w).zip(from.chunks_exact(2 * wide)) {
                let (upper, lower) = pair.split_at(wide);
                for (out, (a, b)) in out.iter_mut().zip(upper.chunks_exact(2).zip(lower.chunks_exact(2))) {
                    *out = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
                }
            }
        }
        both
    }

    /// Lays it over a picture, smeared along a way of this length.
    pub fn onto(&self, picture: &mut Picture420, (dx, dy): (f32, f32)) {
        let (w, h) = (self.width, self.height);
        let (luma, cover) = self.halved();
        let length = dx.hypot(dy);
        let taps = if length < 0.75 { 1 } else { (length + 1.0).ceil() as usize };
        let (mut light, mut covered) = (vec![0_u16; w * h], vec![0_u16; w * h]);
        for tap in 0..taps {
            let along = if taps == 1 { 0.0 } else { (tap as f32 + 0.5) / taps as f32 - 0.5 };
            let (sx, sy) = ((along * dx).round() as isize, (along * dy).round() as isize);
            add_shifted(&mut light, &luma, (w, h), (sx, sy));
            add_shifted(&mut covered, &cover, (w, h), (sx, sy));
        }
        let whole = 4 * taps as u32;
        let (left, top) = (self.left as usize, self.top as usize);
        for y in 0..h {
            let own = &mut picture.luma[(top + y) * picture.width + left..][..w];
            for ((own, light), covered) in own.iter_mut().zip(&light[y * w..]).zip(&covered[y * w..]) {
                if *covered > 0 {
                    let under = u32::from(*own) * (whole - u32::from(*covered));
                    *own = ((under + u32::from(*light) + whole / 2) / whole) as u8;
                }
            }
        }
        for (own, plane) in picture.chroma.iter_mut().zip(&self.chroma) {
            for y in 0..h / 2 {
                for x in 0..w / 2 {
                    let share = u32::from(covered[2 * y * w + 2 * x]);
                    let own = &mut own[(top / 2 + y) * (picture.width / 2) + left / 2 + x];
                    let value = u32::from(plane[2 * y * w + 2 * x]);
                    *own = ((u32::from(*own) * (whole - share) + value * share) / whole) as u8;
                }
            }
        }
    }

    /// The whole of it as a picture, where it covers everything.
    pub fn picture(&self) -> Picture420 {
        let mut picture = Picture420::black(self.width, self.height);
        self.onto(&mut picture, (0.0, 0.0));
        picture
    }

    /// Darkens a picture where it covers, to this share.
    pub fn shade(&self, picture: &mut Picture420, to: f32, soft: f32) {
        let (w, h) = (self.width, self.height);
        let (_, cover) = self.halved();
        let reach = (soft.round() as isize).clamp(0, 8);
        let (mut across, mut sum) = (vec![0_u16; w * h], vec![0_u16; w * h]);
        for shift in -reach..=reach {
            add_shifted(&mut across, &cover, (w, h), (shift, 0));
        }
        for shift in -reach..=reach {
            add_shifted(&mut sum, &across, (w, h), (0, shift));
        }
        let most = 4.0 * ((2 * reach + 1) * (2 * reach + 1)) as f32;
        for y in 0..h {
            let own = &mut picture.luma[(self.top as usize + y) * picture.width + self.left as usize..][..w];
            for (own, sum) in own.iter_mut().zip(&sum[y * w..]).filter(|pair| *pair.1 > 0) {
                let share = 1.0 - (1.0 - to) * f32::from(*sum) / most;
                *own = (16.0 + (f32::from(*own) - 16.0) * share) as u8;
            }
        }
    }
}

/// Adds a plane, moved by whole pixels.
fn add_shifted(sum: &mut [u16], plane: &[u16], (w, h): (usize, usize), (sx, sy): (isize, isize)) {
    let (from, to) = (sx.max(0) as usize, (w as isize + sx.min(0)).max(0) as usize);
    if from >= to {
        return;
    }
    for y in 0..h {
        let Some(source) = y.checked_add_signed(-sy).filter(|y| *y < h) else { continue };
        let begin = (source * w + from).wrapping_add_signed(-sx);
        let source = &plane[begin..begin + to - from];
        for (sum, value) in sum[y * w + from..y * w + to].iter_mut().zip(source) {
            *sum += value;
        }
    }
}

/// Calls with each row of a polygon and where it is within, by the even-odd rule at the middles of pixels.
fn rows(points: &[Pixel], width: usize, height: usize, mut each: impl FnMut(usize, usize, usize)) {
    let low = points.iter().map(|p| p.1).fold(f32::MAX, f32::min);
    let high = points.iter().map(|p| p.1).fold(f32::MIN, f32::max);
    let first = (low - 0.5).ceil().clamp(0.0, height as f32) as usize;
    let last = (high + 0.5).floor().clamp(0.0, height as f32) as usize;
    let mut crossings = Vec::with_capacity(4);
    for row in first..last {
        let y = row as f32 + 0.5;
        crossings.clear();
        for (a, b) in points.iter().zip(points.iter().cycle().skip(1)) {
            if (a.1 <= y) != (b.1 <= y) {
                crossings.push(a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0));
            }
        }
        crossings.sort_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let held = |v: f32| (v - 0.5).ceil().clamp(0.0, width as f32) as usize;
            let (from, to) = (held(pair[0]), held(pair[1]));
            if from < to {
                each(row, from, to);
            }
        }
    }
}
