//! A strict reader of the text format of Prometheus 0.0.4: whatever it does not know is a fault.

use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `name="value",…`, with the escapes of the format.
fn labels(text: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {rest}"));
        assert!(is_name(name), "{name}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("no end: {rest}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("escape {c}"),
                },
                (_, c) => value.push(c),
            }
        };
        found.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if let Some(next) = rest.strip_prefix(',') {
            assert!(!next.is_empty(), "a comma at the end");
            rest = next;
        } else {
            assert!(rest.is_empty(), "{rest}");
        }
    }
    found
}

/// Every sample: each family has HELP and TYPE once, before its samples, which stand together; a counter ends in `_total`; no
/// sample stands there twice.
pub fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut seen, mut families): (Vec<Sample>, BTreeSet<String>, BTreeSet<String>) = Default::default();
    let (mut help, mut kind) = (None::<String>, None::<(String, String)>);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && name.starts_with("watchpost_") && words.ends_with('.'), "{line}");
            assert!(families.insert(name.to_owned()), "{name} stands there twice");
            (help, kind) = (Some(name.to_owned()), None);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, what) = rest.split_once(' ').unwrap();
            assert_eq!(help.as_deref(), Some(name), "HELP comes first");
            assert!(["counter", "gauge"].contains(&what), "{line}");
            assert_eq!(name.ends_with("_total"), what == "counter", "{line}");
            kind = Some((name.to_owned(), what.to_owned()));
        } else {
            let (left, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
            let (name, inner) = match left.split_once('{') {
                Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
                None => (left, ""),
            };
            let (family, what) = kind.as_ref().unwrap_or_else(|| panic!("no TYPE before {line}"));
            assert_eq!(family, name);
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && (what == "gauge" || value >= 0.0), "{line}");
            assert!(seen.insert(left.to_owned()), "{left} stands there twice");
            samples.push(Sample { name: name.to_owned(), labels: labels(inner), value });
        }
    }
    samples
}
