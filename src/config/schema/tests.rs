//! The schema lies in `docs/`, takes the configurations that the repository shows, and takes no others.

use std::path::{Path, PathBuf};

use super::*;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watchpost.schema.json")
}

/// `BLESS=1 cargo test` writes it anew.
#[test]
fn the_schema_in_docs_is_that_of_the_code() {
    let wanted = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(), &wanted).unwrap();
    }
    let found = std::fs::read_to_string(file()).unwrap_or_default();
    assert!(found == wanted, "docs/watchpost.schema.json is old: run `BLESS=1 cargo test --lib config`");
}

/// What is wrong with `value` by `schema`, as far as the words go that our schema is made of; another word is a fault.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut want = |good: bool, what: &str| {
        if !good {
            found.push(format!("{at}: {what}: {value}"));
        }
    };
    let number = value.as_f64();
    let length = value.as_array().map(Vec::len);
    let within = |bound: &Value| usize::try_from(bound.as_u64().unwrap()).unwrap();
    let mut inner = Vec::new();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (word, says) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "title" | "description" | "default" | "properties" | "additionalProperties" => {}
            "type" => want(is(value, says.as_str().unwrap()), &format!("wanted {says}")),
            "enum" => want(says.as_array().unwrap().contains(value), &format!("wanted one of {says}")),
            "minimum" => want(number.is_none_or(|n| n >= says.as_f64().unwrap()), "too small"),
            "maximum" => want(number.is_none_or(|n| n <= says.as_f64().unwrap()), "too large"),
            "minItems" => want(length.is_none_or(|n| n >= within(says)), "too few"),
            "maxItems" => want(length.is_none_or(|n| n <= within(says)), "too many"),
            "uniqueItems" => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let twice = items.iter().enumerate().any(|(n, item)| items.iter().take(n).any(|before| before == item));
                want(!twice, "one twice");
            }
            "required" => {
                for name in says.as_array().unwrap() {
                    want(value.get(name.as_str().unwrap()).is_some(), &format!("{name} is missing"));
                }
            }
            "items" => {
                for (n, one) in value.as_array().into_iter().flatten().enumerate() {
                    inner.extend(faults(says, one, &format!("{at}[{n}]")));
                }
            }
            "anyOf" => {
                let any = says.as_array().unwrap().iter().any(|one| faults(one, value, at).is_empty());
                want(any, "none of those wanted");
            }
            other => panic!("{other} is a word that this test does not judge by"),
        }
    }
    for (name, one) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (properties.get(name), schema.get("additionalProperties")) {
            (None, Some(Value::Bool(false))) => inner.push(format!("{at}: is no key")),
            (Some(schema), _) | (None, Some(schema)) => inner.extend(faults(schema, one, &at)),
            (None, None) => {}
        }
    }
    found.extend(inner);
    found
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other} is no type"),
    }
}

fn judged(text: &str) -> Vec<String> {
    let value: toml::Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    faults(&schema(), &serde_json::to_value(value).unwrap(), "")
}

/// Every block of TOML in the documentation and in README.md that is one of this configuration.
#[test]
fn the_configurations_that_the_documentation_shows_are_good_by_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut judged_blocks = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let ours = ["[box]", "[[camera", "[vision]", "[[rule]]", "[[hotlist", "[store", "[centre", "[decode]"];
            // Parts that only show keys, of cameras with dots for what is left out, and manifests of models, are none.
            if !ours.iter().any(|section| block.contains(section)) || block.contains('…') {
                continue;
            }
            let Ok(value) = toml::from_str::<toml::Value>(block) else { continue };
            let found = faults(&schema(), &serde_json::to_value(value).unwrap(), "");
            let found: Vec<&String> = found.iter().filter(|fault| !fault.contains("is missing")).collect();
            assert!(found.is_empty(), "{}:\n{block}\n{found:#?}", page.display());
            judged_blocks += 1;
        }
    }
    assert!(judged_blocks >= 5, "{judged_blocks} blocks were judged");
}

#[test]
fn wrong_keys_forms_bounds_and_words_are_faults_by_the_schema() {
    let good =
        "[box]\nsite = \"north\"\nid = \"b\"\n[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://192.0.2.7/1\"\n";
    assert_eq!(judged(good), Vec::<String>::new());
    for (text, fault) in [
        ("[box]\nsight = \"north\"\n", ".box.sight: is no key"),
        ("[boxes]\n", ".boxes: is no key"),
        ("[[camera]]\nid = \"a\"\nnumber = 1\n", "\"uri\" is missing"),
        ("[[camera]]\nid = \"a\"\nnumber = 0\nuri = \"x\"\n", ".camera[0].number: too small"),
        ("[[camera]]\nid = \"a\"\nnumber = \"1\"\nuri = \"x\"\n", "wanted \"integer\""),
        ("[[rule]]\nid = \"a\"\nnumber = 1\nseverity = \"urgent\"\n", ".rule[0].severity: wanted one of"),
        ("[[rule]]\nid = \"a\"\nnumber = 1\nclasses = [\"lorry\"]\n", ".rule[0].classes: none of those wanted"),
        ("[centre]\njson_mirror = \"yes\"\n", "wanted \"boolean\""),
        ("[centre.home_assistant]\nprefixes = \"ha\"\n", ".centre.home_assistant.prefixes: is no key"),
        ("[[camera]]\nid = \"a\"\nnumber = 1\nuri = \"x\"\nroi = [[0, 0], [1920, 0], [1920, 1080]]\n", "none of those"),
        ("[store]\noutbox_mib = 0\n", "too small"),
    ] {
        let found = judged(text).join("\n");
        assert!(found.contains(fault), "{fault} not in {found}:\n{text}");
    }
}

/// Whatever the schema offers as a word is one that the configuration takes.
#[test]
fn every_word_that_the_schema_offers_is_taken() {
    let mut tried = 0;
    for key in keys().into_iter().filter(|key| !key.choices.is_empty()) {
        let (section, name) = key.key.rsplit_once('.').unwrap();
        let head = if ROWS.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") };
        let outer = section.split('.').next().unwrap();
        let outer = if ROWS.contains(&outer) && outer != section { format!("[[{outer}]]\n") } else { String::new() };
        for word in &key.choices {
            let value = if key.form == Form::Words { format!("[\"{word}\"]") } else { format!("\"{word}\"") };
            let text = format!("{outer}{head}\n{name} = {value}\n");
            let told = super::super::of_text(&text).unwrap_err().to_string();
            let own = format!("].{name}: ");
            let refused = |line: &&str| (line.contains(&own) || line.contains(&key.key)) && line.contains("wanted");
            assert_eq!(told.lines().find(refused), None, "{text}");
            tried += 1;
        }
    }
    assert!(tried >= 40, "{tried} words");
}
