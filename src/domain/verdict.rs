//! What people made of a hit: who saw it, what they found it to be, and that it is done with.
//!
//! ```text
//! new ─► delivered ─► seen ─► judged (confirmed | misread | wrong vehicle | stale entry | not actionable) ─► closed
//! ```
//! *Delivered* is not written down: it follows from the outbox. A verdict may be changed until the hit is closed, and a
//! hit that is judged counts as seen. Values with the CBOR keys that the store keeps them under.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

use super::command::words;
use super::plate::PlateText;
use super::time::TimeMs;

words! {
    /// What an operator found a hit to be.
    Verdict {
        /// The plate is the one that is looked for.
        Confirmed = 0 "confirmed",
        /// The plate was read wrongly.
        Misread = 1 "misread",
        /// The plate is right and stands on another vehicle than the one that is looked for.
        WrongVehicle = 2 "wrong-vehicle",
        /// The entry should not have been on the list any more.
        StaleEntry = 3 "stale-entry",
        /// The hit is right, and nothing could or had to be done.
        NotActionable = 4 "not-actionable",
    }
}

words! {
    /// How far a hit has come.
    HitState {
        /// The centre does not have its alert yet, or the copy was shed.
        New = 0 "new",
        /// The centre acknowledged its alert.
        Delivered = 1 "delivered",
        /// Somebody has looked at it.
        Seen = 2 "seen",
        /// Somebody said what it is.
        Judged = 3 "judged",
        /// Nothing more will be said about it.
        Closed = 4 "closed",
    }
}

impl Verdict {
    /// Whether box and list did what they are for: read, match and entry were right.
    ///
    /// Precision is the share of such verdicts; a stale entry speaks against the list, a misread against the box.
    #[must_use]
    pub fn is_right(self) -> bool {
        matches!(self, Self::Confirmed | Self::NotActionable)
    }
}

/// That somebody did something.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// When.
    #[n(0)]
    pub at: TimeMs,
    /// Who: the name of their key.
    #[n(1)]
    pub by: String,
    /// Their organisation.
    #[n(2)]
    pub org: String,
}

/// What somebody found a hit to be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Judgement {
    /// What.
    #[n(0)]
    pub verdict: Verdict,
    /// The plate that was there, for a misread.
    #[n(1)]
    pub true_plate: Option<PlateText>,
    /// By whom and when.
    #[n(2)]
    pub mark: Mark,
}

/// All that was done about a hit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Handling {
    /// Who saw it first.
    #[n(0)]
    pub seen: Option<Mark>,
    /// The verdict in force.
    #[n(1)]
    pub verdict: Option<Judgement>,
    /// Who closed it.
    #[n(2)]
    pub closed: Option<Mark>,
}

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlingError {
    /// It is closed.
    #[error("the hit was closed by {by} at {at}: nothing about it changes any more")]
    Closed {
        /// Who closed it.
        by: String,
        /// When.
        at: TimeMs,
    },
    /// A misread without the plate that was there.
    #[error("a misread takes the plate that was there")]
    NoTruePlate,
    /// A true plate with another verdict.
    #[error("only a misread takes a true plate, not {0}")]
    TruePlate(Verdict),
    /// The true plate is the one that was read.
    #[error("the true plate is the one that was read: that is no misread")]
    SamePlate,
    /// Closing what nobody judged.
    #[error("the hit has no verdict yet: give one before, or with the closing")]
    NotJudged,
}

impl Handling {
    /// How far the hit has come; `delivered`: the centre has its alert.
    #[must_use]
    pub fn state(&self, delivered: bool) -> HitState {
        match self {
            Self { closed: Some(_), .. } => HitState::Closed,
            Self { verdict: Some(_), .. } => HitState::Judged,
            Self { seen: Some(_), .. } => HitState::Seen,
            _ if delivered => HitState::Delivered,
            _ => HitState::New,
        }
    }

    /// Notes who saw it; only the first one counts. Whether that changed anything.
    pub fn see(&mut self, mark: Mark) -> bool {
        let first = self.seen.is_none();
        self.seen.get_or_insert(mark);
        first
    }

    /// Gives a verdict, or another one; `read` is the plate of the hit.
    ///
    /// # Errors
    /// When it is closed, or verdict and true plate do not go together; nothing is changed then.
    pub fn judge(&mut self, judgement: Judgement, read: Option<&PlateText>) -> Result<(), HandlingError> {
        self.open()?;
        match (judgement.verdict, &judgement.true_plate) {
            (Verdict::Misread, None) => return Err(HandlingError::NoTruePlate),
            (Verdict::Misread, Some(plate)) if read == Some(plate) => return Err(HandlingError::SamePlate),
            (Verdict::Misread, Some(_)) | (_, None) => {}
            (verdict, Some(_)) => return Err(HandlingError::TruePlate(verdict)),
        }
        self.see(judgement.mark.clone());
        self.verdict = Some(judgement);
        Ok(())
    }

    /// Closes it.
    ///
    /// # Errors
    /// When it is closed already or was never judged.
    pub fn close(&mut self, mark: Mark) -> Result<(), HandlingError> {
        self.open()?;
        if self.verdict.is_none() {
            return Err(HandlingError::NotJudged);
        }
        self.closed = Some(mark);
        Ok(())
    }

    fn open(&self) -> Result<(), HandlingError> {
        match &self.closed {
            Some(mark) => Err(HandlingError::Closed { by: mark.by.clone(), at: mark.at }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: u64) -> Mark {
        Mark { at: TimeMs(at), by: "operator-1".to_owned(), org: "north".to_owned() }
    }

    fn judgement(verdict: Verdict, true_plate: Option<&str>) -> Judgement {
        Judgement { verdict, true_plate: true_plate.and_then(PlateText::from_raw), mark: mark(5) }
    }

    #[test]
    fn a_hit_goes_from_new_to_closed_and_stays_there() {
        let read = PlateText::from_raw("AB123CD");
        let mut handling = Handling::default();
        assert_eq!((handling.state(false), handling.state(true)), (HitState::New, HitState::Delivered));
        assert_eq!(handling.close(mark(1)), Err(HandlingError::NotJudged));
        assert!(handling.see(mark(2)) && !handling.see(mark(3)));
        assert_eq!((handling.state(true), handling.seen.as_ref().unwrap().at), (HitState::Seen, TimeMs(2)));
        handling.judge(judgement(Verdict::Confirmed, None), read.as_ref()).unwrap();
        handling.judge(judgement(Verdict::Misread, Some("AB123CO")), read.as_ref()).unwrap();
        assert_eq!(handling.state(false), HitState::Judged);
        handling.close(mark(9)).unwrap();
        assert_eq!(handling.state(true), HitState::Closed);
        let again = handling.judge(judgement(Verdict::Confirmed, None), read.as_ref());
        assert_eq!(again, Err(HandlingError::Closed { by: "operator-1".to_owned(), at: TimeMs(9) }));
        assert_eq!(handling.verdict.unwrap().verdict, Verdict::Misread);
    }

    #[test]
    fn a_true_plate_goes_with_a_misread_and_with_nothing_else() {
        let read = PlateText::from_raw("AB123CD");
        let judged = |verdict, plate| Handling::default().judge(judgement(verdict, plate), read.as_ref());
        assert_eq!(judged(Verdict::Misread, None), Err(HandlingError::NoTruePlate));
        assert_eq!(judged(Verdict::Misread, Some("ab-123-cd")), Err(HandlingError::SamePlate));
        assert_eq!(judged(Verdict::StaleEntry, Some("X1234")), Err(HandlingError::TruePlate(Verdict::StaleEntry)));
        let mut handling = Handling::default();
        handling.judge(judgement(Verdict::WrongVehicle, None), None).unwrap();
        assert!(handling.seen.is_some(), "who judges has seen");
    }
}
