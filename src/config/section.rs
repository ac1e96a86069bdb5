//! Reads one table key by key: typed, with default, unit and a line of documentation, collecting every fault.
//!
//! A key that nobody asked for is unknown; its fault names the nearest key that exists. The same calls, made on an empty
//! table, list all keys ([`KeyDoc`]), which is what `docs/config.md` is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use super::polygon::{self, Polygon};
use super::tree::{Fault, Node, Place, Value};
use crate::domain::Share;

/// A key as documented.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDoc {
    /// Section and key, such as `camera.uri`.
    pub key: String,
    /// The default in words, empty where the key must be given.
    pub default: String,
    /// What it means, with its unit.
    pub doc: &'static str,
    /// What may stand there.
    pub form: Form,
    /// The only words that may; empty: any.
    pub choices: Vec<&'static str>,
}

/// What may stand under a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// true or false.
    Flag,
    /// A text.
    Text,
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// A number within these bounds.
    Real(f64, f64),
    /// So many numbers within these bounds.
    Reals(usize, f64, f64),
    /// A text, or a list of texts.
    Names,
    /// A list of words, each once.
    Words,
    /// A table of texts.
    Texts,
    /// One polygon of `[x, y]`, or a list of them.
    Polygons,
    /// Two points.
    Segment,
    /// `none`, `all`, or a list of organisations.
    Share,
}

/// One table being read.
pub struct Section<'a> {
    name: String,
    doc_name: &'static str,
    place: Option<Place>,
    table: Option<&'a BTreeMap<String, Node>>,
    asked: BTreeSet<String>,
    faults: &'a mut Vec<Fault>,
    docs: &'a mut Vec<KeyDoc>,
}

impl<'a> Section<'a> {
    /// Begins reading `node` (`None`: the section is not there and defaults are taken).
    ///
    /// `name` is how messages call it (`camera[2]`), `doc_name` how the documentation does (`camera`).
    pub fn new(
        name: impl Into<String>,
        doc_name: &'static str,
        node: Option<&'a Node>,
        faults: &'a mut Vec<Fault>,
        docs: &'a mut Vec<KeyDoc>,
    ) -> Self {
        let name = name.into();
        let table = match node.map(|n| &n.value) {
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                let what = format!("is {}, wanted a table", other.kind());
                faults.push(Fault { place: node.map(|n| n.place.clone()), key: name.clone(), what });
                None
            }
            None => None,
        };
        Self { name, doc_name, place: node.map(|n| n.place.clone()), table, asked: BTreeSet::new(), faults, docs }
    }

    /// Adds a fault of `key`.
    pub fn fault(&mut self, key: &str, what: impl Into<String>) {
        let place = self.table.and_then(|t| t.get(key)).map(|n| n.place.clone()).or_else(|| self.place.clone());
        self.faults.push(Fault { place, key: format!("{}.{key}", self.name), what: what.into() });
    }

    fn node(&mut self, key: &str, default: &str, doc: &'static str, form: Form) -> Option<&'a Node> {
        let (name, default) = (format!("{}.{key}", self.doc_name), default.to_owned());
        self.docs.push(KeyDoc { key: name, default, doc, form, choices: Vec::new() });
        self.sub_table(key)
    }

    /// What stands under a key that somebody else reads: the table of `[section.key]`, whose keys are documented one by one.
    pub fn sub_table(&mut self, key: &str) -> Option<&'a Node> {
        self.asked.insert(key.to_owned());
        self.table.and_then(|t| t.get(key))
    }

    /// Documents that what was read last is one of these words; that it is, is checked by who reads it.
    pub fn one_of(&mut self, words: &[&'static str]) {
        if let Some(docs) = self.docs.last_mut() {
            docs.choices = words.to_vec();
        }
    }

    fn typed<T>(&mut self, key: &str, node: &Node, wanted: &str, get: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = get(&node.value);
        if value.is_none() {
            self.fault(key, format!("is {}, wanted {wanted}", node.value.kind()));
        }
        value
    }

    /// An optional text.
    pub fn text(&mut self, key: &str, doc: &'static str) -> Option<String> {
        let node = self.node(key, "none", doc, Form::Text)?;
        self.typed(key, node, "a text", |v| if let Value::Text(t) = v { Some(t.clone()) } else { None })
    }

    /// A text with a default.
    pub fn text_or(&mut self, key: &str, default: &str, doc: &'static str) -> String {
        let node = self.node(key, &format!("`\"{default}\"`"), doc, Form::Text);
        let get = |v: &Value| if let Value::Text(t) = v { Some(t.clone()) } else { None };
        node.and_then(|n| self.typed(key, n, "a text", get)).unwrap_or_else(|| default.to_owned())
    }

    /// A text that parses to `T`, `None` when it is not there or wrong (which is a fault).
    pub fn parsed<T: FromStr>(&mut self, key: &str, doc: &'static str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(key, doc)?;
        text.parse().map_err(|e: T::Err| self.fault(key, e.to_string())).ok()
    }

    /// Like [`Section::parsed`], of a key that takes these words alone.
    pub fn choice<T: FromStr>(&mut self, key: &str, words: &[&'static str], doc: &'static str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let value = self.parsed(key, doc);
        self.one_of(words);
        value
    }

    /// Like [`Section::parsed`], and its absence is a fault as well.
    pub fn required<T: FromStr>(&mut self, key: &str, doc: &'static str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let value = self.parsed(key, doc);
        if let Some(docs) = self.docs.last_mut() {
            docs.default = String::new();
        }
        if !self.table.is_some_and(|t| t.contains_key(key)) {
            self.fault(key, "is missing");
        }
        value
    }

    /// A file or folder, relative to the folder of the file it stands in.
    pub fn path(&mut self, key: &str, doc: &'static str) -> Option<PathBuf> {
        let text = self.text(key, doc)?;
        let place = self.table.and_then(|t| t.get(key)).map(|n| n.place.clone());
        let folder = place.as_ref().and_then(|p| p.file.parent()).map(PathBuf::from).unwrap_or_default();
        Some(folder.join(text))
    }

    /// true or false.
    pub fn flag(&mut self, key: &str, default: bool, doc: &'static str) -> bool {
        let node = self.node(key, &format!("`{default}`"), doc, Form::Flag);
        let get = |v: &Value| if let Value::Bool(b) = v { Some(*b) } else { None };
        node.and_then(|n| self.typed(key, n, "true or false", get)).unwrap_or(default)
    }

    /// true or false, `None` when it is not there or wrong.
    pub fn optional_flag(&mut self, key: &str, doc: &'static str) -> Option<bool> {
        let node = self.node(key, "none", doc, Form::Flag)?;
        self.typed(key, node, "true or false", |v| if let Value::Bool(b) = v { Some(*b) } else { None })
    }

    /// `location`: latitude and longitude, degrees.
    pub fn location(&mut self, doc: &'static str) -> Option<(f64, f64)> {
        let pair = self.reals("location", 2, -180.0, 180.0, doc)?;
        let (latitude, longitude) = (*pair.first()?, *pair.get(1)?);
        if latitude.abs() > 90.0 {
            self.fault("location", format!("has the latitude {latitude}, wanted -90 to 90; latitude comes first"));
            return None;
        }
        Some((latitude, longitude))
    }

    /// Polygons of points, or one polygon.
    pub fn polygons(&mut self, key: &str, doc: &'static str) -> Vec<Polygon> {
        let Some(node) = self.node(key, "none", doc, Form::Polygons) else { return Vec::new() };
        polygon::read(node).unwrap_or_else(|what| {
            self.fault(key, what);
            Vec::new()
        })
    }

    /// Two points.
    pub fn segment(&mut self, key: &str, doc: &'static str) -> Option<[[f64; 2]; 2]> {
        let node = self.node(key, "none", doc, Form::Segment)?;
        polygon::segment(node).map_err(|what| self.fault(key, what)).ok()
    }

    /// Names in a list, or one name.
    pub fn named<T: FromStr>(&mut self, key: &str, doc: &'static str) -> Vec<T>
    where
        T::Err: std::fmt::Display,
    {
        let Some(node) = self.node(key, "none", doc, Form::Names) else { return Vec::new() };
        let text = |v: &Value| if let Value::Text(text) = v { Some(text.clone()) } else { None };
        let get = |v: &Value| match v {
            Value::Array(items) => items.iter().map(|n| text(&n.value)).collect::<Option<Vec<String>>>(),
            other => text(other).map(|one| vec![one]),
        };
        let texts = self.typed(key, node, "a text or a list of texts", get).unwrap_or_default();
        if texts.is_empty() && matches!(&node.value, Value::Array(items) if items.is_empty()) {
            self.fault(key, "is an empty list; leave it out instead");
        }
        texts.iter().filter_map(|t| t.parse().map_err(|e: T::Err| self.fault(key, e.to_string())).ok()).collect()
    }

    /// The tables of `[[section.key]]`; their keys are documented one by one.
    pub fn tables(&mut self, key: &str) -> Vec<&'a Node> {
        self.asked.insert(key.to_owned());
        match self.table.and_then(|t| t.get(key)).map(|n| &n.value) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(other) => {
                let what = format!("is {}; write it as [[{}.{key}]], once for each", other.kind(), self.doc_name);
                self.fault(key, what);
                Vec::new()
            }
        }
    }

    /// Begins reading one of [`Section::tables`].
    pub fn part<'b>(&'b mut self, name: &str, doc_name: &'static str, node: &'b Node) -> Section<'b> {
        Section::new(format!("{}.{name}", self.name), doc_name, Some(node), self.faults, self.docs)
    }

    /// Whether this is a table at all.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether a key is given, rightly or wrongly.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// The key that was read last must be given.
    pub fn must(&mut self, key: &str) {
        if let Some(docs) = self.docs.last_mut() {
            docs.default = String::new();
        }
        if !self.has(key) {
            self.fault(key, "is missing");
        }
    }

    /// A whole number from `low` to `high`.
    pub fn number(&mut self, key: &str, default: u64, low: u64, high: u64, doc: &'static str) -> u64 {
        let node = self.node(key, &format!("`{default}`"), doc, Form::Whole(low, high));
        let get = |v: &Value| if let Value::Integer(i) = v { Some(*i) } else { None };
        let Some(given) = node.and_then(|n| self.typed(key, n, "a whole number", get)) else { return default };
        match u64::try_from(given) {
            Ok(n) if (low..=high).contains(&n) => n,
            _ => {
                self.fault(key, format!("is {given}, wanted {low} to {high}"));
                default
            }
        }
    }

    /// A whole number that must be given.
    pub fn required_number(&mut self, key: &str, low: u64, high: u64, doc: &'static str) -> u64 {
        let number = self.number(key, low, low, high, doc);
        if let Some(docs) = self.docs.last_mut() {
            docs.default = String::new();
        }
        if !self.table.is_some_and(|t| t.contains_key(key)) {
            self.fault(key, "is missing");
        }
        number
    }

    /// A number from `low` to `high`, `None` when it is not there or wrong.
    pub fn real(&mut self, key: &str, low: f64, high: f64, doc: &'static str) -> Option<f64> {
        let node = self.node(key, "none", doc, Form::Real(low, high))?;
        let given = self.typed(key, node, "a number", number_of)?;
        if (low..=high).contains(&given) {
            return Some(given);
        }
        self.fault(key, format!("is {given}, wanted {low} to {high}"));
        None
    }

    /// `count` numbers in a list, each from `low` to `high`.
    pub fn reals(&mut self, key: &str, count: usize, low: f64, high: f64, doc: &'static str) -> Option<Vec<f64>> {
        let node = self.node(key, "none", doc, Form::Reals(count, low, high))?;
        let get = |v: &Value| match v {
            Value::Array(items) => items.iter().map(|n| number_of(&n.value)).collect::<Option<Vec<f64>>>(),
            _ => None,
        };
        let given = self.typed(key, node, "a list of numbers", get)?;
        if given.len() == count && given.iter().all(|n| (low..=high).contains(n)) {
            return Some(given);
        }
        self.fault(key, format!("is {given:?}, wanted {count} numbers from {low} to {high}"));
        None
    }

    /// A list of words that are known, each once; empty when it is not there or wrong.
    pub fn words(&mut self, key: &str, known: &[&'static str], doc: &'static str) -> Vec<String> {
        let node = self.node(key, "none", doc, Form::Words);
        self.one_of(known);
        let Some(node) = node else { return Vec::new() };
        let get = |v: &Value| match v {
            Value::Array(items) => items.iter().map(|n| n.text().map(str::to_owned)).collect::<Option<Vec<String>>>(),
            _ => None,
        };
        let given = self.typed(key, node, "a list of texts", get).unwrap_or_default();
        let all: BTreeSet<String> = known.iter().map(|&word| word.to_owned()).collect();
        for (n, word) in given.iter().enumerate() {
            if given.iter().take(n).any(|before| before == word) {
                self.fault(key, format!("names {word:?} twice"));
            } else if !all.contains(word) {
                let near = nearest(word, &all).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
                self.fault(key, format!("{word:?} is not known; {near}known are {}", known.join(", ")));
            }
        }
        given
    }

    /// A table of texts.
    pub fn texts(&mut self, key: &str, doc: &'static str) -> BTreeMap<String, String> {
        let Some(node) = self.node(key, "none", doc, Form::Texts) else { return BTreeMap::new() };
        let get = |v: &Value| match v {
            Value::Table(t) => t
                .iter()
                .map(|(k, n)| if let Value::Text(s) = &n.value { Some((k.clone(), s.clone())) } else { None })
                .collect(),
            _ => None,
        };
        self.typed(key, node, "a table of texts", get).unwrap_or_default()
    }

    /// `"none"`, `"all"`, or a list of organisations.
    pub fn share(&mut self, key: &str, doc: &'static str) -> Option<Share> {
        let node = self.node(key, "none", doc, Form::Share)?;
        let read = match &node.value {
            Value::Text(text) => text.parse(),
            Value::Array(items) => {
                let name = |n: &Node| if let Value::Text(text) = &n.value { Some(text.clone()) } else { None };
                let names: Option<Vec<String>> = items.iter().map(name).collect();
                names.ok_or_else(|| "names organisations by texts".to_owned()).and_then(Share::with)
            }
            other => Err(format!("is {}, wanted \"none\", \"all\" or a list of organisations", other.kind())),
        };
        read.map_err(|what| self.fault(key, what)).ok()
    }

    /// Says that `keys` are named in the docs and this version does not know them: using one is a fault of its own.
    pub fn not_yet(&mut self, keys: &[&str]) {
        for key in keys {
            if self.asked.insert((*key).to_owned()) && self.table.is_some_and(|t| t.contains_key(*key)) {
                self.fault(key, "is not supported by this version of watchpost; take it out");
            }
        }
    }

    /// Marks keys as known that somebody else reads (sub-tables).
    pub fn elsewhere(&mut self, keys: &[&str]) {
        self.asked.extend(keys.iter().map(|k| (*k).to_owned()));
    }

    /// Ends the reading: every key that was not asked for is a fault with a suggestion.
    pub fn finish(mut self) {
        let Some(table) = self.table else { return };
        for key in table.keys().filter(|k| !self.asked.contains(*k)).cloned().collect::<Vec<_>>() {
            let near = nearest(&key, &self.asked);
            let hint = near.map_or_else(
                || format!("known keys are {}", self.asked.iter().cloned().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(&key, format!("is no key that watchpost knows; {hint}"));
        }
    }
}

pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Float(f) if f.is_finite() => Some(*f),
        #[expect(clippy::cast_precision_loss, reason = "whole numbers in a config are small")]
        Value::Integer(i) => Some(*i as f64),
        _ => None,
    }
}

/// The known word at most two edits (or a third of its length) away from `word`.
fn nearest<'k>(word: &str, known: &'k BTreeSet<String>) -> Option<&'k str> {
    let best = known.iter().map(|k| (edits(word, k), k)).min()?;
    (best.0 <= 2.max(word.len() / 3)).then_some(best.1.as_str())
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(&b) {
            let up = *slot;
            let cost = diagonal + usize::from(x != *y);
            left = cost.min(up + 1).min(left + 1);
            diagonal = up;
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_insertions_deletions_and_substitutions() {
        for (a, b, n) in [("", "abc", 3), ("kitten", "sitting", 3), ("uri", "url", 1), ("same", "same", 0)] {
            assert_eq!(edits(a, b), n, "{a} {b}");
        }
    }
}
