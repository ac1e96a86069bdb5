//! What does the motion gate cost a frame, and what does a mask? On a still, noisy scene (where the gate's cost is all
//! that is left) and on one where a third of the picture moves.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use watchpost::domain::{Frame, FrameFormat, PixelFormat, Pixels, Polygon, TimeMs};
use watchpost::vision::gate::Gate;
use watchpost::vision::mask::{Mask, Spans};

struct Planes(std::sync::Arc<[Vec<u8>; 3]>);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

/// Pictures of one scene: noise everywhere, and stripes that move in the middle third when `moving`.
fn pictures(width: usize, height: usize, moving: bool) -> Vec<std::sync::Arc<[Vec<u8>; 3]>> {
    let mut state = 0x9E37_79B9_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 29).unwrap_or(0)
    };
    let picture = |n: usize| {
        let mut pixel = |i: usize| {
            let (x, y) = (i % width, i / width);
            let stripe = moving && (height / 3..2 * height / 3).contains(&y) && ((x + 24 * n) / 64).is_multiple_of(2);
            noise() + if stripe { 150 } else { 90 }
        };
        let luma = (0..width * height).map(&mut pixel).collect();
        std::sync::Arc::new([luma, vec![128; width * height / 4], vec![128; width * height / 4]])
    };
    (0..8).map(picture).collect()
}

fn frame(planes: &std::sync::Arc<[Vec<u8>; 3]>, size: (u32, u32), index: u64) -> Frame {
    let (width, height) = size;
    let w = width as usize;
    let format =
        FrameFormat { width, height, pixels: PixelFormat::I420, strides: [w, w / 2, w / 2], full_range: false };
    let pts = Duration::from_millis(40 * index);
    Frame::new(format, TimeMs(0), pts, index, Box::new(Planes(std::sync::Arc::clone(planes))))
}

fn gate(c: &mut Criterion) {
    for (name, width, height) in [("720p", 1280, 720), ("1080p", 1920, 1080), ("2160p", 3840, 2160)] {
        for (what, moving) in [("still", false), ("a third moves", true)] {
            let pictures = pictures(width as usize, height as usize, moving);
            let (mut gate, none, mut index) = (Gate::default(), Spans::of(&[], width, height), 0_u64);
            let mut next = || {
                index += 1;
                let turn = usize::try_from(index % 8).unwrap_or(0);
                pictures.get(turn).map(|p| frame(p, (width, height), index))
            };
            c.bench_function(&format!("gate, {name}, {what}"), |b| {
                b.iter_batched(
                    &mut next,
                    |frame| frame.map(|f| black_box(gate.is_awake(&f, &none, &[], false))),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn mask(c: &mut Criterion) {
    let polygon = Polygon::new(vec![[0.1, 0.1], [0.5, 0.05], [0.45, 0.5], [0.05, 0.6]]);
    let mask = Mask::new(vec![polygon]);
    if let Some(planes) = pictures(1920, 1080, false).first() {
        let frame = frame(planes, (1920, 1080), 0);
        c.bench_function("mask, 1080p", |b| b.iter(|| black_box(mask.apply(&frame)).is_ok()));
    }
}

criterion_group!(benches, gate, mask);
criterion_main!(benches);
