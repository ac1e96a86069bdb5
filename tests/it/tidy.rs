//! Holds the tree to what `docs/architecture.md` says: arrows between rooms, file sizes, module docs, topic strings,
//! links in docs.

use std::path::{Path, PathBuf};

/// What each room may import of the crate, itself apart.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("backoff", &[]),
    ("causes", &[]),
    ("clock", &["domain"]),
    ("health", &["domain"]),
    ("log", &["domain", "clock"]),
    ("memory", &[]),
    ("shutdown", &[]),
    ("config", &["domain"]),
    ("camera", &["domain", "backoff", "clock", "health", "memory", "shutdown"]),
    ("vision", &["domain"]),
    ("hotlist", &["domain"]),
    ("store", &["domain", "clock", "health", "shutdown"]),
    ("fuzz", &["domain", "clock", "config", "vision", "hotlist", "store", "centre", "command"]),
    ("centre", &["domain", "backoff", "clock", "health", "shutdown", "store::outbox"]),
    (
        "command",
        &[
            "domain",
            "causes",
            "clock",
            "health",
            "shutdown",
            "log",
            "config",
            "hotlist",
            "store",
            "centre::cose",
            "centre::keyring",
            "centre::keys",
            "centre::note",
            "centre::topics",
            "centre::wire",
        ],
    ),
    // It gets what it needs through doors that the wiring gives it.
    (
        "console",
        &[
            "domain",
            "clock",
            "health",
            "shutdown",
            "config",
            "centre::ask",
            "centre::wire",
            "command::ops",
            "command::Refusal",
        ],
    ),
    (
        "supervise",
        &[
            "domain", "causes", "clock", "health", "shutdown", "log", "memory", "config", "camera", "vision",
            "hotlist", "store", "centre", "command", "console",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "causes",
            "clock",
            "health",
            "shutdown",
            "log",
            "memory",
            "config",
            "camera",
            "vision",
            "hotlist",
            "store",
            "centre",
            "command",
            "console",
            "supervise",
        ],
    ),
];

/// Lines a source file may have; the aim is 400 of code.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The first folder or file below `src`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments, up to the tests at its end.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    before_tests.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_import_only_what_their_arrows_allow() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let room = room(&path);
        if ["lib", "main", "bin"].contains(&room.as_str()) || path.ends_with("tests.rs") {
            continue;
        }
        let (_, allowed) = ARROWS.iter().find(|(r, _)| *r == room).unwrap_or_else(|| panic!("no arrows for {room}"));
        let text = code(&std::fs::read_to_string(&path).unwrap());
        for (at, _) in text.match_indices("crate::") {
            let rest: String =
                text[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == ':').collect();
            let fits = |a: &&str| rest == **a || rest.starts_with(&format!("{a}::"));
            if !rest.starts_with(&room) && !allowed.iter().any(fits) {
                wrong.push(format!("{}: crate::{rest}", name(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_have_module_docs_and_stay_small() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        let folder = root().join(folder);
        for path in if folder.exists() { files(&folder, "rs") } else { Vec::new() } {
            let text = std::fs::read_to_string(&path).unwrap();
            if !text.starts_with("//!") {
                wrong.push(format!("{} does not open with //!", name(&path)));
            }
            if text.lines().count() > MAX_LINES {
                wrong.push(format!("{} has {} lines, more than {MAX_LINES}", name(&path), text.lines().count()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_chain_of_causes_is_shown_by_the_one_function_that_tells_each_once() {
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs").into_iter().filter(|p| !p.ends_with("tests.rs")) {
        let text = code(&std::fs::read_to_string(&path).unwrap());
        wrong.extend(text.lines().filter(|line| line.contains(":#}")).map(|line| format!("{}: {line}", name(&path))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn topics_are_written_in_one_place() {
    let mut wrong = Vec::new();
    let one = |p: &PathBuf| p.ends_with("centre/topics.rs") || p.ends_with("centre/topics/tests.rs");
    for path in files(&root().join("src"), "rs").into_iter().filter(|p| !one(p)) {
        let text = code(&std::fs::read_to_string(&path).unwrap());
        for literal in ["\"alert/", "/alert/", "\"cmd/", "\"reply/", "\"blob/", "/ack\"", "/health\"", "watchpost/v1/"]
        {
            if text.contains(literal) {
                wrong.push(format!("{}: {literal}", name(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pictures_leave_a_box_as_attachments_of_answers_alone() {
    // The one that makes the topic, those that read it, and where answers are sent.
    let known =
        ["src/centre/topics.rs", "src/centre/wire/message.rs", "src/centre/ask/talk.rs", "src/supervise/commands.rs"];
    let mut found = Vec::new();
    for path in files(&root().join("src"), "rs").into_iter().filter(|p| !p.ends_with("tests.rs")) {
        if code(&std::fs::read_to_string(&path).unwrap()).contains("Kind::Evidence") {
            found.push(name(&path));
        }
    }
    found.retain(|path| !known.contains(&path.as_str()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn links_in_docs_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files(&root(), "md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {target}", name(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
