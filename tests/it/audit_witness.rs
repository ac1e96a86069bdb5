//! Tampering with a box's audit log that the box itself cannot see, found by the centre that kept a checkpoint: on real
//! stores and real files.

use std::path::Path;

use watchpost::centre::keys::{BoxKey, Keys, SigningKey};
use watchpost::centre::note;
use watchpost::centre::witness::{Heard, Watched, Witness};
use watchpost::clock::Clock;
use watchpost::domain::{BoxId, Checkpoint, SiteId, TimeMs};
use watchpost::store::accounting;
use watchpost::store::audit::{self, Event};
use watchpost::store::{Settings, Store, StoreKey};

const NOW: TimeMs = TimeMs(1_767_225_600_000);

/// A box with its store, and the centre that watches it.
struct Site {
    dir: tempfile::TempDir,
    name: SiteId,
    id: BoxId,
    keys: Keys,
    witness: Witness,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::create(&dir.path().join("box.key")).unwrap();
        Self {
            name: SiteId::new("north").unwrap(),
            id: BoxId::new("box-1").unwrap(),
            keys: Keys::from(key.public().clone()),
            witness: Witness::new(&dir.path().join("centre/audit")),
            dir,
        }
    }

    fn store_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("data/store")
    }

    fn open(&self) -> Store {
        let settings = Settings { ballast_bytes: 0, ..Settings::default() };
        let store = Store::open(&self.store_dir(), StoreKey::from_bytes([7; 32]), settings, Clock::system()).unwrap();
        let key = BoxKey::read(&self.dir.path().join("box.key")).unwrap();
        store.sign_checkpoints(note::signer(&self.name, &self.id, key));
        store
    }

    /// A run of the box: opens, writes `records`, tells a checkpoint.
    fn run(&self, records: u64) -> Vec<u8> {
        let store = self.open();
        for n in 0..records {
            store.audit(Event::Queried, &[("rows", n.to_string())]).unwrap();
        }
        store.checkpoint().unwrap()
    }

    fn of(&self) -> Watched<'_> {
        Watched { site: &self.name, box_id: &self.id, keys: &self.keys }
    }

    fn hear(&self, note: &[u8]) -> Heard {
        self.witness.hear(&self.of(), note, NOW).unwrap()
    }

    /// What the witness makes of a proof from what it believes to the log as it is now; the alarm's words.
    fn prove(&self) -> Result<Checkpoint, String> {
        let store = self.open();
        let believed = self.witness.known(&self.of()).unwrap().unwrap().believed;
        let note = store.checkpoint().unwrap();
        let head = note::open(&note, "watchpost/north/box-1", &self.keys).unwrap().head;
        let proof = store.audit_consistency(believed.head.size, Some(head.size));
        let proof = proof.map(|proven| proven.proof).unwrap_or_default();
        self.witness.prove(&self.of(), &note, &proof, NOW).unwrap().map_err(|alarm| alarm.to_string())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_log_that_only_grew_is_proven_over_many_runs() {
    let site = Site::new();
    assert!(matches!(site.hear(&site.run(3)), Heard::First(_)));
    for records in [1, 40, 7] {
        assert!(matches!(site.hear(&site.run(records)), Heard::Newer { .. }));
        let believed = site.prove().unwrap();
        assert_eq!(site.witness.known(&site.of()).unwrap().unwrap().believed, believed);
    }
}

#[test]
fn the_whole_data_folder_rolled_back_to_an_old_copy_is_found() {
    let site = Site::new();
    site.run(10);
    let old = site.dir.path().join("old");
    copy(&site.store_dir(), &old);
    assert!(matches!(site.hear(&site.run(30)), Heard::First(_)));
    std::fs::remove_dir_all(site.store_dir()).unwrap();
    copy(&old, &site.store_dir());
    // The box sees nothing: log, hashes and checkpoint go together.
    let note = site.run(2);
    assert!(audit::read(&site.store_dir()).unwrap().iter().all(|r| r.event != "audit.repaired"));
    let Heard::Alarm { what, .. } = site.hear(&note) else { panic!("not found") };
    assert!(what.to_string().starts_with("rolled back or cut"), "{what}");

    // Grown past what was known before anybody heard of it: no proof leads there.
    let site = Site::new();
    site.run(10);
    let old = site.dir.path().join("old");
    copy(&site.store_dir(), &old);
    site.hear(&site.run(5));
    std::fs::remove_dir_all(site.store_dir()).unwrap();
    copy(&old, &site.store_dir());
    let note = site.run(60);
    assert!(matches!(site.hear(&note), Heard::Newer { .. }), "longer than what was known");
    let alarm = site.prove().unwrap_err();
    assert!(alarm.starts_with("changed: the log of"), "{alarm}");
}

#[test]
fn a_log_written_anew_with_hashes_and_checkpoint_is_found() {
    let site = Site::new();
    assert!(matches!(site.hear(&site.run(10)), Heard::First(_)));
    // Who has root takes everything of the log away and has the box write another, longer one.
    for name in ["audit.log", "audit.hashes", "audit.checkpoint"] {
        std::fs::remove_file(site.store_dir().join(name)).unwrap();
    }
    let note = site.run(30);
    let Heard::Alarm { what, .. } = site.hear(&note) else { panic!("not found") };
    assert!(what.to_string().starts_with("another log ("), "{what}");
}

#[test]
fn a_log_that_was_cut_is_set_aside_and_the_next_names_the_head_that_the_centre_keeps() {
    let site = Site::new();
    let note = site.run(10);
    site.hear(&note);
    let believed = site.witness.known(&site.of()).unwrap().unwrap().believed;
    let path = site.store_dir().join("audit.log");
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(len - 40).unwrap();
    let note = site.run(1);
    let begun = audit::read(&site.store_dir()).unwrap().remove(0);
    assert_eq!(begun.detail("old_root"), Some(believed.head.root.to_string().as_str()));
    assert_eq!(begun.detail("old_size"), Some(believed.head.size.to_string().as_str()));
    assert_eq!(begun.detail("old_log"), Some(believed.log.to_string().as_str()));
    let Heard::Alarm { what, .. } = site.hear(&note) else { panic!("not found") };
    assert!(what.to_string().contains("another log"), "{what}");
}

#[test]
fn a_checkpoint_signed_by_another_key_is_refused() {
    let site = Site::new();
    site.hear(&site.run(3));
    let store = site.open();
    std::fs::remove_file(site.dir.path().join("box.key")).unwrap();
    SigningKey::create(&site.dir.path().join("box.key")).unwrap();
    let other = BoxKey::read(&site.dir.path().join("box.key")).unwrap();
    store.sign_checkpoints(note::signer(&site.name, &site.id, other));
    store.audit(Event::Queried, &[]).unwrap();
    let Heard::Alarm { what, .. } = site.hear(&store.checkpoint().unwrap()) else { panic!("believed") };
    assert!(what.to_string().contains("another key made it"), "{what}");
}

#[test]
fn hits_are_accounted_for_after_a_crash_that_took_their_records() {
    use watchpost::health::Health;
    use watchpost::store::Recorder;
    let site = Site::new();
    let store = site.open();
    let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
    recorder.handle().send(crate::store_kill::entry(1)).unwrap();
    recorder.handle().flush(std::time::Duration::from_secs(20)).unwrap();
    // Not stopped in order: what the log was to say is still in memory.
    std::mem::forget(recorder);
    let crashed = site.dir.path().join("crashed");
    copy(&site.store_dir(), &crashed);
    let hits =
        || audit::read(&crashed).unwrap().into_iter().filter(|r| r.event == "hits.committed").collect::<Vec<_>>();
    assert_eq!(hits(), []);
    let settings = Settings { ballast_bytes: 0, ..Settings::default() };
    for _ in 0..2 {
        // The second start has nothing to add.
        let store = Store::open(&crashed, StoreKey::from_bytes([7; 32]), settings.clone(), Clock::system()).unwrap();
        let told = hits();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].detail("alerts"), told[0].detail("found")), (Some("1"), Some("after a crash")));
        let hit = store.recent_hits(1).unwrap().remove(0);
        let commitment = accounting::commitment(hit.salt.unwrap(), &hit.alert);
        assert!(accounting::accounts_for(&told[0], hit.alert.epoch, hit.alert.seq, &commitment));
        assert!(!accounting::accounts_for(&told[0], hit.alert.epoch, hit.alert.seq, &[0; 32]));
    }
}
