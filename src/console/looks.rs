//! Who may look at which camera until when, and how often that is written down.
//!
//! A look is opened by a record of the audit log that says for how long, [`LASTS`]; a picture is given within one or not at all, so
//! that every second of live picture stands in a record. Asking again is let pass by the record that is there while that has [`ANEW`]
//! left or more: who looks on at one camera for one purpose costs a record every four minutes at most, however often is asked. Against
//! many cameras, purposes and cookies there is a bound for each who and one over all: the log grows by 6 records a minute at most.

use std::collections::HashMap;
use std::time::Duration;

use super::bucket::Bucket;
use super::guard::Who;
use crate::domain::{CameraId, Purpose};

/// How long one look lasts.
pub(super) const LASTS: Duration = Duration::from_mins(5);
/// One that has less left than this is opened anew when it is asked for.
const ANEW: Duration = Duration::from_mins(1);
/// Looks that one may open at once, and how long until one more: twelve cameras can be watched without an end.
const EACH: (u32, Duration) = (20, Duration::from_secs(20));
/// The same over all: whoever has the token can make cookies.
const ALL: (u32, Duration) = (40, Duration::from_secs(10));

/// What has to be done for a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: it is open for so long.
    Open(Duration),
    /// Its record has to be written: there is room for it.
    Anew,
    /// Nothing can be done for so long.
    TooMany(Duration),
}

/// A look: whose, at what, what for.
type Look = (Who, CameraId, Option<Purpose>);

/// See the module.
#[derive(Debug)]
pub(super) struct Looks {
    until: HashMap<Look, Duration>,
    /// Of those who asked lately: one that is full is forgotten.
    each: HashMap<Who, Bucket>,
    all: Bucket,
}

impl Looks {
    pub(super) fn new(now: Duration) -> Self {
        Self { until: HashMap::new(), each: HashMap::new(), all: Bucket::new(ALL.0, ALL.1, now) }
    }

    /// Takes the room for a record where one is needed.
    pub(super) fn ask(&mut self, look: &Look, now: Duration) -> Asked {
        let left = self.until.get(look).map_or(Duration::ZERO, |until| until.saturating_sub(now));
        if left >= ANEW {
            return Asked::Open(left);
        }
        self.each.retain(|_, bucket| !bucket.is_full(now));
        let own = self.each.entry(look.0.clone()).or_insert_with(|| Bucket::new(EACH.0, EACH.1, now));
        let wait = own.wait(now).max(self.all.wait(now));
        if !wait.is_zero() {
            return Asked::TooMany(wait);
        }
        own.take();
        self.all.take();
        Asked::Anew
    }

    /// Its record is written: it lasts from `begun`, which was before that.
    pub(super) fn open(&mut self, look: Look, begun: Duration) {
        self.until.retain(|_, until| *until > begun);
        self.until.insert(look, begun + LASTS);
    }

    /// No record was written for it.
    pub(super) fn refused(&mut self, who: &Who) {
        if let Some(own) = self.each.get_mut(who) {
            own.give_back();
        }
        self.all.give_back();
    }

    /// Whether somebody may look at a camera.
    pub(super) fn may_look(&self, who: &Who, camera: &CameraId, now: Duration) -> bool {
        self.until.iter().any(|((of, at, _), until)| of == who && at == camera && *until > now)
    }

    /// Ends all of somebody's.
    pub(super) fn end(&mut self, who: &Who) {
        self.until.retain(|(of, ..), _| of != who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(camera: &str, purpose: Purpose) -> Look {
        (Who::Bearer, CameraId::new(camera).unwrap(), Some(purpose))
    }

    /// Asks as the page does; whether a record was written.
    fn asks(looks: &mut Looks, look: &Look, now: Duration) -> Result<bool, Duration> {
        match looks.ask(look, now) {
            Asked::Open(_) => Ok(false),
            Asked::Anew => {
                looks.open(look.clone(), now);
                Ok(true)
            }
            Asked::TooMany(wait) => Err(wait),
        }
    }

    #[test]
    fn every_second_that_is_seen_stands_in_a_record_and_asking_often_writes_no_more_of_them() {
        let begun = Duration::from_hours(1);
        let (mut looks, gate) = (Looks::new(begun), look("gate", Purpose::Maintenance));
        let mut records: Vec<Duration> = Vec::new();
        for second in 0..3600 {
            let now = begun + Duration::from_secs(second);
            if asks(&mut looks, &gate, now).unwrap() {
                records.push(now);
            }
            if looks.may_look(&gate.0, &gate.1, now) {
                assert!(records.iter().any(|at| *at <= now && now < *at + LASTS), "{now:?}: {records:?}");
            }
        }
        assert!(
            records.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) >= LASTS.saturating_sub(ANEW)),
            "{records:?}"
        );
        assert_eq!(records.len(), 15);
        let over = begun + Duration::from_hours(2);
        assert!(!looks.may_look(&gate.0, &gate.1, over));
    }

    #[test]
    fn a_look_is_for_one_purpose_and_one_camera_and_ends_with_whose_it_is() {
        let now = Duration::from_hours(1);
        let (mut looks, gate) = (Looks::new(now), look("gate", Purpose::Maintenance));
        assert_eq!(asks(&mut looks, &gate, now), Ok(true));
        assert_eq!(asks(&mut looks, &look("gate", Purpose::Traffic), now), Ok(true));
        assert_eq!(asks(&mut looks, &look("yard", Purpose::Maintenance), now), Ok(true));
        assert_eq!(asks(&mut looks, &gate, now), Ok(false));
        let other = Who::Session([7; 32]);
        assert!(!looks.may_look(&other, &gate.1, now));
        looks.end(&gate.0);
        assert!(!looks.may_look(&gate.0, &gate.1, now));
    }

    #[test]
    fn looks_are_bounded_for_each_and_over_all() {
        let now = Duration::from_hours(1);
        let mut looks = Looks::new(now);
        let many = |looks: &mut Looks, who: &Who, now: Duration| {
            (0..100)
                .filter(|n| {
                    asks(looks, &(who.clone(), CameraId::new(&format!("c-{n}")).unwrap(), Some(Purpose::Traffic)), now)
                        == Ok(true)
                })
                .count()
        };
        assert_eq!(many(&mut looks, &Who::Bearer, now), 20);
        assert_eq!(asks(&mut looks, &look("gate", Purpose::Traffic), now), Err(EACH.1));
        // What came to nothing costs nothing.
        looks.refused(&Who::Bearer);
        assert_eq!(asks(&mut looks, &look("gate", Purpose::Traffic), now), Ok(true));
        let written: usize = (0..=255).map(|n| many(&mut looks, &Who::Session([n; 32]), now)).sum();
        assert_eq!(written, 20);
        // A day of it, with another cookie each time.
        let written: usize = (0..24 * 60)
            .map(|n| many(&mut looks, &Who::Session([(n % 256) as u8; 32]), now + Duration::from_mins(n + 1)))
            .sum();
        assert!(written <= 6 * 24 * 60 && looks.each.len() <= 40, "{written}, {}", looks.each.len());
    }
}
