//! Every command of `docs/*.md` and README.md is run: in the order of its page, in a folder of its own, with the real
//! programs, a real mosquitto and the repository's own clips as cameras. [`crate::kit::pages`] says how a page tells what it needs.
//!
//! A page has its own network, processes and `/etc` (Linux namespaces): so it can have a camera at 192.0.2.7, a broker at port 8883, a
//! configuration in `/etc/watchpost`, and nothing is left of it. Where the machine does not allow that the test says so and proves nothing.
//! `WATCHPOST_PAGES="mqtt install"` runs these pages alone.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use watchpost::camera::testkit::{RtspServer, Serving};

use crate::kit::one_box::fixture;
use crate::kit::pages::{Block, Exit, Kind, Page};

/// What a page may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// Pages at a time: most of what they do is waiting.
const AT_A_TIME: usize = 2;

/// All pages that are held to this test.
fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| path.strip_prefix(root).unwrap().display().to_string())
        .collect();
    names.push("README.md".to_owned());
    names.sort();
    let read = |name: &String| Page::read(name, &std::fs::read_to_string(root.join(name)).unwrap());
    let (pages, faults): (Vec<_>, Vec<_>) = names.iter().map(read).partition(Result::is_ok);
    let faults: Vec<String> = faults.into_iter().filter_map(Result::err).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    pages.into_iter().map(Result::unwrap).collect()
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let pages = pages();
    let (run, skipped) = pages.iter().map(Page::counts).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    eprintln!("blocks of commands: {run} are run, {skipped} are not:");
    for page in &pages {
        for block in &page.blocks {
            if let Kind::Skipped { why } = &block.kind {
                eprintln!("  {}:{}: {why}", page.name, block.line);
            }
        }
    }
    assert!(run >= 15, "the pages were not read");
}

#[test]
fn every_command_of_the_pages_does_what_it_says() {
    if let Err(why) = can_run() {
        eprintln!("SKIPPED, nothing was run: a page needs a network of its own, and this machine gives none ({why})");
        return;
    }
    let only = std::env::var("WATCHPOST_PAGES").unwrap_or_default();
    let wanted =
        |page: &Page| only.is_empty() || only.split(' ').any(|name| page.name.ends_with(&format!("{name}.md")));
    let queue: VecDeque<Page> = pages().into_iter().filter(|p| p.counts().0 > 0 && wanted(p)).collect();
    let (queue, failed) = (Mutex::new(queue), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(page) = next(&queue) {
                    let begun = Instant::now();
                    match run(&page) {
                        Ok(()) => eprintln!("{}: {} blocks, {:.0?}", page.name, page.counts().0, begun.elapsed()),
                        Err(why) => failed.lock().unwrap_or_else(PoisonError::into_inner).push(why),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn next(queue: &Mutex<VecDeque<Page>>) -> Option<Page> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// A shell with a network, processes and mounts of its own, all of which end with it.
fn alone() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "bash"]);
    command.stdin(Stdio::null());
    command
}

fn can_run() -> Result<(), String> {
    let tried = alone().args(["-c", "ip link set lo up"]).output().map_err(|e| e.to_string())?;
    if tried.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()) }
}

/// Runs a page to its end.
fn run(page: &Page) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let (work, meta) = (dir.path().join("page"), dir.path().join("meta"));
    std::fs::create_dir_all(&work).unwrap();
    std::fs::create_dir_all(&meta).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, file) in &page.links {
        let (from, to) = (root.join(file), work.join(name));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-r").args([&from, &to]).status().unwrap();
        assert!(copied.success(), "{}: {}", page.name, from.display());
    }
    std::fs::write(meta.join("driver.sh"), driver(page, &meta)).unwrap();
    let log = File::create(meta.join("log")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_watchpost")).parent().unwrap();
    let path = format!("{}:{}:/usr/sbin:/sbin", programs.display(), std::env::var("PATH").unwrap());
    let mut child = alone()
        .arg(meta.join("driver.sh"))
        .current_dir(&work)
        .env("PATH", path)
        .env("HOME", dir.path())
        .env("REPOSITORY", root)
        .env("META", &meta)
        .env("CAMERA", std::env::current_exe().unwrap())
        .env("PYTHONPATH", root.join("target/python"))
        .env_remove("RUST_LOG")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if status.is_some_and(|s| s.success()) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&std::fs::read(meta.join("log")).unwrap()).into_owned();
    let mut text =
        format!("{}: {}\n{said}", page.name, status.map_or_else(|| "not in time".to_owned(), |s| s.to_string()));
    for entry in std::fs::read_dir(&meta).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|e| e == "said") {
            let said = std::fs::read_to_string(&entry).unwrap_or_default();
            let newest: Vec<&str> = said.lines().rev().take(15).collect();
            write!(text, "--- {}\n{}\n", entry.display(), newest.into_iter().rev().collect::<Vec<_>>().join("\n"))
                .unwrap();
        }
    }
    Err(text)
}

/// The script that runs a page's blocks.
fn driver(page: &Page, meta: &Path) -> String {
    let prelude = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/page.sh");
    let mut script = std::fs::read_to_string(prelude).unwrap();
    for need in &page.needs {
        writeln!(script, "begin '{} needs {need}'\nneed_{need}", page.name).unwrap();
    }
    for block in &page.blocks {
        let file = meta.join(format!("block-{}.sh", block.line));
        std::fs::write(&file, &block.text).unwrap();
        step(&mut script, page, block, &file);
    }
    script + "begin end\nexit 0\n"
}

fn step(script: &mut String, page: &Page, block: &Block, file: &Path) {
    let file = file.display();
    writeln!(script, "begin '{}:{}'", page.name, block.line).unwrap();
    match &block.kind {
        Kind::Skipped { .. } => {}
        Kind::File { path, append } => {
            let to = if *append { ">>" } else { ">" };
            writeln!(script, "mkdir -p \"$(dirname '{path}')\"\ncat '{file}' {to} '{path}'").unwrap();
        }
        Kind::Beside { until } => writeln!(script, "beside '{file}' '{until}'").unwrap(),
        Kind::Run { exit: Exit::Well, stdin } => writeln!(script, "source '{file}' <<< '{stdin}'").unwrap(),
        Kind::Run { exit: Exit::With(code) | Exit::Perhaps(code), stdin } => {
            writeln!(script, "expected={code} seen=\nset +e\nsource '{file}' <<< '{stdin}'\nset -e\nexpected=")
                .unwrap();
            if matches!(block.kind, Kind::Run { exit: Exit::With(_), .. }) {
                writeln!(script, "[ -n \"$seen\" ] || fail 'no command ended with {code}'").unwrap();
            }
        }
    }
}

/// The test server as a process of a page's own: the page's network is not this process's.
#[test]
fn camera() {
    if std::env::var_os("META").is_none() {
        return;
    }
    let serving = Serving {
        address: Some("192.0.2.7".to_owned()),
        port: 554,
        mount: "/stream1".to_owned(),
        looped: true,
        credential: Some(("admin".to_owned(), "password".to_owned())),
        ..Serving::default()
    };
    let _server = RtspServer::start(&fixture("street-b.mp4"), &serving).unwrap();
    eprintln!("camera ready");
    loop {
        std::thread::park();
    }
}
