//! Headless Chromium, driven by its WebDriver over HTTP: what a person does with mouse and keyboard, and what the browser's log says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::free_port;
use super::http::{Heard, ask};

/// How long the page may take for anything.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

/// A key by its name, as WebDriver writes it.
pub fn key(name: &str) -> &'static str {
    match name {
        "Tab" => "\u{e004}",
        "Enter" => "\u{e007}",
        "Backspace" => "\u{e003}",
        "Space" => " ",
        "Left" => "\u{e012}",
        "Up" => "\u{e013}",
        "Right" => "\u{e014}",
        "Down" => "\u{e015}",
        other => panic!("no key {other}"),
    }
}

impl Browser {
    /// `None`, and a line, where there is no Chromium: `scripts/setup.sh` installs it.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut driver) = command.spawn() else {
            assert!(std::env::var_os("CI").is_none(), "chromedriver is missing: scripts/setup.sh installs it");
            eprintln!("no chromedriver: nothing is looked at; scripts/setup.sh installs it");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        while !lines.next().expect("chromedriver ended").unwrap().contains("started successfully") {}
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
        ];
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        arguments.push(format!("--window-size={width},{height}"));
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": { "browser": "ALL" }, "goog:chromeOptions": { "args": arguments },
        } } });
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let made = browser.send("POST", "", &wanted);
        browser.session = format!("/{}", made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// One command of WebDriver.
    #[track_caller]
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session{}{path}", self.session);
        let text = if method == "GET" { String::new() } else { body.to_string() };
        let heard: Heard = ask(self.port, method, &path, &[("Content-Type", "application/json")], text.as_bytes());
        assert_eq!(heard.status, 200, "{path}: {}", heard.text());
        heard.json()["value"].clone()
    }

    pub fn open(&self, url: &str) {
        self.send("POST", "/url", &json!({ "url": url }));
    }

    /// What a script gives back: `return …`.
    pub fn script(&self, script: &str) -> Value {
        self.send("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script gives true.
    #[track_caller]
    pub fn until(&self, script: &str) {
        let begun = Instant::now();
        while self.script(&format!("return Boolean({script});")) != json!(true) {
            let page = || self.script("return document.body.innerText;");
            assert!(begun.elapsed() < PATIENCE, "never: {script}\n{}", page().as_str().unwrap_or_default());
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Presses and lets go each of these, one after the other.
    pub fn press(&self, keys: &[&str]) {
        let all: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        self.send("POST", "/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": all }] }));
    }

    /// Types a text.
    pub fn write(&self, text: &str) {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        self.press(&letters.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Goes on with Tab until the element of this selector has the focus.
    #[track_caller]
    pub fn tab_to(&self, selector: &str) {
        let is_there = format!("return document.activeElement && document.activeElement.matches({});", json!(selector));
        for _ in 0..60 {
            if self.script(&is_there) == json!(true) {
                return;
            }
            self.press(&[key("Tab")]);
        }
        panic!("Tab never comes to {selector}");
    }

    /// Drags with the mouse over the element of this selector, from and to shares of it; where both are the same it is a click.
    pub fn drag(&self, selector: &str, from: (f64, f64), to: (f64, f64)) {
        let script = format!(
            "const e = document.querySelector({}); e.scrollIntoView({{ block: 'nearest' }}); const b = e.getBoundingClientRect(); \
             return [b.left, b.top, b.width, b.height];",
            json!(selector)
        );
        let place: Vec<f64> = serde_json::from_value(self.script(&script)).unwrap();
        let at = |(x, y): (f64, f64)| {
            json!({ "type": "pointerMove", "duration": 30, "origin": "viewport",
                    "x": (place[0] + x * place[2]).round() as i64, "y": (place[1] + y * place[3]).round() as i64 })
        };
        let (down, up) = (json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 }));
        let moves = if from == to { vec![at(from), down, up] } else { vec![at(from), down, at(to), up] };
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": moves });
        self.send("POST", "/actions", &json!({ "actions": [mouse] }));
    }

    /// Makes the window so large.
    pub fn size(&self, width: u32, height: u32) {
        self.send("POST", "/window/rect", &json!({ "width": width, "height": height }));
    }

    /// What the page is told that its user prefers: `light` or `dark`.
    pub fn prefers(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let media = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.send("POST", "/goog/cdp/execute", &media);
    }

    /// The window as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let text = self.send("GET", "/screenshot", &Value::Null);
        data_encoding::BASE64.decode(text.as_str().unwrap().as_bytes()).unwrap()
    }

    /// What the browser's log got since the last call.
    pub fn log(&self) -> Vec<String> {
        let lines = self.send("POST", "/se/log", &json!({ "type": "browser" }));
        let told = |line: &Value| format!("{}: {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap());
        lines.as_array().unwrap().iter().map(told).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser; a driver that is killed may leave it.
            let path = format!("/session{}", self.session);
            let _ = std::panic::catch_unwind(|| ask(self.port, "DELETE", &path, &[], b""));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
