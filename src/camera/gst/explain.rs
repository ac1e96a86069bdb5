//! What GStreamer says about a failure, in words for people: the cause, what to do, and no secrets.

use gstreamer as gst;

use crate::camera::{Error, Settings, SourceUri, uri};

/// Texts that must not be told, with what is told instead.
pub(super) fn secrets(settings: &Settings) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    if let SourceUri::Rtsp { url, credential } = &settings.uri {
        secrets.push((url.clone(), uri::redact(url)));
        for credential in settings.credential.iter().chain(credential) {
            if !credential.password.is_empty() {
                secrets.push((credential.password.to_string(), "…".to_owned()));
            }
        }
    }
    secrets
}

/// What an ERROR message says, with what to do about it.
pub(super) fn explain(message: &gst::message::Error, origin: &str, secrets: &[(String, String)]) -> Error {
    let error = message.error();
    let mut why = error.message().trim_end_matches('.').to_owned();
    // The last line of the debug text is the cause; those before it are places in GStreamer's code.
    let debug = message.debug();
    if let Some(cause) = debug.as_deref().and_then(|d| d.lines().next_back()).filter(|l| !l.contains("../")) {
        why = format!("{why} ({})", cause.trim().trim_end_matches('.'));
    }
    for (secret, shown) in secrets {
        why = why.replace(secret.as_str(), shown);
    }
    let is = |kind: gst::ResourceError| error.matches(kind);
    let hint = if is(gst::ResourceError::NotAuthorized) {
        Some("check the camera's credential")
    } else if is(gst::ResourceError::NotFound) {
        Some("check the path in its address")
    } else if origin.starts_with("rtsps") && is(gst::ResourceError::OpenReadWrite) {
        // GStreamer does not tell a closed port from a certificate that is refused.
        Some(
            "check that it is switched on, its host and port, and that this system trusts its certificate \
             (update-ca-certificates)",
        )
    } else if is(gst::ResourceError::OpenRead) || is(gst::ResourceError::OpenReadWrite) {
        Some("check that it is switched on, and its host and port")
    } else if error.matches(gst::CoreError::MissingPlugin) {
        Some("install gstreamer1.0-plugins-good and gstreamer1.0-plugins-bad")
    } else {
        None
    };
    Error::Stream { origin: origin.to_owned(), why, hint }
}
