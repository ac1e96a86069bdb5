//! Painted vehicles: what is told, and what is not.

use std::time::Duration;

use super::*;
use crate::domain::frame::OwnedI420;
use crate::domain::{Frame, FrameFormat, Pixels, Polygon, TimeMs};
use crate::vision::mask::Mask;

const CAR: Rect = Rect { x1: 160.0, y1: 80.0, x2: 480.0, y2: 280.0 };

/// A road under trees with a vehicle of `rgb`: windows above, tyres and shadow below.
fn street(rgb: [u8; 3]) -> Vec<u8> {
    let pixel = |n: u32| {
        let (x, y) = (n % 640, n / 640);
        match (x, y) {
            (190..450, 95..145) => [45, 50, 55],
            (160..480, 265..280) => [25, 25, 25],
            (160..480, 80..280) => rgb,
            (_, 0..70) => [70, 105, 60],
            _ => [118, 117, 114],
        }
    };
    (0..640 * 360).flat_map(pixel).collect()
}

fn frame(rgb: &[u8]) -> Frame {
    let (format, pixels) = OwnedI420::from_rgb(rgb, 640, 360);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels))
}

fn told(frame: &Frame, rect: &Rect) -> Option<Colour> {
    Scene::of(&Seen::unmasked(frame)).colour(Class::Car, rect).map(|c| c.colour)
}

#[test]
fn plain_paints_are_told_by_their_names() {
    let paints = [
        ([240, 241, 240], Colour::White),
        ([22, 22, 24], Colour::Black),
        ([185, 20, 28], Colour::Red),
        ([25, 70, 190], Colour::Blue),
        ([50, 160, 40], Colour::Green),
        ([240, 190, 20], Colour::Yellow),
    ];
    for (rgb, wanted) in paints {
        assert_eq!(told(&frame(&street(rgb)), &CAR), Some(wanted), "{rgb:?}");
    }
}

#[test]
fn a_picture_without_colours_gives_none_and_neither_does_a_tinted_one() {
    let grey: Vec<u8> = street([185, 20, 28]).chunks(3).flat_map(|p| [p[0] / 2 + p[1] / 2; 3]).collect();
    assert_eq!(told(&frame(&grey), &CAR), None);
    let tinted: Vec<u8> = grey.chunks(3).flat_map(|p| [p[0] / 2 + 60, p[0] / 2 + 30, p[0] / 2 + 50]).collect();
    assert_eq!(told(&frame(&tinted), &CAR), None);
    let night: Vec<u8> = street([185, 20, 28]).iter().map(|v| v / 16).collect();
    assert_eq!(told(&frame(&night), &CAR), None);
}

#[test]
fn what_is_small_or_outside_or_no_number_gives_none() {
    let frame = frame(&street([185, 20, 28]));
    for rect in [
        Rect::new(200.0, 200.0, 220.0, 220.0),
        Rect::new(400.0, 200.0, 300.0, 100.0),
        Rect::new(f32::NAN, 80.0, 480.0, 280.0),
    ] {
        assert_eq!(told(&frame, &rect), None, "{rect:?}");
    }
    assert!(Scene::of(&Seen::unmasked(&frame)).colour(Class::Person, &CAR).is_none());
}

#[test]
fn hidden_pixels_say_nothing_and_a_vehicle_that_is_mostly_hidden_has_no_colour() {
    let frame = frame(&street([240, 190, 20]));
    let told = |x2: f64| {
        let mask = Mask::new(vec![Polygon::new(vec![[0.0, 0.0], [x2, 0.0], [x2, 1.0], [0.0, 1.0]])]);
        let seen = mask.apply(&frame).unwrap();
        Scene::of(&seen).colour(Class::Car, &CAR).map(|c| c.colour)
    };
    assert_eq!(told(0.4), Some(Colour::Yellow));
    assert_eq!(told(0.7), None);
}

/// The same picture in limited range as NV12.
struct Limited {
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl Pixels for Limited {
    fn plane(&self, index: usize) -> &[u8] {
        [&self.luma, &self.chroma].get(index).map_or(&[], |p| p.as_slice())
    }
}

#[test]
fn ranges_and_layouts_give_the_same_shares() {
    let full = frame(&street([25, 70, 190]));
    let scaled = |v: u8, span: f32, low: f32| (f32::from(v) * span / 255.0 + low).round() as u8;
    let luma = full.luma().data.iter().map(|v| scaled(*v, 219.0, 16.0)).collect();
    let pairs = full.chroma(1).data.iter().zip(full.chroma(2).data);
    let chroma = pairs.flat_map(|(u, v)| [*u, *v]).map(|v| scaled(v, 224.0, 16.0)).collect();
    let format =
        FrameFormat { width: 640, height: 360, pixels: PixelFormat::Nv12, strides: [640, 640, 0], full_range: false };
    let limited = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(Limited { luma, chroma }));
    let shares = |f: &Frame| Scene::of(&Seen::unmasked(f)).shares(&CAR).unwrap();
    for (a, b) in shares(&full).iter().zip(shares(&limited)) {
        assert!((a - b).abs() < 0.05, "{:?} {:?}", shares(&full), shares(&limited));
    }
}

#[test]
fn a_frame_shorter_than_its_format_gives_none() {
    let format =
        FrameFormat { width: 640, height: 360, pixels: PixelFormat::I420, strides: [640, 320, 320], full_range: true };
    let short =
        Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(Limited { luma: vec![9; 99], chroma: vec![] }));
    assert_eq!(told(&short, &CAR), None);
}
