//! A JSON schema of the configuration, for editors that complete and check TOML.
//!
//! Made of what the sections say of their keys as they read them, the same of which `docs/config.md` is made; it lies in
//! `docs/watchpost.schema.json`, and a test holds it there. It names tables, keys, forms, bounds, words and defaults. What one
//! key demands of another, files and models is not in it: `watchpost check` has the last word.
//!
//! A file of `conf.d` may hold a part of a section, so no key of a single table is required; what stands in `[[…]]` is whole.

use serde_json::{Map, Value, json};

use super::{Form, KeyDoc, keys};

/// Tables that are written `[[…]]`.
const ROWS: [&str; 5] = ["camera", "camera.zone", "camera.line", "rule", "hotlist.list"];

/// The schema, draft 7, which editors of TOML know.
#[must_use]
pub fn schema() -> Value {
    let mut root = table("");
    for key in keys() {
        let Some((section, name)) = key.key.rsplit_once('.') else { continue };
        let Some(table) = table_at(&mut root, section) else { continue };
        if let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(name.to_owned(), described(&key));
        }
        let must = key.default.is_empty() && ROWS.contains(&section);
        if let Some(map) = table.as_object_mut().filter(|_| must) {
            let required = map.entry("required").or_insert_with(|| json!([]));
            if let Some(required) = required.as_array_mut() {
                required.push(json!(name));
            }
        }
    }
    if let Some(map) = root.as_object_mut() {
        map.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        map.insert("title".to_owned(), json!("Configuration of watchpost"));
        map.insert("description".to_owned(), json!("watchpost.toml and conf.d/*.toml; see docs/config.md."));
    }
    root
}

fn table(section: &str) -> Value {
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": {} });
    if let Some(map) = table.as_object_mut().filter(|_| !section.is_empty()) {
        let written = if ROWS.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") };
        map.insert("description".to_owned(), json!(written));
    }
    table
}

/// The table of this section below `root`, made where it is not there.
fn table_at<'v>(root: &'v mut Value, section: &str) -> Option<&'v mut Value> {
    let mut at = root;
    let mut path = String::new();
    for name in section.split('.') {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let properties = at.get_mut("properties")?.as_object_mut()?;
        let made = || {
            let one = table(&path);
            if ROWS.contains(&path.as_str()) { json!({ "type": "array", "items": one }) } else { one }
        };
        at = properties.entry(name.to_owned()).or_insert_with(made);
        if ROWS.contains(&path.as_str()) {
            at = at.get_mut("items")?;
        }
    }
    Some(at)
}

fn described(key: &KeyDoc) -> Value {
    let mut form = match form(key) {
        Value::Object(map) => map,
        other => Map::from_iter([("const".to_owned(), other)]),
    };
    form.insert("description".to_owned(), json!(key.doc));
    // Defaults are documented as TOML between backticks; of the forms that have one, JSON writes them alike.
    let default = key.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    if let Some(default) = default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        form.insert("default".to_owned(), default);
    }
    Value::Object(form)
}

fn form(key: &KeyDoc) -> Value {
    let word = if key.choices.is_empty() { json!({ "type": "string" }) } else { json!({ "enum": key.choices }) };
    let point = json!({
        "type": "array", "minItems": 2, "maxItems": 2, "items": { "type": "number", "minimum": 0, "maximum": 1 },
    });
    let polygon = json!({ "type": "array", "minItems": 3, "maxItems": 33, "items": point });
    match key.form {
        Form::Flag => json!({ "type": "boolean" }),
        Form::Text => word,
        Form::Whole(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Form::Real(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Form::Reals(count, low, high) => json!({
            "type": "array", "minItems": count, "maxItems": count,
            "items": { "type": "number", "minimum": low, "maximum": high },
        }),
        Form::Names => json!({ "anyOf": [word, { "type": "array", "minItems": 1, "items": word }] }),
        Form::Words => json!({ "type": "array", "uniqueItems": true, "items": word }),
        Form::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Form::Polygons => json!({ "anyOf": [polygon, { "type": "array", "items": polygon }] }),
        Form::Segment => json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": point }),
        Form::Share => json!({
            "anyOf": [{ "enum": ["none", "all"] }, { "type": "array", "minItems": 1, "items": { "type": "string" } }],
        }),
    }
}

#[cfg(test)]
mod tests;
