//! What the program says when it is given something bad: what, where, what to do; exit 1, no panic, nothing lost.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;

use watchpost::camera::testkit::Clip;
use watchpost::centre::publish::News;
use watchpost::domain::Severity;

use crate::kit::one_box::{OneBox, Said, camera, fixture, hotlist, watchpost};
use crate::kit::pauses::Pauses;
use crate::kit::stored::Stored;

/// A short clip without plates.
fn ball(made: &OneBox) -> String {
    let path = made.path("ball.mp4");
    Clip { frames: 10, ..Clip::H264 }.make(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A box whose one camera is a short clip.
fn quiet(more: &[String]) -> OneBox {
    let made = OneBox::new();
    made.configure(&[&[camera("ball", 1, &ball(&made), "")], more].concat());
    made
}

/// Takes `[centre]` out: for tests that are not about delivery.
fn without_centre(made: &OneBox) {
    let path = made.path("watchpost.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let at = text.find("\n[centre]").unwrap();
    std::fs::write(&path, &text[..=at]).unwrap();
    assert!(made.config().centre.is_none());
}

#[tokio::test]
async fn faulty_file_cameras_are_named_and_the_good_one_beside_them_is_played() {
    let made = OneBox::new();
    without_centre(&made);
    let make = |name: &str, clip: Clip<'_>| {
        clip.make(&made.path(name)).unwrap();
        made.path(name).to_str().unwrap().to_owned()
    };
    let vp8 = make("vp8.mp4", Clip { encoder: "vp8enc deadline=1", muxer: "matroskamux", frames: 5, ..Clip::H264 });
    let mpeg4 = make("mpeg4.mp4", Clip { encoder: "avenc_mpeg4", frames: 5, ..Clip::H264 });
    let vast = make("vast.mp4", Clip { size: (4200, 64), frames: 2, ..Clip::H264 });
    let text = made.file("notes.mp4", "no video at all").to_str().unwrap().to_owned();
    let none = made.path("none.mp4").to_str().unwrap().to_owned();
    let folder = made.path("folder.mp4");
    std::fs::create_dir(&folder).unwrap();
    made.configure(&[
        camera("none", 1, &none, ""),
        camera("text", 2, &text, ""),
        camera("vp8", 3, &vp8, ""),
        camera("mpeg4", 4, &mpeg4, ""),
        camera("vast", 5, &vast, ""),
        camera("folder", 6, folder.to_str().unwrap(), ""),
        camera("good", 7, &ball(&made), "motion_gate = false"),
    ]);
    let faults = [
        format!("none: {none}: cannot be read: No such file"),
        format!("text: {text}: is no video file that is known"),
        format!("vp8: {vp8}: sends VP8; H.264, H.265 and Motion JPEG are supported"),
        format!("mpeg4: {mpeg4}: sends MPEG-4 video; H.264, H.265 and Motion JPEG are supported"),
        format!("vast: {vast}: sends pictures of 4200×64, at most 4096×2304 are accepted: choose a smaller"),
        format!("folder: {}: has no pictures in it (.jpg, .jpeg or .png)", folder.display()),
    ];
    let words: Vec<&str> = faults.iter().map(String::as_str).collect();
    let said = made.run("run", &["--until-eos"]).await;
    said.expect(1, &words);
    assert_eq!(said.row("good")[..4], [10, 10, 0, 0], "{said:#?}");
    let said = made.run("check", &[]).await;
    said.expect(1, &words);
    said.expect(1, &["good: 320×180"]);
}

#[tokio::test]
async fn a_model_that_does_not_fit_its_manifest_is_refused_with_both_shapes() {
    let models = |detector: &str, reader: &str| {
        let folder = fixture("models");
        format!("[vision]\nmodels = '{}'\ndetector = \"{detector}\"\nreader = \"{reader}\"\n", folder.display())
    };
    for (detector, reader, words) in [
        (
            "shape",
            "scribe",
            ["model \"shape\"", "has shape [1, 4, 5, 8], its manifest says [1, 4, 4, 8]: correct its manifest"],
        ),
        ("names", "scribe", ["model \"names\"", "correct its manifest"]),
        ("wide", "scribe", ["model \"wide\"", "export the model with 32-bit floats"]),
        ("spot", "spot", ["model \"spot\"", "can't be the reader: name another model by [vision] reader"]),
    ] {
        let made = quiet(&[models(detector, reader)]);
        made.run("run", &["--until-eos"]).await.expect(1, &words);
        assert!(!made.path("data/store").exists(), "nothing is begun with models that do not fit");
        made.run("check", &[]).await.expect(1, &[&words[..], &["FAILURE  models"]].concat());
    }
}

#[tokio::test]
async fn a_changed_model_file_is_refused_by_its_digest() {
    let made = OneBox::new();
    let models = format!("[vision]\nmodels = '{}'\n", made.path("mine").display());
    made.configure(&[camera("ball", 1, &ball(&made), ""), models]);
    for model in ["plates-1", "reader-1"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
        for name in ["manifest.toml", "model.onnx"] {
            made.file(&format!("mine/{model}/{name}"), std::fs::read(from.join(name)).unwrap());
        }
    }
    made.run("check", &[]).await.expect(1, &["ok       models", "plates-1, reader-1"]);
    let path = made.path("mine/reader-1/model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let words = [path.to_str().unwrap(), "its manifest says", "restore it"];
    made.run("run", &["--until-eos"]).await.expect(1, &words);
    made.run("check", &[]).await.expect(1, &words);
}

#[tokio::test]
async fn a_configuration_with_five_mistakes_is_told_all_five_with_their_lines() {
    let made = OneBox::new();
    let path = made.path("watchpost.toml");
    let text = "[box]\nsite = \"North Gate\"\nid = \"box-1\"\n\n[[camera]]\nid = \"gate\"\nnumber = 70000\n\
                url = \"rtsp://192.0.2.7/1\"\n\n[store]\ncommit_interval_ms = \"fast\"\n\n[centre]\n\
                broker = \"http://centre\"\nca = \"ca.pem\"\nkeyring = \"keyring.cbor\"\nroot_key = \"root.pub\"\n";
    std::fs::write(&path, text).unwrap();
    let at = |line: u32| format!("watchpost.toml:{line}");
    let lines = [at(2), at(7), at(8), at(11), at(14)];
    let mut words: Vec<&str> = lines.iter().map(String::as_str).collect();
    words.extend(["site", "camera[1].number", "camera[1].url", "uri", "commit_interval_ms", "mqtts://HOST:PORT"]);
    made.run("run", &[]).await.expect(1, &words);
    made.run("check", &[]).await.expect(1, &words);
    let said = made.run("check", &["--json"]).await;
    said.expect(1, &words);
    assert!(said.out.lines().count() >= 5);
    for line in said.out.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&finding["level"], &finding["check"]), (&"failure".into(), &"config".into()), "{line}");
        assert!(finding["todo"].is_string(), "{line}");
    }
    assert!(!made.path("data/store").exists());
}

#[tokio::test]
async fn a_hotlist_with_a_bad_line_is_refused_by_line_and_the_others_stay() {
    let made = OneBox::new();
    without_centre(&made);
    let bad = made.file("bad.csv", "PlateNumber,PlateState\nABC123,US\n*,US\nXY77KLM,EU\nA1,US\n");
    made.configure(&[
        camera("ball", 1, &ball(&made), ""),
        hotlist("bad", 1, &bad, "minor"),
        hotlist("stolen", 2, &fixture("hotlist-serious.csv"), "serious"),
    ]);
    let words = ["hotlist bad: ", "bad.csv", "2 bad line(s), the list is not taken: line 3: ", "line 5: "];
    let said = made.run("run", &["--until-eos"]).await;
    said.expect(0, &words);
    said.expect(0, &["hotlist refused", "hotlist in force list=stolen entries=2"]);
    assert!(!said.err.contains("list=bad entries"), "{said:#?}");
    let said = made.run("check", &[]).await;
    said.expect(1, &words);
    said.expect(1, &["stolen: 2 entries", "`run` goes on with the list it has, or without one"]);
    for text in [&said.err, &said.out] {
        assert!(!text.contains("ABC123"), "plates are in no message: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_authority_gets_nothing_and_the_right_one_everything() {
    const HITS: u32 = 20;
    let made = quiet(&[]);
    let stored = Stored::of(made.store(), News::default());
    (1..=HITS).for_each(|n| stored.hit(n, Severity::Minor));
    stored.flush();
    stored.close();

    let mut strange = made.strange_broker();
    made.run("check", &[]).await.expect(1, &["FAILURE  broker", "mqtts://127.0.0.1"]);
    let mut command = made.command("run");
    let mut daemon =
        command.arg("--until-eos").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let (mut log, told) = tokio::task::spawn_blocking(move || {
        let mut told = String::new();
        while !told.contains("another CA") {
            assert!(log.read_line(&mut told).unwrap() > 0, "the daemon ended without a word of it: {told}");
        }
        (log, told)
    })
    .await
    .unwrap();
    assert!(told.contains("127.0.0.1"), "{told}");

    // It has not given up, and what it could not tell is kept.
    strange.kill();
    let pauses = Pauses::watch();
    let _broker = made.broker();
    let centre = made.centre().await;
    let said = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        let mut said = Said::of(daemon.wait_with_output().unwrap());
        said.err = told + &rest;
        said
    })
    .await
    .unwrap();
    said.expect(0, &[&format!("alerts: {HITS} acknowledged by the centre, "), " sent again, 0 waiting"]);
    // After two seconds without an ack an alert is sent again.
    if !pauses.spoil("whether anything was sent twice") {
        said.expect(0, &[", 0 sent again, 0 waiting"]);
    }
    assert_eq!(centre.seqs(), (1..=u64::from(HITS)).collect::<Vec<_>>());
    centre.stop().await;
    assert_eq!(made.store().outbox().depth().entries, 0);
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_said_and_what_was_stored_stays() {
    const HITS: u32 = 5;
    let made = quiet(&[]);
    // Nothing new may be seen: the detector takes a lone white disc for a plate that can't be read, which would be lost.
    Clip { frames: 10, pattern: "black", ..Clip::H264 }.make(&made.path("ball.mp4")).unwrap();
    without_centre(&made);
    let stored = Stored::of(made.store(), News::default());
    (1..=HITS).for_each(|n| stored.hit(n, Severity::Serious));
    stored.flush();
    stored.close();
    // In a mount namespace of its own the data lies on a disk of 28 MiB, less than the store keeps in reserve; then that
    // is full to the brim and the ballast is gone. Afterwards it comes back as it was left there.
    let script = "set -e; cp -a $1/data $1/before; mount -t tmpfs -o size=28m none $1/data; cp -a $1/before/. $1/data/; \
                  set +e; $2 run --config $1/watchpost.toml --until-eos; echo scarce: $?; \
                  rm -f $1/data/store/ballast; head -c 64m /dev/zero > $1/data/filler; \
                  $2 check --config $1/watchpost.toml; echo check: $?; \
                  $2 run --config $1/watchpost.toml --until-eos; echo run: $?; cp -a $1/data/store $1/after";
    let enter = |options: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(options).stdin(Stdio::null());
        command
    };
    let ways: [&[&str]; 2] = [&["-m"], &["-rm"]];
    let works = |way: &&&[&str]| {
        let probe = ["sh", "-c", "mount -t tmpfs none /mnt"];
        enter(way).args(probe).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        eprintln!("skipped: no small disk can be mounted here (neither root nor user namespaces)");
        return;
    };
    let mut command = enter(way);
    command.args(["sh", "-c", script, "sh"]).arg(made.path("")).arg(env!("CARGO_BIN_EXE_watchpost"));
    let said = tokio::task::spawn_blocking(move || Said::of(command.output().unwrap())).await.unwrap();
    said.expect(0, &["disk full: nothing is recorded until there is room", "0 waiting\nscarce: 0"]);
    said.expect(0, &["check: 1", "FAILURE  disk", "run: 1"]);
    assert!(said.err.contains("no space: ") && said.err.contains("free some space"), "{said:#?}");

    std::fs::rename(made.path("data/store"), made.path("data/store-before")).unwrap();
    std::fs::rename(made.path("after"), made.path("data/store")).unwrap();
    let store = made.store();
    assert_eq!((store.counts().hits, store.outbox().depth().entries), (u64::from(HITS), u64::from(HITS)));
}

#[test]
fn wrong_usage_ends_with_2_and_what_fails_with_1() {
    let said = |arguments: &[&str]| Said::of(watchpost().args(arguments).output().unwrap());
    said(&["bogus"]).expect(2, &["unrecognized subcommand", "bogus"]);
    said(&[]).expect(2, &["Usage: watchpost"]);
    said(&["run", "--config"]).expect(2, &["--config"]);
    said(&["read"]).expect(2, &["PATH"]);
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.toml");
    let none = none.to_str().unwrap();
    said(&["run", "--config", none]).expect(1, &[none]);
    said(&["check", "--config", none]).expect(1, &[none]);
    said(&["decode", none]).expect(1, &[none]);
    said(&["bench", none]).expect(1, &[none]);
    said(&["init", "--dir", dir.path().to_str().unwrap()]).expect(0, &["next:"]);
    said(&["init", "--dir", dir.path().to_str().unwrap()]).expect(1, &["never overwrites"]);
}

#[test]
fn a_picture_of_absurd_size_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let vast = dir.path().join("vast.png");
    image::GrayImage::new(8, 8).save(&vast).unwrap();
    // Its header is made to say 60,000 × 60,000.
    let mut png = std::fs::read(&vast).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&vast, png).unwrap();
    let said = Said::of(watchpost().args(["read", "--json"]).arg(&vast).output().unwrap());
    said.expect(1, &[vast.to_str().unwrap(), "larger than 8192 pixels a side: scale it down"]);
    assert_eq!((said.err.lines().count(), said.out.as_str()), (1, ""), "{said:#?}");
}
