//! Holds `docs/alarms.md` against the code, both ways: what `watchpostctl boxes`, a camera's status, the faults of delivery and
//! `watchpost check` can say has a row in its table, and every row is something that they say.

use std::collections::BTreeSet;
use std::path::Path;

use crate::messages::{Site, said_at, site};

/// Heading of each table, and where its messages stand in the code.
const TABLES: &[(&str, &[Site])] = &[
    (
        "Boxes",
        &[
            site(&["Some", "("], 0, "cli/ctl/boxes/roster.rs"),
            site(&["troubles", ".", "push", "("], 0, "cli/ctl/boxes/roster.rs"),
            site(&["map", "(", "|", "fault", "|"], 0, "cli/ctl/boxes/roster.rs"),
            site(&["out", ".", "push", "("], 0, "centre/wire/keeping.rs"),
        ],
    ),
    (
        "Cameras",
        &[
            site(&["set_worry", "("], 1, ""),
            site(&["map", "(", "|", "why", "|"], 0, "supervise/analysis.rs"),
            site(&["let", "why", "="], 0, "camera/guard.rs"),
            site(&["let", "why", "="], 0, "camera/gst/intake.rs"),
            site(&["let", "why", "="], 0, "vision/view/"),
            site(&["=", ">"], 0, "vision/view/mod.rs"),
            site(&["CUT_WORDS", ":", "&", "str", "="], 0, "vision/view/mod.rs"),
            site(&["JUMP_WORDS", ":", "&", "str", "="], 0, "vision/view/mod.rs"),
            site(&["let", "text", "="], 0, "supervise/verdict.rs"),
            site(&["let", "text", "="], 0, "supervise/analysis.rs"),
            site(&["Self", ":", ":", "Offline", ","], 0, "centre/wire/camera.rs"),
        ],
    ),
    (
        "Delivery",
        &[site(&["=", ">"], 0, "centre/fault.rs"), site(&["let", "text", "="], 0, "supervise/certificates.rs")],
    ),
    (
        "Before it runs",
        &[
            site(&["Finding", ":", ":", "warning", "("], 1, ""),
            site(&["Finding", ":", ":", "failure", "("], 1, ""),
            site(&["let", "what", "="], 0, "cli/check/"),
            site(&["Err", "("], 0, "cli/check/"),
            site(&["ok_or", "("], 0, "cli/check/"),
            site(&["Some", "("], 0, "cli/check/disk.rs"),
        ],
    ),
];

/// Heading and message of every row.
fn told() -> BTreeSet<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alarms.md");
    let (mut heading, mut rows) = (String::new(), BTreeSet::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if let Some(next) = line.strip_prefix("## ") {
            next.clone_into(&mut heading);
        } else if let Some((message, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once("` |")) {
            assert!(rest.split(" | ").all(|cell| cell.trim_matches(['|', ' ']).len() > 3), "an empty cell: {line}");
            assert!(rows.insert((heading.clone(), message.replace("\\|", "|"))), "twice: {line}");
        }
    }
    rows
}

#[test]
fn every_alarm_has_a_row_that_says_what_to_do_and_every_row_is_an_alarm() {
    let of = |(heading, sites): &(&str, &[Site])| {
        let said = said_at(sites, &[]);
        // `probe` and `doctor` have findings too; theirs are no alarms.
        let said = said.into_iter().filter(|(room, _)| *heading != "Before it runs" || room == "check");
        said.map(|(_, message)| ((*heading).to_owned(), message)).collect::<Vec<_>>()
    };
    let said: BTreeSet<(String, String)> = TABLES.iter().flat_map(of).collect();
    let told = told();
    let list = |rows: Vec<&(String, String)>| {
        rows.iter().map(|(h, m)| format!("{h}: | `{}` |  |  |", m.replace('|', "\\|"))).collect::<Vec<_>>().join("\n")
    };
    let (missing, stale) = (list(said.difference(&told).collect()), list(told.difference(&said).collect()));
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/alarms.md\nlacks these rows (heading: row):\n{missing}\nhas these, which no code says:\n{stale}"
    );
    assert!(said.len() > 60, "the code was not read: {said:?}");
}
