//! Network cameras: the address, the credential, the way the pictures travel, and the choice of a stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::tls;
use crate::camera::link::Linker;
use crate::camera::{Credential, Error, Settings};
use crate::domain::Transport;
use crate::domain::source::redact;

/// How long packets that come over UDP may take to be put in order, milliseconds: a lost one holds the others up for so
/// long. (Over TCP nothing is lost, and the text's bound is for what waits for the decoder.)
const UDP_LATENCY_MS: u32 = 400;

/// How long nothing may come over UDP before the camera is given up: less than the loop around it waits.
const UDP_TIMEOUT_US: u64 = 4_000_000;

/// Requests that are sent before the camera describes its streams: OPTIONS, DESCRIBE, and one of them again with the
/// credential. `rtspsrc` would try a refused password eight times an opening, and cameras lock an account after five.
const REQUESTS: u32 = 3;

/// Sets up `rtspsrc`; `inside` is the credential that stood in the address.
///
/// # Errors
/// As [`tls::configure`].
pub(super) fn configure(
    source: &gst::Element,
    settings: &Settings,
    url: &str,
    inside: Option<&Credential>,
    linker: &Arc<Linker>,
) -> Result<(), Error> {
    source.set_property("location", url);
    if let Some(credential) = settings.credential.as_ref().or(inside) {
        source.set_property("user-id", &credential.user);
        source.set_property("user-pw", credential.password.as_str());
    }
    if settings.uri.is_encrypted() {
        tls::configure(source, &linker.origin, settings.ca.as_deref(), &linker.slot)?;
    } else if settings.transport == Transport::Udp {
        source.set_property_from_str("protocols", "udp");
        source.set_property("latency", UDP_LATENCY_MS);
        source.set_property("timeout", UDP_TIMEOUT_US);
    }
    let manners = Arc::new(Manners::of(url));
    let (selecting, described) = (Arc::clone(linker), Arc::clone(&manners));
    source.connect("select-stream", false, move |values| {
        described.is_described.store(true, Ordering::Relaxed);
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| selecting.select(&caps)).to_value())
    });
    manners.teach(source, linker);
    Ok(())
}

/// What `rtspsrc` would do and must not: follow a camera to another host, with the credential, and repeat a password that
/// was refused.
struct Manners {
    home: String,
    /// The address that was spoken to last, and how often.
    sent: Mutex<(String, u32)>,
    is_described: AtomicBool,
}

impl Manners {
    fn of(url: &str) -> Self {
        Self { home: host(url), sent: Mutex::default(), is_described: AtomicBool::new(false) }
    }

    /// Looks at every request before it is sent.
    fn teach(self: Arc<Self>, source: &gst::Element, linker: &Arc<Linker>) {
        let linker = Arc::clone(linker);
        source.connect("before-send", false, move |values| {
            let source = values.first().and_then(|v| v.get::<gst::Element>().ok());
            // A redirection replaces the address before anything is sent to the new one.
            let now = source.and_then(|s| s.property::<Option<String>>("location")).unwrap_or_default();
            let fault = self.fault(&now, &linker.origin);
            let is_fine = fault.is_none();
            if let Some(fault) = fault {
                linker.slot.finish(Err(fault));
            }
            Some(is_fine.to_value())
        });
    }

    /// Why the next request, to the address `now`, must not be sent.
    fn fault(&self, now: &str, origin: &str) -> Option<Error> {
        let origin = origin.to_owned();
        if host(now) != self.home {
            return Some(Error::Redirected { origin, to: redact(now) });
        }
        if self.is_described.load(Ordering::Relaxed) {
            return None;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.0 != now {
            *sent = (now.to_owned(), 0);
        }
        sent.1 += 1;
        (sent.1 > REQUESTS).then_some(Error::Denied { origin })
    }
}

/// Scheme and host of an address, without port: what a redirection must leave as it is.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    format!("{scheme}://{}", name.unwrap_or_default()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_same_host_is_told_from_another() {
        let home = host("rtsps://Cam.example:322/stream?x=1");
        for same in ["rtsps://cam.example/other", "rtsps://u:p@cam.example:8322/"] {
            assert_eq!(host(same), home, "{same}");
        }
        for other in ["rtsp://cam.example:322/stream", "rtsps://cam.example.org/", "rtsps://cam.example@evil/", ""] {
            assert_ne!(host(other), home, "{other}");
        }
        assert_ne!(host("rtsp://[2001:db8::1]/"), host("rtsp://[2001:db8::2]/"));
        assert_eq!(host("rtsp://[2001:db8::1]:554/"), host("rtsp://[2001:DB8::1]/"));
    }
}
