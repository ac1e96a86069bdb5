//! Configurations that are staged, and those that are not.

use super::get::{self, Origin};
use super::set::{self, Set};
use super::staging::{Answer, Terms, Wrong};
use crate::centre::keyring::Role;
use crate::command::testkit::Site;
use crate::command::{Afterwards, Done, Refusal, ops};
use crate::config::managed::{self, trial::Book};
use crate::domain::{Op, Reason};

fn get(site: &Site, args: &get::Args) -> get::Answer {
    ops::decode(&site.run(Op::ConfigGet, Role::Fleet, args).unwrap().result).unwrap()
}

fn terms(site: &Site) -> Terms {
    Terms { base: Some(site.rooms().config.digest), ..Terms::default() }
}

fn set(site: &Site, args: &set::Args) -> Result<Done, Refusal> {
    site.run(Op::ConfigSet, Role::Fleet, args)
}

fn overlay(site: &Site, text: &str) -> Result<Done, Refusal> {
    set(site, &set::Args { terms: terms(site), overlay: Some(text.to_owned()), changes: None })
}

fn answer(done: &Done) -> Answer {
    ops::decode(&done.result).unwrap()
}

fn book(site: &Site) -> Book {
    Book::read(&managed::folder(&site.rooms().config.site.data_dir)).unwrap()
}

#[test]
fn a_good_overlay_is_staged_audited_and_takes_a_restart() {
    let site = Site::new();
    let done = overlay(&site, "[store]\ncache_mib = 48\n").unwrap();
    assert_eq!(done.then, Some(Afterwards::Restart));
    let told = answer(&done);
    assert_eq!((told.serial, told.changes.len()), (Some(1), 1));
    assert_eq!(told.changes[0].after.as_deref(), Some("48"));
    let loaded = crate::config::load(&site.rooms().config_path).unwrap();
    assert_eq!((loaded.digest, loaded.store.cache_mib), (told.digest, 48));
    let trial = book(&site).trial.unwrap();
    assert_eq!((trial.serial, trial.by.as_str(), trial.needs_session), (1, "fleet", false));
    let (_, details) = site.audit().into_iter().rfind(|(event, _)| event == "config.changed").unwrap();
    for (name, value) in [("step", "staged"), ("serial", "1"), ("keys", "store.cache_mib")] {
        assert!(details.contains(&(name.to_owned(), value.to_owned())), "{name} in {details:?}");
    }
}

#[test]
fn how_long_things_are_kept_is_no_business_of_one_fleet_key() {
    let site = Site::new();
    for text in ["[store.retention]\ncritical_days = 1\n", "[store]\nretention = { reads_hours = 1 }\n"] {
        let refusal = overlay(&site, text).unwrap_err();
        assert!(refusal.reason == Reason::Verification && refusal.text.contains("retention.set"), "{refusal}");
    }
    assert_eq!(book(&site), Book::default());
}

#[test]
fn nothing_more_is_staged_while_something_is_on_probation() {
    let site = Site::new();
    overlay(&site, "[store]\ncache_mib = 20\n").unwrap();
    let refusal = overlay(&site, "[store]\ncache_mib = 21\n").unwrap_err();
    assert!(
        refusal.reason == Reason::Conflict && refusal.text.contains("configuration 1 is on probation"),
        "{refusal}"
    );
    assert_eq!(get(&site, &get::Args::default()).probation.unwrap().by, "fleet");
}

#[test]
fn all_faults_of_an_overlay_are_named_and_nothing_is_staged() {
    let site = Site::new();
    let refusal = overlay(&site, "[store]\ncahce_mib = 1\ncommit_rows = \"x\"\n[box]\nid = \"other\"\n").unwrap_err();
    assert_eq!(refusal.reason, Reason::Verification);
    assert!(refusal.text.starts_with("3 faults"), "{refusal}");
    let wrong: Wrong = ops::decode(refusal.result.as_deref().unwrap()).unwrap();
    assert!(wrong.faults.iter().any(|f| f.contains("did you mean `cache_mib`")), "{wrong:#?}");
    assert!(wrong.faults.iter().any(|f| f.contains("box.id") && f.contains("centre.toml:5")), "{wrong:#?}");
    assert_eq!(book(&site), Book::default());
    assert!(!site.audit().iter().any(|(event, _)| event == "config.changed"));
}

#[test]
fn a_change_on_another_configuration_than_the_one_in_force_is_refused() {
    let site = Site::new();
    let other = Terms { base: Some([7; 32]), ..Terms::default() };
    let args = set::Args { terms: other, overlay: Some(String::new()), changes: None };
    assert_eq!(set(&site, &args).unwrap_err().reason, Reason::OtherBase);
    let args = set::Args { terms: Terms::default(), overlay: Some(String::new()), changes: None };
    assert_eq!(set(&site, &args).unwrap_err().reason, Reason::Arguments);
    let path = site.rooms().config_path;
    let text = std::fs::read_to_string(&path).unwrap() + "\n[store]\ncache_mib = 17\n";
    std::fs::write(&path, text).unwrap();
    let refusal = overlay(&site, "[store]\ncommit_rows = 5\n").unwrap_err();
    assert!(refusal.reason == Reason::OtherBase && refusal.text.contains("restart"), "{refusal}");
    assert!(get(&site, &get::Args::default()).is_stale);
}

#[test]
fn single_keys_are_changed_and_a_dry_run_changes_nothing() {
    let site = Site::new();
    let change = |key: &str, value: &str| Set { key: key.to_owned(), value: Some(value.to_owned()) };
    let changes = vec![change("camera.gate.fps", "5"), change("vision.workers", "2")];
    let mut args = set::Args { terms: terms(&site), overlay: None, changes: Some(changes) };
    args.terms.dry_run = Some(true);
    let done = set(&site, &args).unwrap();
    assert_eq!((answer(&done).serial, answer(&done).changes.len(), done.then), (None, 2, None));
    assert_eq!(book(&site), Book::default());
    args.terms.dry_run = None;
    assert_eq!(answer(&set(&site, &args).unwrap()).serial, Some(1));
    assert_eq!(crate::config::load(&site.rooms().config_path).unwrap().cameras[0].fps, Some(5.0));
}

#[test]
fn what_changes_nothing_is_not_staged_and_impossible_terms_are_refused() {
    let site = Site::new();
    assert_eq!(answer(&overlay(&site, "# nothing\n").unwrap()).serial, None);
    for (stand_s, within_s) in [(0, 300), (300, 300), (30, 7201)] {
        let terms = Terms { stand_s: Some(stand_s), within_s: Some(within_s), ..terms(&site) };
        let args = set::Args { terms, overlay: Some("[store]\ncache_mib = 20\n".to_owned()), changes: None };
        assert_eq!(set(&site, &args).unwrap_err().reason, Reason::Arguments, "{stand_s} {within_s}");
    }
    let neither = set::Args { terms: terms(&site), overlay: None, changes: None };
    assert_eq!(set(&site, &neither).unwrap_err().reason, Reason::Arguments);
}

#[test]
fn the_local_admins_switch_refuses_every_overlay() {
    let site = Site::new();
    std::fs::create_dir_all(site.dir.path().join("conf.d")).unwrap();
    std::fs::write(site.dir.path().join("conf.d/own.toml"), "[box]\nmanaged = false\n").unwrap();
    let refusal = overlay(&site, "[store]\ncache_mib = 20\n").unwrap_err();
    assert!(refusal.reason == Reason::Conflict && refusal.text.contains("box.managed"), "{refusal}");
    assert!(!get(&site, &get::Args::default()).is_managed);
}

#[test]
fn values_are_told_with_their_places_page_by_page() {
    let road = "r".repeat(60);
    let camera = |n: u32| {
        let uri = format!("rtsp://192.0.2.7/{n}?token=hidden");
        format!("[[camera]]\nid = \"c{n}\"\nnumber = {}\nuri = \"{uri}\"\nroad = \"{road}\"\n", n + 10)
    };
    let more: String = (0..150).map(camera).collect();
    let site = Site::with_config(&more);
    let mut keys = Vec::new();
    let mut after = None;
    let mut pages = 0;
    loop {
        let done = site.run(Op::ConfigGet, Role::Fleet, &get::Args { after, ..get::Args::default() }).unwrap();
        assert!(done.result.len() < 56 * 1024, "{} bytes", done.result.len());
        assert!(!done.result.windows(6).any(|w| w == b"hidden"));
        let page: get::Answer = ops::decode(&done.result).unwrap();
        assert!(page.rows.iter().all(|row| row.origin == Origin::Local && row.place.is_some()));
        keys.extend(page.rows.into_iter().map(|row| row.key));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(pages > 1 && keys.is_sorted() && keys.len() > 600, "{pages} pages, {} keys", keys.len());
    let one = get(&site, &get::Args { prefix: Some("camera.gate".to_owned()), ..get::Args::default() });
    assert_eq!(one.rows.len(), 3);
    let all = get(&site, &get::Args { prefix: Some("store".to_owned()), defaults: Some(true), ..get::Args::default() });
    assert!(all.rows.iter().all(|row| row.origin == Origin::Default) && all.rows.len() >= 8);
}
