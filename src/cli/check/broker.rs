//! Can the box speak to its centre's broker: reach it, shake hands by TLS, get a session, hear its acks?
//!
//! A session with the box's own client id would push a running daemon off the broker: while one runs another id is taken,
//! with the same certificate. Nothing is published, since MQTT has no way to try that without doing it.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::{Finding, certificates};
use crate::centre::fault::{Cause, Fault};
use crate::centre::link::{self, LinkEvent, LinkSettings};
use crate::centre::tls;
use crate::centre::topics::Topics;
use crate::clock::Clock;
use crate::config::{Centre, Config};
use crate::store;
use crate::supervise::store_dir;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let Some(centre) = &config.centre else { return Vec::new() };
    let mut findings = Vec::new();
    match shown_certificate(centre, clock) {
        Err(what) => {
            let todo = "see that the broker runs and is reached from here (address, port, firewall, certificates)";
            return vec![Finding::failure("broker", format!("{}: {what}", centre.broker), todo)];
        }
        Ok(certificate) => findings.extend(certificate.and_then(|der| certificates::of_broker(&der, clock))),
    }
    let runs = store::holder(&store_dir(config)).is_ok_and(|holder| holder.is_some());
    let client_id = if runs { format!("{}-check", config.site.id) } else { config.site.id.to_string() };
    findings.push(match session(config, centre, &client_id, clock) {
        Ok(()) => Finding::ok("broker", format!("{}: session as {client_id}, acks can be heard", centre.broker)),
        Err(fault) if runs && fault.cause == Cause::NotAuthorised => Finding::ok(
            "broker",
            format!("{}: takes no client id but the box's own, which the daemon that runs has", centre.broker),
        ),
        Err(fault) => Finding::failure("broker", format!("{}: {fault}", centre.broker), fault.cause.advice()),
    });
    findings
}

/// A session that subscribes to the box's acks and ends in good order.
fn session(config: &Config, centre: &Centre, client_id: &str, clock: &Clock) -> Result<(), Fault> {
    let ours = |e: &dyn std::fmt::Display| Fault::new(Cause::OurFiles, e.to_string());
    let topics = Topics::new(&centre.topic_root, &config.site.site, &config.site.id).map_err(|e| ours(&e))?;
    let tls = certificates::files_of(centre).filter(|_| centre.broker.tls);
    let settings = LinkSettings::new(centre.broker.clone(), tls, client_id);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| ours(&e))?;
    runtime.block_on(async {
        let (mut sender, mut events) = link::open(&settings, clock, None)?;
        let talk = async {
            loop {
                let event = events.next().await?;
                match sender.understand(event) {
                    LinkEvent::Connected { .. } => drop(sender.subscribe(&[topics.ack()])),
                    LinkEvent::Subscribed { refused: 0 } => drop(sender.disconnect()),
                    LinkEvent::Subscribed { .. } => {
                        return Err(Fault::new(Cause::NotAuthorised, "the subscription to our ack topic was refused"));
                    }
                    LinkEvent::Disconnected => return Ok(()),
                    LinkEvent::Published { .. } | LinkEvent::Message { .. } | LinkEvent::Other => {}
                }
            }
        };
        let late = |_| Err(Fault::new(Cause::Silent, "no session in time"));
        tokio::time::timeout(PATIENCE * 3, talk).await.unwrap_or_else(late)
    })
}

/// Connects, shakes hands where TLS is spoken, and gives the certificate that the broker shows.
fn shown_certificate(centre: &Centre, clock: &Clock) -> Result<Option<Vec<u8>>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let broker = &centre.broker;
    let mut addresses = (broker.host.as_str(), broker.port).to_socket_addrs().map_err(|e| text(&e))?;
    let address = addresses.next().ok_or("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| text(&e))?;
    let Some(files) = certificates::files_of(centre).filter(|_| broker.tls) else { return Ok(None) };
    let config = tls::client_config(&files, clock).map_err(|e| text(&e))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(|e| text(&e))?;
    let name = ServerName::try_from(broker.host.clone()).map_err(|e| text(&e))?;
    let mut session = rustls::ClientConnection::new(config, name).map_err(|e| text(&e))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|e| text(&e))?;
    }
    refused_afterwards(&mut session, &mut stream)?;
    Ok(session.peer_certificates().and_then(|all| all.first()).map(|der| der.to_vec()))
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
