//! `[centre]`: the broker, the keys, and what counts as delivered.

use std::path::PathBuf;

use super::section::Section;
use crate::domain::{AckMode, Broker};

/// `[centre]`
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// Where alerts go; without TLS only to loopback or when allowed.
    pub broker: Broker,
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
    /// What may go up to the centre in a UTC day; 0: no bound.
    pub budget_mib_a_day: u64,
}

pub(super) fn read(mut s: Section<'_>) -> Option<Centre> {
    let broker: Option<Broker> = s.required("broker", "`mqtts://host:port`; `mqtt://` only to this machine.");
    let allow_plaintext = s.flag(
        "allow_plaintext",
        false,
        "Speak `mqtt://` without TLS to another machine. Anyone on the way can read it.",
    );
    if let Some(error) = broker.as_ref().and_then(|b| b.check_plaintext(allow_plaintext).err()) {
        s.fault("broker", error.to_string());
    }
    let tls = broker.as_ref().is_some_and(|b| b.tls);
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
    let budget_mib_a_day = s.number(
        "budget_mib_a_day",
        0,
        0,
        1_000_000,
        "MiB a UTC day that go up to the centre, headers included: when they get short, what matters less waits; 0: no bound.",
    );
    s.not_yet(&["json_mirror"]);
    s.finish();
    Some(Centre {
        broker: broker?,
        ca,
        certificate,
        private_key,
        keyring: keyring?,
        root_key: root_key?,
        topic_root,
        ack: ack.unwrap_or_default(),
        allow_plaintext,
        budget_mib_a_day,
    })
}
