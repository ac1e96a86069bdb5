//! What the daemon counts of its cameras, as the campaign follows it: the file of
//! [`COUNTS`](watchpost::supervise::testkit::COUNTS), read as it grows.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How often the file is looked at.
const NAP: Duration = Duration::from_millis(50);

/// A camera at one moment, by the daemon's clock.
#[derive(Debug, Clone, Default)]
pub struct Eye {
    pub ms: u64,
    /// As its status says it.
    pub link: String,
    pub received: u64,
    /// Frames that were analysed, and those that the motion gate found to be as before.
    pub looked_at: u64,
    pub dropped: u64,
    pub damaged: u64,
    pub opened: u64,
    pub failed: u64,
    pub reason: String,
}

impl Eye {
    fn read(line: &str) -> Option<(String, Self)> {
        let mut words = line.splitn(11, ' ');
        let ms = words.next()?.parse().ok()?;
        let (id, link) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut number = || words.next()?.parse::<u64>().ok();
        let (received, looked_at, dropped) = (number()?, number()? + number()?, number()?);
        let [damaged, opened, failed] = [number()?, number()?, number()?];
        let reason = words.next()?.to_owned();
        Some((id, Self { ms, link, received, looked_at, dropped, damaged, opened, failed, reason }))
    }

    /// Frames come.
    pub fn is_up(&self) -> bool {
        self.link == "online" || self.link == "degraded"
    }
}

#[derive(Default)]
struct Shared {
    /// Every line of each camera, oldest first.
    eyes: Mutex<BTreeMap<String, Vec<Eye>>>,
    changed: Condvar,
    over: AtomicBool,
}

/// See the module; ends with this value.
pub struct Watch(Arc<Shared>);

impl Watch {
    /// Follows the file, which may not be there yet.
    pub fn start(path: PathBuf) -> Self {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        std::thread::spawn(move || {
            let (mut file, mut text) = (None, String::new());
            while !told.over.load(Ordering::SeqCst) {
                std::thread::sleep(NAP);
                file = file.or_else(|| std::fs::File::open(&path).ok());
                let Some(file) = &mut file else { continue };
                file.read_to_string(&mut text).unwrap();
                let whole = text.rfind('\n').map_or(0, |end| end + 1);
                let lines: String = text.drain(..whole).collect();
                let mut eyes = told.eyes.lock().unwrap();
                for (id, eye) in lines.lines().filter_map(Eye::read) {
                    eyes.entry(id).or_default().push(eye);
                }
                drop(eyes);
                told.changed.notify_all();
            }
        });
        Self(shared)
    }

    /// Waits until a camera is so.
    pub fn wait(&self, camera: &str, at_most: Duration, is_so: impl Fn(&Eye) -> bool) -> bool {
        let reached =
            |eyes: &BTreeMap<String, Vec<Eye>>| eyes.get(camera).and_then(|all| all.last()).is_some_and(&is_so);
        let eyes = self.0.eyes.lock().unwrap();
        let waited = self.0.changed.wait_timeout_while(eyes, at_most, |eyes| !reached(eyes));
        !waited.unwrap().1.timed_out()
    }

    /// A camera as it is now.
    pub fn eye(&self, camera: &str) -> Eye {
        self.0.eyes.lock().unwrap().get(camera).and_then(|all| all.last().cloned()).unwrap_or_default()
    }

    /// A camera at every moment from `ms` on.
    pub fn since(&self, camera: &str, ms: u64) -> Vec<Eye> {
        let eyes = self.0.eyes.lock().unwrap();
        eyes.get(camera).map(|all| all.iter().filter(|eye| eye.ms >= ms).cloned().collect()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// Longest time in which a count did not grow, milliseconds.
pub fn longest_still(eyes: &[Eye], count: fn(&Eye) -> u64) -> u64 {
    let (mut longest, mut last) = (0, None);
    for eye in eyes {
        let (since, before) = *last.get_or_insert((eye.ms, count(eye)));
        if count(eye) > before {
            last = Some((eye.ms, count(eye)));
        }
        longest = longest.max(eye.ms - since);
    }
    longest
}
