//! The configuration: `/etc/watchpost/watchpost.toml`, `conf.d/*.toml` and what the centre lays over them, one file here a
//! section.
//!
//! [`load`] names every fault at once, with file, line and suggestion; it never returns half a configuration. Secrets are
//! never in it: a `credential` is a name. What a key means stands beside its reading; `docs/config.md` lists them all.

mod camera;
mod centre;
mod hotlist;
pub mod layers;
pub mod managed;
mod polygon;
mod section;
mod site;
mod store;
mod tree;
mod vision;

use std::fmt;
use std::path::Path;

pub use camera::Camera;
pub use centre::Centre;
pub use hotlist::HotlistFile;
pub use layers::{Layers, Overlay};
pub use polygon::Polygon;
pub use section::KeyDoc;
pub use site::Site;
pub use store::{Retention, Store};
pub use tree::{Fault, Place};
pub use vision::Vision;

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
    /// `[vision]`
    pub vision: Vision,
    /// `[[hotlist.list]]`
    pub hotlists: Vec<HotlistFile>,
    /// `[store]`
    pub store: Store,
    /// `[centre]`; `None`: nothing is sent, hits stay in the store.
    pub centre: Option<Centre>,
    /// SHA-256 of the files it came from, in the order they were read.
    pub digest: [u8; 32],
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

/// Every key with its default and meaning, in the order of the sections.
#[must_use]
pub fn keys() -> Vec<KeyDoc> {
    let mut docs = Vec::new();
    let mut faults = Vec::new();
    let text = "[box]\n[[camera]]\n[vision]\n[hotlist]\n[[hotlist.list]]\n[store]\n[centre]\n";
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
    let vision = vision::read(Section::new("vision", "vision", top.get("vision"), faults, docs));
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
    check_top(top, root, faults, docs);
    Some(Config {
        site: site?,
        cameras: cameras.into_iter().collect::<Option<Vec<_>>>()?,
        vision,
        hotlists: hotlists.into_iter().collect::<Option<Vec<_>>>()?,
        store,
        centre: centre?,
        digest: [0; 32],
    })
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
    section.elsewhere(&["box", "camera", "vision", "hotlist", "store", "centre"]);
    section.not_yet(&["rule", "console"]);
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
