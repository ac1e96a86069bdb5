//! Pipelines as text: what is embedded, what a file overrides, what an element needs to be installed.
//!
//! A source text (`rtsp`, `v4l2`, `file-mp4`, …) opens and takes apart; a decode text (`rtsp-h264`, `v4l2-raw`, …) takes one
//! stream and ends in the appsink named `frames`. The element named `coded` is the parser: what comes out of it
//! is checked before anything is decoded. Which two are put together follows from the container and codec found
//! (`pipelines/README.md` has the table). Those of hardware decoders are in [`hardware`]. No value from config is ever written into a text: addresses and credentials
//! are properties.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Error, hardware};

/// A pipeline text with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Name of the embedded text, or path of the file.
    pub name: String,
    /// Without comments.
    pub text: String,
}

/// Name and text of every embedded pipeline.
pub const EMBEDDED: [(&str, &str); 17] = [
    ("rtsp", include_str!("../../pipelines/rtsp.txt")),
    ("v4l2", include_str!("../../pipelines/v4l2.txt")),
    ("test", include_str!("../../pipelines/test.txt")),
    ("file-mp4", include_str!("../../pipelines/file-mp4.txt")),
    ("file-matroska", include_str!("../../pipelines/file-matroska.txt")),
    ("file-avi", include_str!("../../pipelines/file-avi.txt")),
    ("file-ts", include_str!("../../pipelines/file-ts.txt")),
    ("file-raw", include_str!("../../pipelines/file-raw.txt")),
    ("rtsp-h264", include_str!("../../pipelines/rtsp-h264.txt")),
    ("rtsp-h265", include_str!("../../pipelines/rtsp-h265.txt")),
    ("rtsp-mjpeg", include_str!("../../pipelines/rtsp-mjpeg.txt")),
    ("file-h264", include_str!("../../pipelines/file-h264.txt")),
    ("file-h265", include_str!("../../pipelines/file-h265.txt")),
    ("file-mjpeg", include_str!("../../pipelines/file-mjpeg.txt")),
    ("v4l2-raw", include_str!("../../pipelines/v4l2-raw.txt")),
    ("v4l2-mjpeg", include_str!("../../pipelines/v4l2-mjpeg.txt")),
    ("test-raw", include_str!("../../pipelines/test-raw.txt")),
];

/// Elements that decode texts and annotated videos may use and the Debian 12 package that has them.
const PACKAGES: [(&str, &[&str]); 7] = [
    ("libgstreamer1.0-0", &["filesrc", "filesink", "queue", "identity", "capsfilter", "tee", "multiqueue"]),
    (
        "gstreamer1.0-plugins-base",
        &["appsink", "appsrc", "videoconvert", "videoscale", "videoconvertscale", "videorate", "videotestsrc"],
    ),
    (
        "gstreamer1.0-plugins-good",
        &[
            "rtspsrc",
            "rtpbin",
            "rtpjitterbuffer",
            "rtph264depay",
            "rtph265depay",
            "rtpjpegdepay",
            "qtdemux",
            "mp4mux",
            "matroskademux",
            "avidemux",
            "udpsrc",
            "v4l2src",
            "v4l2h264dec",
            "v4l2h265dec",
            "v4l2convert",
            "jpegdec",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &[
            "jpegparse",
            "h264parse",
            "h265parse",
            "tsdemux",
            "vah264dec",
            "vah265dec",
            "vajpegdec",
            "vapostproc",
            "v4l2slh264dec",
            "v4l2slh265dec",
            "nvh264dec",
            "nvh265dec",
            "qsvh264dec",
            "qsvh265dec",
            "openh264dec",
            "openh264enc",
            "libde265dec",
        ],
    ),
    ("gstreamer1.0-plugins-ugly", &["x264enc"]),
    ("gstreamer1.0-libav", &["avdec_h264", "avdec_h265", "avdec_mjpeg"]),
    ("gstreamer1.0-vaapi", &["vaapih264dec", "vaapih265dec", "vaapipostproc"]),
];

/// The Debian package that has `element`, where it is known.
#[must_use]
pub fn package_of(element: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(_, elements)| elements.contains(&element)).map(|(package, _)| *package)
}

/// Starts GStreamer; again is no harm.
///
/// # Errors
/// [`Error::Gstreamer`].
pub(super) fn init() -> Result<(), Error> {
    gst::init().map_err(|e| Error::Gstreamer { why: e.to_string() })
}

/// Whether `name` is an embedded text that needs no hardware.
pub(super) fn is_embedded(name: &str) -> bool {
    EMBEDDED.iter().any(|(known, _)| *known == name)
}

/// The embedded text `choice`, or the text of the file it names (with a `/` in it, or ending in `.txt`).
///
/// # Errors
/// [`Error::Unreadable`] for a file, [`Error::Pipeline`] for a name that is not embedded.
pub fn load(choice: &str) -> Result<Text, Error> {
    let is_file = choice.contains('/') || Path::new(choice).extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
    let text = if is_file {
        let path = Path::new(choice);
        std::fs::read_to_string(path).map_err(|cause| Error::Unreadable { path: path.to_owned(), cause })?
    } else {
        let mut all = EMBEDDED.iter().chain(hardware::TEXTS);
        let (_, text) = all.find(|(name, _)| *name == choice).ok_or_else(|| {
            let decoders = EMBEDDED.iter().chain(hardware::TEXTS).filter(|(_, text)| text.contains("appsink"));
            let names: Vec<&str> = decoders.map(|(name, _)| *name).collect();
            Error::Pipeline {
                pipeline: choice.to_owned(),
                why: format!(
                    "there is none of that name; known are auto, {}, or the path of a .txt file",
                    names.join(", ")
                ),
            }
        })?;
        (*text).to_owned()
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    Ok(Text { name: choice.to_owned(), text: lines.join(" ") })
}

/// Makes the elements of a text; free pads of a decode text become pads of the bin.
///
/// # Errors
/// [`Error::MissingElement`] with the package, or [`Error::Pipeline`] with what the parser says.
pub(super) fn build(text: &Text, free_pads: bool) -> Result<gst::Bin, Error> {
    init()?;
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS | gst::ParseFlags::PLACE_IN_BIN;
    let faulty = |why: String| Error::Pipeline { pipeline: text.name.clone(), why };
    match gst::parse::bin_from_description_full(&text.text, free_pads, Some(&mut context), flags) {
        Ok(element) => element.downcast::<gst::Bin>().map_err(|_| faulty("it makes no bin".to_owned())),
        // The context also names elements that are there and were given a wrong property.
        Err(error) => Err(match context.missing_elements().into_iter().next() {
            Some(element) if error.matches(gst::ParseError::NoSuchElement) => missing(&text.name, element),
            _ => faulty(error.message().to_owned()),
        }),
    }
}

pub(super) fn missing(pipeline: &str, element: String) -> Error {
    let remedy = match package_of(&element) {
        Some(package) if hardware::Api::of_text(pipeline).is_some() => format!(
            "apt-get install {package}; where that is installed, no device here decodes this, or this user may not open it"
        ),
        Some(package) => format!("apt-get install {package}"),
        None => "no package of Debian 12 is known for it; see whether the name is right (gst-inspect-1.0)".to_owned(),
    };
    Error::MissingElement { pipeline: pipeline.to_owned(), element, remedy }
}

/// The decode text as a bin with one free sink pad and the appsink `frames` in it.
///
/// # Errors
/// As [`build`], and [`Error::Pipeline`] when there is no free sink pad or no appsink of that name.
pub(super) fn build_decoder(text: &Text) -> Result<(gst::Bin, gst::Pad, gstreamer_app::AppSink), Error> {
    let faulty = |why: &str| Error::Pipeline { pipeline: text.name.clone(), why: why.to_owned() };
    let bin = build(text, true)?;
    let mut sinks = bin.sink_pads().into_iter();
    let (Some(entry), None) = (sinks.next(), sinks.next()) else {
        return Err(faulty("it must begin with exactly one element that is still to be linked"));
    };
    let frames = bin.by_name("frames").and_then(|e| e.downcast::<gstreamer_app::AppSink>().ok());
    let frames = frames.ok_or_else(|| faulty("it must end in \"appsink name=frames\""))?;
    Ok((bin, entry, frames))
}

/// Whether all elements of `choice` are installed and it fits together: what `watchpost check` asks.
///
/// # Errors
/// As [`load`]; [`Error::MissingElement`], [`Error::Pipeline`].
pub fn check(choice: &str) -> Result<(), Error> {
    let text = load(choice)?;
    if text.text.contains("name=source") {
        build(&text, false)?;
        // Made by rtspsrc itself, when it connects.
        for element in ["rtpbin", "rtpjitterbuffer", "rtpssrcdemux"].iter().filter(|_| text.text.contains("rtspsrc")) {
            if gst::ElementFactory::find(element).is_none() {
                return Err(missing(&text.name, (*element).to_owned()));
            }
        }
    } else {
        build_decoder(&text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text { name: "test".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_embedded_pipeline_fits_together_and_ends_in_the_same_appsink() {
        let mut tails = Vec::new();
        let shipped = hardware::TEXTS.iter().filter(|(name, _)| !name.ends_with("-broken"));
        for (name, _) in EMBEDDED.iter().chain(shipped) {
            let is_of_hardware = hardware::Api::of_text(name).is_some();
            match check(name) {
                // Whatever machine this runs on.
                Err(Error::MissingElement { .. }) if is_of_hardware => {}
                checked => checked.unwrap(),
            }
            let text = load(name).unwrap().text;
            match text.find("appsink") {
                Some(at) => tails.push(text[at..].to_owned()),
                None => assert!(text.contains("name=source"), "{name}"),
            }
            assert!(!text.contains("decodebin") && !text.contains("uridecode") && !text.contains('#'), "{name}");
            for element in text.split(" ! ").filter_map(|e| e.split(' ').next()) {
                // Debian has no package of it.
                let is_known = package_of(element).is_some() || element == "mppvideodec";
                assert!(is_known, "{name}: no package is known for {element}");
            }
        }
        tails.dedup();
        assert_eq!(tails.len(), 1);
    }

    #[test]
    fn texts_of_hardware_differ_from_those_of_software_in_their_decoder_alone() {
        init().unwrap();
        let shape = |name: &str| {
            let text = load(name).unwrap().text;
            let elements: Vec<String> = text.split(" ! ").map(str::to_owned).collect();
            let decoder = elements.iter().position(|e| e.contains("name=coded")).unwrap() + 1;
            (elements[..decoder].to_vec(), elements.last().cloned())
        };
        for (name, _) in hardware::TEXTS.iter().filter(|(name, _)| !name.ends_with("-broken")) {
            let (usual, _) = name.rsplit_once('-').unwrap();
            assert_eq!(shape(name), shape(usual), "{name}");
        }
    }

    #[test]
    fn a_missing_element_is_named_with_its_package() {
        let elements =
            [("v4l2slh264dec", "apt-get install gstreamer1.0-plugins-bad"), ("nosuchdec", "gst-inspect-1.0")];
        for (element, remedy) in elements {
            init().unwrap();
            if gst::ElementFactory::find(element).is_some() {
                continue;
            }
            let error = build_decoder(&text(&format!("h264parse ! {element} ! appsink name=frames"))).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(element) && error.contains(remedy) && error.contains("\"test\""), "{error}");
        }
    }

    #[test]
    fn faulty_texts_are_refused_with_the_reason() {
        for (bad, why) in [
            ("h264parse ! avdec_h264 !", "syntax"),
            ("h264parse ! avdec_h264 nosuch=1 ! appsink name=frames", "nosuch"),
            ("h264parse ! avdec_h264 ! fakesink", "appsink name=frames"),
            ("videotestsrc ! appsink name=frames", "exactly one"),
            ("", "empty"),
        ] {
            let error = build_decoder(&text(bad)).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let error = load("rtsp-av1").unwrap_err().to_string();
        assert!(error.contains("rtsp-h265"), "{error}");
    }

    #[test]
    fn a_file_overrides_and_may_have_comments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.txt");
        std::fs::write(&path, "# mine\nh264parse !\n  avdec_h264 ! appsink name=frames\n").unwrap();
        let loaded = load(path.to_str().unwrap()).unwrap();
        assert_eq!(loaded.text, "h264parse ! avdec_h264 ! appsink name=frames");
        check(path.to_str().unwrap()).unwrap();
        assert!(matches!(load("none/there.txt"), Err(Error::Unreadable { .. })));
    }
}
