//! TOML files as one tree whose every value knows its file and line.
//!
//! The later of two is laid over the earlier: tables merge, arrays of tables (cameras, lists) are joined, anything else is
//! replaced. Syntax errors do not stop the reading: all are collected as [`Fault`]s. Which files there are says
//! [`super::layers`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, when it stands somewhere.
    pub place: Option<Place>,
    /// The key with its section, such as `camera[2].uri`.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a TOML value can be.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// true or false.
    Bool(bool),
    /// Values in a row.
    Array(Vec<Node>),
    /// Keys with values.
    Table(BTreeMap<String, Node>),
    /// A date or time: no key of ours takes one.
    Datetime,
}

impl Node {
    /// What stands at a path of tables.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.value {
            Value::Table(table) => table.get(*first)?.at(rest),
            _ => None,
        }
    }

    /// The text that it is, when it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The list that it is; empty for anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        if let Value::Array(items) = &self.value { items } else { &[] }
    }
}

impl Value {
    /// The kind in words, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Datetime => "a date",
        }
    }
}

/// Parses `text` as if it stood in `file`.
#[must_use]
pub fn parse(file: &Path, text: &str, faults: &mut Vec<Fault>) -> Node {
    let file = Arc::new(file.to_path_buf());
    let lines = LineIndex::of(text);
    let place = |offset: usize| Place { file: Arc::clone(&file), line: lines.line(offset) };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map(|s| place(s.start));
        faults.push(Fault { place: at, key: String::new(), what: format!("not TOML: {}", error.message()) });
    }
    Node { place: place(0), value: table_of(table.get_ref(), &place) }
}

fn table_of(table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let node = Node { place: place(key.span().start), value: value_of(value.get_ref(), place) };
        (key.get_ref().to_string(), node)
    });
    Value::Table(entries.collect())
}

fn value_of(value: &DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Float(f64::NAN), Value::Integer)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node { place: place(item.span().start), value: value_of(item.get_ref(), place) })
                .collect(),
        ),
        DeValue::Table(table) => table_of(table, place),
    }
}

/// Lays one tree over another.
pub fn lay_over(under: &mut Node, over: Node) {
    match (&mut under.value, over.value) {
        (Value::Table(low), Value::Table(high)) => {
            for (key, node) in high {
                match low.get_mut(&key) {
                    Some(old) => lay_over(old, node),
                    None => drop(low.insert(key, node)),
                }
            }
        }
        (Value::Array(low), Value::Array(high)) if is_tables(low) && is_tables(&high) => low.extend(high),
        (_, value) => *under = Node { place: over.place, value },
    }
}

fn is_tables(items: &[Node]) -> bool {
    items.iter().all(|n| matches!(n.value, Value::Table(_)))
}

/// Offsets at which lines begin.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn of(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        Self(std::iter::once(0).chain(newlines.map(|(i, _)| i + 1)).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_over_replaces_values_and_joins_cameras() {
        let mut faults = Vec::new();
        let mut one = |file: &str, text: &str| parse(Path::new(file), text, &mut faults);
        let mut root = one("a.toml", "[box]\nid = \"a\"\nsite = \"s\"\n[[camera]]\nid = \"one\"\n");
        lay_over(&mut root, one("b.toml", "[box]\nid = \"b\"\n[[camera]]\nid = \"two\"\n"));
        assert!(faults.is_empty(), "{faults:?}");
        let id = root.at(&["box", "id"]).unwrap();
        assert_eq!((id.text(), id.place.line, id.place.file.as_path()), (Some("b"), 2, Path::new("b.toml")));
        assert_eq!(root.at(&["box", "site"]).unwrap().text(), Some("s"));
        assert_eq!(root.at(&["camera"]).unwrap().items().len(), 2);
    }

    #[test]
    fn a_syntax_error_has_a_line_and_does_not_hide_the_rest() {
        let mut faults = Vec::new();
        let root = parse(Path::new("x.toml"), "a = \nb = 1\n[box]\nid = 3\n", &mut faults);
        assert_eq!(faults[0].place.as_ref().unwrap().line, 1, "{faults:?}");
        let Value::Table(root) = root.value else { panic!() };
        assert!(root.contains_key("box"), "{root:?}");
    }
}
