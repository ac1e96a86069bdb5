//! Which sighting a track belongs to: parked vehicles are known again by their place, others by their plate and way.
//!
//! A sighting outlives its track for a while, so that a post, a passer-by or a lost detection does not make two of one
//! vehicle; one that stands is known again in its place for hours, however long it was hidden there. What is alike in
//! its plate alone is joined only where nothing speaks against it: two that were in one frame are two vehicles, and what
//! comes from behind with a plate that differs in a character both reads are sure of is the next one, not the same.
//!
//! At most [`MOST`] are kept; the oldest that no track carries goes first, its end told.

use std::time::Duration;

use super::follow::{Followed, Life, is_same_plate};
use super::settings::Settings;
use crate::domain::{EventId, PlateRead, PlateText, Rect, TimeMs};
use crate::vision::fuse::disagreement;
use crate::vision::track::TrackUpdate;

/// Most sightings kept.
const MOST: usize = 256;

/// How far reads of one vehicle may disagree ([`disagreement`]): by chance alone, at its own place or where it must have
/// come to, and where a read was too doubtful to be told.
const BY_CHANCE: f32 = 1.5;
const ON_ITS_WAY: f32 = 3.0;
const DOUBTFUL: f32 = 5.0;

/// All sightings that are under way or remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    all: Vec<Followed>,
}

impl Memory {
    /// The sighting that `track` carries.
    pub(super) fn of_track(&mut self, track: u32) -> Option<&mut Followed> {
        self.all.iter_mut().find(|f| f.life == Life::Live(track))
    }

    /// The tracks that live, with their sightings.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Followed)> {
        self.all.iter().filter_map(|f| if let Life::Live(track) = f.life { Some((track, f)) } else { None })
    }

    /// The sighting of this id, as long as its end was not told.
    pub(super) fn of_id(&mut self, id: EventId) -> Option<&mut Followed> {
        self.all.iter_mut().find(|f| f.id == id && f.life != Life::Ended)
    }

    /// When what a sighting is of was seen last.
    pub(super) fn last_seen(&self, id: EventId) -> Option<TimeMs> {
        self.all.iter().find(|f| f.id == id).map(|f| f.last)
    }

    /// Whether there is a sighting of this id whose end was not told.
    pub(super) fn has(&self, id: EventId) -> bool {
        self.all.iter().any(|f| f.id == id && f.life != Life::Ended)
    }

    /// The sighting of the plate that this vehicle carries.
    pub(super) fn carried_by(&mut self, vehicle: u32) -> Option<&mut Followed> {
        let known = |f: &&mut Followed| f.life != Life::Ended && f.confirmed && !f.duplicate;
        let carried = |f: &&mut Followed| known(f) && f.carrier.track() == Some(vehicle);
        self.all.iter_mut().filter(carried).max_by_key(|f| f.last)
    }

    pub(super) fn push(&mut self, followed: Followed) {
        self.all.push(followed);
    }

    /// How soon a plate that is to be read on and was seen since wants to be seen again; `None`: there is none.
    pub(super) fn haste(&self, since: TimeMs, settings: &Settings) -> Option<Duration> {
        let live = self.all.iter().filter(|f| matches!(f.life, Life::Live(_)) && f.last >= since);
        live.filter(|f| f.wants_more(settings)).map(Followed::haste).min()
    }

    /// Whether a track is that of a vehicle that stands.
    pub(super) fn is_parked(&self, track: u32, settings: &Settings) -> bool {
        self.all.iter().any(|f| f.life == Life::Live(track) && f.is_parked(settings))
    }

    /// Lets a sighting go on with `track`, which begins at `rect`: a parked vehicle's where it was seen last; one that
    /// moved where it must have come to meanwhile, if no other may have. A picture has `size`.
    pub(super) fn resume_at(
        &mut self,
        (rect, at, size): (&Rect, TimeMs, (f32, f32)),
        track: u32,
        settings: &Settings,
    ) -> bool {
        let lost = self.all.iter_mut().filter(|f| f.life == Life::Lost);
        let parked = lost.filter(|f| f.is_parked(settings) && f.way.is_at(rect, 0.0)).max_by_key(|f| f.last);
        if let Some(f) = parked {
            f.resume(track);
            return true;
        }
        let within = settings.rejoin_within.as_millis();
        let lost = self.all.iter_mut().filter(|f| f.life == Life::Lost && u128::from(at.since(f.last)) <= within);
        let mut here = lost.filter(|f| f.way.leads_to(rect, at, size));
        match (here.next(), here.next()) {
            (Some(f), None) => f.resume(track),
            _ => return false,
        }
        true
    }

    /// A track is over: whether a sighting goes on without it. What never was sure, and what only doubled another,
    /// is forgotten.
    pub(super) fn lose(&mut self, track: u32) {
        self.all.retain_mut(|f| f.life != Life::Live(track) || lost(f));
    }

    /// All tracks are over, the vehicles may come back.
    pub(super) fn lose_all(&mut self) {
        self.all.retain_mut(|f| !matches!(f.life, Life::Live(_)) || lost(f));
    }

    /// Places were in pixels of a picture that has so many times as many now, across and down.
    pub(super) fn scale(&mut self, by: (f32, f32)) {
        self.all.iter_mut().for_each(|f| f.way.scale(by));
    }

    /// Notes which sightings were `seen` in one frame at different places: they are different vehicles.
    pub(super) fn saw_together(&mut self, seen: &[TrackUpdate]) {
        if seen.len() < 2 {
            return;
        }
        let of = |f: &Followed| matches!(f.life, Life::Live(t) if seen.iter().any(|u| u.track == t && u.confirmed));
        let here: Vec<(EventId, Rect)> = self.all.iter().filter(|f| of(f)).map(|f| (f.id, f.way.last)).collect();
        for f in self.all.iter_mut().filter(|f| of(f)) {
            for (id, rect) in &here {
                if *id != f.id && !f.way.is_near(rect) {
                    f.saw_beside(*id);
                }
            }
        }
    }

    /// Whether another track carries the same plate now.
    pub(super) fn is_double(&self, track: u32, text: &PlateText, rect: &Rect) -> bool {
        self.all.iter().any(|f| {
            let other = matches!(f.life, Life::Live(t) if t != track);
            other
                && f.told.as_ref().is_some_and(|t| t.text == *text || (f.way.is_near(rect) && alike(&t.text, text, 0)))
        })
    }

    /// Takes out the sighting that the one of `track`, of which nothing was told yet, continues. A picture has `size`.
    pub(super) fn take_same(&mut self, track: u32, size: (f32, f32), settings: &Settings) -> Option<Followed> {
        let new = self.all.iter().find(|f| f.life == Life::Live(track))?;
        let index = (0..self.all.len())
            .filter(|i| self.all.get(*i).is_some_and(|old| continues(old, new, size, settings)))
            .max_by_key(|i| self.all.get(*i).map(|f| f.last))?;
        Some(self.all.remove(index))
    }

    /// Takes `read`, of a second look, for what was read of a sighting that has ended. False: another sighting has that
    /// plate, whose read it must have been.
    pub(super) fn put_right(&mut self, id: EventId, read: &PlateRead, settings: &Settings) -> bool {
        let is_others = |f: &Followed| f.id != id && f.told.as_ref().is_some_and(|t| alike(&t.text, &read.text, 0));
        if self.all.iter().any(is_others) {
            return false;
        }
        // What is not remembered any more needs no correction.
        if let Some(f) = self.all.iter_mut().find(|f| f.id == id) {
            f.put_right(read, settings);
        }
        true
    }

    /// Forgets all pictures that are laid over each other.
    pub(super) fn forget_stacks(&mut self) {
        self.all.iter_mut().for_each(Followed::forget_stacks);
    }

    /// For each sighting, whether nothing was told of it and it is of a vehicle that was told at the time.
    fn repeats(&self, size: (f32, f32), settings: &Settings) -> Vec<bool> {
        let untold = self
            .all
            .iter()
            .map(|f| f.told.is_none() && self.all.iter().any(|o| o.told.is_some() && repeats(f, o, size, settings)));
        untold.collect()
    }

    /// Ends what has waited long enough for its track to come back: `end` is called for each, oldest first; forgets
    /// what ended long ago.
    pub(super) fn end_due(
        &mut self,
        at: TimeMs,
        size: (f32, f32),
        settings: &Settings,
        mut end: impl FnMut(&mut Followed),
    ) {
        let wait = |f: &Followed| match (f.is_parked(settings), f.told.is_some()) {
            (true, true) => settings.parked_memory,
            // A place alone is a weak mark: what could not be read is remembered for less long.
            (true, false) => settings.parked_memory.min(settings.same_within),
            (false, _) => settings.rejoin_within,
        };
        let is_due = |f: &Followed| f.life == Life::Lost && u128::from(at.since(f.last)) >= wait(f).as_millis();
        if self.all.iter().any(is_due) {
            let repeats = self.repeats(size, settings);
            for (f, repeats) in self.all.iter_mut().zip(repeats) {
                if is_due(f) {
                    f.life = Life::Ended;
                    f.forget_stacks();
                    if !repeats && f.is_worth_an_end(settings) {
                        end(f);
                    }
                }
            }
        }
        while self.all.len() > MOST {
            let oldest = (0..self.all.len())
                .filter(|i| self.all.get(*i).is_some_and(|f| !matches!(f.life, Life::Live(_))))
                .min_by_key(|i| self.all.get(*i).map(|f| (f.life != Life::Ended, f.last)));
            let Some(index) = oldest else { break };
            let mut gone = self.all.remove(index);
            if gone.life == Life::Lost && gone.is_worth_an_end(settings) {
                end(&mut gone);
            }
        }
        self.all.retain(|f| f.life != Life::Ended || is_remembered(f, at, settings));
    }

    /// Ends everything: `end` is called for each that has not ended, oldest first.
    pub(super) fn end_all(&mut self, size: (f32, f32), settings: &Settings, mut end: impl FnMut(&mut Followed)) {
        self.all.sort_by_key(|f| f.begin);
        let repeats = self.repeats(size, settings);
        for (mut f, repeats) in std::mem::take(&mut self.all).into_iter().zip(repeats) {
            let f = &mut f;
            let silent = repeats || f.life == Life::Ended || f.reopened || f.duplicate || !f.confirmed;
            if !silent && f.is_worth_an_end(settings) {
                end(f);
            }
        }
    }
}

/// Lets a sighting whose track is over wait; false where it is to be forgotten.
fn lost(f: &mut Followed) -> bool {
    f.life = if f.reopened { Life::Ended } else { Life::Lost };
    f.confirmed && !f.duplicate
}

/// Whether a sighting that ended may still be known again: for the cooldown, and where it stands for longer.
fn is_remembered(f: &Followed, at: TimeMs, settings: &Settings) -> bool {
    let stands = f.told.is_some() && f.is_parked(settings);
    let within = if stands { settings.same_within.max(settings.parked_known) } else { settings.same_within };
    u128::from(at.since(f.last)) < within.as_millis()
}

/// Whether `new`, which is about to be told, is the vehicle of `old`, whose track is over.
fn continues(old: &Followed, new: &Followed, size: (f32, f32), settings: &Settings) -> bool {
    let (Some(told), Some(read)) = (&old.told, &new.read) else { return false };
    let gone = Duration::from_millis(new.begin.since(old.last));
    let same = alike(&told.text, &read.text, 0);
    if matches!(old.life, Life::Live(_)) || (told.text != read.text && old.was_beside(new)) {
        return false;
    }
    let differ = || old.read.as_ref().map_or(f32::INFINITY, |r| disagreement(r, read));
    // What stood and comes to sight in the same place has not travelled: it was hidden.
    if old.is_parked(settings) && old.way.is_at(&new.way.first, settings.min_travel) {
        return same || differ() <= ON_ITS_WAY;
    }
    if gone > settings.same_within {
        return false;
    }
    let soon = old.life == Life::Lost && gone <= settings.rejoin_within;
    let ahead = || old.way.leads_to(&new.way.first, new.begin, size) || old.way.is_at(&new.way.first, 0.0);
    same || (soon && differ() <= if ahead() { ON_ITS_WAY } else { BY_CHANCE })
}

/// Whether what was too doubtful to be told, `f`, is a piece of the pass that `told` is of.
fn repeats(f: &Followed, told: &Followed, size: (f32, f32), settings: &Settings) -> bool {
    let (from, to) = if f.begin <= told.begin { (f, told) } else { (told, f) };
    if Duration::from_millis(to.begin.since(from.last)) > settings.same_within || f.was_beside(told) {
        return false;
    }
    let soon = Duration::from_millis(to.begin.since(from.last)) <= settings.rejoin_within;
    let on = soon && (from.way.leads_to(&to.way.first, to.begin, size) || from.way.is_at(&to.way.first, 0.0));
    match (&f.read, &told.read) {
        (Some(a), Some(b)) => disagreement(a, b) <= if on { DOUBTFUL } else { ON_ITS_WAY },
        _ => on,
    }
}

fn alike(a: &PlateText, b: &PlateText, edits: usize) -> bool {
    is_same_plate(a.as_str(), b.as_str(), edits)
}
