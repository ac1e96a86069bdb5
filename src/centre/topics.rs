//! Topics of MQTT: the only place where their strings are written.
//!
//! Every topic is `<root>/<site>/<box>/<kind…>`, the root being `watchpost/v1` unless configured otherwise. [`Topics`]
//! builds those of one box, [`parse`] takes one apart and refuses whatever [`Topics`] would not have built, and the
//! filters say what each side subscribes to. A topic is also the `external_aad` of the message under it
//! ([`super::cose`]), so a message cannot be moved to another box, severity or operation.

use std::fmt;

use super::budget::Traffic;
use crate::domain::{BoxId, CameraId, EventId, IdError, Op, Severity, SiteId};

/// The root that a fleet uses unless its config says otherwise.
pub const DEFAULT_ROOT: &str = "watchpost/v1";
/// Longest topic that is parsed, in bytes.
pub const MAX_TOPIC: usize = 256;
/// Longest operation name and command id in a topic, in bytes.
pub const MAX_SEGMENT: usize = 40;

/// Why a text is no root or no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The root has empty levels, wildcards or is too long.
    #[error(
        "topic root {root:?}: levels of letters, digits, '-', '_' and '.' are wanted, joined by '/', without wildcards"
    )]
    Root {
        /// The root as it came.
        root: String,
    },
    /// The topic is longer than [`MAX_TOPIC`].
    #[error("a topic of {bytes} bytes: at most 256 are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The topic is under another root.
    #[error("topic {topic:?} is not under the root {root:?}")]
    OtherRoot {
        /// The topic.
        topic: String,
        /// The root that was wanted.
        root: String,
    },
    /// A site, box or camera in it is no id.
    #[error("topic {topic:?}: {source}")]
    Id {
        /// The topic.
        topic: String,
        /// What is wrong with the id.
        source: IdError,
    },
    /// What follows the box names no kind of message.
    #[error("topic {topic:?}: {rest:?} is no kind of message")]
    Kind {
        /// The topic.
        topic: String,
        /// What follows the box.
        rest: String,
    },
}

/// What kind of message a topic carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Online, stopped, offline: up, retained, last will.
    Status,
    /// Status of one camera: up, retained.
    CameraStatus(CameraId),
    /// Alerts of one severity: up.
    Alert(Severity),
    /// Entries about shed alerts: up, acknowledged like alerts.
    Shed,
    /// The centre's ack: down.
    Ack,
    /// A command: down.
    Command {
        /// Operation, as `camera.set`.
        op: String,
        /// Id of the command.
        id: String,
    },
    /// The answer to a command: up.
    Reply {
        /// Operation.
        op: String,
        /// Id of the command.
        id: String,
    },
    /// A chunk of large content: down.
    Blob {
        /// SHA-256 of the whole.
        sha256: [u8; 32],
        /// Number of the chunk, from 0.
        chunk: u32,
    },
    /// A chunk of an image, clip or large answer: up.
    Evidence {
        /// Sighting that it belongs to.
        id: EventId,
        /// Number of the chunk, from 0.
        chunk: u32,
    },
    /// Signed checkpoints of the audit log: up.
    Audit,
    /// Health: up, QoS 0.
    Health,
}

/// A topic taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The site.
    pub site: SiteId,
    /// The box.
    pub box_id: BoxId,
    /// What it carries.
    pub kind: Kind,
}

/// Builds the topics of one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// Topics of `box_id` at `site` under `root`.
    ///
    /// # Errors
    /// [`Error::Root`] when `root` is no plain topic.
    pub fn new(root: &str, site: &SiteId, box_id: &BoxId) -> Result<Self, Error> {
        check_root(root)?;
        Ok(Self { base: format!("{root}/{site}/{box_id}") })
    }

    /// Topic of a message of this `kind`.
    #[must_use]
    pub fn of(&self, kind: &Kind) -> String {
        format!("{}/{kind}", self.base)
    }

    /// Online, stopped, offline.
    #[must_use]
    pub fn status(&self) -> String {
        self.of(&Kind::Status)
    }

    /// Status of `camera`.
    #[must_use]
    pub fn camera_status(&self, camera: &CameraId) -> String {
        self.of(&Kind::CameraStatus(camera.clone()))
    }

    /// Alerts of `severity`.
    #[must_use]
    pub fn alert(&self, severity: Severity) -> String {
        self.of(&Kind::Alert(severity))
    }

    /// Entries about shed alerts.
    #[must_use]
    pub fn shed(&self) -> String {
        self.of(&Kind::Shed)
    }

    /// The centre's ack.
    #[must_use]
    pub fn ack(&self) -> String {
        self.of(&Kind::Ack)
    }

    /// Health.
    #[must_use]
    pub fn health(&self) -> String {
        self.of(&Kind::Health)
    }

    /// An alert of `severity` as plain JSON.
    #[must_use]
    pub fn json_alert(&self, severity: Severity) -> String {
        format!("{}/json/{}", self.base, Kind::Alert(severity))
    }

    /// The status of `camera` as plain JSON.
    #[must_use]
    pub fn json_camera(&self, camera: &CameraId) -> String {
        format!("{}/json/{}", self.base, Kind::CameraStatus(camera.clone()))
    }

    /// Health as plain JSON.
    #[must_use]
    pub fn json_health(&self) -> String {
        format!("{}/json/{}", self.base, Kind::Health)
    }

    /// An event of ONVIF (Core 9.12.5: prefix, `onvif-ej`, the event's topic without namespace, `&` and the values of its
    /// source in their order).
    #[must_use]
    pub fn onvif(&self, event: OnvifEvent, source: &[&str]) -> String {
        format!("{}/onvif-ej/{}/&{}", self.base, event.topic(), source.join("/"))
    }

    /// What a message of this box under `topic` counts as on the link; what is under none of its topics, as a mirror.
    #[must_use]
    pub fn traffic(&self, topic: &str) -> Traffic {
        let below = topic.strip_prefix(self.base.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let Some(below) = below else { return Traffic::Mirror };
        match below.split_once('/').unwrap_or((below, "")) {
            ("alert", severity) => severity.parse().map_or(Traffic::Shed, Traffic::Alert),
            ("evidence", _) => Traffic::Evidence,
            ("audit", _) => Traffic::Audit,
            ("health", _) => Traffic::Health,
            ("status" | "camera", _) => Traffic::Status,
            ("json" | "onvif-ej", _) => Traffic::Mirror,
            _ => Traffic::Reply,
        }
    }

    /// Whether an answer may go to `topic`, which an MQTT 5 response topic names: one to four plain levels below this
    /// box's `reply/`. Nobody signs a response topic; anywhere else, an answer could be read or mistaken.
    #[must_use]
    pub fn takes_response(&self, topic: &str) -> bool {
        let below = topic.strip_prefix(self.base.as_str()).and_then(|rest| rest.strip_prefix("/reply/"));
        let plain = |level: &str| segment(level).is_some();
        topic.len() <= MAX_TOPIC
            && below.is_some_and(|below| below.split('/').count() <= 4 && below.split('/').all(plain))
    }

    /// The command `op` of this id.
    #[must_use]
    pub fn command(&self, op: Op, id: &[u8; 16]) -> String {
        self.of(&Kind::Command { op: op.to_string(), id: data_encoding::HEXLOWER.encode(id) })
    }

    /// The answer to it.
    #[must_use]
    pub fn reply(&self, op: Op, id: &[u8; 16]) -> String {
        self.of(&Kind::Reply { op: op.to_string(), id: data_encoding::HEXLOWER.encode(id) })
    }

    /// What the box subscribes to: acks, commands, blobs.
    #[must_use]
    pub fn box_filters(&self) -> [String; 3] {
        let base = &self.base;
        [format!("{base}/ack"), format!("{base}/cmd/+/+"), format!("{base}/blob/+/+")]
    }
}

/// What an alert is called among the events of ONVIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnvifEvent {
    /// A plate was recognised (Analytics, annex G).
    LicensePlate,
    /// An object crossed a line (Analytics, annex A).
    LineCrossed,
    /// An object came into a field, or left it (Analytics, annex A).
    ObjectsInside,
    /// An object stays (Analytics, annex A).
    ObjectIsLoitering,
}

impl OnvifEvent {
    /// Its topic without the namespace `tns1`.
    fn topic(self) -> &'static str {
        match self {
            Self::LicensePlate => "RuleEngine/Recognition/LicensePlate",
            Self::LineCrossed => "RuleEngine/LineDetector/Crossed",
            Self::ObjectsInside => "RuleEngine/FieldDetector/ObjectsInside",
            Self::ObjectIsLoitering => "RuleEngine/LoiteringDetector/ObjectIsLoitering",
        }
    }
}

/// Topics of one box for Home Assistant: below `<prefix>/device/<box>/watchpost/`, where its discovery of devices looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistantTopics {
    base: String,
}

impl HomeAssistantTopics {
    /// Those of `box_id` below `prefix`.
    ///
    /// # Errors
    /// [`Error::Root`] when `prefix` is no plain topic.
    pub fn new(prefix: &str, box_id: &BoxId) -> Result<Self, Error> {
        check_root(prefix)?;
        Ok(Self { base: format!("{prefix}/device/{box_id}/watchpost") })
    }

    /// What the box has to tell: retained.
    #[must_use]
    pub fn config(&self) -> String {
        format!("{}/config", self.base)
    }

    /// What is told of `camera`.
    #[must_use]
    pub fn camera(&self, camera: &CameraId) -> String {
        format!("{}/camera/{camera}", self.base)
    }
}

/// The line of a mosquitto ACL that lets boxes tell Home Assistant of themselves.
///
/// # Errors
/// [`Error::Root`] when `prefix` is no plain topic.
pub fn home_assistant_acl(prefix: &str) -> Result<String, Error> {
    check_root(prefix)?;
    Ok(format!("pattern write {prefix}/device/%u/#\n"))
}

/// What a receiver of alerts subscribes to: what boxes under `root` send up unasked.
///
/// # Errors
/// [`Error::Root`] when `root` is no plain topic.
pub fn centre_filters(root: &str) -> Result<Vec<String>, Error> {
    check_root(root)?;
    let kinds = ["status", "camera/+/status", "alert/#", "health", "audit"];
    Ok(kinds.iter().map(|kind| format!("{root}/+/+/{kind}")).collect())
}

/// What somebody who asks subscribes to: the replies to the commands `ids` and chunks of evidence; of all boxes under
/// `root`, or of one.
///
/// # Errors
/// [`Error::Root`] when `root` is no plain topic.
pub fn answer_filters(
    root: &str,
    one: Option<(&SiteId, &BoxId)>,
    op: &str,
    ids: &[[u8; 16]],
) -> Result<Vec<String>, Error> {
    check_root(root)?;
    let (site, box_id) = one.map_or(("+", "+"), |(site, box_id)| (site.as_str(), box_id.as_str()));
    let base = format!("{root}/{site}/{box_id}");
    let reply = |id: &[u8; 16]| format!("{base}/reply/{op}/{}", data_encoding::HEXLOWER.encode(id));
    Ok(ids.iter().map(reply).chain([format!("{base}/evidence/+/+")]).collect())
}

/// What boxes say of themselves: their status, that of their cameras, their health; of all under `root`, or of one site
/// or box.
///
/// # Errors
/// [`Error::Root`] when `root` is no plain topic.
pub fn board_filters(root: &str, site: Option<&SiteId>, box_id: Option<&BoxId>) -> Result<Vec<String>, Error> {
    check_root(root)?;
    let (site, box_id) = (site.map_or("+", SiteId::as_str), box_id.map_or("+", BoxId::as_str));
    let kinds = ["status", "camera/+/status", "health"];
    Ok(kinds.iter().map(|kind| format!("{root}/{site}/{box_id}/{kind}")).collect())
}

/// Lines of a mosquitto ACL in which a box (the user of a certificate, its CN) writes and reads its own topics alone,
/// and the user `centre` reads all and writes what goes down.
///
/// # Errors
/// [`Error::Root`] when `root` is no plain topic.
pub fn mosquitto_acl(root: &str, centre: &str) -> Result<String, Error> {
    use std::fmt::Write as _;
    check_root(root)?;
    let up = [
        "status",
        "camera/+/status",
        "alert/+",
        // A response topic may have other levels below it.
        "reply/#",
        "evidence/+/+",
        "audit",
        "health",
        "json/#",
        "onvif-ej/#",
    ];
    let down = ["ack", "cmd/+/+", "blob/+/+"];
    let mut acl = format!("user {centre}\ntopic read {root}/#\n");
    // Writing to a String cannot fail.
    for kind in down {
        let _ = writeln!(acl, "topic write {root}/+/+/{kind}");
    }
    acl.push('\n');
    for kind in up {
        let _ = writeln!(acl, "pattern write {root}/+/%u/{kind}");
    }
    for kind in down {
        let _ = writeln!(acl, "pattern read {root}/+/%u/{kind}");
    }
    Ok(acl)
}

/// Takes `topic` apart.
///
/// # Errors
/// When it is not exactly what [`Topics::of`] builds under `root`.
pub fn parse(root: &str, topic: &str) -> Result<Address, Error> {
    if topic.len() > MAX_TOPIC {
        return Err(Error::TooLong { bytes: topic.len() });
    }
    let below = topic
        .strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| Error::OtherRoot { topic: topic.to_owned(), root: root.to_owned() })?;
    let bad_id = |source| Error::Id { topic: topic.to_owned(), source };
    let mut levels = below.splitn(3, '/');
    let site = SiteId::new(levels.next().unwrap_or_default()).map_err(bad_id)?;
    let box_id = BoxId::new(levels.next().unwrap_or_default()).map_err(bad_id)?;
    let rest = levels.next().unwrap_or_default();
    let kind =
        kind_of(rest).ok_or_else(|| Error::Kind { topic: topic.to_owned(), rest: rest.chars().take(80).collect() })?;
    Ok(Address { site, box_id, kind })
}

/// The kind that `rest`, the levels after the box, names.
fn kind_of(rest: &str) -> Option<Kind> {
    let levels: Vec<&str> = rest.split('/').collect();
    let kind = match levels.as_slice() {
        ["status"] => Kind::Status,
        ["health"] => Kind::Health,
        ["audit"] => Kind::Audit,
        ["ack"] => Kind::Ack,
        ["alert", "shed"] => Kind::Shed,
        ["alert", severity] => Kind::Alert(Severity::ALL.into_iter().find(|s| s.as_str() == *severity)?),
        ["camera", camera, "status"] => Kind::CameraStatus(CameraId::new(camera).ok()?),
        ["cmd", op, id] => Kind::Command { op: segment(op)?, id: segment(id)? },
        ["reply", op, id] => Kind::Reply { op: segment(op)?, id: segment(id)? },
        ["blob", digest, chunk] => Kind::Blob { sha256: hex32(digest)?, chunk: chunk.parse().ok()? },
        ["evidence", id, chunk] => {
            let id = EventId(uuid::Uuid::try_parse(id).ok()?.into_bytes());
            Kind::Evidence { id, chunk: chunk.parse().ok()? }
        }
        _ => return None,
    };
    // Numbers and ids have one spelling: `+7`, `007`, or an upper-case UUID come back different.
    (kind.to_string() == rest).then_some(kind)
}

impl fmt::Display for Kind {
    /// The levels after the box.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::CameraStatus(camera) => write!(f, "camera/{camera}/status"),
            Self::Alert(severity) => write!(f, "alert/{}", severity.as_str()),
            Self::Shed => f.write_str("alert/shed"),
            Self::Ack => f.write_str("ack"),
            Self::Command { op, id } => write!(f, "cmd/{op}/{id}"),
            Self::Reply { op, id } => write!(f, "reply/{op}/{id}"),
            Self::Blob { sha256, chunk } => {
                f.write_str("blob/")?;
                sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "/{chunk}")
            }
            Self::Evidence { id, chunk } => write!(f, "evidence/{id}/{chunk}"),
            Self::Audit => f.write_str("audit"),
            Self::Health => f.write_str("health"),
        }
    }
}

/// An operation or command id: 1 to [`MAX_SEGMENT`] of `a-z`, `0-9`, `-`, `_`, `.`.
fn segment(text: &str) -> Option<String> {
    let good = (1..=MAX_SEGMENT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    good.then(|| text.to_owned())
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn check_root(root: &str) -> Result<(), Error> {
    let level = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if root.len() <= 64 && root.split('/').all(level) {
        Ok(())
    } else {
        Err(Error::Root { root: root.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests;
