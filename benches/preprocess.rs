//! What does it cost to make a model's input of a frame? Video frames as decoders give them, into the inputs of our
//! detector and of a colour detector. And what a vehicle's colour costs.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use watchpost::domain::{Frame, FrameFormat, PixelFormat, Pixels, Rect, TimeMs};
use watchpost::vision::Seen;
use watchpost::vision::colour::Scene;
use watchpost::vision::model::{Colour, Fed, Fit, Input, Kind, Layout, PerChannel, Values};
use watchpost::vision::preprocess::{Scratch, tensor};

struct Planes([Vec<u8>; 3]);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

fn frame(width: u32, height: u32) -> Frame {
    let (w, h) = (width as usize, height as usize);
    let noise = |n: usize| (0..n).map(|i| u8::try_from(i * 2_654_435_761 % 220 + 16).unwrap_or(16)).collect();
    let format =
        FrameFormat { width, height, pixels: PixelFormat::I420, strides: [w, w / 2, w / 2], full_range: false };
    let planes = Planes([noise(w * h), noise(w * h / 4), noise(w * h / 4)]);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(planes))
}

fn input(size: [u32; 2], colour: Colour) -> Input {
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
        fit: Fit::Letterbox,
        pad: 0.5,
        fold: [1, 1],
        unit: None,
        size_tensor: None,
    }
}

fn preprocess(c: &mut Criterion) {
    for (name, width, height) in [("720p", 1280, 720), ("1080p", 1920, 1080), ("2160p", 3840, 2160)] {
        let frame = frame(width, height);
        let grey = input([896, 512], Colour::Grey);
        let folded =
            Input { kind: Kind::U8, layout: Layout::Nhwc, fold: [4, 2], scale: 1.0, pad: 128.0, ..grey.clone() };
        for (model, input) in [
            ("grey 896x512", grey),
            ("grey bytes 896x512, folded", folded),
            ("bgr 416x416", input([416, 416], Colour::Bgr)),
        ] {
            let (mut scratch, mut out) = (Scratch::default(), Values::default());
            c.bench_function(&format!("{name} to {model}"), |b| {
                b.iter(|| {
                    tensor(black_box(&frame), &input, &mut scratch, &mut out)
                        .map(|_| Fed::from(&out) == Fed::Bytes(&[]))
                });
            });
        }
    }
}

fn colour(c: &mut Criterion) {
    for (name, width, height) in [("720p", 1280, 720), ("2160p", 3840, 2160)] {
        let frame = frame(width, height);
        let seen = Seen::unmasked(&frame);
        let vehicle = Rect::new(200.0, 200.0, 700.0, 600.0);
        c.bench_function(&format!("{name}: colour of a vehicle"), |b| {
            b.iter(|| Scene::of(black_box(&seen)).shares(&vehicle));
        });
    }
}

criterion_group!(benches, preprocess, colour);
criterion_main!(benches);
