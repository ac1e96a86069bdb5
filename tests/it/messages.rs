//! Holds `docs/troubleshooting.md` against the code, both ways: every message that a user can meet has a row in its
//! room's table, and every row has a message.
//!
//! Messages are read from the source: thiserror attributes, WARN and ERROR lines of the log, findings of `check`, reasons
//! of cameras and of delivery, faults of configuration, addresses, manifests and lists, what `bail!`, `ensure!` and
//! `anyhow!` say, and what `context` says of another's error.
//! A value in a message is `…`. What is only passed on (another error's text) is that error's row.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Heading of each room's table.
const HEADINGS: &[(&str, &str)] = &[
    ("check", "watchpost check"),
    ("config", "Configuration"),
    ("domain", "Names and values"),
    ("camera", "Cameras and files"),
    ("vision", "Models and reading"),
    ("hotlist", "Hotlists"),
    ("store", "Store"),
    ("centre", "Centre and delivery"),
    ("command", "Commands from the centre"),
    ("supervise", "The daemon"),
    ("console", "The console"),
    ("cli", "Other commands"),
];

/// Where a message stands: what comes before it, in which argument, and in which part of the tree.
pub struct Site {
    before: &'static [&'static str],
    argument: usize,
    within: &'static str,
}

pub const fn site(before: &'static [&'static str], argument: usize, within: &'static str) -> Site {
    Site { before, argument, within }
}

const SITES: &[Site] = &[
    site(&["#", "[", "error", "("], 0, ""),
    site(&["Finding", ":", ":", "warning", "("], 1, ""),
    site(&["Finding", ":", ":", "failure", "("], 1, ""),
    site(&["bail", "!", "("], 0, ""),
    site(&["anyhow", "!", "("], 0, ""),
    site(&["ensure", "!", "("], 1, ""),
    site(&["CameraState", ":", ":", "Offline", "("], 0, ""),
    site(&["CameraState", ":", ":", "Degraded", "("], 0, ""),
    site(&["Err", "("], 0, "cli/check/"),
    site(&["ok_or", "("], 0, "cli/check/"),
    site(&["Self", ":", ":", "Offline", ","], 0, "centre/wire/camera.rs"),
    site(&["Self", ":", ":", "Disabled", ","], 0, "centre/wire/camera.rs"),
    site(&["Some", "("], 0, "camera/gst/explain.rs"),
    site(&["set_worry", "("], 1, ""),
    site(&["set_fault", "("], 0, ""),
    site(&["troubles", ".", "push", "("], 0, "cli/"),
    site(&["Some", "("], 0, "cli/ctl/boxes/roster.rs"),
    site(&["let", "text", "="], 0, "cli/ctl/boxes/"),
    site(&["=", ">"], 0, "camera/probe/reach.rs"),
    site(&["Some", "("], 0, "cli/probe/mod.rs"),
    site(&["let", "what", "="], 0, "cli/probe/"),
    site(&["let", "why", "="], 0, "camera/"),
    site(&["let", "text", "="], 0, "supervise/"),
    site(&["let", "what", "="], 0, "config/"),
    site(&[".", "fault", "("], 1, "config/"),
    site(&["what", ":"], 0, "config/"),
    site(&["Err", "("], 0, "config/"),
    site(&["ok_or_else", "(", "|", "|"], 0, "config/"),
    site(&["Err", "("], 0, "domain/"),
    site(&["ok_or_else", "(", "|", "|"], 0, "domain/"),
    site(&["Err", "("], 0, "hotlist/"),
    site(&["ok_or", "("], 0, "hotlist/"),
    site(&["check", "("], 1, "vision/model/"),
    site(&["=", ">"], 0, "centre/fault.rs"),
    site(&[".", "context", "("], 0, ""),
    site(&[".", "with_context", "("], 0, ""),
    site(&["why", ":"], 0, ""),
    site(&["reason", ":"], 0, ""),
    site(&["hint", ":"], 0, ""),
    site(&["map_err", "("], 0, "config/"),
    site(&["map_err", "("], 0, "camera/"),
    site(&["map_err", "("], 0, "hotlist/"),
    site(&["map_err", "("], 0, "centre/boxes.rs"),
    site(&["Err", "("], 0, "camera/"),
    site(&["ok_or", "("], 0, "camera/"),
    site(&["ok_or_else", "("], 0, "camera/"),
    site(&["ok_or", "("], 0, "domain/source.rs"),
    site(&["bad", "("], 0, "domain/source.rs"),
    site(&["let", "wrong", "="], 0, "domain/wish.rs"),
    site(&["ok_or_else", "("], 0, "cli/"),
    site(&["Err", "("], 0, "supervise"),
    site(&["-", ">", "String", "{"], 0, "cli/ctl/mod.rs"),
    site(&["Some", "("], 0, "cli/check/disk.rs"),
];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word or one character of punctuation.
    Code(String),
    Text(String),
}

impl Token {
    fn is(&self, code: &str) -> bool {
        matches!(self, Self::Code(c) if c == code)
    }
}

/// The tokens of Rust code without comments; strings are unescaped as far as messages need it.
fn tokens(code: &str) -> Vec<Token> {
    let chars: Vec<char> = code.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut found, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            while i < chars.len() && !(chars[i] == '*' && at(i + 1) == '/') {
                i += 1;
            }
            i += 2;
        } else if c == '"' {
            let (text, end) = string(&chars, i + 1);
            found.push(Token::Text(text));
            i = end;
        } else if c == 'r' && (at(i + 1) == '"' || (at(i + 1) == '#' && (at(i + 2) == '"' || at(i + 2) == '#'))) {
            let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
            let begin = i + 2 + hashes;
            let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let rest: String = chars[begin..].iter().collect();
            let text = rest.split(&close).next().unwrap().to_owned();
            i = begin + text.chars().count() + close.len();
            found.push(Token::Text(text));
        } else if c == '\'' {
            // A character or a lifetime.
            i += match (at(i + 1), at(i + 2)) {
                ('\\', 'u') => chars[i..].iter().position(|c| *c == '}').unwrap() + 2,
                ('\\', _) => 4,
                (_, '\'') => 3,
                _ => 1,
            };
        } else if c.is_alphanumeric() || c == '_' {
            let word: String = chars[i..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            i += word.chars().count();
            found.push(Token::Code(word));
        } else {
            if !c.is_whitespace() {
                found.push(Token::Code(c.to_string()));
            }
            i += 1;
        }
    }
    found
}

/// The string that begins at `i`, and where the code goes on behind it.
fn string(chars: &[char], mut i: usize) -> (String, usize) {
    let mut text = String::new();
    while i < chars.len() && chars[i] != '"' {
        if chars[i] == '\\' {
            i += 1;
            match chars[i] {
                'n' => text.push(' '),
                '\n' => {
                    while chars[i + 1].is_whitespace() {
                        i += 1;
                    }
                }
                other => text.push(other),
            }
        } else {
            text.push(chars[i]);
        }
        i += 1;
    }
    (text, i + 1)
}

/// The arguments from `from` (behind the opening bracket) to its closing one, or of a statement to its end.
fn arguments(tokens: &[Token], from: usize) -> Vec<&[Token]> {
    let (mut depth, mut begin, mut all) = (0, from, Vec::new());
    for (i, token) in tokens.iter().enumerate().skip(from) {
        let Token::Code(code) = token else { continue };
        match code.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            "," if depth == 0 => {
                all.push(&tokens[begin..i]);
                begin = i + 1;
            }
            ";" if depth == 0 => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            all.push(&tokens[begin..i]);
            return all;
        }
    }
    all
}

/// The text that an argument is, or makes: `"…"`, `format!("…")`, `Some("…".into())`. None of what is only passed on.
fn text_of(argument: &[Token]) -> Option<&str> {
    // What a closure `|…| …` makes.
    let closure = argument.first().filter(|t| t.is("|")).and_then(|_| argument.iter().skip(1).position(|t| t.is("|")));
    let made = argument.iter().skip(closure.map_or(0, |end| end + 2)).skip_while(|t| closure.is_some() && t.is("{"));
    for token in made {
        match token {
            Token::Text(text) => return Some(text),
            Token::Code(code)
                if ["Some", "format", "!", "(", "&", "Error", "String", "from", ":"].contains(&code.as_str()) => {}
            Token::Code(_) => return None,
        }
    }
    None
}

/// A message as the table shows it: values are `…`, without backticks.
fn shown(message: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    for c in message.replace("{{", "\u{1}").replace("}}", "\u{2}").chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                out.push('…');
            }
            _ if depth > 0 => {}
            '`' => {}
            '\u{1}' => out.push('{'),
            '\u{2}' => out.push('}'),
            c => out.push(c),
        }
    }
    while out.contains("……") {
        out = out.replace("……", "…");
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "tests" && name != "testkit" {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" && name != "testkit.rs" {
            found.push(path);
        }
    }
    found
}

/// The code without the tests at its end.
fn code_of(text: &str) -> &str {
    let tests = text.match_indices("#[cfg(test)]\n").find(|(at, mark)| {
        let line = text[at + mark.len()..].lines().next().unwrap_or_default();
        line.contains("mod ") && line.ends_with('{')
    });
    let code = tests.map_or(text, |(at, _)| &text[..at]);
    // What to do about a fault of the session stands in its row.
    code.split("pub fn advice(").next().unwrap()
}

/// Room and message of everything that the code can say.
fn said() -> BTreeSet<(String, String)> {
    said_at(SITES, &["warn", "error"])
}

/// Room and message of what is said at these sites, and in the log at these levels.
pub fn said_at(sites: &[Site], levels: &[&str]) -> BTreeSet<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = BTreeSet::new();
    for path in sources(&src) {
        let file = path.strip_prefix(&src).unwrap().display().to_string();
        let tokens = tokens(code_of(&std::fs::read_to_string(&path).unwrap()));
        let room = if file.starts_with("cli/check/") { "check" } else { file.split(['/', '.']).next().unwrap() };
        // A message has words: `{origin}: {why}` alone is another's.
        let mut add = |text: &str| {
            let message = shown(text);
            if message.chars().filter(|c| c.is_alphabetic()).count() > 3 {
                all.insert((room.to_owned(), message));
            }
        };
        let follows = |i: usize, wanted: &[&str]| {
            wanted.iter().enumerate().all(|(n, w)| tokens.get(i + n).is_some_and(|t| t.is(w)))
        };
        for i in 0..tokens.len() {
            for site in sites.iter().filter(|site| file.starts_with(site.within) || site.within.ends_with(&file)) {
                if follows(i, site.before)
                    && let Some(text) =
                        arguments(&tokens, i + site.before.len()).get(site.argument).and_then(|a| text_of(a))
                {
                    add(text);
                }
            }
            for level in levels {
                if follows(i, &["tracing", ":", ":", *level, "!", "("]) {
                    let all = arguments(&tokens, i + 6);
                    all.iter()
                        .filter(|a| matches!(a.first(), Some(Token::Text(_))))
                        .for_each(|a| add(text_of(a).unwrap()));
                }
            }
        }
    }
    all
}

/// Room and message of every row.
fn told() -> BTreeSet<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut room, mut rows) = (None, BTreeSet::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            room = HEADINGS.iter().find(|(_, h)| *h == heading).map(|(room, _)| *room);
        } else if let (Some(room), Some(row)) = (room, line.strip_prefix("| `")) {
            let (message, rest) = row.split_once("` |").unwrap_or_else(|| panic!("no message in {line}"));
            let rest: Vec<&str> = rest.split(" | ").collect();
            let whole = rest.len() == 2 && rest.iter().all(|cell| cell.trim_matches(['|', ' ']).len() > 3);
            assert!(whole, "wanted | `message` | what it means | what to do |: {line}");
            let new = rows.insert((room.to_owned(), message.replace("\\|", "|")));
            assert!(new, "twice: {line}");
        }
    }
    rows
}

#[test]
fn every_message_has_a_row_in_the_troubleshooting_table_and_every_row_a_message() {
    let (said, told) = (said(), told());
    let list = |rows: Vec<&(String, String)>| {
        let row = |(room, message): &&(String, String)| format!("{room}: | `{}` |  |  |", message.replace('|', "\\|"));
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let missing = list(said.difference(&told).collect());
    let stale = list(told.difference(&said).collect());
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/troubleshooting.md\nlacks these rows (room: row):\n{missing}\nhas these, which no code says:\n{stale}"
    );
    let rooms: BTreeSet<&str> = said.iter().map(|(room, _)| room.as_str()).collect();
    assert!(rooms.len() >= HEADINGS.len() && said.len() > 200, "the code was not read: {} in {rooms:?}", said.len());
}

#[test]
fn messages_are_read_from_code_as_people_write_it() {
    let code = r#"
        #[error("one {a} of {b:?}{c} \
                 goes on")] #[error(transparent)] // "no"
        x => Err(format!("in config {}", 'c')), tracing::warn!(a = "field", %error, "said {{once}}"),
        bail!("it's \"quoted\""), tracing::info!("no"), Finding::failure("disk", error.to_string(), "do"),
        a.with_context(|| format!("of {b}")), a.map_err(|_| { "block" }), a.map_err(|e| e.to_string() + "no"),
        Finding::warning("disk", if odd { "no" } else { "no" }, "do"), r"raw text" /* "no" */
    "#;
    let tokens = tokens(code);
    let texts: Vec<&str> =
        tokens.iter().filter_map(|t| if let Token::Text(t) = t { Some(t.as_str()) } else { None }).collect();
    assert!(texts.contains(&"raw text") && texts.contains(&"it's \"quoted\"") && !texts.contains(&"no\""));
    assert_eq!(shown(texts[0]), "one … of … goes on");
    assert_eq!(shown("said {{once}} by `{name:>3}`"), "said {once} by …");
    let from = tokens.iter().position(|t| t.is("failure")).unwrap() + 2;
    assert_eq!(text_of(arguments(&tokens, from)[1]), None, "passed on");
    let closures = tokens.iter().enumerate().filter(|(_, t)| t.is("with_context") || t.is("map_err"));
    let made: Vec<_> = closures.map(|(i, _)| text_of(arguments(&tokens, i + 2)[0])).collect();
    assert_eq!(made, [Some("of {b}"), Some("block"), None]);
}
