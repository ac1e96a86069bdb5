//! Which hits an investigator sees, by what they are found, and what both organisations can read of it later.

use super::super::testing::{Told, detail};
use super::*;
use crate::command::testkit::Site;
use crate::domain::{How, Op, Share};

fn ids(answer: &Answer) -> Vec<crate::domain::EventId> {
    answer.rows.iter().map(|row| row.read.id).collect()
}

#[test]
fn hits_are_seen_by_their_owner_and_by_whom_they_are_shared_with() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.hit(1, "AB123CD", Severity::Serious, None);
    told.hit(2, "AB123CD", Severity::Serious, Some(("north", Share::None)));
    told.hit(3, "AB123CD", Severity::Serious, Some(("south", Share::None)));
    told.hit(4, "AB123CD", Severity::Serious, Some(("south", Share::with(vec!["north".to_owned()]).unwrap())));
    let seen = |name: &str| ids(&told.answer::<Answer>(Op::HitsQuery, name, None, &Args::default()));
    let of = |since: &[u64]| since.iter().map(|ago| told.id(*ago)).collect::<Vec<_>>();
    assert_eq!(seen("investigator"), of(&[1, 2, 4]));
    let across = told.audited("queried");
    assert_eq!(across.len(), 2, "one of the page, one of the view across");
    assert_eq!((detail(&across[1], "owner"), detail(&across[1], "org")), ("south", "north"));
    assert_eq!((detail(&across[0], "rows"), detail(&across[1], "rows")), ("3", "1"));
    assert_eq!(seen("investigator-south"), of(&[1, 3, 4]));
    assert_eq!(told.audited("queried").len(), 3, "nothing across");
    // A hidden hit counts for nothing, and its read is open as any other.
    let reads = crate::command::ops::query::reads::Args::default();
    let all: crate::command::ops::query::reads::Answer = told.answer(Op::ReadsQuery, "investigator", None, &reads);
    assert_eq!(all.rows.len(), 4);
    assert_eq!(all.page.counted, 7);
}

#[test]
fn a_cursor_does_not_tell_of_a_hit_that_is_hidden() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.hit(1, "AB123CD", Severity::Serious, None);
    told.hit(2, "AB123CD", Severity::Serious, Some(("south", Share::None)));
    told.hit(3, "AB123CD", Severity::Serious, None);
    let first = Args { limit: Some(1), ..Args::default() };
    let page: Answer = told.answer(Op::HitsQuery, "investigator", None, &first);
    // It stands behind the hidden one.
    let cursor = page.page.cursor.unwrap();
    assert!(!cursor.windows(6).any(|w| told.id(2).0.starts_with(w)), "{cursor:?}");
    let next = Args { cursor: Some(cursor), ..first };
    assert_eq!(ids(&told.answer(Op::HitsQuery, "investigator", None, &next)), [told.id(3)]);
}

#[test]
fn hits_are_found_by_plate_severity_list_state_and_owner() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.hit(1, "AB123CD", Severity::Info, None);
    told.hit(2, "A8123CD", Severity::Critical, Some(("north", Share::None)));
    told.read(3, "AB123CD");
    let find = |args: Args| ids(&told.answer::<Answer>(Op::HitsQuery, "investigator", None, &args));
    let of = |since: &[u64]| since.iter().map(|ago| told.id(*ago)).collect::<Vec<_>>();
    let plate = |how| Asked { plate: Some("AB123CD".to_owned()), how: Some(how), ..Asked::default() };
    assert_eq!(find(Args { asked: plate(How::Exact), ..Args::default() }), of(&[1]));
    assert_eq!(find(Args { asked: plate(How::Confusable), ..Args::default() }), of(&[1, 2]));
    assert_eq!(find(Args { severities: Some(vec![Severity::Critical]), ..Args::default() }), of(&[2]));
    assert_eq!(find(Args { owners: Some(vec!["north".to_owned()]), ..Args::default() }), of(&[2]));
    let list = |name: &str| Args { lists: Some(vec![ListId::new(name).unwrap()]), ..Args::default() };
    assert_eq!((find(list("wanted")), find(list("other"))), (of(&[1, 2]), vec![]));
    assert_eq!(find(Args { rules: Some(vec![RuleId::new("line").unwrap()]), ..Args::default() }), vec![]);
    assert_eq!(find(Args { states: Some(vec![HitState::New]), ..Args::default() }), of(&[1, 2]));
    assert_eq!(find(Args { verdicts: Some(vec![Verdict::Misread]), ..Args::default() }), vec![]);
}

#[test]
fn a_hit_row_names_the_hit_and_its_match() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.hit(1, "AB123CD", Severity::Minor, Some(("north", Share::All)));
    let answer: Answer = told.answer(Op::HitsQuery, "investigator", None, &Args::default());
    let row = &answer.rows[0];
    assert_eq!((row.cause, row.severity, row.owner.as_deref()), ([0, 2, 7], Severity::Minor, Some("north")));
    assert_eq!(row.matched.as_ref().unwrap().entry, 7);
    assert_eq!((row.read.camera.as_str(), row.state, row.verdict), ("yard", HitState::New, None));
    assert_eq!(row.read.begin, told.at(1));
}
