//! Sources of this machine: capture devices (V4L2) and test patterns.
//!
//! What a device offers is asked for when it is opened, and one coding of it is chosen by the address: no guess is made
//! while it runs. No device was at hand when this was written: the choice is tested on what devices say of themselves, the
//! refusals on what is no device.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::camera::frame::Arrived;
use crate::camera::slot::{Slot, Taken};
use crate::camera::{Error, MAX_SIDES};
use crate::domain::wish::{Coding, Wish};

/// Size and rate of a test pattern that is not asked for more.
const TEST_SIZE: (u32, u32) = (1280, 720);
const TEST_FPS_MILLI: u32 = 10_000;

/// Formats of plain pixels that are taken from a device, those that need no conversion first.
const RAW_FORMATS: [&str; 7] = ["NV12", "I420", "YV12", "YUY2", "UYVY", "YVYU", "GRAY8"];

/// What a test pattern is made as.
pub(super) fn test_caps(wish: Wish) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", pixels(wish.width.unwrap_or(TEST_SIZE.0)))
        .field("height", pixels(wish.height.unwrap_or(TEST_SIZE.1)))
        .field("framerate", rate(wish.fps_milli.unwrap_or(TEST_FPS_MILLI)))
        .build()
}

/// A side, bounded where it was read, as caps have it.
fn pixels(side: u32) -> i32 {
    i32::try_from(side).unwrap_or(i32::MAX)
}

fn rate(fps_milli: u32) -> gst::Fraction {
    gst::Fraction::new(i32::try_from(fps_milli).unwrap_or(i32::MAX), 1_000)
}

/// Opens the device and chooses what it is to send: the coding and its caps.
///
/// # Errors
/// [`Error::Unreadable`] when it is not there; [`Error::Stream`] with what the system says and what to do; when it does
/// not offer what is asked for, with what it does.
pub(super) fn open_device(
    source: &gst::Element,
    path: &Path,
    wish: Wish,
    slot: &Arc<Slot<Arrived>>,
) -> Result<(&'static str, gst::Caps), Error> {
    let origin = format!("v4l2://{}", path.display());
    // First, since GStreamer words it badly.
    std::fs::metadata(path).map_err(|cause| Error::Unreadable { path: path.to_owned(), cause })?;
    source.set_property("device", path);
    if source.set_state(gst::State::Ready).is_err() {
        // Its reason came over the bus.
        return Err(match slot.take(Duration::ZERO) {
            Taken::Over(Err(error)) => error,
            _ => Error::Stream { origin, why: "cannot be opened".to_owned(), hint: Some(DEVICE_HINT.into()) },
        });
    }
    let offered = source.static_pad("src").map_or_else(gst::Caps::new_empty, |pad| pad.query_caps(None));
    choose(&offered, wish).ok_or_else(|| Error::Stream {
        origin,
        why: format!("does not offer {}; it offers {}", asked(wish), told(&offered)),
        hint: Some("change width, height, fps or format in its address".into()),
    })
}

/// What to look at when a device does not open.
pub(super) const DEVICE_HINT: &str = "check with `v4l2-ctl --list-devices` (package v4l-utils) that it is a camera, that no other \
     program uses it, and that this user is in the group video";

/// The coding that fits the wish, and its caps: JPEGs before plain pixels, since a cable carries more of them.
fn choose(offered: &gst::Caps, wish: Wish) -> Option<(&'static str, gst::Caps)> {
    let jpeg = || ("mjpeg", gst::Caps::builder("image/jpeg"));
    let raw = || ("raw", gst::Caps::builder("video/x-raw").field("format", gst::List::new(RAW_FORMATS)));
    let order = match wish.coding {
        Some(Coding::Mjpeg) => vec![jpeg()],
        Some(Coding::Raw) => vec![raw()],
        None => vec![jpeg(), raw()],
    };
    order.into_iter().find_map(|(codec, caps)| {
        let most = (pixels(MAX_SIDES.0), pixels(MAX_SIDES.1));
        let caps = match wish.width {
            Some(width) => caps.field("width", pixels(width)),
            None => caps.field("width", gst::IntRange::new(1, most.0)),
        };
        let caps = match wish.height {
            Some(height) => caps.field("height", pixels(height)),
            None => caps.field("height", gst::IntRange::new(1, most.1)),
        };
        let caps = match wish.fps_milli {
            Some(fps) => caps.field("framerate", rate(fps)),
            None => caps,
        };
        // Bounded sizes in the device's own order of preference.
        let both = offered.intersect_with_mode(&caps.build(), gst::CapsIntersectMode::First);
        (!both.is_empty()).then_some((codec, both))
    })
}

fn asked(wish: Wish) -> String {
    let mut words = Vec::new();
    words.extend(wish.coding.map(|c| if c == Coding::Mjpeg { "Motion JPEG" } else { "plain pixels" }.to_owned()));
    words.extend(wish.width.map(|n| format!("width {n}")));
    words.extend(wish.height.map(|n| format!("height {n}")));
    words.extend(wish.fps_milli.map(|n| format!("{} frames a second", f64::from(n) / 1_000.0)));
    if words.is_empty() { "Motion JPEG or plain pixels".to_owned() } else { words.join(", ") }
}

/// What a device offers, shortly.
fn told(offered: &gst::Caps) -> String {
    let mut words: Vec<String> = Vec::new();
    for s in offered.iter() {
        let coding = s.get::<&str>("format").unwrap_or_else(|_| s.name().as_str());
        let size = match (s.get::<i32>("width"), s.get::<i32>("height")) {
            (Ok(width), Ok(height)) => format!(" {width}×{height}"),
            _ => String::new(),
        };
        let word = format!("{coding}{size}");
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let more = words.len().saturating_sub(MOST_TOLD);
    words.truncate(MOST_TOLD);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    if words.is_empty() { "nothing".to_owned() } else { format!("{}{rest}", words.join(", ")) }
}

/// A device may offer a hundred sizes.
const MOST_TOLD: usize = 12;

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;
    use crate::camera::pipeline;

    /// As a USB camera describes itself.
    fn webcam() -> gst::Caps {
        pipeline::init().unwrap();
        gst::Caps::from_str(
            "video/x-raw,format=YUY2,width=640,height=480,framerate={30/1,15/1};\
             video/x-raw,format=YUY2,width=1280,height=720,framerate=10/1;\
             image/jpeg,width=1280,height=720,framerate={30/1,15/1};\
             image/jpeg,width=1920,height=1080,framerate=30/1;\
             video/x-h264,width=1920,height=1080,framerate=30/1",
        )
        .unwrap()
    }

    fn chosen(query: &str) -> Option<(&'static str, String)> {
        let wish = Wish::parse(query, &["width", "height", "fps", "format"]).unwrap();
        choose(&webcam(), wish).map(|(codec, caps)| (codec, caps.to_string()))
    }

    #[test]
    fn a_device_sends_what_the_address_asks_for() {
        let (codec, caps) = chosen("").unwrap();
        assert_eq!(codec, "mjpeg");
        assert!(caps.contains("1280") && caps.contains("1920") && !caps.contains("YUY2"), "{caps}");
        let (codec, caps) = chosen("format=raw&width=640").unwrap();
        assert_eq!((codec, caps.contains("(int)640"), caps.contains("1280")), ("raw", true, false), "{caps}");
        let (codec, caps) = chosen("width=1280&fps=10").unwrap();
        assert_eq!(codec, "raw", "only plain pixels come at 10 a second: {caps}");
        let (codec, caps) = chosen("width=1280&height=720&fps=15").unwrap();
        assert_eq!((codec, caps.contains("15/1"), caps.contains("30/1")), ("mjpeg", true, false), "{caps}");
        assert_eq!(chosen("width=800"), None);
        assert_eq!(chosen("format=raw&fps=60"), None);
    }

    #[test]
    fn sizes_beyond_the_bound_are_never_chosen() {
        pipeline::init().unwrap();
        let huge = gst::Caps::from_str(
            "image/jpeg,width=8000,height=6000,framerate=5/1;video/x-raw,format=GRAY8,width=64,height=64,framerate=5/1",
        )
        .unwrap();
        assert_eq!(choose(&huge, Wish::default()).unwrap().0, "raw");
    }

    #[test]
    fn what_a_device_offers_is_told_shortly() {
        let told = told(&webcam());
        assert_eq!(
            told,
            "YUY2 640×480, YUY2 1280×720, image/jpeg 1280×720, image/jpeg 1920×1080, video/x-h264 1920×1080"
        );
        let wish = Wish { width: Some(800), coding: Some(Coding::Mjpeg), ..Wish::default() };
        assert_eq!(asked(wish), "Motion JPEG, width 800");
    }
}
