//! Configurations and cameras from afar, on a real daemon with a real broker: confirmed, rolled back, power cuts, pauses,
//! masked pictures, secrets.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kit::broker::Mosquitto;
use super::kit::one_box::{OneBox, Said, camera};

/// A daemon; killed with this value.
struct Daemon(Child);

impl Daemon {
    fn start(of: &OneBox) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(of.path("daemon.log")).unwrap();
        Self(of.command("run").stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// SIGKILL, as when the machine loses power.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Yard {
    of: OneBox,
    _broker: Mosquitto,
}

impl Yard {
    fn new(sections: &[String]) -> Self {
        let of = OneBox::new();
        of.configure(sections);
        let broker = of.broker();
        Self { of, _broker: broker }
    }

    fn ctl(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpostctl"));
        command.stdin(Stdio::null()).env_remove("RUST_LOG").arg("--centre").arg(self.of.path("centre")).args(args);
        Said::of(command.output().unwrap())
    }

    /// Asks until `good` holds: a daemon takes its time to start.
    #[track_caller]
    fn until(&self, args: &[&str], good: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(90);
        let mut last = None;
        while Instant::now() < end {
            let said = self.ctl(&[args, &["--wait", "3", "--json"]].concat());
            let first = said.out.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(told) = first.filter(|told| told["outcome"] == "answered")
                && good(&told["answer"])
            {
                return told["answer"].clone();
            }
            last = Some(said);
        }
        let log = std::fs::read_to_string(self.of.path("daemon.log")).unwrap_or_default();
        panic!("{args:?} never came to it: {last:#?}\n{log}");
    }

    fn is_up(&self) {
        self.until(&["config", "status"], |_| true);
    }

    /// The steps of configurations in the audit log, when no daemon has the store.
    fn steps(&self) -> Vec<String> {
        let store = self.of.store();
        let records = watchpost::store::audit::read(store.dir()).unwrap();
        let steps = records.into_iter().filter(|r| r.event == "config.changed");
        steps.filter_map(|r| r.details.into_iter().find(|(k, _)| k == "step").map(|(_, v)| v)).collect()
    }
}

#[test]
fn a_good_configuration_is_confirmed_and_a_broken_broker_address_is_rolled_back_by_itself() {
    let yard = Yard::new(&[]);
    let mut daemon = Daemon::start(&yard.of);
    yard.is_up();
    let good = yard.ctl(&["config", "set", "store.cache_mib=31", "--stand", "1", "--within", "60"]);
    good.expect(0, &["store.cache_mib: — → 31", "configuration 1 confirmed"]);
    let bad = yard.ctl(&["config", "set", "centre.broker=mqtts://127.0.0.1:1", "--stand", "2", "--within", "8"]);
    bad.expect(1, &["configuration 2 is staged", "configuration 2 rolled back", "within 8 s"]);
    let told = yard.until(&["config", "get", "centre.broker"], |told| told["last"]["confirmed"] == false);
    assert_eq!((told["serial"].as_u64(), told["values"][0]["origin"].as_str()), (Some(1), Some("local")), "{told:#}");
    let minor = yard.until(&["config", "get", "store.cache_mib"], |_| true);
    assert_eq!(minor["values"][0]["origin"], "centre", "what was confirmed before is in force: {minor:#}");
    let health = yard.until(&["box", "status"], |told| told["overlay"]["rolled_back"]["serial"] == 2);
    assert_eq!(health["overlay"]["serial"], 1, "{health:#}");
    daemon.kill();
    let steps = yard.steps();
    assert_eq!(steps, ["staged", "probation", "confirmed", "staged", "probation", "rolled-back"]);
}

#[test]
fn a_power_cut_in_the_middle_of_a_probation_is_survived_and_a_second_rolls_back() {
    let yard = Yard::new(&[]);
    let mut daemon = Daemon::start(&yard.of);
    yard.is_up();
    let set = |value: &str, stand: &str| {
        let key = format!("store.cache_mib={value}");
        yard.ctl(&["config", "set", &key, "--no-wait", "--stand", stand, "--within", "120"])
    };
    set("31", "15").expect(0, &["configuration 1 is staged"]);
    yard.until(&["config", "status"], |told| told["probation"]["serial"] == 1);
    daemon.kill();
    let mut daemon = Daemon::start(&yard.of);
    yard.until(&["config", "status"], |told| told["last"]["serial"] == 1 && told["last"]["confirmed"] == true);
    set("32", "100").expect(0, &["configuration 2 is staged"]);
    yard.until(&["config", "status"], |told| told["probation"]["serial"] == 2);
    daemon.kill();
    // Three: on probation is told before the restart that begins it, so the first cut may have come before its first start.
    for _ in 0..3 {
        daemon = Daemon::start(&yard.of);
        yard.until(&["config", "status"], |told| told["last"]["serial"] == 2 || told["probation"]["serial"] == 2);
        if yard.until(&["config", "status"], |_| true)["last"]["serial"] == 2 {
            break;
        }
        daemon.kill();
    }
    let told = yard.until(&["config", "get", "store.cache_mib"], |_| true);
    assert_eq!((told["last"]["confirmed"].as_bool(), told["values"][0]["value"].as_str()), (Some(false), Some("31")));
    assert!(told["last"]["why"].as_str().unwrap().contains("without a word"), "{told:#}");
    daemon.kill();
}

#[test]
fn faults_are_named_before_anything_changes_and_a_camera_is_added_on_probation() {
    let yard = Yard::new(&[]);
    let _daemon = Daemon::start(&yard.of);
    yard.is_up();
    yard.ctl(&["config", "set", "box.id=box-9", "vision.detector=none-1", "store.cahce_mib=3"])
        .expect(1, &["verification", "box.id", "did you mean `cache_mib`"]);
    yard.ctl(&["config", "diff", "vision.detector=none-1"]).expect(1, &["model none-1"]);
    let block = yard.of.file("door.toml", camera("door", 7, "test://smpte", "credential = 'door'"));
    let block = block.to_str().unwrap();
    yard.ctl(&["camera", "set", block]).expect(1, &["credential \"door\""]);
    let credential = yard.of.file("credential", "admin:Zx81-pass\n");
    yard.ctl(&["secret", "set", "door", "--file", credential.to_str().unwrap()]).expect(0, &["door"]);
    yard.ctl(&["camera", "set", block, "--stand", "1", "--within", "60"]).expect(0, &["configuration 1 confirmed"]);
    let told = yard.until(&["camera", "list"], |told| told["cameras"][0]["state"] == "online");
    assert_eq!(told["cameras"][0]["of_centre"], true, "{told:#}");
    let log = std::fs::read_to_string(yard.of.path("daemon.log")).unwrap();
    assert!(!log.contains("Zx81-pass"), "{log}");
    yard.ctl(&["camera", "remove", "door", "--stand", "1", "--within", "60"]).expect(0, &["configuration 2 confirmed"]);
    assert_eq!(yard.until(&["camera", "list"], |_| true)["cameras"].as_array().unwrap().len(), 0);
}

#[test]
fn a_picture_of_now_is_masked_needs_a_purpose_and_a_paused_camera_gives_none() {
    let mask = "privacy_mask = [[[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]]";
    let yard = Yard::new(&[camera("gate", 3, "test://smpte", mask)]);
    let mut daemon = Daemon::start(&yard.of);
    yard.until(&["camera", "list"], |told| told["cameras"][0]["state"] == "online");
    yard.ctl(&["camera", "snapshot", "gate"]).expect(1, &["purpose"]);
    let out = yard.of.path("pictures");
    std::fs::create_dir(&out).unwrap();
    let dir = out.to_str().unwrap();
    yard.ctl(&["camera", "snapshot", "gate", "--purpose", "maintenance", "--out", dir]).expect(0, &["box-1-gate-"]);
    let file = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let picture = image::open(&file).unwrap().to_luma8();
    let (width, height) = picture.dimensions();
    let dark = |from: u32, to: u32| {
        let all = (from..to).flat_map(|x| (0..height).map(move |y| (x, y)));
        all.filter(|(x, y)| picture.get_pixel(*x, *y).0[0] < 30).count() as f64 / f64::from((to - from) * height)
    };
    assert!(dark(width / 2 + 8, width) > 0.999, "the right half is masked: {}", dark(width / 2 + 8, width));
    assert!(dark(0, width / 2 - 8) < 0.6, "the left half is seen: {}", dark(0, width / 2 - 8));
    yard.ctl(&["camera", "pause", "gate", "--for", "1h"]).expect(0, &["paused until"]);
    let paused = |told: &Value| {
        let camera = &told["cameras"][0];
        camera["state"] == "disabled" && camera["reason"].as_str().is_some_and(|r| r.starts_with("paused until 2"))
    };
    yard.until(&["camera", "list"], paused);
    yard.ctl(&["camera", "snapshot", "gate", "--purpose", "maintenance", "--out", dir]).expect(1, &["paused until"]);
    daemon.kill();
    let mut daemon = Daemon::start(&yard.of);
    yard.until(&["camera", "list"], paused);
    yard.ctl(&["camera", "resume", "gate"]).expect(0, &["resumed"]);
    yard.until(&["camera", "list"], |told| told["cameras"][0]["state"] == "online");
    daemon.kill();
    let store = yard.of.store();
    let viewed =
        watchpost::store::audit::read(store.dir()).unwrap().into_iter().filter(|r| r.event == "picture.viewed");
    let details: Vec<_> = viewed.map(|r| r.details).collect();
    assert_eq!(details.len(), 1, "{details:?}");
    assert!(details[0].contains(&("purpose".to_owned(), "maintenance".to_owned())), "{details:?}");
}
