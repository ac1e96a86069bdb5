//! Which sighting a track belongs to: parked vehicles are known again by their place, others by their plate.
//!
//! A sighting outlives its track for a while, so that a post, a passer-by or a lost detection does not make two of one
//! vehicle. At most [`MOST`] are kept; the oldest that no track carries goes first, its end told.

use super::follow::{Followed, Life, is_same_plate};
use super::settings::Settings;
use crate::domain::{PlateText, Rect, TimeMs};

/// Most sightings kept.
const MOST: usize = 256;

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

    pub(super) fn push(&mut self, followed: Followed) {
        self.all.push(followed);
    }

    /// Lets a parked vehicle's sighting go on with `track`, which began at `rect`, where that vehicle was seen last.
    pub(super) fn resume_at(&mut self, rect: &Rect, track: u32, settings: &Settings) -> bool {
        let lost = self.all.iter_mut().filter(|f| f.life == Life::Lost && f.is_parked(settings) && f.is_at(rect));
        let found = lost.max_by_key(|f| f.last);
        found.map(|f| f.resume(track)).is_some()
    }

    /// A track is over: whether a sighting goes on without it. What never was sure, and what only doubled another,
    /// is forgotten.
    pub(super) fn lose(&mut self, track: u32) {
        self.all.retain_mut(|f| {
            if f.life != Life::Live(track) {
                return true;
            }
            f.life = if f.reopened { Life::Ended } else { Life::Lost };
            f.confirmed && !f.duplicate
        });
    }

    /// Whether another track carries the same plate now.
    pub(super) fn is_double(&self, track: u32, text: &PlateText, rect: &Rect) -> bool {
        self.all.iter().any(|f| {
            let other = matches!(f.life, Life::Live(t) if t != track);
            other && f.told.as_ref().is_some_and(|t| t.text == *text || (f.is_near(rect) && alike(&t.text, text, 0)))
        })
    }

    /// Takes out the sighting that a track with this plate, seen at `rect`, continues.
    pub(super) fn take_same(
        &mut self,
        text: &PlateText,
        rect: &Rect,
        at: TimeMs,
        settings: &Settings,
    ) -> Option<Followed> {
        let same = |f: &Followed| {
            let Some(told) = &f.told else { return false };
            let gone = u128::from(at.since(f.last));
            let recent = gone <= settings.same_within.as_millis();
            match f.life {
                Life::Live(_) => false,
                Life::Lost if f.is_at(rect) => alike(&told.text, text, 1),
                Life::Lost => alike(&told.text, text, usize::from(gone <= settings.rejoin_within.as_millis())),
                Life::Ended => recent && alike(&told.text, text, 0),
            }
        };
        let index = (0..self.all.len())
            .filter(|i| self.all.get(*i).is_some_and(same))
            .max_by_key(|i| self.all.get(*i).map(|f| f.last))?;
        Some(self.all.remove(index))
    }

    /// For each sighting, whether nothing was told of it and its plate is that of one that was told at the time.
    fn repeats(&self, settings: &Settings) -> Vec<bool> {
        let near = |a: TimeMs, b: TimeMs| u128::from(a.since(b).max(b.since(a))) <= settings.same_within.as_millis();
        let told = |f: &Followed, text: &PlateText| {
            self.all.iter().any(|o| o.told.as_ref().is_some_and(|t| alike(&t.text, text, 1)) && near(o.last, f.last))
        };
        let untold = self.all.iter().map(|f| f.told.is_none() && f.read.as_ref().is_some_and(|r| told(f, &r.text)));
        untold.collect()
    }

    /// Ends what has waited long enough for its track to come back: `end` is called for each, oldest first; forgets
    /// what ended long ago.
    pub(super) fn end_due(&mut self, at: TimeMs, settings: &Settings, mut end: impl FnMut(&mut Followed)) {
        let repeats = self.repeats(settings);
        for (f, repeats) in self.all.iter_mut().zip(repeats) {
            let wait = match (f.is_parked(settings), f.told.is_some()) {
                (true, true) => settings.parked_memory,
                // A place alone is a weak mark: what could not be read is remembered for less long.
                (true, false) => settings.parked_memory.min(settings.same_within),
                (false, _) => settings.rejoin_within,
            };
            if f.life == Life::Lost && u128::from(at.since(f.last)) >= wait.as_millis() {
                f.life = Life::Ended;
                if !repeats && f.is_worth_an_end(settings) {
                    end(f);
                }
            }
        }
        while self.all.len() > MOST {
            let oldest = (0..self.all.len())
                .filter(|i| self.all.get(*i).is_some_and(|f| !matches!(f.life, Life::Live(_))))
                .min_by_key(|i| self.all.get(*i).map(|f| f.last));
            let Some(index) = oldest else { break };
            let mut gone = self.all.remove(index);
            if gone.life == Life::Lost && gone.is_worth_an_end(settings) {
                end(&mut gone);
            }
        }
        let forget = settings.same_within.as_millis();
        self.all.retain(|f| f.life != Life::Ended || u128::from(at.since(f.last)) < forget);
    }

    /// Ends everything: `end` is called for each that has not ended, oldest first.
    pub(super) fn end_all(&mut self, settings: &Settings, mut end: impl FnMut(&mut Followed)) {
        self.all.sort_by_key(|f| f.begin);
        let repeats = self.repeats(settings);
        for (mut f, repeats) in std::mem::take(&mut self.all).into_iter().zip(repeats) {
            let f = &mut f;
            let silent = repeats || f.life == Life::Ended || f.reopened || f.duplicate || !f.confirmed;
            if !silent && f.is_worth_an_end(settings) {
                end(f);
            }
        }
    }
}

fn alike(a: &PlateText, b: &PlateText, edits: usize) -> bool {
    is_same_plate(a.as_str(), b.as_str(), edits)
}
