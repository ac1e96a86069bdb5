//! What does watching a camera's picture cost a frame? At 25 frames a second: a glance at each, a look now and then, and a
//! check of where the view is every two seconds; and what looking for a view costs that is not in its place.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use watchpost::domain::{Frame, FrameFormat, PixelFormat, Pixels, TimeMs};
use watchpost::vision::mask::Mask;
use watchpost::vision::view::View;

struct Planes(std::sync::Arc<[Vec<u8>; 3]>);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

/// Pictures of one scene of blocks with a sensor's noise, `right` pixels to the right.
fn pictures(width: usize, height: usize, right: usize) -> Vec<std::sync::Arc<[Vec<u8>; 3]>> {
    let mut state = 0x9E37_79B9_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 30).unwrap_or(0)
    };
    let mut pixel = |i: usize| {
        let (x, y) = ((i % width + 4 * width - right) / (width / 40), i / width / (height / 24));
        let shade = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24;
        60 + u8::try_from(shade % 120).unwrap_or(0) + noise()
    };
    (0..4)
        .map(|_| {
            let luma = (0..width * height).map(&mut pixel).collect();
            std::sync::Arc::new([luma, vec![120; width * height / 4], vec![120; width * height / 4]])
        })
        .collect()
}

fn frame(planes: &std::sync::Arc<[Vec<u8>; 3]>, (width, height): (u32, u32), index: u64) -> Frame {
    let w = width as usize;
    let format =
        FrameFormat { width, height, pixels: PixelFormat::I420, strides: [w, w / 2, w / 2], full_range: false };
    Frame::new(format, TimeMs(index * 40), Duration::from_millis(40 * index), index, Box::new(Planes(planes.clone())))
}

fn view(c: &mut Criterion) {
    for (name, width, height) in [("720p", 1280, 720), ("1080p", 1920, 1080), ("2160p", 3840, 2160)] {
        for (what, right) in [("in its place", 0), ("moved", width as usize / 20)] {
            let (usual, now) =
                (pictures(width as usize, height as usize, 0), pictures(width as usize, height as usize, right));
            let (mut view, mask, mut index) = (View::new(None), Mask::default(), 0_u64);
            let next = |of: &[std::sync::Arc<[Vec<u8>; 3]>], index: &mut u64| {
                *index += 1;
                let turn = usize::try_from(*index % 4).unwrap_or(0);
                of.get(turn).map(|p| frame(p, (width, height), *index))
            };
            // The view is learnt first.
            for _ in 0..1_000 {
                let _ = next(&usual, &mut index).map(|f| view.step(&f, &mask));
            }
            c.bench_function(&format!("view, {name}, {what}"), |b| {
                b.iter_batched(
                    || next(&now, &mut index),
                    |f| black_box(f.map(|f| view.step(&f, &mask))),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

criterion_group!(benches, view);
criterion_main!(benches);
