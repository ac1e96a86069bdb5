//! `[box]`: what this box is and where its data lies.

use std::path::PathBuf;

use super::section::Section;
use crate::domain::{BoxId, SiteId, TimeZone};

/// `[box]`
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The site.
    pub site: SiteId,
    /// The box.
    pub id: BoxId,
    /// Keys, store, evidence.
    pub data_dir: PathBuf,
    /// Latitude and longitude, degrees.
    pub location: Option<(f64, f64)>,
    /// Whether what the centre lays over the configuration counts.
    pub managed: bool,
    /// The local time that schedules are written in.
    pub timezone: Option<TimeZone>,
}

/// Where data lies when nothing is said.
pub(super) const DATA_DIR: &str = "/var/lib/watchpost";

pub(super) fn read(mut s: Section<'_>) -> Option<Site> {
    let site = s.required("site", "Name of the site: 1–16 of `a-z0-9-`.");
    let id = s.required("id", "Name of the box, unique in the fleet: 1–16 of `a-z0-9-`; also its MQTT client id.");
    let data_dir = s
        .path("data_dir", "Folder of keys, store and evidence; `/var/lib/watchpost` when not given.")
        .unwrap_or_else(|| PathBuf::from(DATA_DIR));
    let location = s.location("Where the box stands: `[latitude, longitude]`, degrees.");
    let timezone = s.text(
        "timezone",
        "The local time that schedules of rules are written in: an IANA name as `Europe/Berlin`, an offset as `+05:30`, or \
         `UTC`. Times in messages and logs are UTC always.",
    );
    let timezone = timezone.and_then(|name| TimeZone::named(&name).map_err(|what| s.fault("timezone", what)).ok());
    let managed = s.flag(
        "managed",
        true,
        "`false`: what the centre laid over the configuration (`data_dir/managed/*.toml`) does not count, and it can lay \
         nothing over it.",
    );
    s.finish();
    Some(Site { site: site?, id: id?, data_dir, location, managed, timezone })
}
