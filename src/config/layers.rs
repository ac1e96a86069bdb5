//! The files of a configuration, one laid over the other, and what came from where.
//!
//! ```text
//! watchpost.toml  ◄─ conf.d/*.toml  ◄─ data_dir/managed/*.toml      (later lies over earlier, by name within a folder)
//!   local: the admin of the box          the centre: `config.set`, models
//! ```
//! Local files: tables merge, arrays of tables are joined. What the centre lays over them: tables merge, and a `[[camera]]`
//! or `[[hotlist.list]]` stands **instead** of the one with the same id, whole, or takes it out with `removed = true`.
//! Some keys are local: who the box is, where its data and keys lie, how long it keeps things, and what could open it to
//! others ([`LOCAL`]).
//!
//! All files are read once: what is checked is what the digest tells of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::{self, Fault, Node, Place, Value};
use super::{Config, Faults, build, managed, site};

/// What only the box's own files may say: the centre's overlay is refused with one of these.
pub const LOCAL: &[(&str, &str)] = &[
    ("box.site", "the box's identity is in its certificate and keys"),
    ("box.id", "the box's identity is in its certificate and keys"),
    ("box.data_dir", "keys and store lie there"),
    ("box.managed", "it is the local admin's switch"),
    ("centre.keyring", "who may command is said by `keyring.put`"),
    ("centre.root_key", "whoever could change it could take the box over"),
    ("centre.private_key", "keys are made and kept on the box"),
    ("centre.allow_plaintext", "encryption is switched off on the box alone"),
    ("centre.topic_root", "the broker's access rules go by it"),
    ("centre.ack", "whose word an alert is removed by is said on the box alone"),
    ("centre.json_mirror", "who else is told of hits, unsigned, is said on the box alone"),
    ("centre.onvif_mirror", "who else is told of hits, unsigned, is said on the box alone"),
    ("centre.mirror_severity", "who else is told of hits, unsigned, is said on the box alone"),
    ("centre.home_assistant", "who else is told of hits, unsigned, is said on the box alone"),
    ("console", "who may look at cameras on the box is said on the box alone"),
    ("store.retention", "how long things are kept is said by `retention.set`, and shorter by two people"),
    ("vision.onnxruntime", "it names a program library that would be loaded"),
];

/// Sections whose tables in a row go by `id`.
const BY_ID: [&[&str]; 3] = [&["camera"], &["hotlist", "list"], &["rule"]];

/// What of the centre's overlay is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay<'a> {
    /// As it lies on disk.
    OnDisk,
    /// As it lies on disk, but for this text instead of the file that `config.set` writes.
    Candidate(&'a str),
    /// None.
    Off,
}

/// A configuration as it was read, not yet checked.
#[derive(Debug, Clone)]
pub struct Layers {
    root: Node,
    local: Node,
    faults: Vec<Fault>,
    digest: [u8; 32],
    data_dir: PathBuf,
    /// Whether the local files let the centre lay something over them.
    pub is_managed: bool,
    /// The centre's files that were laid over, and their text.
    pub overlays: Vec<(PathBuf, String)>,
}

/// A value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key with its section; cameras and lists go by their ids (`camera.gate.uri`).
    pub key: String,
    /// The value as TOML.
    pub value: String,
    /// Where it stands; `None`: nowhere, it is the default.
    pub place: Option<Place>,
}

impl Layers {
    /// Reads the files of the configuration at `path`.
    ///
    /// # Errors
    /// Files that cannot be read or are no TOML: of such nobody knows what is missing in them.
    pub fn read(path: &Path, overlay: &Overlay<'_>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut take = |path: &Path, text: &str, faults: &mut Vec<Fault>| {
            context.update(text.as_bytes());
            tree::parse(path, text, faults)
        };
        let mut local: Option<Node> = None;
        let files = std::iter::once(path.to_path_buf());
        for file in files.chain(sorted(&path.parent().unwrap_or(Path::new(".")).join("conf.d"))) {
            let Some(text) = text_of(&file, &mut faults) else { continue };
            let node = take(&file, &text, &mut faults);
            match &mut local {
                Some(under) => tree::lay_over(under, node),
                None => local = Some(node),
            }
        }
        let Some(local) = local else { return Err(Faults(faults)) };
        let data_dir = data_dir(&local);
        let is_managed = !matches!(local.at(&["box", "managed"]).map(|n| &n.value), Some(Value::Bool(false)));
        let mut overlays = Vec::new();
        if is_managed {
            overlays = overlay_files(&managed::folder(&data_dir), overlay, &mut faults);
        }
        let mut root = local.clone();
        let mut strange = Vec::new();
        for (file, text) in &overlays {
            let node = take(file, text, &mut faults);
            refuse_local(&node, &mut strange);
            lay_managed(&mut root, node, &mut strange);
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let digest = context.finish().as_ref().try_into().unwrap_or([0; 32]);
        Ok(Self { root, local, faults: strange, digest, data_dir, is_managed, overlays })
    }

    /// Checks it.
    ///
    /// # Errors
    /// All its faults, in the order of the files.
    pub fn config(&self) -> Result<Config, Faults> {
        let (mut faults, mut docs) = (self.faults.clone(), Vec::new());
        let config = build(&self.root, &mut faults, &mut docs);
        faults.sort_by_key(|f| f.place.as_ref().map(|p| (p.file.clone(), p.line)));
        match config {
            Some(config) if faults.is_empty() => Ok(Config { digest: self.digest, ..config }),
            _ => Err(Faults(faults)),
        }
    }

    /// SHA-256 of the files, in the order they were read.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Where the box's data lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether a place is in a file of the centre.
    #[must_use]
    pub fn is_of_centre(&self, place: &Place) -> bool {
        self.overlays.iter().any(|(file, _)| *file == *place.file)
    }

    /// The block of `id` in a section such as `camera`, as it is in force.
    #[must_use]
    pub fn block(&self, section: &[&str], id: &str) -> Option<&Node> {
        find(&self.root, section, id)
    }

    /// The same by the local files alone.
    #[must_use]
    pub fn local_block(&self, section: &[&str], id: &str) -> Option<&Node> {
        find(&self.local, section, id)
    }

    /// Every value that is written down, and with `defaults` those of the single sections that are not; sorted by key.
    #[must_use]
    pub fn rows(&self, defaults: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        walk(&self.root, "", &mut rows);
        let written: BTreeSet<String> = rows.iter().map(|r| r.key.clone()).collect();
        if defaults {
            // A section that is not there switches its matter off: it has no defaults that hold.
            let absent = ["camera.", "hotlist.", "centre.home_assistant."];
            let single = |key: &str| !absent.iter().any(|section| key.starts_with(section));
            let left = super::keys().into_iter().filter(|doc| single(&doc.key) && !written.contains(&doc.key));
            let value = |doc: &super::KeyDoc| doc.default.trim_matches('`').to_owned();
            let known = left.filter(|doc| doc.default.starts_with('`'));
            rows.extend(known.map(|doc| Row { value: value(&doc), key: doc.key, place: None }));
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }
}

fn find<'n>(root: &'n Node, section: &[&str], id: &str) -> Option<&'n Node> {
    root.at(section)?.items().iter().find(|n| id_of(n) == Some(id))
}

fn id_of(node: &Node) -> Option<&str> {
    node.at(&["id"])?.text()
}

/// The `*.toml` of a folder by name; none when it is not there.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

fn text_of(file: &Path, faults: &mut Vec<Fault>) -> Option<String> {
    std::fs::read_to_string(file)
        .map_err(|error| {
            let what = format!("cannot read {}: {error}", file.display());
            faults.push(Fault { place: None, key: String::new(), what });
        })
        .ok()
}

/// `box.data_dir` before anything is checked.
fn data_dir(local: &Node) -> PathBuf {
    let Some(node) = local.at(&["box", "data_dir"]) else { return PathBuf::from(site::DATA_DIR) };
    let folder = node.place.file.parent().unwrap_or(Path::new(""));
    node.text().map_or_else(|| PathBuf::from(site::DATA_DIR), |text| folder.join(text))
}

fn overlay_files(folder: &Path, overlay: &Overlay<'_>, faults: &mut Vec<Fault>) -> Vec<(PathBuf, String)> {
    let own = managed::overlay_path(folder);
    let mut files = sorted(folder);
    let candidate = match overlay {
        Overlay::Off => return Vec::new(),
        Overlay::OnDisk => None,
        Overlay::Candidate(text) => {
            files.retain(|f| *f != own);
            files.extend(Some(own.clone()).filter(|_| !text.trim().is_empty()));
            files.sort();
            Some(*text)
        }
    };
    let text = |file: &PathBuf, faults: &mut Vec<Fault>| match candidate {
        Some(text) if *file == own => Some(text.to_owned()),
        _ => text_of(file, faults),
    };
    files.into_iter().filter_map(|file| text(&file, faults).map(|text| (file, text))).collect()
}

/// A fault for each key of [`LOCAL`] in a file of the centre, and for pipelines by path.
fn refuse_local(node: &Node, faults: &mut Vec<Fault>) {
    for (key, why) in LOCAL {
        let path: Vec<&str> = key.split('.').collect();
        if let Some(found) = node.at(&path) {
            let what = format!("can't be changed by the centre: {why}; change it in the box's own files");
            faults.push(Fault { place: Some(found.place.clone()), key: (*key).to_owned(), what });
        }
    }
    let cameras = node.at(&["camera"]).map(Node::items).unwrap_or_default();
    for pipeline in cameras.iter().filter_map(|camera| camera.at(&["pipeline"])) {
        if pipeline.text().is_some_and(|name| name.contains('/')) {
            let what = "is a path; from the centre only pipelines that came with the program can be named".to_owned();
            faults.push(Fault { place: Some(pipeline.place.clone()), key: "camera.pipeline".to_owned(), what });
        }
    }
}

/// Lays a file of the centre over the rest.
fn lay_managed(root: &mut Node, mut over: Node, faults: &mut Vec<Fault>) {
    for section in BY_ID {
        if let Some(blocks) = take_at(&mut over, section) {
            let Value::Array(blocks) = blocks.value else {
                // No list: the check of the whole says so.
                put_at(root, section, blocks);
                continue;
            };
            replace_blocks(root, section, blocks, faults);
        }
    }
    tree::lay_over(root, over);
}

fn replace_blocks(root: &mut Node, section: &[&str], blocks: Vec<Node>, faults: &mut Vec<Fault>) {
    let mut all = match take_at(root, section) {
        Some(Node { value: Value::Array(items), .. }) => items,
        Some(other) => return put_at(root, section, other),
        None => Vec::new(),
    };
    let Some(place) = blocks.first().or(all.first()).map(|n| n.place.clone()) else { return };
    let mut seen = BTreeSet::new();
    for block in blocks {
        let (id, keys) = (id_of(&block).map(ToOwned::to_owned), keys_of(&block));
        let old = id.as_ref().and_then(|id| all.iter().position(|n| id_of(n) == Some(id)));
        if matches!(block.at(&["removed"]).map(|n| &n.value), Some(Value::Bool(true))) {
            if keys != ["id", "removed"] {
                let what = "with `removed = true` only `id` may stand".to_owned();
                faults.push(Fault { place: Some(block.place.clone()), key: section.join("."), what });
            }
            old.map(|at| all.remove(at));
            continue;
        }
        // One that stands there twice is told by the check of the whole.
        let again = id.is_some_and(|id| !seen.insert(id));
        match old.and_then(|at| all.get_mut(at)).filter(|_| !again) {
            Some(slot) => *slot = block,
            None => all.push(block),
        }
    }
    put_at(root, section, Node { place, value: Value::Array(all) });
}

fn keys_of(node: &Node) -> Vec<&str> {
    if let Value::Table(table) = &node.value { table.keys().map(String::as_str).collect() } else { Vec::new() }
}

fn take_at(node: &mut Node, path: &[&str]) -> Option<Node> {
    let (last, tables) = path.split_last()?;
    let mut at = node;
    for name in tables {
        let Value::Table(table) = &mut at.value else { return None };
        at = table.get_mut(*name)?;
    }
    if let Value::Table(table) = &mut at.value { table.remove(*last) } else { None }
}

fn put_at(node: &mut Node, path: &[&str], value: Node) {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return;
    };
    if let Value::Table(table) = &mut node.value {
        let place = value.place.clone();
        let inner =
            table.entry((*first).to_owned()).or_insert_with(|| Node { place, value: Value::Table(BTreeMap::new()) });
        put_at(inner, rest, value);
    }
}

fn walk(node: &Node, key: &str, rows: &mut Vec<Row>) {
    let under = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match &node.value {
        Value::Table(table) => table.iter().for_each(|(name, inner)| walk(inner, &under(name), rows)),
        Value::Array(items) if BY_ID.iter().any(|section| section.join(".") == key) => {
            for (item, n) in items.iter().zip(1..) {
                walk(item, &under(id_of(item).unwrap_or(&format!("[{n}]"))), rows);
            }
        }
        value => {
            rows.push(Row { key: key.to_owned(), value: inline(value), place: Some(node.place.clone()) });
        }
    }
}

/// A value as one line of TOML.
fn inline(value: &Value) -> String {
    managed::to_toml(value).map_or_else(|| "?".to_owned(), |v| v.to_string())
}

#[cfg(test)]
mod tests;
