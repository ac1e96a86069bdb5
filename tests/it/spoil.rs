//! What the fault campaign does to streams really happens to them: a camera sees it.

use std::sync::Arc;
use std::time::Instant;

use watchpost::camera::testkit::{Clip, Manner, RtspServer, Serving, Spoil};
use watchpost::camera::{self, Error, Next};
use watchpost::clock::Clock;
use watchpost::domain::Frame;
use watchpost::health::CameraCounters;

use super::kit::camera::{PATIENCE, looped, settings};

#[test]
fn a_stream_changes_its_size_has_flipped_bits_and_lies_about_its_size_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (usual, small) = (dir.path().join("usual.mp4"), dir.path().join("small.mp4"));
    let encoder = "x264enc speed-preset=ultrafast bframes=0 key-int-max=10 threads=1";
    let clip = Clip { encoder, fps: 50, ..Clip::H264 };
    clip.make(&usual).unwrap();
    Clip { size: (192, 108), ..clip }.make(&small).unwrap();
    let spoil = Spoil::default();
    let serving = Serving { spoil: Some(spoil.clone()), other: Some(small), ..looped() };
    let server = RtspServer::start(&usual, &serving).unwrap();
    let counters = Arc::new(CameraCounters::default());
    let mut source = camera::open(&settings(&server.url()), &Clock::system(), Arc::clone(&counters)).unwrap();
    let begun = Instant::now();
    let mut until = |is_so: &dyn Fn(&Frame) -> bool| {
        loop {
            assert!(begun.elapsed() < PATIENCE * 3, "it does not come");
            match source.next(PATIENCE) {
                Ok(Next::Frame(frame)) if is_so(&frame) => return None,
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
    };
    let is = |size: (u32, u32)| move |frame: &Frame| (frame.format.width, frame.format.height) == size;
    assert!(until(&is((320, 180))).is_none());
    spoil.pictures(Manner::Others);
    assert!(until(&is((192, 108))).is_none());
    spoil.pictures(Manner::AsTheyAre);
    assert!(until(&is((320, 180))).is_none());
    // Grey is what a decoder shows for what it cannot read; or it says that a picture is damaged.
    let odd = |frame: &Frame| {
        let luma = frame.luma();
        let rows = (0..luma.height).filter_map(|y| luma.row(y));
        rows.flatten().filter(|v| (20..=220).contains(*v)).count() > 2_000
    };
    assert!(until(&|frame| !odd(frame)).is_none(), "a white ball on black has few greys");
    spoil.pictures(Manner::Flipped);
    assert!(until(&|frame| odd(frame) || counters.damaged.get() > 0).is_none());
    spoil.pictures(Manner::Oversized);
    let error = until(&|_| false).unwrap();
    assert!(matches!(error, Error::TooLarge { width: 16_384, height: 16_384, .. }), "{error}");
}
