//! What following costs beside the models: a step of the tracker, a fusion of sixteen reads, a pair of pictures.
//!
//! Where `WATCHPOST_DATA` names a folder with them, the detections of KITTI are followed as well.

#[allow(dead_code, reason = "the example writes what this bench only times")]
#[path = "../examples/follow/formats.rs"]
mod formats;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use watchpost::domain::frame::OwnedI420;
use watchpost::domain::{Class, Detection, Frame, Lattice, PlateRead, PlateText, Position, Rect, TimeMs};
use watchpost::vision::fuse::Fusion;
use watchpost::vision::track::{Settings, Tracker};
use watchpost::vision::{Seen, pictures};

fn tracking(c: &mut Criterion) {
    for count in [1_u16, 10, 40] {
        let (mut tracker, mut frame) = (Tracker::new(Settings::default()), 0_u32);
        c.bench_function(&format!("a step of the tracker, {count} plates"), |b| {
            b.iter(|| {
                frame += 1;
                let shift = f32::from(u16::try_from(frame % 400).unwrap_or(0));
                let plates: Vec<Detection> = (0..count)
                    .map(|n| {
                        let (x, y) = (f32::from(n % 8) * 200.0 + shift, f32::from(n / 8) * 150.0);
                        Detection {
                            class: Class::Plate,
                            score: 0.8,
                            rect: Rect::new(x, y, x + 70.0, y + 18.0),
                            corners: None,
                        }
                    })
                    .collect();
                black_box(tracker.step(Duration::from_millis(u64::from(frame) * 40), &plates))
            });
        });
    }
}

/// All frames of KITTI's ten sequences.
fn real_tracking(c: &mut Criterion) {
    let Some(data) = std::env::var_os("WATCHPOST_DATA") else { return };
    let folder = std::path::Path::new(&data).join("mot/kitti/det");
    let Ok(files) = std::fs::read_dir(&folder) else { return };
    let mut sequences: Vec<Vec<Vec<Detection>>> = Vec::new();
    for text in files.flatten().filter_map(|f| std::fs::read_to_string(f.path()).ok()) {
        sequences.extend(formats::read(&text).map(|(_, frames)| frames));
    }
    let frames: usize = sequences.iter().map(Vec::len).sum();
    let most = sequences.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let id = format!("the tracker over {frames} frames of KITTI, up to {most} detections");
    c.bench_function(&id, |b| {
        b.iter(|| sequences.iter().map(|s| black_box(formats::follow(s, 10.0, false)).len()).sum::<usize>());
    });
}

fn fusing(c: &mut Criterion) {
    let Some(text) = PlateText::from_raw("ABC1234") else { return };
    let mut fusion = Fusion::new();
    for n in 0..16_u8 {
        let p = 0.6 + f32::from(n) / 50.0;
        let positions = text.as_str().chars().map(|c| Position { options: vec![(c, p), ('8', 0.2), ('\0', 0.05)] });
        let read = PlateRead {
            text: text.clone(),
            confidence: 0.5,
            char_confidences: vec![p; 7],
            candidates: Vec::new(),
            lattice: Lattice { positions: positions.collect() },
            region: None,
            regions: Vec::new(),
            frames: 1,
        };
        fusion.add(&read, p);
    }
    c.bench_function("a fusion of 16 reads", |b| b.iter(|| black_box(fusion.fused())));
}

fn showing(c: &mut Criterion) {
    let rgb: Vec<u8> = (0..1920_u32 * 1080)
        .flat_map(|n| [n % 251, n / 1920 % 241, n % 97].map(|v| u8::try_from(v).unwrap_or(0)))
        .collect();
    let (format, pixels) = OwnedI420::from_rgb(&rgb, 1920, 1080);
    let frame = Frame::new(format, TimeMs(0), Duration::ZERO, 0, Box::new(pixels));
    let plate = Rect::new(900.0, 600.0, 1020.0, 630.0);
    let seen = Seen::unmasked(&frame);
    c.bench_function("crop and scene of a 1080p frame", |b| b.iter(|| black_box(pictures::take(&seen, &plate))));
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = tracking, real_tracking, fusing, showing }
criterion_main!(benches);
