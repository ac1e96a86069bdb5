//! Can the box speak to its centre: keyring, certificates, and a TLS handshake with the broker?
//!
//! No MQTT session is opened: with this box's client id it would push a running daemon off the broker.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::Finding;
use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::PublicKey;

use crate::centre::tls::{self, TlsFiles};
use crate::clock::Clock;
use crate::config::{self, Config};

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let Some(centre) = &config.centre else { return Vec::new() };
    vec![keyring(centre, clock), broker(centre, clock)]
}

fn keyring(centre: &config::Centre, clock: &Clock) -> Finding {
    let todo = "get both files from the centre; `watchpost init --centre DIR` makes them for a centre of one box";
    let ring = PublicKey::read(&centre.root_key)
        .map_err(|e| e.to_string())
        .and_then(|root| Keyring::read(&centre.keyring, &root).map_err(|e| e.to_string()));
    match ring {
        Err(error) => Finding::failure("keyring", error, todo),
        Ok(ring) if ring.keys_of(Role::Delivery, clock.utc()).is_empty() => Finding::failure(
            "keyring",
            format!("{}: no delivery key is valid now: no alert could ever be acknowledged", centre.keyring.display()),
            "get a newer keyring from the centre, or set the clock",
        ),
        Ok(ring) => Finding::ok("keyring", format!("serial {}, signed by the root", ring.serial)),
    }
}

fn broker(centre: &config::Centre, clock: &Clock) -> Finding {
    let todo = "see that the broker runs and is reached from here (address, port, firewall, certificates)";
    match handshake(centre, clock) {
        Ok(how) => Finding::ok("broker", format!("{}: {how}", centre.broker)),
        Err(what) => Finding::failure("broker", format!("{}: {what}", centre.broker), todo),
    }
}

/// Connects, and with TLS shakes hands; says how it went.
fn handshake(centre: &config::Centre, clock: &Clock) -> Result<String, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let broker = &centre.broker;
    let mut addresses = (broker.host.as_str(), broker.port).to_socket_addrs().map_err(|e| text(&e))?;
    let address = addresses.next().ok_or("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| text(&e))?;
    if !broker.tls {
        return Ok("connected, without TLS".into());
    }
    let (Some(ca), Some(certificate), Some(private_key)) = (&centre.ca, &centre.certificate, &centre.private_key)
    else {
        return Err("ca, certificate and private_key are needed".into());
    };
    let files = TlsFiles { ca: ca.clone(), certificate: certificate.clone(), private_key: private_key.clone() };
    let tls = tls::client_config(&files, clock).map_err(|e| text(&e))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(|e| text(&e))?;
    let name = ServerName::try_from(broker.host.clone()).map_err(|e| text(&e))?;
    let mut session = rustls::ClientConnection::new(tls, name).map_err(|e| text(&e))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|e| text(&e))?;
    }
    refused_afterwards(&mut session, &mut stream)?;
    Ok("TLS handshake with client certificate done".into())
}

/// TLS 1.3 tells of a refused client certificate only after the handshake: an alert, where silence means consent.
fn refused_afterwards(session: &mut rustls::ClientConnection, stream: &mut TcpStream) -> Result<(), String> {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
    let mut tls = rustls::Stream::new(session, stream);
    let mut byte = [0_u8; 1];
    let _ = tls.flush();
    match tls.read(&mut byte) {
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(format!("the broker refuses this box: {e}")),
        _ => Ok(()),
    }
}
