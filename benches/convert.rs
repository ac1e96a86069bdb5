//! What does it cost to make a picture of another kind one that vision takes? A turn, a comb, ten bits; 1080p each.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use gstreamer as gst;
use gstreamer_video as video;
use watchpost::camera::planes::Pool;
use watchpost::camera::rotate::{Rotation, turned};
use watchpost::camera::{convert, fields};
use watchpost::domain::{Frame, FrameFormat, PixelFormat, Pixels, TimeMs};

const SIZE: (u32, u32) = (1920, 1080);

struct Planes([Vec<u8>; 3]);

impl Pixels for Planes {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }
}

fn noise(n: usize) -> Vec<u8> {
    (0..n).map(|i| u8::try_from(i * 2_654_435_761 % 220 + 16).unwrap_or(16)).collect()
}

fn frame() -> Frame {
    let (w, h) = (SIZE.0 as usize, SIZE.1 as usize);
    let format = FrameFormat {
        width: SIZE.0,
        height: SIZE.1,
        pixels: PixelFormat::I420,
        strides: [w, w / 2, w / 2],
        full_range: false,
    };
    let planes = Planes([noise(w * h), noise(w * h / 4), noise(w * h / 4)]);
    Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(planes))
}

fn copies(c: &mut Criterion) {
    let (frame, pool) = (frame(), Pool::default());
    for by in [Rotation::Right, Rotation::Half, Rotation::Left] {
        c.bench_function(&format!("1080p turned by {}", by.degrees()), |b| {
            b.iter(|| turned(black_box(&frame), by, &pool).map(|f| f.format.width));
        });
    }
    c.bench_function("1080p without its comb", |b| {
        b.iter(|| fields::without_comb(black_box(&frame), &pool).map(|f| f.format.width));
    });
}

fn ten_bits(c: &mut Criterion) {
    let made = gst::init().ok().and_then(|()| {
        let info = video::VideoInfo::builder(video::VideoFormat::I42010le, SIZE.0, SIZE.1).build().ok()?;
        let bytes: Vec<u8> = noise(info.size() / 2).iter().flat_map(|v| (u16::from(*v) * 4).to_le_bytes()).collect();
        Some((gst::Buffer::from_mut_slice(bytes), info))
    });
    let Some((buffer, info)) = made else { return };
    let pool = Pool::default();
    c.bench_function("1080p of 10 bits to 8", |b| {
        b.iter(|| {
            let mapped = video::VideoFrame::from_buffer_readable(black_box(buffer.clone()), &info).ok()?;
            convert::picture(mapped, &pool).map(|p| p.strides)
        });
    });
}

criterion_group!(benches, copies, ten_bits);
criterion_main!(benches);
