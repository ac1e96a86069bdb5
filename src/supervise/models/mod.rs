//! The centre's models at the start of a run, while it runs, and at its end: loaded, watched, gone back from.
//!
//! [`load`] counts the start of a set on probation before it touches a model and falls back, as often as there is something
//! to fall back to, when the set has had its starts, is not what was signed, or can't be loaded; at last the models that
//! `[vision]` names are loaded, and their fault is the start's. With `managed = false` under `[box]` they are the only ones. While the daemon runs, [`Managed::look`] confirms a set
//! that has run for long enough, and falls back from one that fails on frames or makes analysis threads panic. An end in
//! good order takes the start's mark back when [`Managed`] is dropped; a process that dies leaves it.

pub(super) mod swap;
pub mod trial;

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::command::models::force::{self, Fallback, STARTS, STEADY};
use crate::command::models::{Chosen, Error, Here, Set, Shelf, Task, Told};
use crate::config::Config;
use crate::health::Health;
use crate::store::Store;
use crate::store::audit::Event;
use crate::vision::model::{Corrector, Manifest, Settings};
use crate::vision::{self, Models};

use super::settings::{RUN_WITHIN, model_settings};

/// Frames in one run on which a set on probation may fail, while it fails on more than it analyses.
const FAILED_FRAMES: u64 = 25;
/// Panics of analysis threads in one run, and threads that hang, after which a set on probation goes.
const PANICS: u32 = 3;
/// A set that has failed on so many frames for each that was analysed, and for so long, goes at once: cameras may give few, and
/// one may have been under way when it came.
const NEVER_DID: (u64, Duration) = (3, Duration::from_secs(1));

/// The centre's models of this run.
pub(super) struct Managed {
    shelf: Shelf,
    /// The set that is loaded.
    set: Set,
    on_probation: bool,
    begun: Duration,
    clock: Clock,
    /// Fallbacks that the audit log has yet to be told of.
    untold: Vec<Fallback>,
    /// Frames that failed and were analysed, and panics, before these models.
    before: Tried,
    /// The run does not end well, whatever ends it.
    ends_badly: bool,
}

/// What became of frames and threads.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    failed: u64,
    analysed: u64,
    panics: u32,
}

impl Tried {
    fn of(health: &Health, panics: u32) -> Self {
        let sum =
            |of: fn(&crate::health::CameraCounters) -> u64| health.cameras().iter().map(|(_, c)| of(c)).sum::<u64>();
        Self { failed: sum(|c| c.unanalysed.get()), analysed: sum(|c| c.analysed.get()), panics }
    }

    fn since(self, before: Self) -> Self {
        Self {
            failed: self.failed.saturating_sub(before.failed),
            analysed: self.analysed.saturating_sub(before.analysed),
            panics: self.panics.saturating_sub(before.panics),
        }
    }
}

/// Loads the models: the centre's that are in force, and those of `[vision]` for all else.
///
/// # Errors
/// Why the models of `[vision]` cannot be loaded.
pub(super) fn load(config: &Config, clock: &Clock) -> anyhow::Result<(Models, Managed)> {
    let shelf = Shelf::of(&config.site.data_dir);
    let mut managed = Managed {
        shelf,
        set: Set::default(),
        on_probation: false,
        begun: clock.monotonic(),
        clock: clock.clone(),
        untold: Vec::new(),
        before: Tried::default(),
        ends_badly: false,
    };
    if config.site.managed {
        managed.begin();
    }
    let models = managed.load(config)?;
    Ok((models, managed))
}

/// Why it can't be said which models are in force.
#[derive(Debug)]
pub enum InForce {
    /// Of what `[vision]` says.
    Vision(vision::Error),
    /// Of a model that came from the centre.
    Centre(Error),
}

/// The models in force, the centre's among them, for whoever wants to know and starts nothing.
///
/// # Errors
/// No folder of models, or a model of the centre that is not what was signed.
pub fn settings_in_force(config: &Config) -> Result<(Settings, Set), InForce> {
    let shelf = Shelf::of(&config.site.data_dir);
    let force = if config.site.managed { force::read(shelf.folder()) } else { Ok(force::Force::default()) };
    let set = force.map_err(InForce::Centre)?.now;
    let chosen: Result<Vec<Chosen>, Error> = set.iter().map(|one| shelf.chosen(one)).collect();
    let settings = model_settings(&config.vision).map_err(InForce::Vision)?;
    Ok((chosen.and_then(|chosen| with(settings, &chosen)).map_err(InForce::Centre)?, set))
}

/// Whose fault it is that models can't be loaded.
enum Fault {
    /// Of what `[vision]` names, or of the machine.
    Ours(vision::Error),
    /// Of a model that came.
    Centres(String),
}

impl From<vision::Error> for Fault {
    fn from(error: vision::Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Centres(error.to_string())
    }
}

/// Settings that name the models of the centre, and which those are.
struct InPlace {
    settings: Settings,
    chosen: Vec<Chosen>,
}

fn load_checked(place: &InPlace) -> Result<Models, Fault> {
    let whose = |error: vision::Error| {
        if place.chosen.is_empty() { Fault::Ours(error) } else { Fault::Centres(error.to_string()) }
    };
    place.chosen.iter().try_for_each(check_manifest).map_err(Fault::Centres)?;
    Models::load(&place.settings).map_err(whose)
}

/// Whether the model says of itself what was signed of it.
fn check_manifest(chosen: &Chosen) -> Result<(), String> {
    let manifest = Manifest::load(&chosen.folder).map_err(|e| e.to_string())?;
    if manifest.name != chosen.name || manifest.version != chosen.version {
        return Err(format!(
            "the package is of {} {}, the manifest in it says {} {}: pack it anew",
            chosen.name, chosen.version, manifest.name, manifest.version
        ));
    }
    Ok(())
}

/// Names the centre's models in place of those that `[vision]` names; a task that is off stays off.
///
/// # Errors
/// A path that is no UTF-8.
pub(super) fn with(mut settings: Settings, chosen: &[Chosen]) -> Result<Settings, Error> {
    for one in chosen {
        let folder =
            std::path::absolute(&one.folder).map_err(|source| Error::Io { path: one.folder.clone(), source })?;
        let named = folder.to_str().map(str::to_owned);
        // A name that is a whole path leads there from any folder.
        let name = named.ok_or_else(|| Error::Bound(format!("{}: is no UTF-8", folder.display())))?;
        match one.task {
            Task::Detector => settings.detector = name,
            Task::Reader => settings.reader = name,
            Task::Corners if settings.corners != Corrector::Off => settings.corners = Corrector::Named(name),
            Task::Vehicles if settings.vehicles.is_some() => settings.vehicles = Some(name),
            Task::Corners | Task::Vehicles => {}
        }
    }
    Ok(settings)
}

impl Managed {
    /// Reads what is in force and counts the start.
    fn begin(&mut self) {
        if !self.shelf.folder().is_dir() {
            return;
        }
        if let Err(error) = self.shelf.sweep() {
            tracing::warn!(%error, "a model that was tried cannot be removed");
        }
        if let Err(error @ Error::Damaged { .. }) = force::read(self.shelf.folder()) {
            let aside = force::set_aside(self.shelf.folder(), self.clock.utc());
            tracing::error!(%error, aside = ?aside.ok(), "which models are in force is not known: those of [vision] are");
        }
        let now = self.clock.utc();
        let begun = force::change(self.shelf.folder(), |force| {
            let worn = force.start();
            let why =
                format!("the daemon ended {STARTS} times without good order before it had run {} s", STEADY.as_secs());
            let fallback = worn.then(|| force.fall_back(now, &why));
            Ok::<_, Error>((force.now.clone(), force.probation.is_some(), fallback))
        });
        match begun {
            Ok((set, on_probation, fallback)) => {
                (self.set, self.on_probation) = (set, on_probation);
                if let Some(fallback) = fallback {
                    self.fell_back(fallback);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the centre's models cannot be looked at: those of [vision] are in force");
            }
        }
    }

    /// Loads what is in force; falls back, as often as there is something to fall back to, from what can't be loaded.
    fn load(&mut self, config: &Config) -> anyhow::Result<Models> {
        loop {
            match self.settings(config).and_then(|settings| load_checked(&settings)) {
                Ok(models) => return Ok(models),
                Err(Fault::Ours(error)) => return Err(error.into()),
                Err(Fault::Centres(why)) if self.set.is_empty() => anyhow::bail!(why),
                Err(Fault::Centres(why)) => self.fall_back(&why),
            }
        }
    }

    /// Loads what is in force by now beside what runs. The probation of a set begins here as it does at a start.
    ///
    /// # Errors
    /// Why the models of `[vision]` cannot be loaded either.
    pub(super) fn load_anew(&mut self, config: &Config, health: &Health, panics: u32) -> anyhow::Result<Models> {
        if config.site.managed {
            self.begin();
        }
        let models = self.load(config)?;
        (self.begun, self.before) = (self.clock.monotonic(), Tried::of(health, panics));
        Ok(models)
    }

    fn settings(&self, config: &Config) -> Result<InPlace, Fault> {
        let chosen = self.set.iter().map(|one| self.shelf.chosen(one)).collect::<Result<Vec<_>, _>>()?;
        Ok(InPlace { settings: with(model_settings(&config.vision)?, &chosen)?, chosen })
    }

    /// Puts the set before in force, on the disk and here.
    fn fall_back(&mut self, why: &str) {
        let (now, ours) = (self.clock.utc(), self.set.clone());
        let done = force::change(self.shelf.folder(), |force| {
            // Somebody may have activated another since.
            let fallback = (force.now == ours).then(|| force.fall_back(now, why));
            Ok::<_, Error>((force.now.clone(), force.probation.is_some(), fallback))
        });
        match done {
            Ok((set, on_probation, fallback)) if set != ours => {
                (self.set, self.on_probation) = (set, on_probation);
                if let Some(fallback) = fallback {
                    self.fell_back(fallback);
                }
            }
            done => {
                if let Err(error) = done {
                    tracing::error!(%error, "a fallback cannot be written: it will be made anew at the next start");
                }
                (self.set, self.on_probation) = (Set::default(), false);
            }
        }
    }

    fn fell_back(&mut self, fallback: Fallback) {
        let (from, to) = (fallback.from.describe(), fallback.to.describe());
        tracing::error!(from, to, why = fallback.why, "models did not do, those before are in force again");
        self.untold.push(fallback);
    }

    /// The set that is loaded, in words.
    pub(super) fn describe(&self) -> String {
        self.set.describe()
    }

    /// Tells the audit log of the fallbacks there were.
    pub(super) fn tell(&mut self, store: &Store) {
        for fallback in std::mem::take(&mut self.untold) {
            let details = [
                ("action", "fell-back".to_owned()),
                ("from", fallback.from.describe()),
                ("to", fallback.to.describe()),
                ("why", fallback.why.clone()),
            ];
            if let Err(error) = store.audit(Event::ModelChanged, &details) {
                tracing::error!(%error, "the fallback of models is not in the audit log");
                return self.untold.push(fallback);
            }
        }
    }

    /// Confirms a set that has run for long enough. True: the set does not do, and another is in force that is to be
    /// loaded. `panics`: how often analysis threads panicked in this run; `hung`: how many runs of these models did not come
    /// back.
    pub(super) fn look(&mut self, store: &Store, health: &Health, panics: u32, hung: u64) -> bool {
        if !self.on_probation {
            return false;
        }
        let Tried { failed, analysed, panics } = Tried::of(health, panics).since(self.before);
        let ran = self.clock.monotonic().saturating_sub(self.begun);
        let never_did = failed >= NEVER_DID.0 && failed > NEVER_DID.0 * analysed && ran >= NEVER_DID.1;
        let why = if hung > 0 {
            format!("a run of the models did not come back within {RUN_WITHIN:?}")
        } else if never_did || failed >= FAILED_FRAMES && failed > analysed {
            format!("the models failed on {failed} frames and analysed {analysed}")
        } else if panics >= PANICS {
            format!("analysis threads panicked or hung {panics} times")
        } else if ran < STEADY {
            return false;
        } else {
            self.confirm(store);
            return false;
        };
        let before = self.set.clone();
        self.fall_back(&why);
        self.tell(store);
        self.set != before
    }

    /// Threads hang: what comes is no good end, whoever is to blame.
    pub(super) fn spoil_end(&mut self) {
        self.ends_badly = true;
    }

    fn confirm(&mut self, store: &Store) {
        self.on_probation = false;
        let ours = self.set.clone();
        let done = force::change(self.shelf.folder(), |force| Ok::<_, Error>(force.now == ours && force.confirm()));
        match done {
            Ok(true) => {
                tracing::info!(models = ours.describe(), "models have proven themselves and are in force for good");
                let details = [("action", "confirmed".to_owned()), ("to", ours.describe())];
                if let Err(error) = store.audit(Event::ModelChanged, &details) {
                    tracing::error!(%error, "the end of the models' probation is not in the audit log");
                }
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the end of the models' probation cannot be written"),
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // What unwinds is no good end.
        if !self.on_probation || self.ends_badly || std::thread::panicking() {
            return;
        }
        let ours = &self.set;
        if let Err(error) = force::change(self.shelf.folder(), |f| Ok::<_, Error>(f.now == *ours && f.end())) {
            tracing::warn!(%error, "the good end of a run with models on probation cannot be written");
        }
    }
}

/// What is loaded and what is shipped, for `model.list`; to be made at the start, while what is in force is what is loaded.
#[must_use]
pub fn here(config: &Config, models: &Models) -> Here {
    let set = force::read(Shelf::of(&config.site.data_dir).folder()).unwrap_or_default().now;
    let from_centre =
        |m: &Manifest| config.site.managed && set.iter().any(|one| one.name == m.name && one.version == m.version);
    let task = |at: usize, manifest: &Manifest| match at {
        0 => Some(Task::Detector),
        1 => Some(Task::Reader),
        _ => task_of(manifest),
    };
    let told = |(at, m): (usize, &Manifest)| Told { from_centre: from_centre(m), ..told(m, task(at, m)) };
    let loaded = models.manifests().enumerate().map(told).collect();
    let shipped = model_settings(&config.vision).map(|settings| shipped(&settings.folder)).unwrap_or_default();
    Here { loaded, shipped }
}

fn told(manifest: &Manifest, task: Option<Task>) -> Told {
    Told {
        task,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sha256: manifest.digest(),
        from_centre: false,
    }
}

/// What a model can do, as far as its family tells.
#[must_use]
pub fn task_of(manifest: &Manifest) -> Option<Task> {
    let plates = manifest.family.finds() && manifest.finds(|class| class == crate::domain::Class::Plate);
    let vehicles = manifest.family.finds() && manifest.finds(crate::domain::Class::is_vehicle);
    match (manifest.family.reads(), plates, vehicles) {
        (true, ..) => Some(Task::Reader),
        (false, true, _) => Some(Task::Detector),
        (false, false, true) => Some(Task::Vehicles),
        (false, false, false) if !manifest.family.finds() => Some(Task::Corners),
        _ => None,
    }
}

/// The models of a folder, by name; what is none is left out.
fn shipped(folder: &Path) -> Vec<Told> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<Told> =
        entries.filter_map(|e| Manifest::load(&e.path()).ok()).map(|m| told(&m, task_of(&m))).collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    found
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod weeks;
