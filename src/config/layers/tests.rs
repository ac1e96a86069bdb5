//! What the centre lays over local files, and what it may not.

use std::path::PathBuf;

use super::*;
use crate::config::managed::patch;

const MAIN: &str = r#"
[box]
site = "north"
id = "box-1"
data_dir = "data"
[[camera]]
id = "gate"
number = 1
uri = "rtsps://192.0.2.7/a"
fps = 5
ca = "cam.pem"
[[camera]]
id = "yard"
number = 2
uri = "rtsp://192.0.2.8/a"
[store.retention]
reads_hours = 24
minor_days = 20
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("watchpost.toml"), MAIN).unwrap();
        Self(dir)
    }

    fn main(&self) -> PathBuf {
        self.0.path().join("watchpost.toml")
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn layers(&self, overlay: &str) -> Layers {
        Layers::read(&self.main(), &Overlay::Candidate(overlay)).unwrap()
    }

    fn load(&self, overlay: &str) -> Result<Config, Faults> {
        self.layers(overlay).config()
    }
}

fn ids(config: &Config) -> Vec<&str> {
    config.cameras.iter().map(|c| c.id.as_str()).collect()
}

#[test]
fn an_overlay_merges_sections_and_puts_blocks_in_the_place_of_those_with_the_same_id() {
    let files = Files::new();
    let config = files
        .load(
            "[store]\ncache_mib = 48\n[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://192.0.2.9/b\"\n\
             [[camera]]\nid = \"yard\"\nremoved = true\n[[camera]]\nid = \"door\"\nnumber = 3\nuri = \"rtsp://192.0.2.3/\"\n",
        )
        .unwrap();
    assert_eq!((config.store.cache_mib, config.store.retention.minor_days), (48, 20));
    assert_eq!(ids(&config), ["gate", "door"]);
    let gate = &config.cameras[0];
    assert!(gate.uri.contains("192.0.2.9") && gate.fps.is_none() && gate.ca.is_none(), "replaced whole: {gate:?}");
}

#[test]
fn every_local_key_is_refused_in_the_overlay_with_its_place_and_the_reason() {
    let files = Files::new();
    for (key, why) in LOCAL {
        let (head, name) = match key.rsplit_once('.') {
            Some((section, name)) => (format!("[{section}]"), name),
            None => ("# a section as a whole".to_owned(), *key),
        };
        let overlay = format!("# first line\n{head}\n{name} = \"other\"\n");
        let faults = files.load(&overlay).unwrap_err();
        let fault = faults.0.iter().find(|f| f.key == *key).unwrap_or_else(|| panic!("{key}: {faults}"));
        assert!(fault.what.contains(why) && fault.place.as_ref().unwrap().line == 3, "{fault}");
    }
    let faults = files.load("[[camera]]\nid = \"gate\"\nnumber = 1\nuri = \"rtsp://192.0.2.7/a\"\npipeline = \"/p\"\n");
    assert!(faults.unwrap_err().to_string().contains("is a path"));
    let faults = files.load("[console]\nlisten = \"127.0.0.1:8480\"\ntoken = \"console\"\n").unwrap_err().to_string();
    assert!(faults.contains("console") && faults.contains("on the box alone"), "{faults}");
    assert!(files.load("[box]\nlocation = [1.0, 2.0]\n").unwrap().site.location.is_some());
}

#[test]
fn faults_of_the_overlay_are_told_all_at_once_with_their_lines() {
    let faults = Files::new().load("[store]\ncache_mib = \"x\"\ncahce = 1\n[vision]\nworkers = -1\n").unwrap_err();
    let all = faults.to_string();
    assert_eq!(faults.0.len(), 3, "{all}");
    assert!(all.contains("managed/centre.toml:2") && all.contains("managed/centre.toml:5"), "{all}");
}

#[test]
fn the_local_admin_switches_the_overlay_off() {
    let files = Files::new();
    files.put("data/managed/centre.toml", "[store]\ncache_mib = 32\n");
    let on = super::super::load(&files.main()).unwrap();
    assert_eq!(on.store.cache_mib, 32);
    files.put("conf.d/local.toml", "[box]\nmanaged = false\n");
    let off = super::super::load(&files.main()).unwrap();
    assert_eq!((off.store.cache_mib, off.site.managed), (4, false));
    assert_ne!(on.digest, off.digest);
}

#[test]
fn rows_say_where_each_value_comes_from() {
    let files = Files::new();
    let layers = files.layers("[store]\nremind_minutes = 48\n");
    let rows = layers.rows(true);
    let row = |key: &str| rows.iter().find(|r| r.key == key).unwrap_or_else(|| panic!("{key} in {rows:#?}"));
    let of = |key: &str| row(key).place.as_ref().map(|p| layers.is_of_centre(p));
    assert_eq!((row("camera.gate.fps").value.as_str(), of("camera.gate.fps")), ("5", Some(false)));
    assert_eq!((row("store.remind_minutes").value.as_str(), of("store.remind_minutes")), ("48", Some(true)));
    assert_eq!((row("store.cache_mib").value.as_str(), of("store.cache_mib")), ("4", None));
    assert!(layers.rows(false).iter().all(|r| r.place.is_some()));
}

#[test]
fn single_keys_are_changed_and_a_local_camera_is_copied_first() {
    let files = Files::new();
    let layers = files.layers("");
    let change = |overlay: &str, changes: &[(&str, Option<&str>)]| {
        let changes: Vec<_> = changes.iter().map(|(k, v)| ((*k).to_owned(), v.map(ToOwned::to_owned))).collect();
        patch::change(&layers, overlay, &changes)
    };
    let overlay = change("", &[("camera.gate.fps", Some("10")), ("store.cache_mib", Some("48"))]).unwrap();
    let config = files.load(&overlay).unwrap();
    assert_eq!(config.cameras[0].fps, Some(10.0));
    assert_eq!(config.cameras[0].ca.as_deref(), Some(files.0.path().join("cam.pem").as_path()), "still the same file");
    assert_eq!(config.store.cache_mib, 48);
    let overlay = change(&overlay, &[("camera.gate.fps", None), ("store.cache_mib", None)]).unwrap();
    let config = files.load(&overlay).unwrap();
    assert_eq!((config.cameras[0].fps, config.store.cache_mib), (None, 4));
    assert_eq!(change(&overlay, &[("camera.gate", None)]).unwrap(), "", "nothing is left");
    let deep = change("", &[(&"a.".repeat(30_000), Some("1"))]).unwrap_err();
    assert!(deep.len() == 1 && deep[0].contains("30001 parts") && deep[0].len() < 200, "{deep:?}");
    let faults = change("", &[("camera.no.fps", Some("1")), ("store", Some("1")), ("store.cache_mib", Some("1 2"))]);
    assert_eq!(faults.unwrap_err().len(), 3);
}

#[test]
fn cameras_are_added_and_taken_out() {
    let files = Files::new();
    let block = "[[camera]]\nid = \"door\"\nnumber = 3\nuri = \"rtsp://192.0.2.3/\"\n";
    let (overlay, id) = patch::set_camera("", block).unwrap();
    assert_eq!((ids(&files.load(&overlay).unwrap()), id.as_str()), (vec!["gate", "yard", "door"], "door"));
    let layers = files.layers(&overlay);
    let overlay = patch::remove_camera(&layers, &overlay, "gate").unwrap();
    assert_eq!(ids(&files.load(&overlay).unwrap()), ["yard", "door"]);
    let overlay = patch::remove_camera(&files.layers(&overlay), &overlay, "door").unwrap();
    assert_eq!(ids(&files.load(&overlay).unwrap()), ["yard"]);
    assert!(patch::remove_camera(&files.layers(&overlay), &overlay, "gate").is_err(), "gone already");
    for wrong in ["", "[store]\ncache_mib = 1\n", "[[camera]]\nnumber = 1\n", &format!("{block}{block}")] {
        assert!(patch::set_camera("", wrong).is_err(), "{wrong}");
    }
}

proptest::proptest! {
    /// Whatever the centre sends, it is an overlay or it is refused: nothing panics, and local keys stay.
    #[test]
    fn no_text_panics_and_none_changes_who_the_box_is(text in "[\\[\\]a-z=\".\\n 0-9{},]{0,200}") {
        let files = Files::new();
        if let Ok(layers) = Layers::read(&files.main(), &Overlay::Candidate(&text))
            && let Ok(config) = layers.config()
        {
            proptest::prop_assert_eq!(config.site.id.as_str(), "box-1");
        }
        let _ = patch::set_camera("", &text);
        let _ = patch::change(&files.layers(""), "", &[(text.clone(), Some(text))]);
    }
}
