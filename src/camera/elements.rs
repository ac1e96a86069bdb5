//! Which GStreamer elements the configured cameras need, and which of them are not installed.
//!
//! Called by `watchpost check`. A camera that names no pipeline, or `auto`, may need any decode text of its kind: which one, only its
//! stream tells.

use gio::prelude::*;
use gstreamer as gst;

use super::hardware::AUTO;
use super::pipeline;

/// An element that is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The Debian package that has it, where it is known.
    pub package: Option<&'static str>,
}

/// The pipelines that cameras with these addresses and chosen pipelines may need, each once, and whether it is certain.
pub fn needed<'a>(cameras: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Vec<(String, bool)> {
    let mut names: Vec<(String, bool)> = Vec::new();
    let mut add = |name: &str, certain: bool| match names.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known |= certain,
        None => names.push((name.to_owned(), certain)),
    };
    for (uri, chosen) in cameras {
        let family = family_of(uri);
        // What it takes of the hardware is there by then, and it may have to go back to software.
        let chosen = chosen.filter(|name| *name != AUTO);
        for (name, text) in pipeline::EMBEDDED {
            let of_family = name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            let is_source = text.contains("name=source");
            // Of several file texts only one fits the file; a chosen decode text takes the place of all others.
            if of_family && (is_source || chosen.is_none()) {
                add(name, is_source && name == family);
            }
        }
        if let Some(chosen) = chosen {
            add(chosen, true);
        }
    }
    names
}

/// The elements of the pipeline `name` that are not installed; none for a text that cannot be read.
#[must_use]
pub fn missing_of(name: &str) -> Vec<Missing> {
    if pipeline::init().is_err() {
        return Vec::new();
    }
    let Ok(text) = pipeline::load(name) else { return Vec::new() };
    let mut names: Vec<&str> = text.text.split('!').filter_map(|part| part.split_whitespace().next()).collect();
    names.retain(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    if names.contains(&"rtspsrc") {
        // Made by rtspsrc itself, when it connects.
        names.extend(["rtpbin", "rtpjitterbuffer", "rtpssrcdemux"]);
    }
    names.retain(|name| gst::ElementFactory::find(name).is_none());
    names.iter().map(|name| Missing { name: (*name).to_owned(), package: pipeline::package_of(name) }).collect()
}

/// Whether GLib has the TLS that cameras with `rtsps://` need: the package glib-networking.
#[must_use]
pub fn has_tls() -> bool {
    gio::TlsBackend::default().supports_tls()
}

/// The first part of the names of the texts for an address.
fn family_of(uri: &str) -> &'static str {
    match uri.split_once("://").map(|(scheme, _)| scheme) {
        Some("rtsp" | "rtsps") => "rtsp",
        Some("v4l2") => "v4l2",
        Some("test") => "test",
        Some("folder") => "folder",
        _ => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_camera_needs_its_source_and_may_need_each_decoder() {
        let needed = needed([("rtsp://192.0.2.1/1", None)].into_iter());
        assert!(needed.contains(&("rtsp".into(), true)) && needed.contains(&("rtsp-h264".into(), false)), "{needed:?}");
        assert!(!needed.iter().any(|(name, _)| name.starts_with("file")), "{needed:?}");
    }

    #[test]
    fn a_chosen_pipeline_takes_the_place_of_the_decoders() {
        let needed = needed([("rtsp://192.0.2.1/1", Some("own.txt"))].into_iter());
        assert!(needed.contains(&("own.txt".into(), true)), "{needed:?}");
        assert!(!needed.iter().any(|(name, _)| name == "rtsp-h264"), "{needed:?}");
    }

    #[test]
    fn an_element_that_nobody_has_is_missing_and_the_embedded_ones_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.txt");
        std::fs::write(&path, "h264parse ! nosuchdec a=b ! video/x-raw ! appsink name=frames\n").unwrap();
        let missing = missing_of(path.to_str().unwrap());
        assert_eq!(missing, [Missing { name: "nosuchdec".into(), package: None }]);
        assert_eq!(missing_of("rtsp-h264"), []);
    }
}
