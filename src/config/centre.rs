//! `[centre]`: the broker, the keys, and what counts as delivered.

use std::path::PathBuf;

use super::section::Section;
use crate::domain::{AckMode, Broker, Severity};

/// Where Home Assistant looks for devices unless it was told otherwise.
pub const HOME_ASSISTANT_PREFIX: &str = "homeassistant";

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
    /// In which other forms things are told, unsigned.
    pub mirrors: Mirrors,
}

/// Other forms in which the broker is told, beside what is signed for the centre. All are off at first.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirrors {
    /// Alerts, cameras and health as plain JSON.
    pub json: bool,
    /// Alerts as ONVIF event JSON.
    pub onvif: bool,
    /// The least severity of alerts in any of them.
    pub severity: Severity,
    /// Home Assistant's discovery; `None`: off.
    pub home_assistant: Option<HomeAssistant>,
}

/// `[centre.home_assistant]`
#[derive(Debug, Clone, PartialEq)]
pub struct HomeAssistant {
    /// First part of its topics.
    pub prefix: String,
    /// Whether it is told plates.
    pub plates: bool,
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
    let ack = s.choice(
        "ack",
        &["centre", "broker"],
        "`centre` (default): an alert is kept until the centre's signed ack; `broker`: until the PUBACK.",
    );
    let budget_mib_a_day = s.number(
        "budget_mib_a_day",
        0,
        0,
        1_000_000,
        "MiB a UTC day that go up to the centre, headers included: when they get short, what matters less waits; 0: no bound.",
    );
    let mirrors = mirrors(&mut s);
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
        mirrors,
    })
}

fn mirrors(s: &mut Section<'_>) -> Mirrors {
    let json = s.flag(
        "json_mirror",
        false,
        "Tell alerts, cameras and health as plain JSON too, below `json/`: unsigned, plates included, for dashboards.",
    );
    let onvif = s.flag(
        "onvif_mirror",
        false,
        "Tell alerts as ONVIF event JSON too, below `onvif-ej/`: unsigned, plates included.",
    );
    let severity = s.choice(
        "mirror_severity",
        &Severity::ALL.map(Severity::as_str),
        "The least severity of alerts that any mirror tells: `info` (default), `minor`, `serious`, `critical`.",
    );
    let home_assistant = s.sub_table("home_assistant").and_then(|node| {
        let mut part = s.part("home_assistant", "centre.home_assistant", node);
        let read = home_assistant(&mut part);
        let whole = part.is_there();
        part.finish();
        read.filter(|_| whole)
    });
    Mirrors { json, onvif, severity: severity.unwrap_or(Severity::Info), home_assistant }
}

fn home_assistant(s: &mut Section<'_>) -> Option<HomeAssistant> {
    let prefix = s.text(
        "prefix",
        "The section switches Home Assistant's discovery on; this is the first part of its topics, `homeassistant` when not \
         given. The broker has to allow `<prefix>/device/<box>/#`.",
    );
    let prefix = prefix.unwrap_or_else(|| HOME_ASSISTANT_PREFIX.to_owned());
    let level = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let good = prefix.len() <= 64 && prefix.split('/').all(level);
    if !good {
        s.fault("prefix", "must be a plain topic such as homeassistant");
    }
    let plates = s.flag("plates", false, "Tell Home Assistant the plate of a camera's last alert as well.");
    good.then_some(HomeAssistant { prefix, plates })
}
