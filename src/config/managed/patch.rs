//! Changes of the overlay: single keys, one camera, a camera taken out. Texts in, a text out; nothing is checked here but
//! what can't be written at all, since the whole is checked afterwards.

use std::path::Path;

use toml::{Table, Value as Toml};

use super::to_toml;
use crate::config::layers::Layers;
use crate::config::tree::{Node, Value};

/// Stands at the head of the file.
const HEAD: &str = "# What the centre lays over this box's configuration (config.set, camera.set); written anew with each change.\n\
                    # `managed = false` under [box] in watchpost.toml switches it off.\n\n";

/// Keys of blocks that are paths: they are made absolute when a block of another folder is copied.
const PATHS: [&str; 2] = ["ca", "file"];

/// Most parts of a key.
const MAX_DEPTH: usize = 8;

/// A key with its new value as TOML; `None` takes it out of the overlay.
pub type Change = (String, Option<String>);

/// The overlay with `changes` made.
///
/// A key is written as in `docs/config.md`; those of cameras, lists and rules with the id (`camera.gate.fps`). A block that only
/// the box's own files have is copied first, so that what they say of it stays.
///
/// # Errors
/// What can't be done, all of it.
pub fn change(layers: &Layers, overlay: &str, changes: &[Change]) -> Result<String, Vec<String>> {
    let mut doc = read(overlay)?;
    let mut faults = Vec::new();
    for (key, value) in changes {
        if let Err(what) = change_one(layers, &mut doc, key, value.as_deref()) {
            faults.push(format!("{}: {what}", key.chars().take(80).collect::<String>()));
        }
    }
    if faults.is_empty() { write(&doc) } else { Err(faults) }
}

/// The overlay with the block of one camera in it, given as `[[camera]]` and its keys; and the camera's id.
///
/// # Errors
/// When `block` is not exactly one `[[camera]]` with an id.
pub fn set_camera(overlay: &str, block: &str) -> Result<(String, String), Vec<String>> {
    let given = read(block)?;
    let one = |what: &str| vec![format!("the block {what}; wanted is one [[camera]] with its keys")];
    let camera = match given.get("camera").and_then(Toml::as_array).map(Vec::as_slice) {
        Some([Toml::Table(camera)]) if given.len() == 1 => camera.clone(),
        Some([_]) => return Err(one("has other sections")),
        Some(_) => return Err(one("has more than one camera, or none")),
        None => return Err(one("has no [[camera]]")),
    };
    let Some(id) = camera.get("id").and_then(Toml::as_str).map(ToOwned::to_owned) else {
        return Err(one("names no id"));
    };
    let mut doc = read(overlay)?;
    put_block(&mut doc, &["camera"], &id, Some(camera)).map_err(|what| vec![what])?;
    Ok((write(&doc)?, id))
}

/// The overlay that takes a camera out.
///
/// # Errors
/// When there is no such camera.
pub fn remove_camera(layers: &Layers, overlay: &str, id: &str) -> Result<String, Vec<String>> {
    if layers.block(&["camera"], id).is_none() {
        return Err(vec![format!("there is no camera {id} on this box")]);
    }
    let mut doc = read(overlay)?;
    let gone = layers
        .local_block(&["camera"], id)
        .map(|_| Table::from_iter([("id".to_owned(), Toml::from(id)), ("removed".to_owned(), Toml::from(true))]));
    put_block(&mut doc, &["camera"], id, gone).map_err(|what| vec![what])?;
    write(&doc)
}

fn read(text: &str) -> Result<Table, Vec<String>> {
    text.parse::<Table>().map_err(|e| vec![format!("not TOML: {}", e.message())])
}

fn write(doc: &Table) -> Result<String, Vec<String>> {
    if doc.is_empty() {
        return Ok(String::new());
    }
    let text = toml::to_string(doc).map_err(|e| vec![format!("cannot be written as TOML: {e}")])?;
    Ok(format!("{HEAD}{text}"))
}

fn change_one(layers: &Layers, doc: &mut Table, key: &str, value: Option<&str>) -> Result<(), String> {
    let value = value.map(parse_value).transpose()?;
    let path: Vec<&str> = key.split('.').collect();
    if path.len() > MAX_DEPTH {
        // Tables as deep as a key of 60 KiB is long would take the stack with them.
        return Err(format!("has {} parts, at most {MAX_DEPTH} make a key", path.len()));
    }
    let (section, rest): (&[&str], &[&str]) = match path.as_slice() {
        ["camera", rest @ ..] => (&["camera"], rest),
        ["rule", rest @ ..] => (&["rule"], rest),
        ["hotlist", "list", rest @ ..] => (&["hotlist", "list"], rest),
        ["hotlist", ..] => return Err("lists are named as hotlist.list.ID.KEY".to_owned()),
        [_, _, ..] => return set(doc, &path, value),
        _ => return Err("is a section or nothing; a key is wanted, such as store.cache_mib".to_owned()),
    };
    let [id, inner @ ..] = rest else { return Err("names no block; wanted is its id and a key of it".to_owned()) };
    if inner.is_empty() {
        return match value {
            None => put_block(doc, section, id, None),
            Some(_) => Err("is a whole block; give a key of it".to_owned()),
        };
    }
    let mut block = match block_of(doc, section, id) {
        Some(block) => block,
        None => match layers.block(section, id) {
            Some(block) => copy(block),
            // A rule is made of its keys: those that are missing are told by the check of the whole.
            None if section == ["rule"] => Table::from_iter([("id".to_owned(), Toml::from(*id))]),
            None => return Err(format!("there is no {} {id}", section.join("."))),
        },
    };
    set(&mut block, inner, value)?;
    put_block(doc, section, id, Some(block))
}

fn parse_value(text: &str) -> Result<Toml, String> {
    let wrong = |why: &str| format!("{text:?} is no TOML value ({why}): texts stand in quotes");
    let doc: Table = format!("value = {text}").parse().map_err(|e: toml::de::Error| wrong(e.message()))?;
    match (doc.len(), doc.get("value")) {
        (1, Some(value)) => Ok(value.clone()),
        _ => Err(wrong("more than one line")),
    }
}

/// Sets or takes out what stands at `path` in tables.
fn set(table: &mut Table, path: &[&str], value: Option<Toml>) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if first.is_empty() {
        return Err("has an empty part".to_owned());
    }
    if rest.is_empty() {
        match value {
            Some(value) => drop(table.insert((*first).to_owned(), value)),
            None => drop(table.remove(*first)),
        }
        return Ok(());
    }
    if value.is_none() && !table.contains_key(*first) {
        return Ok(());
    }
    match table.entry((*first).to_owned()).or_insert_with(|| Toml::Table(Table::new())) {
        Toml::Table(inner) => {
            set(inner, rest, value)?;
            let empty = inner.is_empty();
            if empty {
                table.remove(*first);
            }
            Ok(())
        }
        _ => Err(format!("{first} is no section")),
    }
}

fn blocks<'d>(doc: &'d Table, section: &[&str]) -> Option<&'d Vec<Toml>> {
    let (last, tables) = section.split_last()?;
    let mut at = doc;
    for name in tables {
        at = at.get(*name)?.as_table()?;
    }
    at.get(*last)?.as_array()
}

fn has_id(block: &Toml, id: &str) -> bool {
    block.get("id").and_then(Toml::as_str) == Some(id)
}

fn block_of(doc: &Table, section: &[&str], id: &str) -> Option<Table> {
    blocks(doc, section)?.iter().find(|b| has_id(b, id))?.as_table().cloned()
}

/// Puts a block in the place of the one with the same id, or takes that one out.
fn put_block(doc: &mut Table, section: &[&str], id: &str, block: Option<Table>) -> Result<(), String> {
    let mut all = blocks(doc, section).cloned().unwrap_or_default();
    let at = all.iter().position(|b| has_id(b, id));
    match (at, block.map(Toml::Table)) {
        (Some(at), Some(block)) => {
            if let Some(slot) = all.get_mut(at) {
                *slot = block;
            }
        }
        (Some(at), None) => drop(all.remove(at)),
        (None, Some(block)) => all.push(block),
        (None, None) => {}
    }
    let all = Some(all).filter(|all| !all.is_empty()).map(Toml::Array);
    set(doc, section, all)
}

/// A block of another file: its relative paths are made absolute.
fn copy(node: &Node) -> Table {
    let Value::Table(table) = &node.value else { return Table::new() };
    let one = |(key, node): (&String, &Node)| {
        let value = match (node.text(), node.place.file.parent()) {
            (Some(text), Some(folder)) if PATHS.contains(&key.as_str()) => Toml::from(absolute(folder, text)),
            _ => to_toml(&node.value)?,
        };
        Some((key.clone(), value))
    };
    table.iter().filter_map(one).collect()
}

fn absolute(folder: &Path, text: &str) -> String {
    let path = folder.join(text);
    std::path::absolute(&path).unwrap_or(path).display().to_string()
}
