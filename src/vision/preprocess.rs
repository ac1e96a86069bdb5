//! A frame's pixels as the numbers that a model reads: scaled, padded, normalised, in one pass.
//!
//! Luma goes straight from the decoder's plane into a grey tensor; for colour models the three planes are scaled first and
//! converted at the small size. Video range (16..235) is widened to 0..255 on the way. Nothing is allocated once the
//! buffers of a [`Scratch`] have their size. Coordinates are continuous: pixel `i` covers `i..i + 1`.

use super::Error;
use super::area::Area;
use super::model::{Colour, Fit, Input, Kind, Values};
use super::resample::{Resamplers, Transfer, Value};
use crate::domain::{Frame, Plane, Point};

/// Where the picture lies in a model's input, and the way back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Columns and rows of the input that the picture fills.
    pub size: (usize, usize),
    /// Its left and top edge in the input.
    pub origin: (usize, usize),
    /// Input pixels a picture pixel, across and down.
    pub scale: (f32, f32),
}

impl Placement {
    /// Places a picture of `frame` size in an input of `input` size (width, height).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sides are at most a few thousand pixels")]
    pub fn of(fit: Fit, frame: (usize, usize), input: (usize, usize)) -> Self {
        let (fw, fh) = (frame.0.max(1) as f32, frame.1.max(1) as f32);
        let (iw, ih) = (input.0 as f32, input.1 as f32);
        let size = match fit {
            Fit::Stretch => input,
            Fit::Letterbox | Fit::LetterboxTopLeft => {
                let scale = (iw / fw).min(ih / fh);
                (rounded(fw * scale).clamp(1, input.0.max(1)), rounded(fh * scale).clamp(1, input.1.max(1)))
            }
        };
        let origin = match fit {
            Fit::Letterbox => ((input.0 - size.0) / 2, (input.1 - size.1) / 2),
            Fit::Stretch | Fit::LetterboxTopLeft => (0, 0),
        };
        Self { size, origin, scale: (size.0 as f32 / fw, size.1 as f32 / fh) }
    }

    /// A point of the input as a point of the frame.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sides are at most a few thousand pixels")]
    pub fn to_frame(&self, p: Point) -> Point {
        Point { x: (p.x - self.origin.0 as f32) / self.scale.0, y: (p.y - self.origin.1 as f32) / self.scale.1 }
    }

    /// A point of the frame as a point of the input.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sides are at most a few thousand pixels")]
    pub fn to_input(&self, p: Point) -> Point {
        Point { x: p.x * self.scale.0 + self.origin.0 as f32, y: p.y * self.scale.1 + self.origin.1 as f32 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of pictures, never negative")]
fn rounded(v: f32) -> usize {
    v.round().max(0.0) as usize
}

/// Memory that is used again from frame to frame.
#[derive(Debug, Default)]
pub struct Scratch {
    luma: Resamplers,
    chroma: Resamplers,
    rows: [Vec<f32>; 3],
    /// A row of bytes before it is folded.
    bytes: Vec<u8>,
    pair: [Vec<u8>; 2],
}

/// How luma of a frame becomes a full-range pixel: gain and offset.
#[must_use]
pub(crate) fn luma_range(full_range: bool) -> (f32, f32) {
    if full_range { (1.0, 0.0) } else { (255.0 / 219.0, -16.0 * 255.0 / 219.0) }
}

/// Fills `out` with the tensor of `frame` (channel, row, column); of a model that takes grey bytes with these, in the order of
/// its input.
///
/// # Errors
/// [`Error::ShortFrame`] when the planes hold less than the frame's format says.
pub fn tensor(frame: &Frame, input: &Input, scratch: &mut Scratch, out: &mut Values) -> Result<Placement, Error> {
    tensor_of(frame, Area::whole(frame), input, scratch, out)
}

/// Fills `out` with the tensor of `area` of `frame`; the placement is that of the area, its own corner at (0, 0).
///
/// # Errors
/// [`Error::ShortFrame`] when the planes hold less than the frame's format says, or the area lies outside.
pub fn tensor_of(
    frame: &Frame,
    area: Area,
    input: &Input,
    scratch: &mut Scratch,
    out: &mut Values,
) -> Result<Placement, Error> {
    tensor_sized(frame, area, (input, input.size), scratch, out)
}

/// The same in a size that is not the input's own; the model must take it.
///
/// # Errors
/// As [`tensor_of`].
pub(super) fn tensor_sized(
    frame: &Frame,
    area: Area,
    (input, size): (&Input, [u32; 2]),
    scratch: &mut Scratch,
    out: &mut Values,
) -> Result<Placement, Error> {
    let short = || Error::ShortFrame { index: frame.index, width: frame.format.width, height: frame.format.height };
    let [width, height] = size.map(|s| s as usize);
    let luma = luma_of(frame, area).ok_or_else(short)?;
    let placement = Placement::of(input.fit, (luma.width, luma.height), (width, height));
    let done = match (input.colour, input.kind) {
        (Colour::Grey, Kind::U8) => {
            let whole = (frame.format.full_range, input, width);
            grey_bytes(&luma, whole, &placement, scratch, out.bytes(width * height))
        }
        (Colour::Grey, Kind::F32) => {
            let out = out.floats(width * height, input.pad);
            grey(&luma, (frame.format.full_range, input, width), &placement, scratch, out)
        }
        (Colour::Rgb | Colour::Bgr, _) => {
            let out = out.floats(width * height * input.channels as usize, input.pad);
            colour(frame, area, (input, width), &placement, scratch, out)
        }
    };
    done.map(|()| placement).ok_or_else(short)
}

/// The luma of an area.
fn luma_of(frame: &Frame, area: Area) -> Option<Plane<'_>> {
    let ((x, y), (width, height)) = (area.origin(), area.size());
    frame.luma().part(x as usize, y as usize, width as usize, height as usize)
}

/// Chroma plane `index` of an area, as [`Frame::chroma`] has it; areas begin at a sample.
fn chroma_of(frame: &Frame, area: Area, index: usize) -> Option<Plane<'_>> {
    let ((x, y), (width, height)) = (area.origin(), area.size());
    let ((across, down), step) = (frame.format.pixels.subsampling(), frame.format.pixels.chroma_step());
    let (x, width) = (x as usize / across * step, (width as usize).div_ceil(across) * step);
    frame.chroma(index).part(x, y as usize / down, width, (height as usize).div_ceil(down))
}

/// The part of row `y` of a plane of the tensor that the picture fills.
fn target<'a>(out: &'a mut [f32], width: usize, p: &Placement, y: usize) -> Option<&'a mut [f32]> {
    let start = (p.origin.1 + y) * width + p.origin.0;
    out.get_mut(start..start + p.size.0)
}

/// Floats of luma; with the frame's range, the input and its width.
fn grey(
    luma: &Plane<'_>,
    (full_range, input, width): (bool, &Input, usize),
    p: &Placement,
    scratch: &mut Scratch,
    out: &mut [f32],
) -> Option<()> {
    let (gain, offset) = luma_range(full_range);
    let (mean, std) = (input.mean.of(0), input.std.of(0));
    let value = |pixel: f32| (pixel * input.scale - mean) / std;
    let transfer =
        Transfer { gain: gain * input.scale / std, offset: value(offset), low: value(0.0), high: value(255.0) };
    let luma_rows = scratch.luma.of((luma.width, luma.height), p.size);
    for y in 0..p.size.1 {
        luma_rows.row(luma, y, transfer, target(out, width, p, y)?)?;
    }
    Some(())
}

/// The same in bytes, those of a block one after the other where the input is folded.
fn grey_bytes(
    luma: &Plane<'_>,
    (full_range, input, width): (bool, &Input, usize),
    p: &Placement,
    scratch: &mut Scratch,
    out: &mut [u8],
) -> Option<()> {
    let (gain, offset) = luma_range(full_range);
    let transfer = Transfer { gain, offset, low: 0.0, high: 255.0 };
    let [wide, high] = input.fold.map(|f| f as usize);
    let (height, pad) = (out.len() / width.max(1), u8::of(input.pad));
    let luma_rows = scratch.luma.of((luma.width, luma.height), p.size);
    scratch.bytes.clear();
    scratch.bytes.resize(width, pad);
    for y in 0..height {
        let row = scratch.bytes.as_mut_slice();
        match y.checked_sub(p.origin.1).filter(|y| *y < p.size.1) {
            Some(y) => luma_rows.row(luma, y, transfer, row.get_mut(p.origin.0..p.origin.0 + p.size.0)?)?,
            None => row.fill(pad),
        }
        let band = out.get_mut(y / high * high * width..)?.get_mut(..high * width)?;
        fold(row, band, (wide, high), y % high);
    }
    Some(())
}

/// Lays a row where its blocks have it: row `within` of each.
fn fold(row: &[u8], band: &mut [u8], (wide, high): (usize, usize), within: usize) {
    match (wide, high) {
        (_, 1) => band.copy_from_slice(row),
        // Blocks of our own detectors, whose size the compiler knows.
        (4, 2) => {
            let (blocks, _) = band.as_chunks_mut::<8>();
            let (runs, _) = row.as_chunks::<4>();
            for ([a, b, c, d, e, f, g, h], run) in blocks.iter_mut().zip(runs) {
                if within == 0 {
                    [*a, *b, *c, *d] = *run;
                } else {
                    [*e, *f, *g, *h] = *run;
                }
            }
        }
        _ => {
            for (block, run) in band.chunks_exact_mut(wide * high).zip(row.chunks_exact(wide)) {
                if let Some(place) = block.get_mut(within * wide..(within + 1) * wide) {
                    place.copy_from_slice(run);
                }
            }
        }
    }
}

/// Coefficients from luma and chroma to red, green (of U and V) and blue; HD video is BT.709, the rest BT.601.
pub(super) fn matrix(frame: &Frame) -> [f32; 4] {
    let hd = !frame.format.full_range && frame.format.height >= 720;
    let range = if frame.format.full_range { 1.0 } else { 255.0 / 224.0 };
    let m = if hd { [1.5748, 0.1873, 0.4681, 1.8556] } else { [1.402, 0.344_14, 0.714_14, 1.772] };
    m.map(|c| c * range)
}

fn colour(
    frame: &Frame,
    area: Area,
    (input, width): (&Input, usize),
    p: &Placement,
    scratch: &mut Scratch,
    out: &mut [f32],
) -> Option<()> {
    let luma = luma_of(frame, area)?;
    let (gain, offset) = luma_range(frame.format.full_range);
    let [red_v, green_u, green_v, blue_u] = matrix(frame);
    let transfer = Transfer { gain, offset, low: 0.0, high: 255.0 };
    let [u_plane, v_plane] = chroma_planes(frame, area, &mut scratch.pair)?;
    let luma_rows = scratch.luma.of((luma.width, luma.height), p.size);
    let chroma_rows = scratch.chroma.of((u_plane.width, u_plane.height), p.size);
    for row in &mut scratch.rows {
        row.resize(p.size.0, 0.0);
    }
    let plane = out.len() / 3;
    let (first, rest) = out.split_at_mut_checked(plane)?;
    let (second, third) = rest.split_at_mut_checked(plane)?;
    let order = if input.colour == Colour::Rgb { [0, 1, 2] } else { [2, 1, 0] };
    let [ys, us, vs] = &mut scratch.rows;
    for y in 0..p.size.1 {
        luma_rows.row(&luma, y, transfer, ys)?;
        chroma_rows.row(&u_plane, y, Transfer::PLAIN, us)?;
        chroma_rows.row(&v_plane, y, Transfer::PLAIN, vs)?;
        for (channel, (plane, which)) in [&mut *first, &mut *second, &mut *third].into_iter().zip(order).enumerate() {
            let (mean, std) = (input.mean.of(channel), input.std.of(channel));
            let (of_u, of_v) = [(0.0, red_v), (-green_u, -green_v), (blue_u, 0.0)].get(which).copied()?;
            let target = target(plane, width, p, y)?;
            for (((out, y), u), v) in target.iter_mut().zip(ys.iter()).zip(us.iter()).zip(vs.iter()) {
                let pixel = (y + of_u * (u - 128.0) + of_v * (v - 128.0)).clamp(0.0, 255.0);
                *out = (pixel * input.scale - mean) / std;
            }
        }
    }
    Some(())
}

/// U and V as planes of their own; the pairs of NV12 are taken apart into `pair` first.
pub(super) fn chroma_planes<'a>(frame: &'a Frame, area: Area, pair: &'a mut [Vec<u8>; 2]) -> Option<[Plane<'a>; 2]> {
    if frame.format.pixels.chroma_step() == 1 {
        return Some([chroma_of(frame, area, 1)?, chroma_of(frame, area, 2)?]);
    }
    let both = chroma_of(frame, area, 1)?;
    let (width, height) = (both.width / 2, both.height);
    let [us, vs] = pair;
    us.clear();
    vs.clear();
    for y in 0..height {
        let (pairs, _) = both.row(y)?.as_chunks::<2>();
        us.extend(pairs.iter().map(|[u, _]| *u));
        vs.extend(pairs.iter().map(|[_, v]| *v));
    }
    let plane = |data: &'a Vec<u8>| Plane { data, stride: width, width, height };
    Some([plane(us), plane(vs)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::frame::OwnedI420;
    use crate::domain::{FrameFormat, PixelFormat, Pixels, Rect, TimeMs};
    use crate::vision::model::{Fed, Layout, PerChannel};

    struct Planes(Vec<Vec<u8>>);
    impl Pixels for Planes {
        fn plane(&self, index: usize) -> &[u8] {
            self.0.get(index).map_or(&[], Vec::as_slice)
        }
    }

    fn input(size: [u32; 2], colour: Colour, fit: Fit) -> Input {
        Input {
            name: "image".into(),
            size,
            channels: if colour == Colour::Grey { 1 } else { 3 },
            layout: Layout::Nchw,
            kind: Kind::F32,
            colour,
            scale: 1.0 / 255.0,
            mean: PerChannel::All(0.0),
            std: PerChannel::All(1.0),
            fit,
            pad: 0.5,
            fold: [1, 1],
            unit: None,
            size_tensor: None,
        }
    }

    fn frame(format: FrameFormat, planes: Vec<Vec<u8>>) -> Frame {
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(Planes(planes)))
    }

    fn floats(values: &Values) -> Vec<f32> {
        match Fed::from(values) {
            Fed::Floats(floats) => floats.to_vec(),
            Fed::Bytes(bytes) => bytes.iter().map(|b| f32::from(*b)).collect(),
        }
    }

    #[test]
    fn bytes_are_the_floats_rounded_and_a_folded_input_has_them_block_by_block() {
        let rgb: Vec<u8> = (0..70 * 30).flat_map(|i| [(i * 37 % 251) as u8; 3]).collect();
        let (format, pixels) = OwnedI420::from_rgb(&rgb, 70, 30);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let plain = Input { scale: 1.0, pad: 127.5, ..input([32, 16], Colour::Grey, Fit::Letterbox) };
        let run = |input: &Input| {
            let mut out = Values::default();
            tensor(&frame, input, &mut Scratch::default(), &mut out).unwrap();
            floats(&out)
        };
        let want: Vec<f32> = run(&plain).iter().map(|v| v.round()).collect();
        let bytes = Input { kind: Kind::U8, layout: Layout::Nhwc, ..plain };
        assert_eq!((run(&bytes), bytes.shape(1)), (want.clone(), [1, 16, 32, 1]));
        for fold in [[4_u32, 2], [2, 2], [8, 4], [4, 1]] {
            let input = Input { fold, ..bytes.clone() };
            let [wide, high] = fold.map(|side| side as usize);
            let folded = (0..16 / high).flat_map(|row| {
                let of = move |block: usize, dy: usize, dx: usize| (row * high + dy) * 32 + block * wide + dx;
                (0..32 / wide).flat_map(move |b| (0..high).flat_map(move |y| (0..wide).map(move |x| of(b, y, x))))
            });
            let folded: Vec<f32> = folded.map(|at| want[at]).collect();
            assert_eq!(run(&input), folded, "{wide}x{high}");
            let [wide, high] = fold.map(i64::from);
            assert_eq!(input.shape(2), [2, 16 / high, 32 / wide, wide * high]);
        }
    }

    proptest! {
        #[test]
        fn the_way_into_the_input_and_back_ends_where_it_began(
            fw in 1_usize..5000, fh in 1_usize..5000, x in 0.0_f32..1.0, y in 0.0_f32..1.0, fit in 0..3,
        ) {
            let fit = [Fit::Letterbox, Fit::LetterboxTopLeft, Fit::Stretch][fit as usize];
            let p = Placement::of(fit, (fw, fh), (640, 384));
            prop_assert!(p.origin.0 + p.size.0 <= 640 && p.origin.1 + p.size.1 <= 384);
            prop_assert!(p.size.0 == 640 || p.size.1 == 384);
            let from = Point { x: x * fw as f32, y: y * fh as f32 };
            let there = p.to_input(from);
            prop_assert!(there.x >= -1e-3 && there.x <= 640.01 && there.y >= -1e-3 && there.y <= 384.01);
            let back = p.to_frame(there);
            prop_assert!((back.x - from.x).abs() < 0.02 && (back.y - from.y).abs() < 0.02);
        }
    }

    #[test]
    fn a_wide_picture_is_centred_and_padded_above_and_below() {
        let (format, pixels) = OwnedI420::from_rgb(&[255; 64 * 16 * 3], 64, 16);
        let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let mut out = Values::default();
        let input = input([32, 16], Colour::Grey, Fit::Letterbox);
        let p = tensor(&frame, &input, &mut Scratch::default(), &mut out).unwrap();
        assert_eq!((p.size, p.origin), ((32, 8), (0, 4)));
        let out = floats(&out);
        assert!(out[..4 * 32].iter().chain(&out[12 * 32..]).all(|v| (v - 0.5).abs() < 1e-6));
        assert!(out[4 * 32..12 * 32].iter().all(|v| (v - 1.0).abs() < 1e-3));
    }

    #[test]
    fn video_range_is_widened_and_held_within_black_and_white() {
        let format =
            FrameFormat { width: 4, height: 1, pixels: PixelFormat::I420, strides: [4, 2, 2], full_range: false };
        let frame = frame(format, vec![vec![3, 16, 235, 250], vec![128; 2], vec![128; 2]]);
        let mut out = Values::default();
        tensor(&frame, &input([8, 8], Colour::Grey, Fit::Stretch), &mut Scratch::default(), &mut out).unwrap();
        let out = floats(&out);
        assert!(out.iter().all(|v| (0.0..=1.0).contains(v)));
        assert!(out[0].abs() < 1e-6 && (out[7] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn nv12_and_i420_give_the_same_colours_and_bgr_is_rgb_turned_round() {
        let rgb: Vec<u8> = (0..16 * 16).flat_map(|i| [(i % 16 * 16) as u8, 200, (i / 16 * 16) as u8]).collect();
        let (format, pixels) = OwnedI420::from_rgb(&rgb, 16, 16);
        let (u, v) = (pixels.plane(1).to_vec(), pixels.plane(2).to_vec());
        let pairs = u.iter().zip(&v).flat_map(|(u, v)| [*u, *v]).collect();
        let nv12 = FrameFormat { pixels: PixelFormat::Nv12, strides: [16, 16, 0], ..format };
        let nv12 = frame(nv12, vec![pixels.plane(0).to_vec(), pairs]);
        let i420 = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
        let run = |frame: &Frame, colour| {
            let mut out = Values::default();
            let input = input([8, 8], colour, Fit::LetterboxTopLeft);
            tensor(frame, &input, &mut Scratch::default(), &mut out).unwrap();
            floats(&out)
        };
        let (a, b, c) = (run(&i420, Colour::Rgb), run(&nv12, Colour::Rgb), run(&i420, Colour::Bgr));
        assert_eq!(a, b);
        assert_eq!(a[..64], c[128..]);
        // Red grows to the right, blue downwards, green stays: the means of 2x2 pixels come back.
        for (i, ((r, g), b)) in a[..64].iter().zip(&a[64..128]).zip(&a[128..]).enumerate() {
            let want = [(i % 8 * 32 + 8) as f32, 200.0, (i / 8 * 32 + 8) as f32].map(|v| v / 255.0);
            assert!((r - want[0]).abs() < 0.03 && (g - want[1]).abs() < 0.03 && (b - want[2]).abs() < 0.03, "{i}");
        }
    }

    #[test]
    fn an_area_gives_what_a_picture_of_that_part_alone_gives() {
        let (w, h) = (35_usize, 27_usize);
        let at = |x: usize, y: usize| [(x * 7 % 251) as u8, (y * 9 % 251) as u8, ((x + y) * 5 % 251) as u8];
        let picture = |x0: usize, y0: usize, w: usize, h: usize| {
            let rgb: Vec<u8> = (y0..y0 + h).flat_map(|y| (x0..x0 + w).flat_map(move |x| at(x, y))).collect();
            OwnedI420::from_rgb(&rgb, w as u32, h as u32)
        };
        let (format, pixels) = picture(0, 0, w, h);
        let pairs = pixels.plane(1).iter().zip(pixels.plane(2)).flat_map(|(u, v)| [*u, *v]).collect();
        let nv12 = FrameFormat { pixels: PixelFormat::Nv12, strides: [w, w + 1, 0], ..format };
        let frames = [
            frame(nv12, vec![pixels.plane(0).to_vec(), pairs]),
            Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels)),
        ];
        for (rect, (x, y, w, h)) in
            [(Rect::new(5.0, 8.5, 20.0, 21.0), (4, 8, 16, 14)), (Rect::new(21.0, 11.0, 99.0, 99.0), (20, 10, 15, 17))]
        {
            let (format, pixels) = picture(x, y, w, h);
            let part = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
            for (frame, colour) in frames.iter().flat_map(|f| [(f, Colour::Grey), (f, Colour::Rgb)]) {
                let (mut scratch, mut got, mut want) = (Scratch::default(), Values::default(), Values::default());
                let input = input([24, 16], colour, Fit::Letterbox);
                let area = Area::around(&rect, frame).unwrap();
                let there = tensor_of(frame, area, &input, &mut scratch, &mut got).unwrap();
                let alone = tensor(&part, &input, &mut scratch, &mut want).unwrap();
                assert_eq!((there, got), (alone, want), "{rect:?} {colour:?} {:?}", frame.format.pixels);
            }
        }
    }

    #[test]
    fn planes_that_are_too_short_are_an_error_that_names_the_frame() {
        let format =
            FrameFormat { width: 64, height: 64, pixels: PixelFormat::I420, strides: [64, 32, 32], full_range: true };
        let mut out = Values::default();
        for (planes, colour) in
            [(vec![vec![0; 64 * 60]], Colour::Grey), (vec![vec![0; 64 * 64], vec![0; 10], vec![0; 10]], Colour::Rgb)]
        {
            let frame = frame(format, planes);
            let input = input([32, 32], colour, Fit::Stretch);
            let error = tensor(&frame, &input, &mut Scratch::default(), &mut out).unwrap_err();
            assert!(error.to_string().contains("64x64"), "{error}");
        }
    }
}
