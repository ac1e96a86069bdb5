//! `[[hotlist.list]]`: the lists that come as files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::section::Section;
use super::tree::{Fault, Node, Value};
use crate::domain::hotlist::check_org;
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity};

/// `[[hotlist.list]]`
#[derive(Debug, Clone, PartialEq)]
pub struct HotlistFile {
    /// Its name.
    pub id: ListId,
    /// Its number in alerts.
    pub number: u16,
    /// The CSV file.
    pub file: PathBuf,
    /// Severity of its hits.
    pub severity: Severity,
    /// Severity by the entry's `Category`, over the list's.
    pub categories: BTreeMap<String, Severity>,
    /// The organisation that answers for it, and who else sees its hits.
    pub owner: Option<Ownership>,
    /// How far a read may differ.
    pub policy: MatchPolicy,
    /// Whether regions must agree.
    pub region: RegionPolicy,
    /// Hours after which the file counts as stale.
    pub freshness_hours: Option<f64>,
}

/// The tables of `[[hotlist.list]]`.
pub(super) fn lists<'a>(node: Option<&'a Node>, faults: &mut Vec<Fault>) -> Vec<&'a Node> {
    match node.map(|n| (&n.value, &n.place)) {
        None => Vec::new(),
        Some((Value::Table(table), place)) => {
            for key in table.keys().filter(|k| *k != "list") {
                let what = "is no key that watchpost knows; did you mean [[hotlist.list]]?".to_owned();
                faults.push(Fault { place: Some(place.clone()), key: format!("hotlist.{key}"), what });
            }
            super::items(table.get("list"), "hotlist.list", faults)
        }
        Some((_, place)) => {
            let what = "write each list as [[hotlist.list]]".to_owned();
            faults.push(Fault { place: Some(place.clone()), key: "hotlist".into(), what });
            Vec::new()
        }
    }
}

pub(super) fn read(mut s: Section<'_>) -> Option<HotlistFile> {
    let id = s.required("id", "Name of the list: 1–16 of `a-z0-9-`.");
    let number = s.required_number("number", 1, 65_535, "Number of the list in alerts, 1–65535.");
    let file =
        s.path("file", "The CSV file: `PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate` and free columns.");
    if file.is_none() {
        s.fault("file", "is missing");
    }
    let severity = s.choice(
        "severity",
        &Severity::ALL.map(Severity::as_str),
        "Severity of its hits: `info` (default), `minor`, `serious`, `critical`.",
    );
    let mut categories = BTreeMap::new();
    for (category, word) in
        s.texts("categories", "Severity by the entry's `Category`, e.g. `{ Stolen = \"serious\" }`.")
    {
        match word.parse() {
            Ok(severity) => drop(categories.insert(category, severity)),
            Err(what) => s.fault("categories", format!("{category}: {what}")),
        }
    }
    let owner = owner(&mut s);
    let policy = s.choice(
        "policy",
        &["exact", "confusable", "near"],
        "`exact`, `confusable` (default: 0/O, 1/I, 8/B … are one) or `near` (one edit).",
    );
    let region = s.choice(
        "region",
        &["lenient", "strict"],
        "`lenient` (default) or `strict`: the read's region must be the entry's.",
    );
    let freshness_hours = s.real("freshness_hours", 0.1, 87_600.0, "Hours after which the file counts as stale.");
    s.finish();
    Some(HotlistFile {
        id: id?,
        number: u16::try_from(number).ok()?,
        file: file?,
        severity: severity.unwrap_or(Severity::Info),
        categories,
        owner,
        policy: policy.unwrap_or_default(),
        region: region.unwrap_or_default(),
        freshness_hours,
    })
}

/// `owner` and `share`.
fn owner(s: &mut Section<'_>) -> Option<Ownership> {
    let org = s.text("owner", "The organisation that answers for the list; without, its hits are everybody's.");
    let share =
        s.share("share", "Who else sees its hits: `\"none\"` (default), `\"all\"`, or a list of organisations.");
    if let Some(why) = org.as_deref().and_then(|org| check_org(org).err()) {
        s.fault("owner", why);
    }
    if org.is_none() && share.is_some() {
        s.fault("share", "says with whom `owner` shares the hits, and there is no owner");
    }
    Some(Ownership { org: org?, share: share.unwrap_or_default() })
}

/// Ids and numbers must differ.
pub(super) fn check_unique(lists: &[Option<HotlistFile>], faults: &mut Vec<Fault>) {
    let known: Vec<&HotlistFile> = lists.iter().flatten().collect();
    super::check_twice("hotlist.list", "id", &known.iter().map(|l| l.id.to_string()).collect::<Vec<_>>(), faults);
    super::check_twice("hotlist.list", "number", &known.iter().map(|l| l.number).collect::<Vec<_>>(), faults);
}
