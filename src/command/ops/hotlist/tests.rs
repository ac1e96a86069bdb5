//! The operations of hotlists on a real store, with real packages.

use minicbor::Encode;

use super::{Answer, Args, Content, list, preview, remove};
use crate::centre::keyring::Role;
use crate::command::lists::{Shelf, sign};
use crate::command::testkit::{Site, key_of};
use crate::command::{Caller, Done, Refusal, ops};
use crate::domain::{
    Candidate, Lattice, ListId, MatchPolicy, Op, Ownership, PlateRead, PlateText, Reason, Severity, Share, TimeMs,
};
use crate::hotlist::package::{self, Header, Packed};
use crate::hotlist::{ListSettings, delta};

fn id() -> ListId {
    ListId::new("wanted").unwrap()
}

fn settings(number: u16) -> ListSettings {
    let mut settings = ListSettings::new(id(), number, Severity::Serious);
    settings.owner = Some(Ownership { org: "north".to_owned(), share: Share::None });
    settings
}

fn packed_with(settings: &ListSettings, plates: &[String], serial: u32) -> Packed {
    let csv = format!("PlateNumber\n{}\n", plates.join("\n"));
    package::pack("l.csv".as_ref(), csv.as_bytes(), settings, serial, TimeMs(1_767_225_000_000)).unwrap()
}

fn packed(plates: &[&str], serial: u32) -> Packed {
    packed_with(&settings(7), &plates.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(), serial)
}

fn signed(packed: &Packed) -> Vec<u8> {
    sign(&packed.header, &packed.body, &key_of("lists")).unwrap()
}

fn args(package: &[u8]) -> Args {
    Args { package: Content::of(package), force: None }
}

fn put(site: &Site, package: &[u8]) -> Result<Answer, Refusal> {
    answer(site.run(Op::HotlistPut, Role::Lists, &args(package)))
}

fn patch(site: &Site, package: &[u8]) -> Result<Answer, Refusal> {
    answer(site.run(Op::HotlistPatch, Role::Lists, &args(package)))
}

fn answer(done: Result<Done, Refusal>) -> Result<Answer, Refusal> {
    done.map(|done| ops::decode(&done.result).unwrap())
}

fn south(site: &Site) -> Caller {
    let mut caller = site.caller(Role::Lists);
    caller.person.org = "south".to_owned();
    caller
}

fn read(text: &str) -> PlateRead {
    let plate = PlateText::from_raw(text).unwrap();
    PlateRead {
        text: plate.clone(),
        confidence: 0.9,
        char_confidences: Vec::new(),
        candidates: vec![Candidate { text: plate, confidence: 0.9 }],
        lattice: Lattice::default(),
        region: None,
        regions: Vec::new(),
        frames: 3,
    }
}

fn matches(site: &Site, text: &str) -> usize {
    site.rooms().hotlists.matcher().matches(&read(text), TimeMs(1_767_225_600_000)).len()
}

fn shelf(site: &Site) -> Shelf {
    super::shelf(&site.rooms())
}

#[test]
fn a_package_comes_into_force_and_lies_sealed_for_the_next_start() {
    let site = Site::new();
    let package = signed(&packed(&["ABC1234", "XYZ999"], 5));
    let answer = put(&site, &package).unwrap();
    assert_eq!((answer.serial, answer.entries, answer.before, answer.unchanged), (5, 2, None, false));
    assert_eq!((matches(&site, "ABC1234"), matches(&site, "A8C1234"), matches(&site, "QQQ1234")), (1, 1, 0));
    let hit = site.rooms().hotlists.matcher().matches(&read("XYZ999"), TimeMs(1_767_225_600_000)).remove(0);
    assert_eq!((hit.list_number, hit.list_serial, hit.entry), (7, 5, 2));
    assert_eq!(hit.owner.unwrap().org, "north");

    let file = site.dir.path().join("data/hotlists/wanted.list");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(7).any(|w| w == b"ABC1234"), "no plate lies readable on the disk");
    assert_eq!(shelf(&site).lists().unwrap(), [id()]);
    assert_eq!(shelf(&site).load(&id()).unwrap().digest(), &packed(&["ABC1234", "XYZ999"], 5).header.digest);

    let again = put(&site, &package).unwrap();
    assert!(again.unchanged && again.before == Some(5));
}

#[test]
fn a_delta_changes_what_is_in_force_and_what_lies_on_the_disk() {
    let site = Site::new();
    let (one, two) = (packed(&["ABC1234", "XYZ999"], 5), packed(&["ABC1234", "QQQ777", "TTT888"], 6));
    put(&site, &signed(&one)).unwrap();
    let (header, body, _) = delta::between((&one.header, &one.body), (&two.header, &two.body)).unwrap();
    let change = sign(&header, &body, &key_of("lists")).unwrap();
    let answer = patch(&site, &change).unwrap();
    assert_eq!((answer.serial, answer.before, answer.entries, answer.change), (6, Some(5), 3, Some((2, 1, 0))));
    assert_eq!((matches(&site, "XYZ999"), matches(&site, "QQQ777")), (0, 1));
    assert_eq!(shelf(&site).load(&id()).unwrap().digest(), &two.header.digest);
    assert!(patch(&site, &change).unwrap().unchanged);
    // The whole package of the same list is the list that is in force.
    assert!(put(&site, &signed(&two)).unwrap().unchanged);
    // And another delta builds on what the first one made.
    let three = packed(&["QQQ777"], 9);
    let (header, body, _) = delta::between((&two.header, &two.body), (&three.header, &three.body)).unwrap();
    assert_eq!(patch(&site, &sign(&header, &body, &key_of("lists")).unwrap()).unwrap().entries, 1);
}

#[test]
fn each_way_to_be_wrong_has_its_reason_and_changes_nothing() {
    let site = Site::new();
    let one = packed(&["ABC1234", "XYZ999"], 5);
    put(&site, &signed(&one)).unwrap();
    let reason = |result: Result<Answer, Refusal>| result.unwrap_err().reason;
    let two = packed(&["QQQ777"], 6);
    let forged = |header: Header, body: &[u8]| sign(&header, body, &key_of("lists")).unwrap();

    assert_eq!(reason(put(&site, &signed(&packed(&["QQQ777"], 4)))), Reason::OlderSerial);
    assert_eq!(reason(put(&site, &signed(&packed(&["QQQ777"], 5)))), Reason::OlderSerial);
    assert_eq!(reason(put(&site, b"no package at all")), Reason::Malformed);
    let mut changed = signed(&two);
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(reason(put(&site, &changed)), Reason::Digest);
    assert_eq!(reason(put(&site, &sign(&two.header, &two.body, &key_of("fleet")).unwrap())), Reason::UnknownKey);
    let mut envelope = signed(&two);
    envelope[60] ^= 1;
    assert!(matches!(reason(put(&site, &envelope)), Reason::Malformed | Reason::Signature | Reason::UnknownKey));
    // Bodies that a careful signer would not make.
    for (body, why) in [
        (&[0, 3, b'A', b'B', b'1'][..], "entry 1: it has 3 letters and digits"),
        (&[0, 4, b'A', b'B', b'*', b'1'][..], "entry 1: it holds a wildcard"),
        (&[0, 1, b'*'][..], "entry 1: it holds a wildcard"),
    ] {
        let refusal = put(&site, &forged(Header { entries: 1, ..two.header.clone() }, body)).unwrap_err();
        assert_eq!(refusal.reason, Reason::Verification, "{refusal}");
        assert!(refusal.text.contains(why), "{refusal}");
    }
    let delta_of = |a: &Packed, b: &Packed| {
        let (header, body, _) = delta::between((&a.header, &a.body), (&b.header, &b.body)).unwrap();
        forged(header, &body)
    };
    assert_eq!(reason(patch(&site, &delta_of(&packed(&["ABC1234"], 4), &two))), Reason::OtherBase);
    assert_eq!(reason(patch(&site, &delta_of(&packed(&["ABC1234"], 5), &two))), Reason::OtherBase);
    assert_eq!(reason(patch(&site, &signed(&two))), Reason::Arguments);
    assert_eq!(reason(put(&site, &delta_of(&one, &two))), Reason::Arguments);

    assert_eq!((matches(&site, "ABC1234"), matches(&site, "QQQ777")), (1, 0));
    assert_eq!(shelf(&site).load(&id()).unwrap().serial(), 5);
    let left = std::fs::read_dir(site.dir.path().join("data/hotlists")).unwrap().count();
    assert_eq!(left, 1, "nothing of what was refused is left");
}

#[test]
fn a_list_belongs_to_its_organisation() {
    let site = Site::new();
    let one = signed(&packed(&["ABC1234"], 5));
    let of_south = |op, args: &dyn Fn() -> Vec<u8>| {
        struct Raw(Vec<u8>);
        impl Encode<()> for Raw {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                (): &mut (),
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.writer_mut().write_all(&self.0).map_err(minicbor::encode::Error::write)
            }
        }
        site.run_as(op, south(&site), &Raw(args())).unwrap_err().reason
    };
    assert_eq!(of_south(Op::HotlistPut, &|| ops::encode(&args(&one))), Reason::Organisation);
    put(&site, &one).unwrap();
    let removal = || ops::encode(&remove::Args { list: id(), serial: None });
    assert_eq!(of_south(Op::HotlistRemove, &removal), Reason::Organisation);
    // A person of the north can't give their list away, nor take over one of the south.
    let mut given = settings(7);
    given.owner = Some(Ownership { org: "south".to_owned(), share: Share::None });
    let given = packed_with(&given, &["ABC1234".to_owned()], 6);
    assert_eq!(put(&site, &signed(&given)).unwrap_err().reason, Reason::Organisation);

    let rows = |caller| {
        let done = site.run_as(Op::HotlistList, caller, &list::Args { list: None }).unwrap();
        ops::decode::<list::Answer>(&done.result).unwrap().lists
    };
    let (own, others) = (rows(site.caller(Role::Lists)), rows(south(&site)));
    assert_eq!((own.len(), own[0].serial, own[0].entries, own[0].packaged), (1, 5, 1, true));
    assert!(own[0].settings.is_some() && others[0].settings.is_none());
}

#[test]
fn a_list_grows_and_shrinks_beyond_the_bound_only_when_it_is_meant() {
    let site = Site::new();
    let many = |n: usize| (0..n).map(|n| format!("Q{:09}", n * 2_654_435_761 % 1_000_000_000)).collect::<Vec<_>>();
    put(&site, &signed(&packed_with(&settings(7), &many(1_000), 1))).unwrap();
    let large = signed(&packed_with(&settings(7), &many(12_000), 2));
    let missing = put(&site, &large).unwrap_err();
    assert_eq!(missing.reason, Reason::BlobMissing, "it is too large for the command itself");
    let blob = Content::of(&large).blob.unwrap();
    for (n, chunk) in (0..).zip(large.chunks(crate::command::blobs::CHUNK)) {
        assert!(site.rooms().blobs.take(&blob.sha256, n, chunk));
    }
    let refusal = put(&site, &large).unwrap_err();
    assert_eq!(refusal.reason, Reason::Bound, "{refusal}");
    assert!(refusal.text.contains("from 1000 to 12000 entries"), "{refusal}");
    let forced = Args { force: Some(true), ..args(&large) };
    let done = site.run(Op::HotlistPut, Role::Lists, &forced).unwrap();
    assert!(done.facts.contains(&("forced", "true".to_owned())), "{:?}", done.facts);
    assert_eq!(put(&site, &signed(&packed(&["ABC1234"], 3))).unwrap_err().reason, Reason::Bound);
}

#[test]
fn a_list_of_the_configuration_is_changed_there() {
    let site = Site::with_config("[[hotlist.list]]\nid = \"wanted\"\nnumber = 7\nfile = \"wanted.csv\"\n");
    let refusal = put(&site, &signed(&packed(&["ABC1234"], 5))).unwrap_err();
    assert_eq!(refusal.reason, Reason::Conflict);
    assert!(refusal.text.contains("wanted.csv"), "{refusal}");
    let other = ListSettings { id: ListId::new("other").unwrap(), ..settings(7) };
    let taken = put(&site, &signed(&packed_with(&other, &["ABC1234".to_owned()], 5))).unwrap_err();
    assert!(taken.reason == Reason::Conflict && taken.text.contains("number 7 is that of list wanted"), "{taken}");
}

#[test]
fn a_removed_list_is_gone_and_may_come_back_older() {
    let site = Site::new();
    put(&site, &signed(&packed(&["ABC1234"], 5))).unwrap();
    let remove = |serial| site.run(Op::HotlistRemove, Role::Lists, &remove::Args { list: id(), serial });
    assert_eq!(remove(Some(4)).unwrap_err().reason, Reason::OtherBase);
    remove(Some(5)).unwrap();
    assert_eq!(matches(&site, "ABC1234"), 0);
    assert!(shelf(&site).lists().unwrap().is_empty());
    assert_eq!(remove(None).unwrap_err().reason, Reason::NotFound);
    put(&site, &signed(&packed(&["ABC1234"], 3))).unwrap();
}

#[test]
fn a_preview_counts_and_names_no_plate() {
    let site = Site::new();
    put(&site, &signed(&packed(&["ABC1234", "A8C1234", "XYX999"], 5))).unwrap();
    let ask = |args: &preview::Args| {
        let done = site.run(Op::HotlistPreview, Role::Lists, args).unwrap();
        ops::decode::<preview::Answer>(&done.result).unwrap()
    };
    let asked = preview::Args { list: Some(id()), package: None, policy: Some(MatchPolicy::Near), plate: None };
    let whole = ask(&asked);
    assert_eq!((whole.entries, whole.looked, whole.others.0), (3, 3, 2));
    assert_eq!(whole.reads.as_ref().map(|r| (r.plates, r.cut)), Some((0, false)));
    let plate = ask(&preview::Args { plate: Some("xyx-998".to_owned()), ..asked.clone() });
    assert!(plate.reads.is_none() && plate.near.0 > 0 && plate.others == (0, 1), "{plate:?}");
    let package = Content::of(&signed(&packed(&["QQQ777"], 9)));
    assert_eq!(ask(&preview::Args { list: None, package: Some(package), ..asked }).entries, 1);
    assert_eq!(matches(&site, "QQQ777"), 0, "nothing changes");
}

#[test]
fn the_package_format_is_pinned() {
    let mut settings = settings(7);
    settings.category_severity = vec![("Stolen".to_owned(), Severity::Critical)];
    settings.freshness = Some(std::time::Duration::from_hours(36));
    let csv = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate\nABC-1234,CA,Stolen,20260101,20261231\n\
               ABC1235,CA,stolen,20260101,20261231\nXYZ 999,NV,,,\nXYZ999,,other,,20270101\n";
    let packed = package::pack("l.csv".as_ref(), csv.as_bytes(), &settings, 5, TimeMs(1_767_225_000_000)).unwrap();
    crate::store::golden("hotlist-1.wpl", &signed(&packed));
    let two = packed_with(&settings, &["ABC1235".to_owned(), "QQQ777".to_owned()], 6);
    let (header, body, _) = delta::between((&packed.header, &packed.body), (&two.header, &two.body)).unwrap();
    crate::store::golden("hotlist-delta-1.wpl", &sign(&header, &body, &key_of("lists")).unwrap());
}
