//! The daemon as the unit of `systemd/` runs it: what it forbids, what it is told, what the journal gets.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kit::one_box::{OneBox, camera, fixture};

const PATIENCE: Duration = Duration::from_mins(3);

#[test]
fn plates_are_read_under_what_the_unit_forbids() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut test = Command::new(root.join("scripts/test_unit.sh"));
    let done = test.arg(env!("CARGO_BIN_EXE_watchpost")).arg(fixture("street-a.mp4")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("reads stored") && said.contains("clock: kept where systemd-timedated says so"), "{said}");
}

/// Ends with this value.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What systemd is told next, but for signs of life.
fn next(told: &UnixDatagram) -> String {
    let mut bytes = [0; 512];
    loop {
        let length = told.recv(&mut bytes).expect("systemd is told something");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if !text.contains("WATCHDOG=1") {
            return text;
        }
    }
}

#[test]
fn a_reload_takes_what_starts_and_leaves_in_force_what_ran_where_the_new_one_has_faults_or_does_not_start() {
    let made = OneBox::new();
    made.configure(&[camera("gate", 1, "test://ball", "")]);
    let told = UnixDatagram::bind(made.path("notify")).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let log = std::fs::File::create(made.path("log")).unwrap();
    let mut run = made.command("run");
    run.env("NOTIFY_SOCKET", made.path("notify")).stdout(Stdio::null()).stderr(log);
    let mut daemon = Running(run.spawn().unwrap());
    assert!(next(&told).contains("READY=1"));
    let said = |words: &str| std::fs::read_to_string(made.path("log")).unwrap().contains(words);

    made.configure(&["[[camera]]\nid = 7\n".to_owned()]);
    daemon.signal("-HUP");
    let reloading = next(&told);
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(next(&told).contains("READY=1"));
    assert!(said("which has faults: the one of before stays in force"));

    made.configure(&[camera("gate", 1, "test://ball", ""), camera("yard", 2, "test://ball", "")]);
    daemon.signal("-HUP");
    assert!(next(&told).contains("RELOADING=1"));
    assert!(next(&told).contains("READY=1"));
    assert!(said("watchpost runs cameras=2"));

    // Without a fault of its own, but it cannot start: the box goes on with what it ran before.
    made.configure(&["[vision]\ndetector = \"there-is-none\"\n".to_owned(), camera("gate", 1, "test://ball", "")]);
    daemon.signal("-HUP");
    assert!(next(&told).contains("RELOADING=1"));
    assert!(next(&told).contains("READY=1"));
    let log = std::fs::read_to_string(made.path("log")).unwrap();
    assert!(log.contains("the configuration does not start: the one of before stays in force"), "{log}");
    assert_eq!(log.matches("watchpost runs cameras=2").count(), 2, "{log}");

    made.configure(&[camera("gate", 1, "test://ball", "")]);
    daemon.signal("-HUP");
    assert!(next(&told).contains("RELOADING=1"));
    assert!(next(&told).contains("READY=1"));
    assert_eq!(std::fs::read_to_string(made.path("log")).unwrap().matches("watchpost runs cameras=1").count(), 2);

    daemon.signal("-TERM");
    assert!(next(&told).contains("STOPPING=1"));
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn the_unit_has_what_the_daemon_counts_on() {
    let unit =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/watchpost.service")).unwrap();
    let says = |line: &str| unit.lines().any(|l| l == line);
    // A decode worker that the kernel ends for its memory is no end of the daemon (docs/decisions/0020).
    assert!(says("OOMPolicy=continue"));
    // What the daemon ends with once it was wiped (src/cli/run.rs), and no other end.
    assert!(says("RestartPreventExitStatus=78") && says("Restart=always"));
}
