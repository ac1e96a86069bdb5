//! Keeps what cameras showed when something went wrong with their pictures, and what their views are.
//!
//! One thread, `views`, for all cameras: the analysis threads hand over without waiting, at most [`QUEUE`] things at a time;
//! a picture that finds no room, or is not stored in time, is counted (`health.views_lost`) and said in the log. A full disk holds up
//! the stop by so long as that allows. A picture goes to the store, as
//! `View` ([`crate::store::AttachedKind`]); a camera's views lie sealed in `data_dir/views/<camera>.view`, for the next start.
//! They hold for the settings that say what is seen (address, turn, masks, regions, `view`): with others the camera begins anew,
//! and those of before are deleted, as are those of a camera that is no longer watched.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use minicbor::{Decode, Encode};

use crate::camera::SourceUri;
use crate::config::{self, Config};
use crate::domain::{CameraId, EventId, Footage, Media, TimeMs};
use crate::health::pulse::Part;
use crate::health::{CameraCounters, Health, Worry};
use crate::store::{Attached, AttachedKind, RecorderHandle, Vault};
use crate::vision::view::{Kept, News, Trouble, View};

/// Things that wait for the thread at most.
const QUEUE: usize = 16;
/// How long a picture may take to be stored.
const WITHIN: Duration = Duration::from_secs(6);
/// How often the thread looks whether it was asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Version of a camera's file, and its largest size.
const VERSION: u8 = 1;
const MAX_FILE: u64 = 4 << 20;

/// What the thread is given.
enum Work {
    /// A picture of a worry; where it cannot be kept, nobody is told of its id.
    Picture(Box<Attached>, Arc<CameraCounters>),
    /// A camera's views.
    Views(Box<Place>, Box<Kept>),
    /// Wakes it for the stop.
    Stop,
}

/// The thread.
pub(super) struct Keeper {
    to: SyncSender<Work>,
    ended: Receiver<()>,
    /// Until when what was handed over is to be kept, once the stop was asked for.
    stop_at: Arc<OnceLock<Instant>>,
    health: Arc<Health>,
    vault: Vault,
    folder: PathBuf,
}

/// Where a camera's views lie, and for which settings they hold.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    camera: CameraId,
    settings: [u8; 32],
    /// It has privacy masks.
    masked: bool,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct OnDisk {
    #[n(0)]
    version: u8,
    /// SHA-256 of the settings that they hold for.
    #[cbor(n(1), with = "minicbor::bytes")]
    settings: [u8; 32],
    #[n(2)]
    kept: Kept,
}

impl Keeper {
    /// Starts it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        config: &Config,
        vault: &Vault,
        recorder: &RecorderHandle,
        health: &Arc<Health>,
    ) -> anyhow::Result<Self> {
        let (to, from) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(1);
        let stop_at = Arc::new(OnceLock::new());
        let folder = config.site.data_dir.join("views");
        forget_unwatched(&folder, config);
        let (recorder, sealing) = (recorder.clone(), vault.clone());
        let (until, counted) = (Arc::clone(&stop_at), Arc::clone(health));
        let run = move || {
            work(&from, &until, &recorder, &sealing, &counted);
            // There is room for it.
            let _ = end.send(());
        };
        std::thread::Builder::new().name("views".to_owned()).spawn(run).context("cannot start a thread")?;
        Ok(Self { to, ended, stop_at, health: Arc::clone(health), vault: vault.clone(), folder })
    }

    /// What a camera's analysis hands over to; with what is known of its view. `None`: its picture is not watched.
    pub(super) fn door(&self, camera: &config::Camera) -> Option<Door> {
        if !is_watched(camera) {
            return None;
        }
        let path = self.folder.join(format!("{}.view", camera.id));
        let place = Place {
            path,
            camera: camera.id.clone(),
            settings: settings_of(camera),
            masked: !camera.privacy_mask.is_empty(),
        };
        Some(Door { to: self.to.clone(), vault: self.vault.clone(), place, health: Arc::clone(&self.health) })
    }

    /// Waits until everything that was handed over is kept, `at_most` so long and a look more. To be called when no camera runs
    /// any more.
    ///
    /// # Errors
    /// What tells when the thread ends that has not yet.
    pub(super) fn stop(self, at_most: Duration) -> Result<(), Receiver<()>> {
        // An analysis thread that did not stop may hold its door for ever: the end of the senders is not waited for.
        let until = *self.stop_at.get_or_init(|| Instant::now() + at_most);
        // Where there is no room for it, the thread is awake.
        let _ = self.to.try_send(Work::Stop);
        let left = until.saturating_duration_since(Instant::now()) + LOOK_EVERY;
        match self.ended.recv_timeout(left) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "pictures of what is wrong with cameras are not kept before the stop: the disk takes too long"
                );
                Err(self.ended)
            }
            Err(RecvTimeoutError::Disconnected) => {
                tracing::error!("the thread that keeps views of cameras panicked; see above");
                Ok(())
            }
        }
    }
}

/// Whether its view is watched: each picture of a folder is a scene of its own.
fn is_watched(camera: &config::Camera) -> bool {
    let is_folder = camera.uri.parse().is_ok_and(|uri: SourceUri| matches!(uri, SourceUri::Folder { .. }));
    camera.view.on && !is_folder
}

/// Deletes what is known of the views of cameras that are not watched (any more).
fn forget_unwatched(folder: &Path, config: &Config) {
    let watched: Vec<PathBuf> =
        config.cameras.iter().filter(|c| is_watched(c)).map(|c| folder.join(format!("{}.view", c.id))).collect();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "view") && !watched.contains(&path) {
            forget(&path);
        }
    }
}

fn forget(path: &Path) {
    match crate::store::destroy_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "what was known of a camera's view is deleted"),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "what was known of a camera's view is not deleted yet");
        }
    }
}

/// Of one camera.
#[derive(Clone)]
pub(super) struct Door {
    to: SyncSender<Work>,
    vault: Vault,
    place: Place,
    health: Arc<Health>,
}

impl Door {
    /// The watch over the camera's view, with what is known of it.
    pub(super) fn view(&self) -> View {
        View::new(self.read())
    }

    fn read(&self) -> Option<Kept> {
        let Place { path, camera, settings, .. } = &self.place;
        if !path.exists() {
            return None;
        }
        let opened = self.vault.open(path, &name(camera)).map_err(|e| e.to_string()).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            minicbor::decode::<OnDisk>(&bytes).map_err(|e| e.to_string())
        });
        match opened {
            Ok(disk) if disk.version != VERSION || disk.settings != *settings || !disk.kept.is_sound() => {
                tracing::info!(%camera, "the camera's settings are others than those its view was learnt with: it is learnt anew");
                forget(path);
                None
            }
            Ok(disk) => Some(disk.kept),
            Err(why) => {
                tracing::error!(%camera, path = %path.display(), why, "what was known of the camera's view cannot be read: it is learnt anew");
                None
            }
        }
    }

    /// Keeps what is known of the view.
    pub(super) fn keep(&self, kept: Kept) {
        if self.to.try_send(Work::Views(Box::new(self.place.clone()), Box::new(kept))).is_err() {
            tracing::warn!(camera = %self.place.camera, "no time to keep what is known of the camera's view");
        }
    }

    /// Says what went wrong, or is over, and keeps the picture.
    pub(super) fn tell(&self, news: News, id: EventId, counters: &Arc<CameraCounters>) {
        let (camera, worry) = (&self.place.camera, worry_of(news.trouble));
        let Some(why) = news.why else {
            tracing::info!(%camera, trouble = ?news.trouble, "the camera's picture is in order again");
            return counters.set_worry(worry, None);
        };
        tracing::warn!(%camera, trouble = ?news.trouble, why, view = %id, "something is wrong with the camera's picture");
        counters.set_worry(worry, Some(why.clone()));
        let Some(bytes) = news.picture else { return };
        counters.set_view(worry, id);
        let (from, to) = (news.at, news.at);
        let about =
            Footage { camera: camera.clone(), from, to, media: Media::Jpeg, masked: self.place.masked, note: None };
        let attached = Attached { id, what: AttachedKind::View, about: about.noting(&why), bytes };
        if self.to.try_send(Work::Picture(Box::new(attached), Arc::clone(counters))).is_err() {
            tracing::error!(%camera, "no time to keep the picture of what is wrong with the camera");
            self.health.views_lost.inc();
            counters.forget_view(id);
        }
    }
}

fn worry_of(trouble: Trouble) -> Worry {
    match trouble {
        Trouble::Cut => Worry::Cut,
        Trouble::Frozen => Worry::Frozen,
        Trouble::Black => Worry::Black,
        Trouble::Blinded => Worry::Blinded,
        Trouble::Defocused => Worry::Defocused,
        Trouble::Moved => Worry::Moved,
    }
}

fn name(camera: &CameraId) -> String {
    format!("view of camera {camera}")
}

/// What says what is seen, and where things lie in it.
fn settings_of(camera: &config::Camera) -> [u8; 32] {
    let seen = (&camera.uri, &camera.substream, camera.rotate, camera.view.number);
    let of = (seen, &camera.roi, &camera.privacy_mask, &camera.zones, &camera.lines);
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{of:?}").as_bytes());
    out.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    out
}

fn work(from: &Receiver<Work>, stop_at: &OnceLock<Instant>, recorder: &RecorderHandle, vault: &Vault, health: &Health) {
    let pulse = health.pulses.of("views", Part::Aside, WITHIN * 10);
    loop {
        pulse.beats("a picture of a view");
        let work = match from.recv_timeout(LOOK_EVERY) {
            Ok(work) => work,
            Err(RecvTimeoutError::Timeout) if stop_at.get().is_none() => continue,
            Err(_) => return,
        };
        match work {
            Work::Stop => return,
            Work::Picture(attached, counters) => {
                let left = stop_at.get().map_or(WITHIN, |at| at.saturating_duration_since(Instant::now()));
                if let Err(error) = recorder.attach(&attached, left.min(WITHIN)) {
                    tracing::error!(camera = %attached.about.camera, %error, "the picture of what is wrong with a camera is not kept");
                    health.views_lost.inc();
                    counters.forget_view(attached.id);
                }
            }
            Work::Views(place, kept) => {
                let disk = OnDisk { version: VERSION, settings: place.settings, kept: *kept };
                let bytes = crate::command::ops::encode(&disk);
                if let Err(error) = vault.write(&place.path, &name(&place.camera), &bytes) {
                    tracing::error!(camera = %place.camera, %error, "what is known of a camera's view is not kept");
                }
            }
        }
    }
}

/// An id for a picture of a camera.
pub(super) fn new_id(at: TimeMs) -> EventId {
    let mut random = [0; 10];
    // Without random numbers from the system the time alone tells ids apart.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    EventId::from_parts(at.0, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Severity;
    use crate::store::testkit::{START, folder, hit_entry, open};
    use crate::store::{Recorder, Store};

    const STOP_WITHIN: Duration = Duration::from_secs(3);

    struct Site {
        dir: tempfile::TempDir,
        store: Store,
        health: Arc<Health>,
    }

    impl Site {
        fn new() -> Self {
            let dir = folder();
            let store = open(&dir.path().join("store"));
            Self { dir, store, health: Health::new() }
        }

        /// With one camera, whose block has these lines beside.
        fn config(&self, id: &str, beside: &str) -> Config {
            let text = format!(
                "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[[camera]]\nid = \"{id}\"\nnumber = 1\n\
                 uri = \"rtsp://192.0.2.7/a\"\n{beside}\n"
            );
            let path = self.dir.path().join("watchpost.toml");
            std::fs::write(&path, text).unwrap();
            crate::config::load(&path).unwrap()
        }

        fn keeper(&self, config: &Config, recorder: &Recorder) -> Keeper {
            Keeper::start(config, self.store.vault(), &recorder.handle(), &self.health).unwrap()
        }
    }

    fn news() -> News {
        let why = Some("picture black: the lens is covered, or there is no light".to_owned());
        News { trouble: Trouble::Black, at: START, why, picture: Some(b"jpeg".to_vec()) }
    }

    #[test]
    fn a_store_that_answers_nothing_costs_pictures_that_are_counted_and_holds_up_no_stop() {
        let site = Site::new();
        let (release, hold) = sync_channel::<()>(0);
        let (reached, held) = sync_channel(8);
        // As with a disk that is full: what waits for the recorder waits.
        let hold = std::sync::Mutex::new(hold);
        let on_commit = move |_: &_| {
            let _ = reached.try_send(());
            let _ = hold.lock().unwrap().recv();
        };
        let recorder = Recorder::start(&site.store, Arc::clone(&site.health), Box::new(on_commit)).unwrap();
        // Goes before the recorder, which waits for it: also when something below fails.
        let release = release;
        recorder.handle().send(hit_entry(1, Severity::Info)).unwrap();
        held.recv().unwrap();
        let config = site.config("gate", "");
        let keeper = site.keeper(&config, &recorder);
        let (door, counters) = (keeper.door(&config.cameras[0]).unwrap(), Arc::new(CameraCounters::default()));
        let told = QUEUE as u64 + 10;
        for _ in 0..told {
            door.tell(news(), new_id(START), &counters);
        }
        let dropped = site.health.views_lost.get();
        assert!((9..=10).contains(&dropped), "{dropped}");
        let begun = Instant::now();
        // It is left behind, or gives up in the same moment, where its thread came to the first picture only now.
        drop(keeper.stop(STOP_WITHIN));
        assert!(begun.elapsed() < STOP_WITHIN + Duration::from_secs(3), "{:?}", begun.elapsed());
        // The one that is under way gives up by itself, and the others with it.
        while site.health.views_lost.get() < told {
            assert!(begun.elapsed() < WITHIN + Duration::from_secs(10), "{}", site.health.views_lost.get());
            std::thread::yield_now();
        }
        drop(release);
        drop(recorder);
    }

    #[test]
    fn what_is_known_of_a_view_goes_with_its_camera_and_with_its_settings() {
        let site = Site::new();
        let recorder = Recorder::start(&site.store, Arc::clone(&site.health), Box::new(|_| ())).unwrap();
        let (config, other) = (site.config("gate", ""), site.config("gate", "view = 2"));
        let path = config.site.data_dir.join("views/gate.view");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let keep = || {
            let keeper = site.keeper(&config, &recorder);
            keeper.door(&config.cameras[0]).unwrap().keep(Kept::default());
            assert!(keeper.stop(STOP_WITHIN).is_ok());
            assert!(path.exists());
        };
        keep();
        // Others than those it was learnt with.
        let keeper = site.keeper(&other, &recorder);
        let _ = keeper.door(&other.cameras[0]).unwrap().view();
        assert!(!path.exists());
        assert!(keeper.stop(STOP_WITHIN).is_ok());
        for gone in [site.config("yard", ""), site.config("gate", "view_watch = false")] {
            keep();
            assert!(site.keeper(&gone, &recorder).stop(STOP_WITHIN).is_ok());
            assert!(!path.exists());
        }
        keep();
        assert!(site.keeper(&config, &recorder).stop(STOP_WITHIN).is_ok());
        assert!(path.exists(), "what is still watched stays");
    }
}
