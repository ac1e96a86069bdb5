//! The configuration: `/etc/watchpost/watchpost.toml`, `conf.d/*.toml` and what the centre lays over them, one file here a
//! section.
//!
//! [`load`] names every fault at once, with file, line and suggestion; it never returns half a configuration. Secrets are
//! never in it: a `credential` is a name. What a key means stands beside its reading; `docs/config.md` lists them all.

mod camera;
mod centre;
mod console;
mod decode;
mod hotlist;
pub mod layers;
pub mod managed;
mod place;
mod polygon;
mod rule;
pub mod schema;
mod section;
mod site;
mod store;
mod tree;
mod vision;

use std::fmt;
use std::path::Path;

pub use camera::Camera;
pub use centre::{Centre, HOME_ASSISTANT_PREFIX, HomeAssistant, Mirrors};
pub use console::{Console, Listen};
pub use decode::{Decode, DecodeWorkers};
pub use hotlist::HotlistFile;
pub use layers::{Layers, Overlay};
pub use polygon::Polygon;
pub use rule::Rule;
pub use section::{Form, KeyDoc};
pub use site::Site;
pub use store::{Retention, Store};
pub use tree::{Fault, Place};
pub use vision::Vision;

use crate::domain::Plan;
use section::Section;
use tree::{Node, Value};

/// Where the configuration lies unless a verb is told otherwise.
pub const DEFAULT_PATH: &str = "/etc/watchpost/watchpost.toml";

/// A whole, valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[box]`
    pub site: Site,
    /// `[[camera]]`
    pub cameras: Vec<Camera>,
    /// `[decode]`
    pub decode: Decode,
    /// `[vision]`
    pub vision: Vision,
    /// `[[hotlist.list]]`
    pub hotlists: Vec<HotlistFile>,
    /// `[[rule]]`
    pub rules: Vec<Rule>,
    /// `[store]`
    pub store: Store,
    /// `[centre]`; `None`: nothing is sent, hits stay in the store.
    pub centre: Option<Centre>,
    /// `[console]`; `None`: there is none.
    pub console: Option<Console>,
    /// SHA-256 of the files it came from, in the order they were read.
    pub digest: [u8; 32],
}

impl Config {
    /// Zones, lines and rules of one of its cameras.
    #[must_use]
    pub fn plan(&self, camera: &Camera) -> Plan {
        rule::plan(camera, &self.rules)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has a fault: {one}"),
            all => {
                write!(f, "the configuration has {} faults:", all.len())?;
                all.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for Faults {}

/// Reads and checks the configuration at `path` with the `conf.d` beside it, and what the centre lays over it.
///
/// # Errors
/// [`Faults`]: all of them, in the order of the files; of a file that is no TOML that alone.
pub fn load(path: &Path) -> Result<Config, Faults> {
    Layers::read(path, &Overlay::OnDisk)?.config()
}

/// Checks a configuration of one file that is no file.
///
/// # Errors
/// As [`load`].
pub(crate) fn of_text(text: &str) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let root = tree::parse(Path::new("text.toml"), text, &mut faults);
    match build(&root, &mut faults, &mut Vec::new()) {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Faults(faults)),
    }
}

/// Every key with its default and meaning, in the order of the sections.
#[must_use]
pub fn keys() -> Vec<KeyDoc> {
    let mut docs = Vec::new();
    let mut faults = Vec::new();
    let text = "[box]\n[[camera]]\n[[camera.zone]]\n[[camera.line]]\n[decode]\n[vision]\n[[rule]]\n[hotlist]\n[[hotlist.list]]\n[store]\n[centre]\n[centre.home_assistant]\n[console]\n";
    let root = tree::parse(Path::new("example.toml"), text, &mut faults);
    build(&root, &mut faults, &mut docs);
    docs
}

fn build(root: &Node, faults: &mut Vec<Fault>, docs: &mut Vec<KeyDoc>) -> Option<Config> {
    let Value::Table(top) = &root.value else { return None };
    let site = site::read(Section::new("box", "box", top.get("box"), faults, docs));
    let mut cameras = Vec::new();
    for (i, node) in items(top.get("camera"), "camera", faults).into_iter().enumerate() {
        cameras.push(camera::read(Section::new(format!("camera[{}]", i + 1), "camera", Some(node), faults, docs)));
    }
    camera::check_unique(&cameras, faults);
    let decode = decode::read(Section::new("decode", "decode", top.get("decode"), faults, docs));
    let vision = vision::read(Section::new("vision", "vision", top.get("vision"), faults, docs));
    let rules = read_rules(top, (&site, &cameras, &vision), faults, docs);
    let lists = hotlist::lists(top.get("hotlist"), faults);
    let mut hotlists = Vec::new();
    for (i, node) in lists.into_iter().enumerate() {
        let name = format!("hotlist.list[{}]", i + 1);
        hotlists.push(hotlist::read(Section::new(name, "hotlist.list", Some(node), faults, docs)));
    }
    hotlist::check_unique(&hotlists, faults);
    let store_node = top.get("store");
    let retention_node = match store_node.map(|n| &n.value) {
        Some(Value::Table(t)) => t.get("retention"),
        _ => None,
    };
    let retention =
        store::read_retention(Section::new("store.retention", "store.retention", retention_node, faults, docs));
    let store = store::read(Section::new("store", "store", store_node, faults, docs), retention);
    let centre = match top.get("centre") {
        Some(node) => centre::read(Section::new("centre", "centre", Some(node), faults, docs)).map(Some),
        None => Some(None),
    };
    let console = match top.get("console") {
        Some(node) => console::read(Section::new("console", "console", Some(node), faults, docs)),
        None => None,
    };
    check_top(top, root, faults, docs);
    Some(Config {
        site: site?,
        cameras: cameras.into_iter().collect::<Option<Vec<_>>>()?,
        decode,
        vision,
        hotlists: hotlists.into_iter().collect::<Option<Vec<_>>>()?,
        rules: rules.into_iter().collect::<Option<Vec<_>>>()?,
        store,
        centre: centre?,
        console,
        digest: [0; 32],
    })
}

/// `[[rule]]`, which may name cameras, their zones and lines, and needs what `[box]` and `[vision]` say.
fn read_rules(
    top: &std::collections::BTreeMap<String, Node>,
    (site, cameras, vision): (&Option<Site>, &[Option<Camera>], &Vision),
    faults: &mut Vec<Fault>,
    docs: &mut Vec<KeyDoc>,
) -> Vec<Option<Rule>> {
    let known = rule::Known {
        cameras: cameras.iter().map(Option::as_ref).collect(),
        vehicles: vision.vehicles.is_some(),
        timezone: site.as_ref().and_then(|site| site.timezone.as_ref()),
    };
    let mut rules = Vec::new();
    for (i, node) in items(top.get("rule"), "rule", faults).into_iter().enumerate() {
        rules.push(rule::read(Section::new(format!("rule[{}]", i + 1), "rule", Some(node), faults, docs), &known));
    }
    rule::check_unique(&rules, faults);
    rules
}

/// Sections that are not known, or not yet.
fn check_top(
    top: &std::collections::BTreeMap<String, Node>,
    root: &Node,
    faults: &mut Vec<Fault>,
    docs: &mut Vec<KeyDoc>,
) {
    let before = faults.len();
    let mut section = Section::new("", "", Some(root), faults, docs);
    section.elsewhere(&["box", "camera", "decode", "vision", "rule", "hotlist", "store", "centre", "console"]);
    section.finish();
    for fault in faults.iter_mut().skip(before) {
        fault.key = fault.key.trim_start_matches('.').to_owned();
    }
    if !top.contains_key("box") {
        let what = "the section [box] with `site` and `id` is missing".to_owned();
        faults.push(Fault { place: Some(root.place.clone()), key: "box".into(), what });
    }
}

/// The tables of `[[name]]`.
fn items<'a>(node: Option<&'a Node>, name: &str, faults: &mut Vec<Fault>) -> Vec<&'a Node> {
    match node.map(|n| (&n.value, &n.place)) {
        None => Vec::new(),
        Some((Value::Array(items), _)) => items.iter().collect(),
        Some((other, place)) => {
            let what = format!("is {}; write it as [[{name}]], once for each", other.kind());
            faults.push(Fault { place: Some(place.clone()), key: name.to_owned(), what });
            Vec::new()
        }
    }
}

/// A fault for every value of `ids` that stands there twice.
fn check_twice<T: PartialEq + fmt::Display>(section: &str, key: &str, values: &[T], faults: &mut Vec<Fault>) {
    for (i, value) in values.iter().enumerate() {
        if let Some(first) = values.iter().take(i).position(|v| v == value) {
            let what = format!("is {value}, as {section}[{}] already; each needs its own", first + 1);
            faults.push(Fault { place: None, key: format!("{section}[{}].{key}", i + 1), what });
        }
    }
}

#[cfg(test)]
mod tests;
