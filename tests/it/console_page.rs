//! The console's page in a real browser: every view, by mouse and by keyboard, light and dark, without a word in the browser's log.
//!
//! With `WATCHPOST_PICTURES=DIR` a picture of each view is left in that folder: those of `docs/images` are made so.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use watchpost::camera::testkit::{RtspServer, Serving};

use crate::console::{Desk, TOKEN};
use crate::kit::broker::{Mosquitto, free_port};
use crate::kit::browser::{Browser, key};
use crate::kit::camera::looped;
use crate::kit::centre::Centre;
use crate::kit::one_box::{OneBox, camera, fixture, hotlist};

const VIEWS: [&str; 7] = ["cameras", "picture", "reads", "doctor", "health", "outbox", "audit"];

/// Where pictures are left.
fn pictures() -> Option<OsString> {
    std::env::var_os("WATCHPOST_PICTURES")
}

fn keep(browser: &Browser, name: &str) {
    let Some(folder) = pictures() else { return };
    // As high as what is shown, from its top.
    let high = browser.script(
        "window.scrollTo(0, 0); const bottom = document.getElementById('main').getBoundingClientRect().bottom; \
         return Math.round(Math.min(1000, Math.max(360, bottom)) + outerHeight - innerHeight);",
    );
    let before = browser.script("return outerHeight;");
    let size = |high: &Value| browser.size(1180, u32::try_from(high.as_u64().unwrap()).unwrap());
    size(&high);
    // What fades in is there.
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(Path::new(&folder).join(format!("console-{name}.png")), browser.picture()).unwrap();
    size(&before);
}

/// A box at work: two cameras that play our clips, one that was unplugged, hotlists, a broker and a centre that acknowledges.
struct Full {
    desk: Desk,
    _broker: Mosquitto,
    _centre: Centre,
    _runtime: Runtime,
}

const PLACES: &str = r#"
road = "North gate, inbound"
fps = 5
[[camera.zone]]
name = "bay"
points = [[0.71, 0.19], [0.97, 0.19], [0.99, 0.54], [0.73, 0.54]]
[[camera.line]]
name = "stop"
points = [[0.16, 0.64], [0.7, 0.64]]
"#;

impl Full {
    /// Once there was a hit, and the centre has it.
    fn open() -> Self {
        let made = OneBox::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let broker = made.broker();
        let centre = runtime.block_on(made.centre());
        // The second looks at the same street some seconds later.
        let since = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let serve = |since| RtspServer::start(&fixture("street-a.mp4"), &Serving { since, ..looped() }).unwrap();
        let [a, b] = [serve(None), serve(since(7))];
        let stolen = "PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate,Remark\nFK418XR,EU,serious,2025-01-01,,drawn clip\n";
        let unplugged = format!("rtsp://127.0.0.1:{}/main", free_port());
        let sections = [
            camera("gate", 1, &a.url(), PLACES),
            camera("ring-road", 2, &b.url(), "road = \"Ring road, northbound\"\nfps = 5"),
            camera("yard", 3, &unplugged, "road = \"Yard, outbound\""),
            hotlist("watched", 1, &fixture("hotlist.csv"), "info"),
            hotlist("stolen", 2, &made.file("stolen.csv", stolen), "serious"),
        ];
        let desk = Desk::of(made, vec![a, b], &sections, "");
        runtime.block_on(centre.until("hits", |log| log.alerts.len() > 1));
        desk.until("/api/state", |told| {
            let enough = |camera: &Value| camera["hits"].as_u64() > Some(1) && camera["reads"].as_u64() > Some(2);
            enough(&told["cameras"][0]) && enough(&told["cameras"][1]) && told["connected"] == true
        });
        if pictures().is_some() {
            // Every vehicle of the clip has passed, so that reads and hits are of the same.
            let passed = |camera: &Value| camera["reads"].as_u64() > Some(4);
            desk.until("/api/state", |told| passed(&told["cameras"][0]) && passed(&told["cameras"][1]));
        }
        Self { desk, _broker: broker, _centre: centre, _runtime: runtime }
    }
}

/// Gives the token by keyboard, as a person does.
fn enter(browser: &Browser, desk: &Desk) {
    browser.open(&format!("http://127.0.0.1:{}/", desk.port));
    browser.until("document.activeElement && document.activeElement.id === 'token'");
    browser.write(TOKEN);
    browser.press(&[key("Enter")]);
    browser.until("document.querySelector('#cards .card')");
}

/// Looks at the camera for maintenance.
fn look(browser: &Browser) {
    browser.script("location.hash = '#picture/gate';");
    browser.until("!document.getElementById('view-picture').hidden");
    browser.script("document.getElementById('look-purpose').value = 'maintenance';");
    browser.script("document.getElementById('look-start').click();");
    browser.until("Number(document.getElementById('canvas').dataset.pictures) > 1");
}

/// A whole configuration with this block below its camera is one that the loader takes.
fn accepted(block: &str) -> watchpost::config::Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watchpost.toml");
    let text = format!(
        "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[[camera]]\nid = \"gate\"\nnumber = 1\n\
         uri = \"rtsp://192.0.2.7/a\"\n{block}"
    );
    std::fs::write(&path, &text).unwrap();
    watchpost::config::load(&path).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

#[test]
fn every_view_opens_without_a_word_in_the_browsers_log() {
    let Some(browser) = Browser::start(1180, 860) else { return };
    let full = Full::open();
    let desk = &full.desk;
    desk.stored("K-2026-17");
    enter(&browser, desk);
    // Bytes of pictures that the page holds.
    browser.script(
        "window.urls = 0; const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL]; \
         URL.createObjectURL = (bytes) => { window.urls += 1; return make.call(URL, bytes); }; \
         URL.revokeObjectURL = (url) => { window.urls -= 1; drop.call(URL, url); };",
    );
    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        for view in VIEWS {
            browser.script(&format!("location.hash = '#{view}';"));
            browser.until(&format!("!document.getElementById('view-{view}').hidden"));
            let others = "[...document.querySelectorAll('main > section')].filter((s) => !s.hidden).length === 1";
            browser.until(others);
            browser.until(&format!("document.querySelector('nav a[aria-current]').hash === '#{view}'"));
            match view {
                "cameras" => {
                    browser.until("/Frames a second\\s+[1-9]/.test(document.getElementById('cards').innerText)");
                }
                "picture" => {
                    look(&browser);
                    browser.script("document.querySelector('input[value=ruler]').click();");
                    browser.until("document.getElementById('ruler-said').innerText");
                    // The plate of the car that is parked there.
                    browser.drag("#canvas", (0.853, 0.408), (0.912, 0.436));
                    browser.until("/pixels of/.test(document.getElementById('ruler-said').innerText)");
                }
                "reads" => {
                    browser.script("document.getElementById('reads-purpose').value = 'traffic';");
                    browser.script("document.getElementById('reads-case').value = 'K-2026-17';");
                    browser.script("document.querySelector('#reads-form button').click();");
                    browser.until("document.querySelector('#reads-table tbody tr')");
                    // The surest.
                    browser.script(
                        "const rows = [...document.querySelectorAll('#reads-table tbody tr')]; \
                         const sure = (row) => parseFloat(row.querySelector('td.n').innerText) || 0; \
                         rows.sort((a, b) => sure(b) - sure(a))[0].querySelector('button').click();",
                    );
                    browser.until("document.querySelector('#evidence img') && document.querySelector('#evidence img').naturalWidth > 20");
                }
                "doctor" => browser.until("document.getElementById('doctor-command').innerText.includes('gate')"),
                "health" => browser.until("document.querySelectorAll('#facts .card').length === 4"),
                "outbox" => browser.until("document.querySelectorAll('#outbox .card').length === 2"),
                _ => browser.until("/[0-9a-f]{64}/.test(document.getElementById('head').innerText)"),
            }
            // Nothing is wider than the window.
            browser.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
            let name = if scheme == "light" { view.to_owned() } else { format!("{view}-dark") };
            if scheme == "light" || view == "picture" {
                keep(&browser, &name);
            }
        }
        let ground = browser.script("return getComputedStyle(document.body).backgroundColor;");
        let ground = ground.as_str().unwrap().to_owned();
        assert_eq!(ground == "rgb(18, 23, 27)", scheme == "dark", "{ground}");
    }
    assert_eq!(browser.log(), Vec::<String>::new());
    assert_eq!(browser.script("return window.urls;"), json!(1), "a crop is given back when another takes its place");
    // Every control has a name, every view a heading, and there are landmarks.
    let nameless = browser.script(
        "return [...document.querySelectorAll('button, input, select, textarea, canvas')].filter((e) => \
         !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.innerText.trim() && !e.textContent.trim()) \
         .map((e) => e.outerHTML);",
    );
    assert_eq!(nameless, json!([]));
    let marks = "document.querySelector('header nav[aria-label]') && document.querySelector('main') && \
                 [...document.querySelectorAll('main > section')].every((s) => document.getElementById(s.getAttribute('aria-labelledby')))";
    browser.until(marks);
}

#[test]
fn zones_lines_and_masks_are_drawn_by_mouse_and_the_loader_takes_the_block() {
    let Some(browser) = Browser::start(1180, 800) else { return };
    let desk = Desk::open("privacy_mask = [[0.0, 0.0], [0.2, 0.0], [0.2, 0.2]]", "");
    desk.until_online();
    enter(&browser, &desk);
    look(&browser);
    let corners = [(0.3, 0.5), (0.7, 0.5), (0.8, 0.9), (0.25, 0.9)];
    let block = || browser.script("return document.getElementById('block').value;").as_str().unwrap().to_owned();
    for (tool, wanted) in [("zone", 4), ("line", 2), ("mask", 4)] {
        browser.script(&format!("document.querySelector('input[value={tool}]').click();"));
        for corner in corners.iter().take(wanted) {
            browser.drag("#canvas", *corner, *corner);
        }
        browser.until("document.getElementById('block').value");
        if tool == "zone" {
            keep(&browser, "editor");
        }
        let camera = accepted(&block()).cameras.remove(0);
        let near = |[x, y]: [f64; 2], (a, b): (f64, f64)| (x - a).abs() < 0.01 && (y - b).abs() < 0.01;
        match tool {
            "zone" => {
                assert_eq!(camera.zones[0].name.as_str(), "entry");
                assert!(camera.zones[0].polygon.points().iter().zip(corners).all(|(p, c)| near(*p, c)), "{}", block());
            }
            "line" => {
                assert!(near(camera.lines[0].from, corners[0]) && near(camera.lines[0].to, corners[1]), "{}", block());
            }
            _ => assert_eq!(camera.privacy_mask.len(), 2, "the mask of before is in it: {}", block()),
        }
    }
    // A name that the loader would refuse gives no block.
    browser.script("document.querySelector('input[value=zone]').click();");
    browser.script(
        "const n = document.getElementById('shape-name'); n.value = 'Entry 1'; n.dispatchEvent(new Event('input'));",
    );
    for corner in corners {
        browser.drag("#canvas", corner, corner);
    }
    assert_eq!(block(), "");
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn everything_can_be_done_by_keyboard_alone() {
    let Some(browser) = Browser::start(1180, 800) else { return };
    let desk = Desk::open("", "");
    desk.until_online();
    enter(&browser, &desk);
    // To the view, the purpose, the look, the tool, the picture.
    browser.tab_to("nav a[href='#picture']");
    browser.press(&[key("Enter")]);
    browser.until("!document.getElementById('view-picture').hidden");
    browser.tab_to("#look-purpose");
    browser.write("maint");
    browser.until("document.getElementById('look-purpose').value === 'maintenance'");
    browser.tab_to("#look-start");
    browser.press(&[key("Space")]);
    browser.until("Number(document.getElementById('canvas').dataset.pictures) > 0");
    browser.script("document.getElementById('main').focus();");
    browser.tab_to("#canvas");
    browser.tab_to("input[name=tool]:checked");
    browser.press(&[key("Down")]);
    browser.until("document.querySelector('input[value=zone]').checked");
    browser.script("document.getElementById('main').focus();");
    browser.tab_to("#canvas");
    let outlined = browser.script("return getComputedStyle(document.activeElement).outlineStyle;");
    assert_eq!(outlined, json!("solid"), "where the focus is can be seen");
    for moves in [&["Left"; 10][..], &["Right"; 20], &["Down"; 20]] {
        browser.press(&moves.iter().map(|name| key(name)).collect::<Vec<_>>());
        browser.press(&[key("Enter")]);
    }
    browser.press(&[key("Left"), key("Enter"), key("Backspace")]);
    let told = browser.script("return document.getElementById('stage-said').innerText;");
    assert_eq!(told, json!("3 points left."), "a screen reader is told");
    let block = browser.script("return document.getElementById('block').value;").as_str().unwrap().to_owned();
    let zone = accepted(&block).cameras.remove(0).zones.remove(0);
    assert_eq!(zone.polygon.points(), &[[0.4, 0.5], [0.6, 0.5], [0.6, 0.7]]);
    // The ruler by keyboard: two corners.
    browser.tab_to("input[name=tool]:checked");
    browser.press(&[key("Up")]);
    browser.script("document.getElementById('main').focus();");
    browser.tab_to("#canvas");
    browser.press(&[key("Enter"), key("Right"), key("Down"), key("Enter")]);
    browser.until("/pixels of/.test(document.getElementById('ruler-said').innerText)");
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn a_page_that_nobody_uses_looks_no_more_and_shows_the_form_when_its_session_is_over() {
    let Some(browser) = Browser::start(1180, 800) else { return };
    let desk = Desk::open("", "");
    desk.until_online();
    enter(&browser, &desk);
    look(&browser);
    // What is asked from now on, and whether it says that a person acted.
    browser.script(
        "window.asked = []; const real = window.fetch; window.fetch = (path, options) => { \
         window.asked.push([path, 'Watchpost-Acted' in options.headers]); return real(path, options); };",
    );
    let asks = |n: usize| {
        browser.script("window.asked = [];");
        browser.until(&format!("window.asked.length >= {n}"));
        browser.script("return window.asked;").as_array().unwrap().clone()
    };
    browser.until("performance.now() - actedAt > 2 * ACTED_MS");
    let polled = asks(6);
    assert!(polled.iter().all(|one| one[1] == json!(false)), "polling is no use of the page: {polled:?}");
    browser.script("window.asked = [];");
    browser.press(&[key("Tab")]);
    browser.until("window.asked.some(([, acted]) => acted)");
    // A quarter of an hour, made short.
    browser.script("fixed.alone_s = 1;");
    browser.until("!document.getElementById('look-alone').hidden");
    let shown =
        || browser.script("return Number(document.getElementById('canvas').dataset.pictures);").as_u64().unwrap();
    let before = shown();
    let polled = asks(3);
    assert!(polled.iter().all(|one| one[0] == json!("/api/state")) && shown() == before, "{polled:?}");
    browser.script("fixed.alone_s = 900;");
    browser.drag("#look-on", (0.5, 0.5), (0.5, 0.5));
    browser.until(&format!("Number(document.getElementById('canvas').dataset.pictures) > {before}"));
    browser.until("document.getElementById('look-alone').hidden");
    // As after an hour, or when it is closed in another tab.
    browser.script("fetch('/logout', { method: 'POST', headers: {} });");
    browser.until(
        "document.getElementById('token') && getComputedStyle(document.getElementById('over')).display !== 'none'",
    );
}

/// Contrast of text and what it stands on, by WCAG 2.2 (relative luminance).
const CONTRAST: &str = "
    const parts = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    const light = (colour) => { const [r, g, b] = parts(colour); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const of = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);";

#[test]
fn verdicts_can_be_told_apart_in_both_themes_and_without_colours() {
    let Some(browser) = Browser::start(1180, 800) else { return };
    let desk = Desk::open("", "");
    enter(&browser, &desk);
    browser.script("location.hash = '#picture';");
    browser.until("!document.getElementById('view-picture').hidden");
    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        let told = browser.script(&format!(
            "{CONTRAST}
             const said = document.getElementById('ruler-said');
             return ['good', 'warn', 'bad'].map((kind) => {{
               said.className = `said ${{kind}}`;
               const style = getComputedStyle(said);
               return [of(style.color, style.backgroundColor), style.color, getComputedStyle(said, '::before').content];
             }});"
        ));
        let told: Vec<(f64, String, String)> = serde_json::from_value(told).unwrap();
        for (at, (contrast, colour, sign)) in told.iter().enumerate() {
            assert!(*contrast >= 4.5, "{scheme}: {told:?}");
            assert!(told.iter().skip(at + 1).all(|(_, c, s)| c != colour && s != sign), "{scheme}: {told:?}");
        }
    }
}
