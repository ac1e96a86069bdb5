//! Lists and matching as a whole.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    Candidate, How, Lattice, ListMatch, MatchPolicy, PlateRead, PlateText, Position, RegionPolicy, Severity, TimeMs,
};

/// 2026-03-01 12:00 UTC.
const NOW: TimeMs = TimeMs(1_772_366_400_000);

fn settings(id: &str, number: u16) -> ListSettings {
    ListSettings::new(ListId::new(id).unwrap(), number, Severity::Minor)
}

fn list_of(csv: &str, settings: &ListSettings) -> Result<List, Error> {
    List::parse(Path::new("list.csv"), csv.as_bytes(), TimeMs(1_772_000_000_000), settings)
}

fn matcher(csv: &str, change: impl FnOnce(&mut ListSettings)) -> Matcher {
    let mut settings = settings("stolen", 1);
    change(&mut settings);
    Matcher::new(vec![Arc::new(list_of(csv, &settings).unwrap())])
}

/// A read of `text` with probability 0.9 a character, the rest going to `others` by position.
fn read(text: &str, others: &[(usize, char, f32)]) -> PlateRead {
    let position = |(at, c): (usize, char)| {
        let mut options = vec![(c, 0.9)];
        options.extend(others.iter().filter(|o| o.0 == at).map(|o| (o.1, o.2)));
        Position { options }
    };
    let text_typed = PlateText::from_raw(text).unwrap();
    PlateRead {
        text: text_typed.clone(),
        confidence: 0.8,
        char_confidences: vec![0.9; text.len()],
        candidates: vec![Candidate { text: text_typed, confidence: 0.8 }],
        lattice: Lattice { positions: text.chars().enumerate().map(position).collect() },
        region: None,
        regions: Vec::new(),
        frames: 3,
    }
}

fn one(matcher: &Matcher, read: &PlateRead) -> Option<ListMatch> {
    let mut found = matcher.matches(read, NOW);
    assert!(found.len() <= 1);
    found.pop()
}

fn why(csv: &str) -> String {
    list_of(csv, &settings("stolen", 1)).unwrap_err().to_string()
}

#[test]
fn a_list_is_read_whatever_its_header_line_ends_and_mark() {
    let csv = "\u{FEFF} Remark ;plate number; EXPIRY_DATE ;Category\r\n\"x;y\";ab-12 3x;31/12\r\n";
    assert!(why(csv).contains("ExpiryDate is no date"));
    let csv = csv.replace("31/12", "12/31/2026;VIP");
    let m = matcher(&csv, |s| s.category_severity = vec![("vip".to_owned(), Severity::Critical)]);
    let found = one(&m, &read("AB123X", &[])).unwrap();
    assert_eq!((found.how, found.entry, found.severity), (How::Exact, 1, Severity::Critical));
    assert_eq!(found.expiry_day, Some(20_818));
    assert!((found.confidence - 0.8).abs() < 1e-6);
}

#[test]
fn every_bad_line_is_named_and_no_plate_is() {
    let csv = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\n\
               GOOD123,,,,\n\
               A-1 2,,,,\n\
               *,,,,\n\
               ABC12?,,,,\n\
               ,CA,,,\n\
               \n\
               SECRET1,,,2026-02-30,\n\
               SECRET2,,,20260301,20260228\n\
               京A12345,,,,\n\
               ABCDEFGHIJKLMNOPQRS,,,,\n";
    let message = why(csv);
    for part in [
        "stolen",
        "\"list.csv\"",
        "8 bad line(s)",
        "line 3: PlateNumber has 3 letters and digits, at least 4 are needed",
        "line 4: PlateNumber: it holds a wildcard",
        "line 5: PlateNumber: it holds a wildcard",
        "line 6: PlateNumber is empty",
        "line 8: EffectiveDate is no date",
        "line 9: ExpiryDate is before EffectiveDate",
        "line 10: PlateNumber: '京' (U+4EAC)",
        "line 11: PlateNumber: it holds 19 letters",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert!(!message.contains("SECRET") && !message.contains("GOOD"), "{message}");
    assert_eq!(why(&csv.replace('\n', "\r\n")), message);
}

#[test]
fn twenty_faults_are_listed_and_the_rest_counted() {
    let message = why(&format!("PlateNumber\n{}", "AB\n".repeat(25)));
    assert!(message.contains("25 bad line(s)") && message.contains("line 21:") && !message.contains("line 22:"));
    assert!(message.ends_with("and 5 more"), "{message}");
}

#[test]
fn a_file_that_is_no_list_says_what_its_first_line_must_be() {
    for csv in ["", "ABC123,CA\n", "PlateNumber,Plate Number\nABC123,X\n"] {
        assert!(why(csv).contains("PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate"), "{}", why(csv));
    }
    let invalid = List::parse(Path::new("l"), b"PlateNumber\nAB\xFF123\n", NOW, &settings("a", 1)).unwrap_err();
    assert!(invalid.to_string().contains("line 2: PlateNumber is not UTF-8"), "{invalid}");
}

#[test]
fn a_missing_file_is_named() {
    let error = load_csv(Path::new("/nowhere/list.csv"), &settings("stolen", 1)).unwrap_err();
    assert!(error.to_string().contains("hotlist stolen: can't read \"/nowhere/list.csv\""), "{error}");
}

#[test]
fn a_file_is_loaded_with_its_digest_and_a_serial_that_grows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.csv");
    std::fs::write(&path, "PlateNumber\nABC123\n").unwrap();
    let list = load_csv(&path, &settings("stolen", 1)).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(u64::from(list.serial()), list.issued().0 / 1000);
    let want = ring::digest::digest(&ring::digest::SHA256, b"PlateNumber\nABC123\n");
    assert_eq!(want.as_ref(), list.digest());
}

#[test]
fn entries_match_only_on_their_days() {
    let csv =
        "PlateNumber,EffectiveDate,ExpiryDate\nAAA1111,20260301,2026-03-01\nBBB2222,2026-03-02,\nCCC3333,,02/28/2026\n";
    let m = matcher(csv, |_| {});
    assert!(one(&m, &read("AAA1111", &[])).is_some());
    assert!(one(&m, &read("BBB2222", &[])).is_none());
    assert!(one(&m, &read("CCC3333", &[])).is_none());
    assert_eq!(m.matches(&read("AAA1111", &[]), TimeMs(NOW.0 + 86_400_000)).len(), 0);
}

#[test]
fn confusable_matches_are_backed_by_the_class_and_valued_by_the_lattice() {
    let csv = "PlateNumber\nABC1034\n";
    let m = matcher(csv, |_| {});
    let likely = one(&m, &read("ABC1O34", &[(4, '0', 0.09)])).unwrap();
    assert_eq!(likely.how, How::Confusable);
    assert!((likely.confidence - 0.08).abs() < 1e-3, "{}", likely.confidence);
    // Not in the lattice: still alike, but hardly probable.
    let unlikely = one(&m, &read("ABC1O34", &[])).unwrap();
    assert!(unlikely.confidence < 0.002);
    // Probable by the lattice, but not alike: no match.
    assert!(one(&m, &read("ABC1X34", &[(4, '0', 0.1)])).is_none());
    // 6 is like G and like B; G is not like B.
    let m = matcher("PlateNumber\nAXG1111\n", |_| {});
    assert!(one(&m, &read("AX61111", &[])).is_some());
    assert!(one(&m, &read("AXB1111", &[])).is_none());
}

#[test]
fn the_policy_decides_how_far_a_plate_may_differ() {
    let csv = "PlateNumber\nABC1034\n";
    let hows = |policy| {
        let m = matcher(csv, |s| s.policy = policy);
        ["ABC1034", "ABC1O34", "ABC134", "ABC10345", "ABX1O34", "XYC1034"]
            .map(|t| one(&m, &read(t, &[])).map(|f| f.how))
    };
    let (e, c, n) = (Some(How::Exact), Some(How::Confusable), Some(How::Near));
    assert_eq!(hows(MatchPolicy::Exact), [e, None, None, None, None, None]);
    assert_eq!(hows(MatchPolicy::Confusable), [e, c, None, None, None, None]);
    assert_eq!(hows(MatchPolicy::Near), [e, c, n, n, n, None]);
}

#[test]
fn four_characters_are_too_few_for_near() {
    let m = matcher("PlateNumber\nAB12\n", |s| s.policy = MatchPolicy::Near);
    assert!(one(&m, &read("AB12", &[])).is_some());
    assert!(one(&m, &read("AB123", &[])).is_none());
}

#[test]
fn a_skipped_character_in_the_lattice_makes_the_shorter_text_probable() {
    let m = matcher("PlateNumber\nABC123\n", |s| s.policy = MatchPolicy::Near);
    let found = one(&m, &read("ABCX123", &[(3, '\0', 0.1)])).unwrap();
    assert_eq!(found.how, How::Near);
    assert!((0.08..0.1).contains(&found.confidence), "{}", found.confidence);
}

#[test]
fn the_best_entry_of_a_list_is_the_exact_one_and_then_the_gravest() {
    let csv = "PlateNumber,Category\nABC1O34,a\nABC1034,b\nABC1034,c\n";
    let m = matcher(csv, |s| s.category_severity = vec![("c".to_owned(), Severity::Critical)]);
    let found = one(&m, &read("ABC1034", &[(4, 'O', 0.1)])).unwrap();
    assert_eq!((found.entry, found.severity, found.how), (3, Severity::Critical, How::Exact));
}

#[test]
fn an_entry_that_breaks_the_series_is_found_by_what_was_seen() {
    let csv = "PlateNumber\nABC123A\n";
    // Series spoke for ABC1231; what was seen is rather an A, which does not look like a 1.
    let mut weighed = read("ABC1231", &[]);
    weighed.lattice.positions[6].options = vec![('A', 0.6), ('1', 0.4)];
    let found = one(&matcher(csv, |_| {}), &weighed).unwrap();
    assert_eq!(found.how, How::Confusable);
    assert!(found.confidence > 0.1 && found.confidence <= 0.2 + 1e-6, "{found:?}");
    assert!(one(&matcher(csv, |s| s.policy = MatchPolicy::Exact), &weighed).is_none());
    weighed.lattice.positions[6].options = vec![('1', 0.6), ('A', 0.4)];
    assert!(one(&matcher(csv, |_| {}), &weighed).is_none());
    // And the text that the series spoke for is found exactly.
    assert_eq!(one(&matcher("PlateNumber\nABC1231\n", |_| {}), &weighed).unwrap().how, How::Exact);
}

#[test]
fn a_strict_list_wants_the_region_and_a_lenient_one_prefers_it() {
    let csv = "PlateNumber,PlateState\nABC1234,NV\nABC1234,CA\n";
    let mut seen = read("ABC1234", &[]);
    let strict = matcher(csv, |s| s.region = RegionPolicy::Strict);
    assert!(one(&strict, &seen).is_none());
    assert_eq!(one(&matcher(csv, |_| {}), &seen).unwrap().entry, 1);
    seen.region = Some("us-ca".to_owned());
    assert_eq!(one(&strict, &seen).unwrap().entry, 2);
    assert_eq!(one(&matcher(csv, |_| {}), &seen).unwrap().entry, 2);
    seen.region = Some("br".to_owned());
    assert!(one(&strict, &seen).is_none());
    assert!(one(&matcher("PlateNumber\nABC1234\n", |s| s.region = RegionPolicy::Strict), &seen).is_some());
}

#[test]
fn a_list_past_its_freshness_says_so_in_its_matches() {
    let csv = "PlateNumber\nABC1234\n";
    let age = Duration::from_millis(NOW.0 - 1_772_000_000_000);
    let stale = |freshness| one(&matcher(csv, |s| s.freshness = freshness), &read("ABC1234", &[])).unwrap().stale;
    assert!(!stale(None) && !stale(Some(age)) && stale(Some(age.checked_sub(Duration::from_secs(1)).unwrap())));
}

#[test]
fn lists_are_swapped_whole_and_older_ones_refused() {
    let lists = Hotlists::new();
    let made = |csv: &str, at: u64| {
        List::parse(Path::new("l.csv"), csv.as_bytes(), TimeMs(at), &settings("stolen", 1)).unwrap()
    };
    lists.put(made("PlateNumber\nAAA1111\n", 2_000_000)).unwrap();
    let before = lists.matcher();
    lists.put(made("PlateNumber\nBBB2222\n", 3_000_000)).unwrap();
    assert!(one(&before, &read("AAA1111", &[])).is_some());
    assert!(one(&lists.matcher(), &read("AAA1111", &[])).is_none());
    assert_eq!(one(&lists.matcher(), &read("BBB2222", &[])).unwrap().list_serial, 3000);
    let older = lists.put(made("PlateNumber\nAAA1111\n", 2_000_000)).unwrap_err();
    assert!(older.to_string().contains("serial 2000 is older than 3000"), "{older}");
    let taken = lists.put(list_of("PlateNumber\n", &settings("other", 1)).unwrap()).unwrap_err();
    assert!(taken.to_string().contains("number 1 is that of list stolen"), "{taken}");
    assert!(lists.remove(&ListId::new("stolen").unwrap()));
    assert!(!lists.remove(&ListId::new("stolen").unwrap()));
    assert!(lists.matcher().lists().is_empty());
}

#[test]
fn every_read_sees_one_list_whole_while_lists_are_swapped() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    let csv = |letter: char| {
        let lines: Vec<String> = (0..500).map(|n| format!("{letter}XY{n:04}")).collect();
        format!("PlateNumber\n{}\n", lines.join("\n"))
    };
    let list = |turn: u64| {
        let letter = if turn.is_multiple_of(2) { 'E' } else { 'H' };
        List::parse(Path::new("l.csv"), csv(letter).as_bytes(), TimeMs(turn * 1_000), &settings("stolen", 1)).unwrap()
    };
    let lists = Hotlists::new();
    lists.put(list(2)).unwrap();
    let (over, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3_u32 {
            let (lists, over, seen) = (&lists, &over, &seen);
            scope.spawn(move || {
                for n in (0..500).cycle().skip(usize::try_from(reader).unwrap() * 97) {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let matcher = lists.matcher();
                    let of = |letter: char| one(&matcher, &read(&format!("{letter}XY{n:04}"), &[]));
                    let (even, odd) = (of('E'), of('H'));
                    assert!(even.is_some() != odd.is_some(), "exactly one of both lists is in force");
                    let found = even.as_ref().or(odd.as_ref()).unwrap();
                    assert_eq!(found.list_serial.is_multiple_of(2), even.is_some(), "the serial is that of the list");
                    assert_eq!(found.entry, u32::try_from(n).unwrap() + 1);
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for turn in 3..60 {
            // Every swap comes between reads: each waits until some were made since the last.
            let before = seen.load(Ordering::SeqCst);
            lists.put(list(turn)).unwrap();
            while seen.load(Ordering::SeqCst) < before + 3 {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn each_list_gives_its_own_best_match() {
    let lists = Hotlists::new();
    for (id, number) in [("b", 2), ("a", 1)] {
        lists.put(list_of("PlateNumber\nABC1234\n", &settings(id, number)).unwrap()).unwrap();
    }
    let numbers: Vec<u16> = lists.matcher().matches(&read("ABC1234", &[]), NOW).iter().map(|m| m.list_number).collect();
    assert_eq!(numbers, [1, 2]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_list_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let mut csv = if head { b"PlateNumber,PlateState,ExpiryDate\n".to_vec() } else { Vec::new() };
        csv.extend(bytes);
        let _ = List::parse(Path::new("l"), &csv, NOW, &settings("a", 1));
    }

    #[test]
    fn a_match_is_what_its_word_says(entry in "[ABO018]{4,7}", seen in "[ABO018]{4,7}", p in 0.0_f32..1.0) {
        let m = matcher(&format!("PlateNumber\n{entry}\n"), |s| s.policy = MatchPolicy::Near);
        let mut seen_read = read(&seen, &[(1, 'A', p / 10.0), (2, '\0', p / 20.0)]);
        seen_read.confidence = p;
        let found = one(&m, &seen_read);
        let alike = crate::domain::confusable::texts_alike(&entry, &seen);
        match found.as_ref().map(|f| f.how) {
            Some(How::Exact) => prop_assert_eq!(&entry, &seen),
            Some(How::Confusable) => prop_assert!(entry != seen && alike),
            Some(How::Near) => prop_assert!(!alike && entry.len().abs_diff(seen.len()) <= 1),
            None => prop_assert!(!alike),
        }
        if let Some(f) = found {
            prop_assert!((0.0..=1.0).contains(&f.confidence));
            prop_assert!(f.how == How::Exact || f.confidence <= 1.0 - p + 1e-6);
        }
    }
}
