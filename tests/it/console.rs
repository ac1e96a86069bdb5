//! The console of a real daemon with a real camera, asked over HTTP: who is let in, what is shown, and that nothing listens unless
//! it is asked for.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use watchpost::camera::testkit::RtspServer;
use watchpost::store::audit;

use crate::kit::broker::free_port;
use crate::kit::camera::looped;
use crate::kit::daemon::Daemon;
use crate::kit::http::{Heard, ask, exchange, request};
use crate::kit::one_box::{OneBox, camera, fixture};

pub const TOKEN: &str = "5c0d8a6e1f4b47d2a9e3";

/// A box with a console, a camera that plays a clip in a loop, and a key to ask for reads with.
pub struct Desk {
    pub made: OneBox,
    pub daemon: Daemon,
    pub port: u16,
    _cameras: Vec<RtspServer>,
}

impl Desk {
    /// `more` are further lines of the camera and of the section.
    pub fn open(of_camera: &str, of_console: &str) -> Self {
        let server = RtspServer::start(&fixture("street-a.mp4"), &looped()).unwrap();
        let gate = camera("gate", 1, &server.url(), of_camera);
        Self::of(OneBox::new(), vec![server], &[gate], of_console)
    }

    /// A box of one's own with a console, these cameras and these sections.
    pub fn of(made: OneBox, cameras: Vec<RtspServer>, sections: &[String], of_console: &str) -> Self {
        let port = free_port();
        let data = made.config().site.data_dir;
        credential(&data, "console", TOKEN.as_bytes());
        credential(&data, "reader", &std::fs::read(made.path("centre/keys/investigator.key")).unwrap());
        let console = format!("[console]\nlisten = \"127.0.0.1:{port}\"\nkey = \"reader\"\n{of_console}\n");
        made.configure(&[sections, &[console]].concat());
        let mut daemon = made.daemon();
        daemon.until("the console listens");
        Self { made, daemon, port, _cameras: cameras }
    }

    pub fn get(&self, path: &str) -> Heard {
        ask(self.port, "GET", path, &[("Authorization", &format!("Bearer {TOKEN}"))], b"")
    }

    fn bare(&self, path: &str) -> Heard {
        ask(self.port, "GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &Value) -> Heard {
        let fields = [("Authorization", format!("Bearer {TOKEN}")), ("Content-Type", "application/json".to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(self.port, "POST", path, &fields, body.to_string().as_bytes())
    }

    /// What is told once `is_there`.
    pub fn until(&self, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let told = self.get(path).json();
            if is_there(&told) {
                return told;
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "{told}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The reads that are kept, once there are some, and how often they were asked for by this case.
    pub fn stored(&self, case: &str) -> (Value, usize) {
        for asked in 1..60 {
            let told = self.post("/api/reads", &json!({ "purpose": "traffic", "case": case }));
            assert_eq!(told.status, 200, "{}", told.text());
            let rows = told.json()["rows"].clone();
            if rows[0].is_object() {
                return (rows, asked);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("no read is ever kept");
    }

    pub fn until_online(&self) {
        self.until("/api/state", |told| {
            told["cameras"][0]["state"] != "starting" && told["cameras"][0]["received"].as_u64() > Some(0)
        });
    }
}

pub fn credential(data: &std::path::Path, name: &str, bytes: &[u8]) {
    let path = data.join("credentials").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn nothing_listens_unless_it_is_asked_for() {
    let made = OneBox::new();
    made.configure(&[camera("gate", 1, fixture("street-a.mp4").to_str().unwrap(), "realtime = true")]);
    let mut daemon = made.daemon();
    daemon.until("watchpost runs");
    let pid = daemon.pid();
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let listening = ["tcp", "tcp6"].iter().flat_map(|kind| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
        table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    });
    // State 0A listens; the tenth column is the inode.
    let own = listening.filter(|row| row.get(3).is_some_and(|state| state == "0A") && sockets.contains(&row[9]));
    assert_eq!(own.count(), 0);
    daemon.stop();
}

#[test]
fn only_who_has_the_token_and_means_this_box_is_let_in() {
    let desk = Desk::open("", "");
    let health = desk.bare("/healthz");
    assert!([200, 503].contains(&health.status) && !health.text().contains("gate"), "{health:?}");
    let login = desk.bare("/");
    assert!(
        login.status == 200 && login.text().contains("name=\"token\"") && !login.text().contains("box-1"),
        "{login:?}"
    );
    for closed in ["/metrics", "/api/state", "/api/fixed", "/api/picture/gate"] {
        assert_eq!(desk.bare(closed).status, 401, "{closed}");
        let host = ("Host", "evil.example");
        assert_eq!(
            ask(desk.port, "GET", closed, &[host, ("Authorization", &format!("Bearer {TOKEN}"))], b"").status,
            421
        );
    }
    let policy = login.field("content-security-policy").unwrap();
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    assert_eq!(login.field("cache-control"), Some("no-store"));
    assert_eq!(login.field("x-content-type-options"), Some("nosniff"));
    for page in ["index.html", "login.html"] {
        let text = std::fs::read_to_string(format!("{}/src/console/page/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            !text.contains("style=") && !text.contains(" onclick") && !text.contains("://"),
            "{page}: works offline, under the policy"
        );
    }

    // The form gives a cookie, which opens the page and nothing from elsewhere.
    let form = format!("token={TOKEN}");
    let of_form = ("Content-Type", "application/x-www-form-urlencoded");
    let cross = [of_form, ("Origin", "http://evil.example")];
    assert_eq!(ask(desk.port, "POST", "/login", &cross, form.as_bytes()).status, 403);
    let opened = ask(desk.port, "POST", "/login", &[of_form], form.as_bytes());
    let cookie = opened.field("set-cookie").unwrap().to_owned();
    assert!(opened.status == 303 && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{opened:?}");
    let pair = cookie.split(';').next().unwrap().to_owned();
    let with = |method, path, fields: &[(&str, &str)], body: &[u8]| {
        let all = [&[("Cookie", pair.as_str())], fields].concat();
        ask(desk.port, method, path, &all, body)
    };
    assert!(with("GET", "/", &[], b"").text().contains("id=\"view-cameras\""));
    assert_eq!(with("GET", "/api/state", &[], b"").json()["box"], "box-1");
    let look = json!({ "camera": "gate", "purpose": "maintenance" }).to_string();
    assert_eq!(with("POST", "/api/look", &[], look.as_bytes()).status, 415, "a form cannot ask");
    let as_json = ("Content-Type", "application/json");
    assert_eq!(with("POST", "/api/look", &[as_json, ("Sec-Fetch-Site", "cross-site")], look.as_bytes()).status, 403);
    assert_eq!(with("POST", "/logout", &[], b"").status, 303);
    assert_eq!(with("GET", "/api/state", &[], b"").status, 401);

    // Wrong tokens are bounded.
    let wrong =
        |n: usize| ask(desk.port, "GET", "/metrics", &[("Authorization", &format!("Bearer {n:032}"))], b"").status;
    let answers: Vec<u16> = (0..8).map(wrong).collect();
    assert!(answers[0] == 401 && answers[7] == 429, "{answers:?}");
    assert_eq!(desk.get("/metrics").status, 200, "who has the token is not locked out by who guesses");
}

#[test]
fn what_is_too_large_or_too_slow_costs_nobody_else() {
    let desk = Desk::open("", "");
    let large = vec![b'a'; 64 * 1024];
    assert_eq!(ask(desk.port, "POST", "/login", &[], &large).status, 413);
    let field = String::from_utf8(large).unwrap();
    let heard = ask(desk.port, "GET", "/healthz", &[("X-Large", &field)], b"");
    assert!([0, 400, 431].contains(&heard.status), "{}", heard.status);
    // Silent connections, more than there is room for, are gone after ten seconds, and others are served.
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(("127.0.0.1", desk.port)).unwrap()).collect();
    for mut stream in &silent {
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n");
    }
    let begun = Instant::now();
    while ask(desk.port, "GET", "/healthz", &[], b"").status == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody is served");
        std::thread::sleep(Duration::from_millis(500));
    }
    drop(silent);
    for method in ["PUT", "DELETE", "OPTIONS", "CONNECT"] {
        let status = ask(desk.port, method, "/", &[], b"").status;
        assert!([400, 405, 421].contains(&status), "{method}: {status}");
    }
}

#[test]
fn metrics_are_what_a_strict_parser_takes_and_name_no_plate() {
    let desk = Desk::open("", "open_metrics = true");
    desk.until_online();
    desk.until("/api/state", |told| told["cameras"][0]["reads"].as_u64() > Some(0));
    let heard = desk.bare("/metrics");
    assert_eq!((heard.status, heard.field("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let samples = crate::kit::prometheus::parse(&heard.text());
    let of = |name: &str| samples.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}"));
    assert!(of("watchpost_camera_frames_received_total").value > 0.0);
    assert_eq!(of("watchpost_camera_up").label("camera"), Some("gate"));
    assert!(of("watchpost_camera_reads_total").value > 0.0 && of("watchpost_audit_records").value > 0.0);
    let labels = ["camera", "class", "severity", "list", "version"];
    assert!(samples.iter().flat_map(|s| &s.labels).all(|(name, _)| labels.contains(&name.as_str())));
    let rows = std::fs::read_to_string(fixture("labels.jsonl")).unwrap();
    let rows = rows.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    for plate in rows.flat_map(|row| row["plates"].as_array().cloned().unwrap_or_default()) {
        assert!(!heard.text().contains(plate["text"].as_str().unwrap()), "{plate}");
    }
    // The box is well, and says no more than that.
    let well = desk.bare("/healthz");
    assert_eq!((well.status, well.text().as_str()), (200, "ok: 1 of 1 cameras give pictures\n"));
}

#[test]
fn a_camera_is_looked_at_for_a_purpose_and_never_behind_its_masks() {
    let mut desk = Desk::open("privacy_mask = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]", "");
    desk.until_online();
    assert_eq!(desk.get("/api/picture/gate").status, 403, "nobody has said what for");
    for (asked, status) in [
        (json!({ "camera": "gate", "purpose": "curiosity" }), 400),
        (json!({ "camera": "gate" }), 400),
        (json!({ "camera": "nowhere", "purpose": "maintenance" }), 404),
    ] {
        assert_eq!(desk.post("/api/look", &asked).status, status, "{asked}");
    }
    // However often it is asked for, one record says for how long.
    for _ in 0..50 {
        let heard = desk.post("/api/look", &json!({ "camera": "gate", "purpose": "maintenance" }));
        assert!(heard.status == 200 && heard.json()["seconds"].as_u64() > Some(60), "{}", heard.text());
    }
    let mut marks = 0;
    for _ in 0..12 {
        let heard = desk.get("/api/picture/gate");
        assert_eq!((heard.status, heard.field("content-type")), (200, Some("image/jpeg")), "{}", heard.text());
        let picture = image::load_from_memory(&heard.body).unwrap().to_luma8();
        assert!(picture.width() <= 640);
        let (width, height) = picture.dimensions();
        // JPEG blurs the edge by a block.
        let hidden = picture.enumerate_pixels().filter(|(x, ..)| *x + 16 < width / 2).map(|(.., p)| p.0[0]).max();
        assert!(hidden.unwrap() < 24, "{hidden:?}");
        let shown = picture.enumerate_pixels().filter(|(x, ..)| *x > width / 2 + 16).filter(|(.., p)| p.0[0] > 40);
        assert!(shown.count() > (width * height / 20) as usize);
        let about: Value = serde_json::from_str(heard.field("watchpost-picture").unwrap()).unwrap();
        assert!(about["width"].as_u64() >= Some(u64::from(width)), "{about}");
        for mark in about["marks"].as_array().unwrap() {
            marks += 1;
            assert!(mark["rect"][2].as_f64().unwrap() > 0.45, "something is followed behind the mask: {mark}");
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(marks > 0, "nothing was followed");
    desk.daemon.stop();
    let records = audit::read(&desk.made.config().site.data_dir.join("store")).unwrap();
    let looked: Vec<_> = records.iter().filter(|r| r.details.iter().any(|(k, v)| k == "what" && v == "live")).collect();
    assert_eq!(looked.len(), 1, "{looked:#?}");
    let has = |key: &str, value: &str| looked[0].details.iter().any(|(k, v)| k == key && v == value);
    assert!(has("camera", "gate") && has("by", "console") && has("purpose", "maintenance"), "{looked:#?}");
    assert!(has("seconds", "300"), "{looked:#?}");
}

#[test]
fn looks_that_each_need_a_record_are_bounded_and_the_wait_is_said() {
    let mut desk = Desk::open("", "");
    let purposes: Vec<String> = serde_json::from_value(desk.get("/api/fixed").json()["purposes"].clone()).unwrap();
    // Another cookie each time, which whoever has the token can make.
    let form = format!("token={TOKEN}");
    let (mut opened, mut refused) = (0, None);
    for n in 0..200 {
        let of_form = [("Content-Type", "application/x-www-form-urlencoded")];
        let login = ask(desk.port, "POST", "/login", &of_form, form.as_bytes());
        let cookie = login.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let asked = json!({ "camera": "gate", "purpose": purposes[n % purposes.len()] }).to_string();
        let fields = [("Cookie", cookie.as_str()), ("Content-Type", "application/json")];
        let heard = ask(desk.port, "POST", "/api/look", &fields, asked.as_bytes());
        if heard.status == 429 {
            refused = Some(heard);
            break;
        }
        assert_eq!(heard.status, 200, "{}", heard.text());
        opened += 1;
    }
    let refused = refused.expect("they are bounded");
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=11).contains(&wait) && refused.text().contains("audit log"), "{refused:?}");
    desk.daemon.stop();
    let records = audit::read(&desk.made.config().site.data_dir.join("store")).unwrap();
    let looked = records.iter().filter(|r| r.details.iter().any(|(k, v)| k == "what" && v == "live")).count();
    assert!(looked == opened && (40..80).contains(&opened), "{looked} records of {opened} looks");
}

#[test]
fn reads_go_by_the_consoles_key_with_purpose_and_case_and_are_audited() {
    let mut desk = Desk::open("", "");
    desk.until("/api/state", |told| told["cameras"][0]["reads"].as_u64() > Some(0));
    assert_eq!(desk.get("/api/fixed").json()["reads"], Value::Null);
    for (asked, status) in [
        (json!({ "purpose": "traffic", "case": "" }), 400),
        (json!({ "purpose": "", "case": "K-1" }), 400),
        (json!({ "purpose": "traffic", "case": "K".repeat(65) }), 400),
        (json!({ "case": "K-1" }), 400),
    ] {
        let heard = desk.post("/api/reads", &asked);
        assert_eq!(heard.status, status, "{asked}: {}", heard.text());
    }
    let (rows, asked) = desk.stored("K-1");
    let row = &rows[0];
    assert!(row["plate"].as_str().is_some_and(|p| p.len() > 3) && row["camera"] == "gate", "{rows}");
    let of = |which: &str| {
        desk.post("/api/evidence", &json!({ "purpose": "traffic", "case": "K-1", "id": row["id"], "which": which }))
    };
    let crop = of("crop");
    assert_eq!(crop.field("content-type"), Some("image/jpeg"), "{}", crop.text());
    image::load_from_memory(&crop.body).unwrap();
    // A scene is kept of hits alone.
    assert_eq!(of("scene").status, 404);
    // No hit, so no clip: the reason is said.
    let clip = of("clip");
    assert!(clip.status == 404 && clip.json()["error"].as_str().unwrap().contains("no clip"), "{}", clip.text());
    assert_eq!(of("everything").status, 400);
    desk.daemon.stop();
    let records = audit::read(&desk.made.config().site.data_dir.join("store")).unwrap();
    let with_case = |event: &str| {
        let case = |details: &[(String, String)]| details.iter().any(|(k, v)| k == "case" && v == "K-1");
        records.iter().filter(|r| r.event == event && case(&r.details)).count()
    };
    assert_eq!((with_case("queried"), with_case("picture.viewed")), (asked, 1), "{records:#?}");
}

#[test]
fn a_unix_socket_serves_a_proxy_and_no_key_means_no_reads() {
    let made = OneBox::new();
    let data = made.config().site.data_dir;
    credential(&data, "console", TOKEN.as_bytes());
    let socket = made.path("console.sock");
    made.configure(&[
        camera("gate", 1, fixture("street-a.mp4").to_str().unwrap(), "realtime = true"),
        format!("[console]\nsocket = '{}'\nhosts = [\"box-1.example\"]\n", socket.display()),
    ]);
    let mut daemon = made.daemon();
    daemon.until("the console listens");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let bearer = format!("Bearer {TOKEN}");
    let ask = |path: &str| {
        let fields = [("Host", "box-1.example"), ("Authorization", bearer.as_str())];
        exchange(UnixStream::connect(&socket).unwrap(), &request("GET", path, &fields, b""))
    };
    let closed = ask("/api/fixed").json();
    assert!(closed["reads"].as_str().unwrap().contains("[console] key"), "{closed}");
    assert_eq!(ask("/metrics").status, 200);
    daemon.stop();
}

#[test]
fn a_token_that_is_short_or_open_to_others_gives_no_console_and_the_box_works() {
    for (token, mode, says) in [("short", 0o600, "openssl rand"), (TOKEN, 0o644, "console's token")] {
        let made = OneBox::new();
        let data = made.config().site.data_dir;
        credential(&data, "console", token.as_bytes());
        let path = data.join("credentials/console");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let port = free_port();
        made.configure(&[
            camera("gate", 1, fixture("street-a.mp4").to_str().unwrap(), "realtime = true"),
            format!("[console]\nlisten = \"127.0.0.1:{port}\"\n"),
        ]);
        let mut daemon = made.daemon();
        daemon.until("no console: the box works without it");
        assert!(daemon.said().iter().any(|line| line.contains(says)), "{:#?}", daemon.said());
        assert!(!daemon.said().iter().any(|line| line.contains(token)), "the token is in no log");
        daemon.until("watchpost runs");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        daemon.stop();
    }
}
