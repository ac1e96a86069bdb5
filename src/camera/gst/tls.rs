//! Whom an `rtsps` camera must be: the certificate it shows is checked, and a refusal says which fault and what to do.
//!
//! GLib's TLS (glib-networking) checks the chain against the system's authorities or those of the camera's `ca` file, the
//! host, and the dates. What it finds wrong is refused, with one exception: a certificate that itself stands in the `ca`
//! file is known, so its host does not matter (cameras sign their own, for hosts such as `IPCAM`). Its dates still count.

use std::path::Path;
use std::sync::Arc;

use gio::TlsCertificateFlags as Flags;
use gio::prelude::*;
use gstreamer as gst;
use ring::digest;

use crate::camera::error::told;
use crate::camera::frame::Arrived;
use crate::camera::slot::Slot;
use crate::camera::{Error, elements};

/// Has `rtspsrc` check the camera's certificate; a refusal goes into the slot.
///
/// # Errors
/// [`Error::NoTls`], or [`Error::Authority`] for a file that cannot be used.
pub(super) fn configure(
    source: &gst::Element,
    origin: &str,
    ca: Option<&Path>,
    slot: &Arc<Slot<Arrived>>,
) -> Result<(), Error> {
    if !elements::has_tls() {
        return Err(Error::NoTls { origin: origin.to_owned() });
    }
    let pinned = ca.map_or(Ok(Vec::new()), |ca| trust(source, ca))?;
    let (origin, ca, slot) = (origin.to_owned(), ca.map(|ca| ca.display().to_string()), Arc::clone(slot));
    // Asked only about certificates with a fault.
    source.connect("accept-certificate", false, move |values| {
        let certificate = values.get(2).and_then(|v| v.get::<gio::TlsCertificate>().ok());
        let faults = values.get(3).and_then(|v| v.get::<Flags>().ok()).unwrap_or(Flags::GENERIC_ERROR);
        let fingerprint = certificate.as_ref().and_then(fingerprint);
        let is_known = fingerprint.is_some_and(|f| pinned.contains(&f));
        // One that is no authority has no chain: what is wrong with its dates is asked apart.
        let dates = Flags::EXPIRED | Flags::NOT_ACTIVATED;
        let faults = match &certificate {
            Some(own) if is_known => {
                (faults | own.verify(gio::SocketConnectable::NONE, Some(own))) & (dates | UNFORGIVEN)
            }
            _ => faults,
        };
        let accepted = is_known && faults.is_empty();
        if !accepted {
            slot.finish(Err(Error::Certificate {
                origin: origin.clone(),
                why: certificate.map_or_else(|| "is missing".to_owned(), |c| reasons(&c, faults).join(" and ")),
                remedy: remedy(faults, ca.as_deref()),
                fingerprint: fingerprint.map_or_else(String::new, |f| hex(&f)),
            }));
        }
        Some(accepted.to_value())
    });
    Ok(())
}

/// Faults besides its dates that count against a certificate that is known itself.
const UNFORGIVEN: Flags = Flags::REVOKED;

/// SHA-256 of a certificate's DER.
type Fingerprint = [u8; 32];

/// Makes the certificates of a file the only authorities, and gives their fingerprints.
fn trust(source: &gst::Element, ca: &Path) -> Result<Vec<Fingerprint>, Error> {
    let unreadable = |cause| Error::Unreadable { path: ca.to_owned(), cause };
    let unusable = |why: String| Error::Authority { path: ca.to_owned(), why };
    // GLib takes absolute paths alone, and says less about a file that is not there.
    let path = std::fs::canonicalize(ca).map_err(unreadable)?;
    std::fs::File::open(&path).map_err(unreadable)?;
    let certificates = gio::TlsCertificate::list_new_from_file(&path).map_err(|e| unusable(e.message().to_owned()))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    let database = gio::TlsFileDatabase::new(&path).map_err(|e| unusable(e.message().to_owned()))?;
    source.set_property("tls-database", &database);
    Ok(certificates.iter().filter_map(fingerprint).collect())
}

fn fingerprint(certificate: &gio::TlsCertificate) -> Option<Fingerprint> {
    let der = certificate.certificate()?;
    digest::digest(&digest::SHA256, &der).as_ref().try_into().ok()
}

/// As `openssl x509 -fingerprint` writes it.
fn hex(fingerprint: &Fingerprint) -> String {
    fingerprint.map(|b| format!("{b:02X}")).join(":")
}

/// Every fault of a certificate, in words.
fn reasons(certificate: &gio::TlsCertificate, faults: Flags) -> Vec<String> {
    let day = |at: Option<gio::glib::DateTime>| {
        at.and_then(|at| at.format("%Y-%m-%d").ok()).map_or_else(|| "a day that is not told".to_owned(), String::from)
    };
    let known = [
        (Flags::UNKNOWN_CA, "is signed by nobody that is trusted here".to_owned()),
        (Flags::BAD_IDENTITY, format!("is for another host: {}", hosts(certificate))),
        (Flags::EXPIRED, format!("expired on {}", day(certificate.not_valid_after()))),
        (Flags::NOT_ACTIVATED, format!("is not valid before {}", day(certificate.not_valid_before()))),
        (Flags::REVOKED, "was revoked".to_owned()),
        (Flags::INSECURE, "uses an algorithm that is too weak".to_owned()),
        (Flags::GENERIC_ERROR, "does not come from an authority that is trusted here".to_owned()),
    ];
    known.into_iter().filter(|(flag, _)| faults.contains(*flag)).map(|(_, words)| words).collect()
}

/// Whom a certificate names.
fn hosts(certificate: &gio::TlsCertificate) -> String {
    let mut names: Vec<String> = certificate
        .dns_names()
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .chain(certificate.ip_addresses().iter().map(|a| a.to_str().to_string()))
        .collect();
    if names.is_empty() {
        names.extend(certificate.subject_name().map(String::from));
    }
    let text = told(&names.join(", "));
    if text.is_empty() { "it names none".to_owned() } else { format!("it names {text}") }
}

/// What to do: the date first, since nothing else helps then.
fn remedy(faults: Flags, ca: Option<&str>) -> String {
    let file = ca.map_or_else(|| "a PEM file and name it in the camera's ca".to_owned(), str::to_owned);
    if faults.contains(Flags::EXPIRED) {
        "renew it in the camera, and check the clock of this box".to_owned()
    } else if faults.contains(Flags::NOT_ACTIVATED) {
        "check the clocks of this box and of the camera".to_owned()
    } else if faults.intersects(Flags::UNKNOWN_CA | Flags::GENERIC_ERROR) {
        format!("if it is your camera's, put it, or its issuer's certificate, into {file}")
    } else if faults.contains(Flags::BAD_IDENTITY) {
        format!("put a host that it names into uri; or, if it is your camera's, put the certificate itself into {file}")
    } else {
        "give the camera another certificate".to_owned()
    }
}
