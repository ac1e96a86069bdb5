//! What GStreamer says about a failure, in words for people: the cause, what to do, and no secrets.

use std::borrow::Cow;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::local::DEVICE_HINT;
use super::rtsp::is_local;
use crate::camera::error::told;
use crate::camera::{Error, Settings, SourceUri};
use crate::domain::Transport;
use crate::domain::source::redact;

/// What is known of a source before it fails.
pub(super) struct Words {
    origin: String,
    /// Texts that must not be told, with what is told instead.
    secrets: Vec<(String, String)>,
    kind: Kind,
    /// Whether a credential was given.
    credential: bool,
    is_encrypted: bool,
    /// What it can't do in a decode worker, where that may be why it fails.
    fenced: Option<&'static str>,
}

/// Hints of what a decode worker can't do.
const OWN_PIPELINE: Option<&str> =
    Some("its pipeline may need something that a decode worker may not open: try workers = \"none\" in [decode]");
const LOCAL_NAME: Option<&str> =
    Some("names that end in .local are found by multicast DNS, which a decode worker can't ask: give its IP address");

/// What a decode worker can't do that these settings may need.
fn fenced(settings: &Settings) -> Option<&'static str> {
    settings.ports.as_ref()?;
    match &settings.uri {
        SourceUri::Rtsp { url, .. } if is_local(url) => LOCAL_NAME,
        _ => OWN_PIPELINE.filter(|_| settings.pipeline.is_some()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Device,
    Other,
}

impl Words {
    pub(super) fn of(settings: &Settings) -> Self {
        let kind = match &settings.uri {
            SourceUri::Rtsp { .. } if settings.transport == Transport::Udp && !settings.uri.is_encrypted() => Kind::Udp,
            SourceUri::Rtsp { .. } => Kind::Tcp,
            SourceUri::V4l2 { .. } => Kind::Device,
            SourceUri::Test { .. } | SourceUri::File(_) | SourceUri::Folder { .. } => Kind::Other,
        };
        let inside = match &settings.uri {
            SourceUri::Rtsp { credential, .. } => credential.is_some(),
            _ => false,
        };
        let credential = settings.credential.is_some() || inside;
        Self {
            origin: settings.uri.to_string(),
            secrets: secrets(settings),
            kind,
            credential,
            is_encrypted: settings.uri.is_encrypted(),
            fenced: fenced(settings),
        }
    }

    /// The address as it may be shown.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// What an ERROR message says, with what to do about it.
    pub(super) fn explain(&self, message: &gst::message::Error) -> Error {
        let error = message.error();
        let origin = self.origin.clone();
        let why = self.cause(message);
        let is = |kind: gst::ResourceError| error.matches(kind);
        let network = matches!(self.kind, Kind::Tcp | Kind::Udp);
        if network && is(gst::ResourceError::NotAuthorized) {
            return if self.credential { Error::Denied { origin } } else { Error::NoCredential { origin } };
        }
        // Streams of unknown codecs come before: what is left is one that does not travel this way (RTSP status 461).
        if network && error.matches(gst::StreamError::CodecNotFound) {
            return self.refused();
        }
        if self.kind == Kind::Udp && why.contains("UDP packets") {
            let hint =
                Some("a firewall between camera and box may stop them: let UDP pass, or set transport = \"tcp\"");
            return Error::Stream { origin, why, hint: hint.map(Cow::Borrowed) };
        }
        let hint = if self.kind == Kind::Device {
            Some(DEVICE_HINT)
        } else if let Some(why) = self.fenced.filter(|why| may_be_fenced_off(message, why)) {
            Some(why)
        } else if is(gst::ResourceError::NotFound) {
            Some("check the path in its address")
        } else if self.is_encrypted && is(gst::ResourceError::OpenReadWrite) {
            // GStreamer does not tell a closed port from one that speaks no TLS.
            Some("check that it is switched on, its host, and that its port (mostly 322) is the one for rtsps")
        } else if is(gst::ResourceError::OpenRead) || is(gst::ResourceError::OpenReadWrite) {
            Some("check that it is switched on, and its host and port")
        } else if network && is(gst::ResourceError::Read) && why.contains("Timeout") {
            Some("it takes connections and does not answer: restart the camera, and look at its load and network")
        } else if error.matches(gst::CoreError::MissingPlugin) {
            Some("install gstreamer1.0-plugins-good and gstreamer1.0-plugins-bad")
        } else {
            None
        };
        Error::Stream { origin, why, hint: hint.map(Cow::Borrowed) }
    }

    /// What a hardware decoder says.
    pub(super) fn of_decoder(&self, message: &gst::message::Error, pipeline: &str) -> Error {
        Error::Decoder { origin: self.origin.clone(), pipeline: pipeline.to_owned(), why: self.cause(message) }
    }

    fn refused(&self) -> Error {
        let (wanted, remedy) = match self.kind {
            Kind::Udp => ("UDP", "set transport = \"tcp\" or leave it out"),
            Kind::Tcp | Kind::Device | Kind::Other => ("TCP", "set transport = \"udp\" or leave it out"),
        };
        Error::Transport { origin: self.origin.clone(), wanted: wanted.into(), remedy: remedy.into() }
    }

    /// The message and its cause, without secrets.
    fn cause(&self, message: &gst::message::Error) -> String {
        let error = message.error();
        // The last line of the debug text is the cause; those before it are places in GStreamer's code.
        let debug = message.debug();
        let cause = debug.as_deref().and_then(|d| d.lines().next_back()).filter(|l| !l.contains("../"));
        self.words(error.message(), cause)
    }

    /// Both may repeat what the server said: without secrets, and no longer than is told of anyone.
    fn words(&self, message: &str, cause: Option<&str>) -> String {
        let clean = |text: &str| {
            let hidden = self.secrets.iter().fold(text.to_owned(), |text, (secret, shown)| text.replace(secret, shown));
            told(hidden.trim().trim_end_matches('.'))
        };
        match cause {
            Some(cause) => format!("{} ({})", clean(message), clean(cause)),
            None => clean(message),
        }
    }
}

fn secrets(settings: &Settings) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    if let SourceUri::Rtsp { url, credential } = &settings.uri {
        secrets.push((url.clone(), redact(url)));
        for credential in settings.credential.iter().chain(credential) {
            if !credential.password.is_empty() {
                secrets.push((credential.password.to_string(), "…".to_owned()));
            }
        }
    }
    secrets
}

/// Whether this may come of a file, device or name that a decode worker does not reach. A source that is not reached, but by
/// its name, is none of the pipeline's own.
fn may_be_fenced_off(message: &gst::message::Error, why: &str) -> bool {
    use gst::ResourceError as R;
    let class = message.src().and_then(|of| of.downcast_ref::<gst::Element>()).and_then(|of| of.metadata("klass"));
    let error = message.error();
    let opening = [R::NotFound, R::OpenRead, R::OpenWrite, R::OpenReadWrite, R::Failed, R::Settings];
    let library = [gst::LibraryError::Init, gst::LibraryError::Failed];
    (Some(why) == LOCAL_NAME || !class.is_some_and(|class| class.contains("Source")))
        && (opening.into_iter().any(|kind| error.matches(kind)) || library.into_iter().any(|kind| error.matches(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::error::TOLD;
    use crate::domain::CameraId;

    #[test]
    fn what_a_decode_worker_may_not_do_is_told_there_and_nowhere_else() {
        crate::camera::pipeline::init().unwrap();
        let hint = |uri: &str, pipeline: Option<&str>, ports: Option<Vec<u16>>| {
            let uri = uri.parse().unwrap();
            let mut settings = Settings::new(CameraId::new("gate").unwrap(), 1, uri);
            (settings.pipeline, settings.ports) = (pipeline.map(str::to_owned), ports);
            let message = gst::message::Error::new(gst::ResourceError::OpenReadWrite, "can't be opened");
            let gst::MessageView::Error(error) = message.view() else { panic!() };
            let Error::Stream { hint, .. } = Words::of(&settings).explain(error) else { panic!() };
            hint.unwrap_or_default()
        };
        assert_eq!(hint("rtsp://gate.local/x", None, Some(vec![554])), LOCAL_NAME.unwrap());
        assert_eq!(hint("rtsp://192.0.2.7/x", Some("rtsp-mpp"), Some(vec![554])), OWN_PIPELINE.unwrap());
        for (pipeline, ports) in [(None, Some(vec![554])), (Some("rtsp-mpp"), None)] {
            assert!(hint("rtsp://192.0.2.7/x", pipeline, ports).contains("switched on"));
        }
        assert!(hint("rtsp://gate.local/x", None, None).contains("switched on"));
    }

    #[test]
    fn what_a_server_says_is_told_short_and_without_secrets_and_control_characters() {
        let uri = "rtsp://admin:hunter2@h/live/token=abc".parse().unwrap();
        let words = Words::of(&Settings::new(CameraId::new("gate").unwrap(), 1, uri));
        let said = format!("rtsp://h/live/token=abc: hunter2\u{1b}[2J {}", "x".repeat(4_000));
        let told = words.words("Not found.", Some(&said));
        assert!(told.starts_with("Not found (rtsp://h/live/token=…: …[2J xxx"), "{told}");
        assert!(told.chars().count() <= "Not found ()".len() + TOLD + 1, "{told}");
    }
}
