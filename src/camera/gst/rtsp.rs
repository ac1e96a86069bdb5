//! Network cameras: the address, the credential and the choice of a stream.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::camera::link::Linker;
use crate::camera::{Credential, Settings};

/// Sets up `rtspsrc`; `inside` is the credential that stood in the address.
pub(super) fn configure(
    source: &gst::Element,
    settings: &Settings,
    url: &str,
    inside: Option<&Credential>,
    linker: &Arc<Linker>,
) {
    source.set_property("location", url);
    if let Some(credential) = settings.credential.as_ref().or(inside) {
        source.set_property("user-id", &credential.user);
        source.set_property("user-pw", credential.password.as_str());
    }
    let selecting = Arc::clone(linker);
    source.connect("select-stream", false, move |values| {
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| selecting.select(&caps)).to_value())
    });
}
