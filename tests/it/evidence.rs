//! From hit to court over a real broker: a bundle made by two keys, verified offline, and refused when it was changed.

use std::fs;
use std::time::Duration;

use watchpost::centre::note;
use watchpost::clock::Clock;
use watchpost::domain::{CameraId, EventId, Footage, Media, Pictures};
use watchpost::health::Health;
use watchpost::store::{Attached, AttachedKind, Recorder, Settings, Store, StoreKey};

use crate::kit::site::Site;

const FOR: [&str; 6] = ["--box", "box-1", "--purpose", "crime-investigation", "--case", "K-17"];

fn jpeg() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/one-plate.jpg")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_goes_to_court_in_one_file_that_verifies_without_the_box() {
    let mut site = Site::new();
    let blind = site.add_blind("box-1");
    let store_key = || StoreKey::load(&blind.data("keys/store.key")).unwrap();
    let settings = Settings { ballast_bytes: 0, reserve_bytes: 0, clip_free_bytes: 0, ..Settings::default() };
    let now = Clock::system().utc();
    let id = EventId::from_parts(now.0, [5; 10]);
    {
        let store = Store::open(&blind.data("store"), store_key(), settings, Clock::system()).unwrap();
        let recorder = Recorder::start(&store, Health::new(), Box::new(|_| ())).unwrap();
        let mut entry = crate::store_kill::entry(1);
        let sighting = &mut entry.event.sighting;
        (sighting.id, sighting.begin, sighting.end) = (id, now, now);
        entry.hits.iter_mut().for_each(|hit| hit.sighting = sighting.clone());
        entry.event.pictures = Some(Pictures { crop: jpeg(), scene: jpeg() });
        recorder.handle().send(entry).unwrap();
        let about = Footage {
            camera: CameraId::new("gate").unwrap(),
            from: now,
            to: now,
            media: Media::Mp4,
            masked: false,
            note: Some("it ends early".to_owned()),
        };
        let clip = Attached { id, what: AttachedKind::Clip, about, bytes: vec![7; 200_000] };
        assert!(recorder.handle().attach(&clip, Duration::from_mins(1)).unwrap());
        assert_eq!(recorder.stop(), 0);
    }
    let _broker = site.start_broker();
    let life = blind.online().await;
    let identity = &blind.test_box.identity;
    life.sign_checkpoints(note::signer(&blind.config.site.site, blind.id(), identity.key.clone()));
    let path = |name: &str| site.dir.path().join(name).display().to_string();
    let (file, bare, id) = (path("k17.evidence"), path("bare.evidence"), id.to_string());
    let bundle = |out: &str| [&["evidence", "bundle", &id, "--out", out][..], &FOR].concat().join("\n");
    let ask = async |words: String| site.ctl(&words.lines().collect::<Vec<_>>()).await;
    ask(bundle(&file)).await.expect(0, &["with 1 hits", "k17.evidence"]);
    ask(bundle(&file)).await.expect(1, &["is there already"]);
    let without = path("without.evidence");
    ask(bundle(&without) + "\n--no-clip").await.expect(0, &["with 1 hits"]);
    let saved = path("pass.mp4");
    let fetch = [&["evidence", "clip", &id, "--out", &saved][..], &FOR].concat().join("\n");
    ask(fetch).await.expect(0, &["200000 bytes", "it ends early"]);
    assert_eq!(fs::read(&saved).unwrap(), vec![7; 200_000]);
    // Without the auditor's key there is no proof, and that is said.
    fs::remove_file(site.dir.path().join("keys/auditor.key")).unwrap();
    ask(bundle(&bare)).await.expect(0, &["NO PROOF"]);
    life.stop().await;

    // Offline: the root key of the centre's folder, or one that is given, and none of them.
    site.ctl(&["evidence", "verify", &file]).await.expect(
        0,
        &[
            "is accounted for by record",
            "clip.mp4: the clip that the box signed",
            "of it is missing: it ends early",
            "everything fits",
        ],
    );
    site.ctl(&["evidence", "verify", &without]).await.expect(0, &["clip.mp4: none", "everything fits"]);
    site.ctl(&["evidence", "verify", &bare]).await.expect(0, &["NO PROOF"]);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    site.ctl(&["evidence", "verify", &file]).await.expect(1, &["DOES NOT FIT"]);
}
