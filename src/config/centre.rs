//! `[centre]`: the broker, the keys, and what counts as delivered.

use std::path::PathBuf;
use std::str::FromStr;

use super::section::Section;

/// Whose word ends the keeping of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// The centre's signed ack.
    Centre,
    /// The broker's PUBACK: for sites that accept that brokers lose messages.
    Broker,
}

impl FromStr for AckMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "centre" => Ok(Self::Centre),
            "broker" => Ok(Self::Broker),
            _ => Err(format!("is {text:?}, wanted centre or broker")),
        }
    }
}

/// `[centre]`
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// `mqtts://host:port` or, to loopback or when allowed, `mqtt://host:port`.
    pub broker: String,
    /// The authorities that may have signed the broker's certificate.
    pub ca: Option<PathBuf>,
    /// This box's certificate.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub private_key: Option<PathBuf>,
    /// Who may acknowledge and command, signed by the root.
    pub keyring: PathBuf,
    /// The root's public key.
    pub root_key: PathBuf,
    /// First part of every topic.
    pub topic_root: String,
    /// Whose word counts.
    pub ack: AckMode,
    /// Speak without TLS to a broker that is not on this machine.
    pub allow_plaintext: bool,
}

pub(super) fn read(mut s: Section<'_>) -> Option<Centre> {
    let broker: Option<String> = s.required("broker", "`mqtts://host:port`; `mqtt://` only to this machine.");
    let allow_plaintext = s.flag(
        "allow_plaintext",
        false,
        "Speak `mqtt://` without TLS to another machine. Anyone on the way can read it.",
    );
    let tls = match broker.as_deref().and_then(|b| b.split_once("://")) {
        Some(("mqtts", _)) => true,
        Some(("mqtt", rest)) => {
            if !allow_plaintext && !is_loopback(rest) {
                s.fault("broker", "is mqtt:// to another machine; use mqtts://, or write allow_plaintext = true");
            }
            false
        }
        _ => {
            if broker.is_some() {
                s.fault("broker", "wanted mqtts://host:port");
            }
            false
        }
    };
    let ca = s.path("ca", "PEM file of the authorities that sign the broker's certificate.");
    let certificate = s.path("certificate", "PEM file of this box's certificate (CN = box id).");
    let private_key = s.path("private_key", "PEM file of that certificate's key, readable by its owner alone.");
    for (key, given) in [("ca", &ca), ("certificate", &certificate), ("private_key", &private_key)] {
        if tls && given.is_none() {
            s.fault(
                key,
                "is missing; mqtts:// needs ca, certificate and private_key (`watchpost init --centre` makes them)",
            );
        }
    }
    let keyring = s.path("keyring", "Who may acknowledge and command; signed by the root key.");
    let root_key = s.path("root_key", "Public key of the centre's root, which signs the keyring.");
    for (key, given) in [("keyring", &keyring), ("root_key", &root_key)] {
        if given.is_none() {
            s.fault(key, "is missing; the centre gives it (`watchpost init --centre` makes one)");
        }
    }
    let topic_root = s.text_or("topic_root", "watchpost/v1", "First part of every topic.");
    if topic_root.is_empty() || topic_root.contains(['+', '#']) || topic_root.starts_with('/') {
        s.fault("topic_root", "must be a plain topic such as watchpost/v1");
    }
    let ack = s.parsed(
        "ack",
        "`centre` (default): an alert is kept until the centre's signed ack; `broker`: until the PUBACK.",
    );
    s.not_yet(&["bandwidth", "json_mirror"]);
    s.finish();
    Some(Centre {
        broker: broker?,
        ca,
        certificate,
        private_key,
        keyring: keyring?,
        root_key: root_key?,
        topic_root,
        ack: ack.unwrap_or(AckMode::Centre),
        allow_plaintext,
    })
}

fn is_loopback(host_port: &str) -> bool {
    let host = host_port.rsplit_once(':').map_or(host_port, |(h, _)| h);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
