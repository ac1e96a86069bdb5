//! Pages of the documentation as a test reads them: their blocks, and what the comments before those say.
//!
//! ` ```sh ` and ` ```console ` are run, in their order, in one shell a page. A comment on the line before a block says more:
//! `<!-- test: … -->` with
//!
//! * `until="words"`: the block goes on running beside the others; they wait until it has said these words;
//! * `exit=1`: some command of the block ends with this code, none with another that is not 0;
//! * `may-exit=1`: the same, where it need not;
//! * `stdin=words`: what the block's commands are given to read;
//! * `file=PATH`, `append=PATH`: the block is no command (a piece of configuration, say) and is what that file has.
//!
//! ` ```sh no-test ` is not run, and `<!-- no-test: why -->` says why. What a page needs to be there before its first block says
//! `<!-- test: needs=… links=… -->` anywhere above it.

use std::collections::BTreeMap;

/// Languages whose blocks are commands.
const COMMANDS: [&str; 4] = ["sh", "console", "bash", "shell"];

/// How a block's commands end that do not end with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All do.
    Well,
    /// Some command ends with this code.
    With(u8),
    /// Commands may end with this code.
    Perhaps(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Run to its end; how that is; what it reads.
    Run { exit: Exit, stdin: String },
    /// Goes on beside the others, which wait for these words.
    Beside { until: String },
    /// Written to a file, or behind what is in it.
    File { path: String, append: bool },
    /// Not run, and why.
    Skipped { why: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of the page that its fence stands in.
    pub line: usize,
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// As `docs/mqtt.md`.
    pub name: String,
    /// What has to be there: `centre`, `broker`, `camera`, `daemon`.
    pub needs: Vec<String>,
    /// Names in the page's folder, and the files of the repository that they are.
    pub links: Vec<(String, String)>,
    pub blocks: Vec<Block>,
}

impl Page {
    /// The page of this text.
    ///
    /// # Errors
    /// What of it a test can't make sense of: a block that is neither run nor says why not, an option that nobody knows.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut page = Self { name: name.to_owned(), needs: Vec::new(), links: Vec::new(), blocks: Vec::new() };
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let mut before = "";
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                page.front(line).map_err(|why| format!("{name}:{number}: {why}"))?;
                before = line;
                continue;
            };
            let body: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| *l != "```").collect();
            let kind = kind(info, before).map_err(|why| format!("{name}:{number}: {why}"))?;
            before = "";
            if let Some(kind) = kind {
                page.blocks.push(Block { line: number, text: commands(info, &body), kind });
            }
        }
        Ok(page)
    }

    /// How many blocks are run, beside others too; and how many are not.
    pub fn counts(&self) -> (usize, usize) {
        let skipped = self.blocks.iter().filter(|b| matches!(b.kind, Kind::Skipped { .. })).count();
        let files = self.blocks.iter().filter(|b| matches!(b.kind, Kind::File { .. })).count();
        (self.blocks.len() - skipped - files, skipped)
    }

    fn front(&mut self, line: &str) -> Result<(), String> {
        let Some(mut options) = options(line, "test")? else { return Ok(()) };
        let list = |text: Option<String>| -> Vec<String> {
            text.map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect())
        };
        self.needs.extend(list(options.remove("needs")));
        for link in list(options.remove("links")) {
            let (name, file) = link.split_once('=').ok_or("links: NAME=FILE,…")?;
            self.links.push((name.to_owned(), file.to_owned()));
        }
        Ok(())
    }
}

/// What becomes of a block with this behind its fence, and this line before it. `None`: it is no command.
fn kind(info: &str, before: &str) -> Result<Option<Kind>, String> {
    let mut options = options(before, "test")?.unwrap_or_default();
    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
    let mut file = |key: &str, append: bool| options.remove(key).map(|path| Kind::File { path, append });
    if let Some(kind) = file("file", false).or_else(|| file("append", true)) {
        return Ok(Some(kind));
    }
    if !COMMANDS.contains(&language) {
        return Ok(None);
    }
    let kind = match rest {
        "no-test" => {
            let why = before.strip_prefix("<!-- no-test: ").and_then(|rest| rest.strip_suffix(" -->"));
            Kind::Skipped {
                why: why.ok_or("a block is not run: `<!-- no-test: why -->` on the line before it")?.to_owned(),
            }
        }
        "" => match options.remove("until") {
            Some(until) => Kind::Beside { until },
            None => Kind::Run { exit: exit(&mut options)?, stdin: options.remove("stdin").unwrap_or_default() },
        },
        other => return Err(format!("`{other}` behind the language: nothing, or no-test")),
    };
    options.retain(|key, _| key != "needs" && key != "links");
    if options.is_empty() { Ok(Some(kind)) } else { Err(format!("what is {:?}?", options.keys())) }
}

fn exit(options: &mut BTreeMap<String, String>) -> Result<Exit, String> {
    let mut code = |key: &str| options.remove(key).map(|code| code.parse().map_err(|_| format!("{key}: a number")));
    match (code("exit"), code("may-exit")) {
        (None, None) => Ok(Exit::Well),
        (Some(code), None) => Ok(Exit::With(code?)),
        (None, Some(code)) => Ok(Exit::Perhaps(code?)),
        (Some(_), Some(_)) => Err("exit or may-exit".to_owned()),
    }
}

/// The `key=value` pairs of a comment of this name, where the line is one; values with blanks stand in `"`.
fn options(line: &str, name: &str) -> Result<Option<BTreeMap<String, String>>, String> {
    let Some(rest) = line.trim().strip_prefix(&format!("<!-- {name}: ")) else { return Ok(None) };
    let mut rest = rest.strip_suffix(" -->").ok_or("the comment does not end on its line")?;
    let mut found = BTreeMap::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| format!("{rest:?} is no key=value"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote does not end")?,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        found.insert(key.trim().to_owned(), value.to_owned());
        rest = after.trim_start();
    }
    Ok(Some(found))
}

/// The commands of a block; of a console those behind `$ `, the rest is what they answered.
fn commands(info: &str, body: &[&str]) -> String {
    let lines = body.iter().copied();
    let lines: Vec<&str> = match info {
        "console" => lines.filter_map(|line| line.strip_prefix("$ ")).collect(),
        _ => lines.collect(),
    };
    lines.join("\n") + "\n"
}
