//! Network cameras: the address, the credential, the way the pictures travel, and the choice of a stream.
//!
//! Nothing is sent to another host than the configured one, whatever a camera names: its redirections are stopped before
//! they are connected to, and reports over UDP go to the configured host.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::tls;
use crate::camera::error::told;
use crate::camera::frame::Arrived;
use crate::camera::link::Linker;
use crate::camera::slot::Slot;
use crate::camera::{Credential, Error, Settings, SourceUri};
use crate::domain::Transport;
use crate::domain::source::redact;

/// How long packets that come over UDP may take to be put in order, milliseconds: a lost one holds the others up for so
/// long. (Over TCP nothing is lost, and the text's bound is for what waits for the decoder.)
const UDP_LATENCY_MS: u32 = 400;

/// How long nothing may come over UDP before the camera is given up: less than the loop around it waits.
const UDP_TIMEOUT_US: u64 = 4_000_000;

/// How often OPTIONS is sent, and how often DESCRIBE: once, and again with the credential (or with a new nonce, where a
/// camera takes each but once). `rtspsrc` would try a refused password eight times an opening, and cameras lock an
/// account after five.
const REQUESTS: u32 = 2;

/// How long a redirection is held up while `rtspsrc` is told to give up.
const HALT_WITHIN: Duration = Duration::from_secs(2);

/// Sets up `rtspsrc` for the address `url`; `inside` is the credential that stood in it.
///
/// # Errors
/// As [`tls::configure`].
pub(super) fn configure(
    source: &gst::Element,
    settings: &Settings,
    (url, inside): (&str, Option<&Credential>),
    linker: &Arc<Linker>,
    manners: &Arc<Manners>,
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
    let (selecting, described) = (Arc::clone(linker), Arc::clone(manners));
    source.connect("select-stream", false, move |values| {
        described.is_described.store(true, Ordering::Relaxed);
        let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| selecting.select(&caps)).to_value())
    });
    Arc::clone(manners).teach(source);
    Ok(())
}

/// What `rtspsrc` would do and must not: go where a camera sends it, and repeat a password that was refused.
pub(super) struct Manners {
    home: Place,
    origin: String,
    slot: Arc<Slot<Arrived>>,
    /// Ports that may be connected to, where not all may.
    ports: Option<Vec<u16>>,
    /// How often the request that is under way was sent.
    sent: AtomicU32,
    is_described: AtomicBool,
}

impl Manners {
    /// For a network camera.
    pub(super) fn of(settings: &Settings, slot: &Arc<Slot<Arrived>>) -> Option<Arc<Self>> {
        let SourceUri::Rtsp { url, .. } = &settings.uri else { return None };
        Some(Arc::new(Self {
            home: Place::of(url),
            origin: settings.uri.to_string(),
            slot: Arc::clone(slot),
            ports: settings.ports.clone(),
            sent: AtomicU32::new(0),
            is_described: AtomicBool::new(false),
        }))
    }

    /// Looks at every request before it is sent, and at every element that sends packets.
    fn teach(self: Arc<Self>, source: &gst::Element) {
        if let Some(bin) = source.downcast_ref::<gst::Bin>() {
            let manners = Arc::clone(&self);
            // Called before the element is linked, so before it has anything to send.
            bin.connect_element_added(move |_, element| manners.keep_at_home(element));
        }
        source.connect("before-send", false, move |values| {
            let source = values.first().and_then(|v| v.get::<gst::Element>().ok());
            let fault = source.and_then(|s| self.elsewhere(&s)).or_else(|| self.refused());
            let is_fine = fault.is_none();
            if let Some(fault) = fault {
                self.slot.finish(Err(fault));
            }
            Some(is_fine.to_value())
        });
    }

    /// Hears what `rtspsrc` is about to do, in its own thread: it does so when this returns.
    pub(super) fn hear(&self, progress: &gst::message::Progress) {
        // Not `Progress::get`, which leaks its texts (gstreamer-rs 0.25).
        let code = progress.structure().and_then(|s| s.get::<&str>("code").ok()).unwrap_or_default();
        // Before OPTIONS, and before DESCRIBE.
        if code == "open" {
            self.sent.store(0, Ordering::Relaxed);
        }
        // Before it connects. A redirection has replaced the address by then, and nothing else can stop it: the
        // camera's answer shows to nobody, and `before-send` comes after the connection.
        let Some(source) = progress.src().and_then(|s| s.downcast_ref::<gst::Element>()) else { return };
        if code == "connect"
            && let Some(fault) = self.elsewhere(source)
        {
            self.slot.finish(Err(fault));
            halt(source);
        }
    }

    /// Whether the next step leads to another host, or to a port that is fenced off.
    fn elsewhere(&self, source: &gst::Element) -> Option<Error> {
        let now = source.property::<Option<String>>("location").unwrap_or_default();
        let to = || told(&redact(&now));
        let is_fenced_off = || self.ports.as_ref().zip(port(&now)).is_some_and(|(ports, port)| !ports.contains(&port));
        (Place::of(&now) != self.home || is_fenced_off())
            .then(|| Error::Redirected { origin: self.origin.clone(), to: to() })
    }

    /// Whether the camera refuses the credential: it asks for it again.
    fn refused(&self) -> Option<Error> {
        if self.is_described.load(Ordering::Relaxed) {
            return None;
        }
        let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        (sent > REQUESTS).then(|| Error::Denied { origin: self.origin.clone() })
    }

    /// Has reports and opening packets over UDP go to the configured host, whatever `source=` the camera answers.
    fn keep_at_home(&self, element: &gst::Element) {
        if element.factory().is_none_or(|f| f.name() != "udpsink") {
            return;
        }
        let told_host = element.property::<Option<String>>("host").unwrap_or_default();
        if !self.home.is_at(&told_host) {
            element.set_property("host", &self.home.name);
        }
    }
}

/// Has `rtspsrc`, whose thread this is, give up the connection that it is about to make.
///
/// Closing it cancels the connection beforehand. Another thread does so, and is waited for so long only: one that closes
/// the whole pipeline at the same moment waits for this one, and has cancelled the connection already.
fn halt(source: &gst::Element) {
    let (done, wait) = sync_channel(1);
    let source = source.clone();
    let run = move || {
        let _ = source.set_state(gst::State::Ready);
        let _ = done.send(());
        // If the pipeline was closed meanwhile, nobody else stops what this has made ready.
        let _ = source.set_state(gst::State::Null);
    };
    if std::thread::Builder::new().name("halt".to_owned()).spawn(run).is_ok() {
        let _ = wait.recv_timeout(HALT_WITHIN);
    }
}

/// The port of a network address, its scheme's own where it names none.
pub(in crate::camera) fn port(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let behind_name = authority.rsplit_once(['@', ']']).map_or(authority, |(_, behind)| behind);
    let given = behind_name.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    given.or(Some(if scheme.eq_ignore_ascii_case("rtsps") { 322 } else { 554 }))
}

/// Whether the host of a network address is a name that has to be looked up.
pub(in crate::camera) fn names_host(url: &str) -> bool {
    Place::of(url).name.parse::<std::net::IpAddr>().is_err()
}

/// Whether the host of a network address is named as multicast DNS does (RFC 6762, 3).
pub(super) fn is_local(url: &str) -> bool {
    let name = Place::of(url).name;
    name.trim_end_matches('.').strip_suffix(".local").is_some()
}

/// Scheme and host of an address, without port: what a redirection must leave as it is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    scheme: String,
    /// Without brackets.
    name: String,
}

impl Place {
    fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let name = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => host.split(':').next(),
        };
        Self { scheme: scheme.to_ascii_lowercase(), name: name.unwrap_or_default().to_ascii_lowercase() }
    }

    /// Whether `host` is this one, or an address of it.
    fn is_at(&self, host: &str) -> bool {
        let is_among = |ip: IpAddr| {
            let known = (self.name.as_str(), 0).to_socket_addrs();
            known.is_ok_and(|mut known| known.any(|at| at.ip() == ip))
        };
        host.eq_ignore_ascii_case(&self.name) || host.parse::<IpAddr>().is_ok_and(is_among)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_same_host_is_told_from_another() {
        let home = Place::of("rtsps://Cam.example:322/stream?x=1");
        for same in ["rtsps://cam.example/other", "rtsps://u:p@cam.example:8322/"] {
            assert_eq!(Place::of(same), home, "{same}");
        }
        for other in ["rtsp://cam.example:322/stream", "rtsps://cam.example.org/", "rtsps://cam.example@evil/", ""] {
            assert_ne!(Place::of(other), home, "{other}");
        }
        assert_ne!(Place::of("rtsp://[2001:db8::1]/"), Place::of("rtsp://[2001:db8::2]/"));
        assert_eq!(Place::of("rtsp://[2001:db8::1]:554/"), Place::of("rtsp://[2001:DB8::1]/"));
    }

    #[test]
    fn an_address_of_the_configured_host_is_known_and_no_other() {
        let named = Place::of("rtsp://localhost:554/x");
        assert!(named.is_at("127.0.0.1") && named.is_at("LOCALHOST"));
        let (v4, v6) = (Place::of("rtsp://127.0.0.1/x"), Place::of("rtsp://[::1]:554/x"));
        assert!(v4.is_at("127.0.0.1") && v6.is_at("::1") && v6.is_at("0:0:0:0:0:0:0:1"));
        for other in ["127.0.0.2", "224.0.0.1", "0.0.0.0", "evil.example", ""] {
            assert!(!named.is_at(other) && !v4.is_at(other), "{other}");
        }
    }
}
