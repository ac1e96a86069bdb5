//! What `reads.query` gives, to whom, how much of it, and what the audit log says of it.

use super::super::testing::{Told, detail, other_case};
use super::super::{Asked, DAYS};
use super::*;
use crate::command::testkit::Site;
use crate::domain::{CameraId, Class, EventId, How, Op, Reason, TimeMs};

fn asked(plate: &str, how: How) -> Args {
    let asked = Asked { plate: Some(plate.to_owned()), how: Some(how), ..Asked::default() };
    Args { asked, ..Args::default() }
}

fn ids(answer: &Answer) -> Vec<EventId> {
    answer.rows.iter().map(|row| row.id).collect()
}

#[test]
fn reads_are_found_by_plate_camera_class_and_time() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    for (ago, plate) in [(5, "AB123CD"), (4, "A8123CD"), (3, "AB123CDE"), (2, "XY99")] {
        told.read(ago, plate);
    }
    let find = |args: Args| ids(&told.answer::<Answer>(Op::ReadsQuery, "investigator", None, &args));
    let of = |since: &[u64]| since.iter().map(|ago| told.id(*ago)).collect::<Vec<_>>();
    assert_eq!(find(Args::default()), of(&[2, 3, 4, 5]));
    assert_eq!(find(asked("AB123CD", How::Exact)), of(&[5]));
    assert_eq!(find(asked("AB123CD", How::Confusable)), of(&[4, 5]));
    assert_eq!(find(asked("AB123CD", How::Near)), of(&[3, 4, 5]));
    assert_eq!(find(asked("A?123*", How::Exact)), of(&[3, 4, 5]));
    let by = |asked: Asked| find(Args { asked, ..Args::default() });
    assert_eq!(by(Asked { cameras: Some(vec![CameraId::new("yard").unwrap()]), ..Asked::default() }), of(&[3, 5]));
    assert_eq!(by(Asked { classes: Some(vec![Class::Car]), ..Asked::default() }), of(&[2, 4]));
    let span = Asked { from: Some(told.at(4)), to: Some(told.at(3)), ..Asked::default() };
    assert_eq!(by(span), of(&[3, 4]));
}

#[test]
fn a_row_says_what_is_known_and_where_its_camera_stands() {
    let site = Site::with_config("[hotlist]\n");
    let told = Told::new(&site, 100);
    told.read(2, "AB123CD");
    let answer: Answer = told.answer(Op::ReadsQuery, "investigator", None, &Args::default());
    let row = &answer.rows[0];
    assert_eq!((row.begin, row.camera.as_str(), row.permille), (told.at(2), "gate", Some(910)));
    let others = row.candidates.as_ref().unwrap();
    assert_eq!(others.len(), 3);
    assert!(others.iter().all(|other| Some(&other.text) != row.plate.as_ref()));
    assert_eq!(answer.page.cameras.len(), 1);
    assert_eq!((answer.page.counted, answer.page.cursor), (1, None));
    assert_eq!(answer.page.to, TimeMs(told.at(0).0));
    assert_eq!(answer.page.from.day() + DAYS, told.at(0).day());
}

#[test]
fn pages_go_on_behind_a_cursor_of_the_same_question_and_caller_only() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    (1..=7).for_each(|ago| told.read(ago, "AB123CD"));
    let first = Args { limit: Some(3), ..asked("AB1*", How::Exact) };
    let one: Answer = told.answer(Op::ReadsQuery, "investigator", None, &first);
    let cursor = one.page.cursor.clone().unwrap();
    // A read that comes between two pages is not told, and puts none out of its place.
    told.read(0, "AB123CD");
    let next = Args { cursor: Some(cursor.clone()), ..first.clone() };
    let two: Answer = told.answer(Op::ReadsQuery, "investigator", None, &next);
    assert_eq!(ids(&two), (4..=6).map(|ago| told.id(ago)).collect::<Vec<_>>());
    let last = Args { cursor: two.page.cursor.clone(), limit: None, ..first.clone() };
    let three: Answer = told.answer(Op::ReadsQuery, "investigator", None, &last);
    assert_eq!((ids(&three), three.page.cursor), (vec![told.id(7)], None));

    let mut forged = cursor.clone();
    forged[3] ^= 1;
    let others = [
        (Args { cursor: Some(cursor.clone()), ..asked("AB2*", How::Exact) }, site.caller_named("investigator", None)),
        (next.clone(), site.caller_named("supervisor", None)),
        (next.clone(), other_case(&site)),
        (Args { cursor: Some(forged), ..next.clone() }, site.caller_named("investigator", None)),
        (Args { cursor: Some(cursor[..20].to_vec()), ..next }, site.caller_named("investigator", None)),
    ];
    for (args, caller) in others {
        let refused = site.run_as(Op::ReadsQuery, caller, &args).unwrap_err();
        assert_eq!(refused.reason, Reason::Arguments);
        assert!(refused.text.contains("cursor"), "{refused}");
    }
}

#[test]
fn more_than_500_rows_of_one_case_take_a_supervisor() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.reads(700);
    let (mut cursor, mut rows, mut pages) = (None, 0, 0);
    loop {
        let args = Args { cursor: cursor.clone(), ..Args::default() };
        let done = told.ask(Op::ReadsQuery, "investigator", None, &args);
        let Ok(done) = done else {
            let refused = done.unwrap_err();
            assert_eq!(refused.reason, Reason::Supervisor);
            assert!(refused.text.contains("500"), "{refused}");
            break;
        };
        assert!(done.result.len() <= 48 << 10, "{}", done.result.len());
        let answer: Answer = ops::decode(&done.result).unwrap();
        rows += answer.rows.len();
        pages += 1;
        assert_eq!(answer.page.counted, rows as u64);
        cursor = answer.page.cursor;
    }
    assert_eq!((rows, pages > 1), (500, true));
    // The same for a question anew, and not for another case.
    assert_eq!(
        told.ask(Op::ReadsQuery, "investigator", None, &Args::default()).unwrap_err().reason,
        Reason::Supervisor
    );
    for spelling in ["k-1", "K 1", "k1 ", "K\u{2011}1"] {
        let caller =
            crate::command::Caller { case: Some(spelling.to_owned()), ..site.caller_named("investigator", None) };
        let same = site.run_as(Op::ReadsQuery, caller, &Args::default()).unwrap_err();
        assert_eq!(same.reason, Reason::Supervisor, "{spelling} is the same case");
    }
    let other = site.run_as(Op::ReadsQuery, other_case(&site), &Args { limit: Some(1), ..Args::default() });
    assert!(other.is_ok());
    // A supervisor of another organisation is none: the gate says so; of the own one goes on where it stopped.
    let args = Args { cursor, ..Args::default() };
    let on: Answer = told.answer(Op::ReadsQuery, "investigator", Some("supervisor"), &args);
    assert!(on.page.counted > 500 && !on.rows.is_empty());
    let second = told.audited("queried");
    assert_eq!(detail(second.last().unwrap(), "second"), "supervisor");
}

#[test]
fn more_than_30_days_back_take_a_supervisor() {
    let site = Site::new();
    let told = Told::new(&site, 60 * 24);
    told.read(40 * 24, "AB123CD");
    told.read(30 * 24, "AB123CD");
    let far = Args { asked: Asked { from: Some(told.at(50 * 24)), ..Asked::default() }, ..Args::default() };
    let refused = told.ask(Op::ReadsQuery, "investigator", None, &far).unwrap_err();
    assert_eq!(refused.reason, Reason::Supervisor);
    assert!(refused.text.contains("30 days"), "{refused}");
    let both: Answer = told.answer(Op::ReadsQuery, "investigator", Some("supervisor"), &far);
    assert_eq!(both.rows.len(), 2);
    let near: Answer = told.answer(Op::ReadsQuery, "investigator", None, &Args::default());
    assert_eq!(ids(&near), [told.id(30 * 24)]);
}

#[test]
fn each_page_is_audited_with_who_what_for_and_how_much_and_without_the_plate() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    told.read(2, "AB123CD");
    for args in [asked("AB123CD", How::Exact), asked("AB123CD", How::Exact), asked("AB123C?", How::Exact)] {
        told.answer::<Answer>(Op::ReadsQuery, "investigator", None, &args);
    }
    let records = told.audited("queried");
    assert_eq!(records.len(), 3);
    let of = |name: &str| detail(&records[0], name).to_owned();
    assert_eq!((of("person"), of("org"), of("case")), ("investigator".into(), "north".into(), "K-1".into()));
    assert_eq!((of("purpose"), of("op"), of("rows")), ("crime-investigation".into(), "reads.query".into(), "1".into()));
    assert_eq!(detail(&records[1], "question"), of("question"), "the same question");
    assert_ne!(detail(&records[2], "question"), of("question"));
    let raw = std::fs::read(site.store.dir().join("audit.log")).unwrap();
    assert!(!raw.windows(6).any(|w| w == b"AB123C"));
    // Not even by trying: without the store's key the digest can't be made.
    let question = ops::encode(&asked("AB123CD", How::Exact));
    let plain = ring::digest::digest(&ring::digest::SHA256, &question);
    assert_ne!(data_encoding::HEXLOWER.encode(&plain.as_ref()[..16]), of("question"));
}

#[test]
fn wrong_questions_are_refused_with_what_is_wrong() {
    let site = Site::new();
    let told = Told::new(&site, 100);
    let text = |args: Args| {
        let refused = told.ask(Op::ReadsQuery, "investigator", None, &args).unwrap_err();
        assert_eq!(refused.reason, Reason::Arguments);
        refused.text
    };
    let of = |asked: Asked| Args { asked, ..Args::default() };
    assert!(text(asked("AB%", How::Exact)).contains("'%'"));
    assert!(text(asked("AB*", How::Near)).contains("near"));
    assert!(text(of(Asked { how: Some(How::Near), ..Asked::default() })).contains("no plate"));
    assert!(text(of(Asked { cameras: Some(Vec::new()), ..Asked::default() })).contains("0 cameras"));
    let backwards = Asked { from: Some(told.at(1)), to: Some(told.at(2)), ..Asked::default() };
    assert!(text(of(backwards)).contains("ends"));
    assert!(text(Args { limit: Some(501), ..Args::default() }).contains("501"));
    assert_eq!(told.audited("queried").len(), 0);
}
