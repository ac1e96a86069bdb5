//! Who may open the served stream, and how it travels: credentials, certificates, transport.

use gio::prelude::*;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;
use rtsp::gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans};

use super::{Failed, Serving, failed};
use crate::domain::Transport;

/// How clients prove their password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proof {
    /// RFC 7617: the password itself, in base64.
    #[default]
    Basic,
    /// RFC 2617 with MD5: a hash of it.
    Digest,
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS #8.
    pub key: String,
}

/// What guards the server: none when anybody may come, in the clear.
pub(super) fn guard(factory: &rtsp::RTSPMediaFactory, serving: &Serving) -> Result<Option<rtsp::RTSPAuth>, Failed> {
    if serving.credential.is_none() && serving.identity.is_none() {
        return Ok(None);
    }
    let auth = rtsp::RTSPAuth::new();
    let token = rtsp::RTSPToken::builder().field("media.factory.role", "viewer").build();
    match &serving.credential {
        None => {
            let mut anybody = token;
            auth.set_default_token(Some(&mut anybody));
        }
        Some((user, password)) if serving.proof == Proof::Digest => {
            auth.set_supported_methods(RTSPAuthMethod::Digest);
            auth.add_digest(user, password, &token);
        }
        Some((user, password)) => auth.add_basic(&rtsp::RTSPAuth::make_basic(user, password), &token),
    }
    let role = gst::Structure::builder("viewer")
        .field("media.factory.access", true)
        .field("media.factory.construct", true)
        .build();
    factory.add_role_from_structure(&role);
    if let Some(Identity { certificate, key }) = &serving.identity {
        let both = format!("{certificate}{key}");
        let certificate = gio::TlsCertificate::from_pem(&both).map_err(|e: glib::Error| failed("certificate")(&e))?;
        auth.set_tls_certificate(Some(&certificate));
    }
    Ok(Some(auth))
}

/// Offers one way of travelling alone, or all.
pub(super) fn limit(factory: &rtsp::RTSPMediaFactory, only: Transport) {
    match only {
        Transport::Auto => {}
        Transport::Tcp => factory.set_protocols(RTSPLowerTrans::TCP),
        Transport::Udp => factory.set_protocols(RTSPLowerTrans::UDP),
    }
}

/// Loses those packets of the first stream of which `is_lost` says so, as a bad network would.
pub(super) fn lose(media: &rtsp::RTSPMedia, is_lost: impl Fn() -> bool + Send + Sync + 'static) {
    let pay = media.element().downcast::<gst::Bin>().ok().and_then(|b| b.by_name("pay0"));
    let Some(pad) = pay.and_then(|p| p.static_pad("src")) else { return };
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| match &mut info.data {
        Some(gst::PadProbeData::Buffer(_)) if is_lost() => gst::PadProbeReturn::Drop,
        Some(gst::PadProbeData::BufferList(list)) => {
            list.make_mut()
                .foreach_mut(|buffer, _| std::ops::ControlFlow::Continue(if is_lost() { None } else { Some(buffer) }));
            // Nobody downstream expects an empty list.
            if list.is_empty() { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
        }
        _ => gst::PadProbeReturn::Ok,
    });
}
