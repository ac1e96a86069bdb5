//! Gathers the pictures of one clip out of a ring that forgets, and goes on gathering as they come.

use std::time::Duration;

use super::{LONGEST_TRAIL_MS, Look, MOST_WANTED, PATIENCE_MS, SURE_WITHIN_MS, TRAIL_MS, Wanted};
use crate::camera::Rotation;
use crate::camera::ring::{Coded, Span};
use crate::domain::TimeMs;

/// A look at the ring so long after the one before is soon enough: it keeps many times that.
const EVERY_MS: u64 = 1_000;

/// Whether more is to come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Over {
    #[default]
    No,
    /// It has its end.
    Whole,
    /// It ends before: why.
    Early(String),
    /// It ends where masks were right last.
    Moved,
}

const MOVED_WORDS: &str =
    "the camera was moved or its view changed, and its privacy masks may have lain wrong from then on";

const UNSURE_WORDS: &str = "the view was not found in its place (any more), and its privacy masks may have lain wrong";

/// What of a clip is there.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    span: Option<Span>,
    /// How its pictures lie, as it was known when the hit was made.
    rotation: Rotation,
    bytes: usize,
    over: Over,
}

impl Gathered {
    fn newest(&self) -> Option<TimeMs> {
        self.span.as_ref()?.pictures.iter().map(|c| c.at).max()
    }

    /// Adds what came after what is there.
    fn add(&mut self, pictures: &[Coded], most: usize) {
        for picture in pictures {
            self.bytes += picture.unit.size();
            if self.bytes > most {
                let mib = most >> 20;
                self.over = Over::Early(format!("it ends early: it would be larger than {mib} MiB (clip_mib)"));
                return;
            }
            if let Some(span) = &mut self.span {
                span.pictures.push(picture.clone());
            }
        }
    }

    fn begin(&mut self, kept: &Span, from: TimeMs, most: usize) {
        let keys = || kept.pictures.iter().enumerate().filter(|(_, c)| c.is_key);
        let Some((begin, _)) = keys().take_while(|(_, c)| c.at <= from).last().or_else(|| keys().next()) else {
            return;
        };
        self.span = Some(Span { caps: kept.caps.clone(), pictures: Vec::new() });
        self.add(kept.pictures.get(begin..).unwrap_or_default(), most);
    }

    fn go_on(&mut self, kept: &Span, most: usize) {
        let Some(have) = &self.span else { return };
        let last = have.pictures.last().map(|c| c.unit.as_ptr());
        let found = kept.pictures.iter().position(|c| Some(c.unit.as_ptr()) == last);
        match found.filter(|_| have.caps == kept.caps) {
            Some(place) => self.add(kept.pictures.get(place + 1..).unwrap_or_default(), most),
            None => self.over = Over::Early("it ends early: the camera was opened again".to_owned()),
        }
    }
}

impl Wanted {
    /// Goes on as long as the pass does, and no further than masks lie right.
    pub(super) fn follow(&mut self, look: &Look<'_>) {
        self.newest = self.newest.max(look.at);
        if self.gathered.over == Over::Moved {
            return;
        }
        if let Some(seen) = (look.seen)(self.wish.id).filter(|_| self.stood.is_none()) {
            let longest = self.wish.at.0.saturating_add(LONGEST_TRAIL_MS);
            let to = TimeMs(seen.0.saturating_add(TRAIL_MS).min(longest));
            if to > self.to && self.gathered.over == Over::Whole {
                self.gathered.over = Over::No;
            }
            self.to = self.to.max(to);
        }
        let Some(whereabouts) = look.whereabouts.filter(|_| !self.view.masks.is_empty()) else { return };
        self.sure = Some(whereabouts.in_place.unwrap_or_default());
        if whereabouts.is_elsewhere && self.sure < Some(self.to) {
            self.gathered.over = Over::Moved;
        }
    }

    /// Whether its masks lie right until its end, or nothing can be found out about that.
    fn is_sure(&self) -> bool {
        self.sure.is_none_or(|sure| sure >= self.to || self.newest.0 >= self.to.0.saturating_add(SURE_WITHIN_MS))
    }

    /// Monotonic: when it is taken as it is.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let sure = if self.sure.is_some() { SURE_WITHIN_MS } else { 0 };
        Some(self.asked? + Duration::from_millis(self.to.since(self.wish.at) + PATIENCE_MS + sure))
    }

    /// Why there can be no clip at all; `others` are wanted already.
    pub(super) fn why_not(&self, others: usize) -> Option<String> {
        if self.view.ring.is_none() {
            return Some("no coded pictures are kept of such a source".to_owned());
        }
        if self.wish.is_person {
            return Some("persons are not recognisable in what is kept of them, and would be in a clip".to_owned());
        }
        if others >= MOST_WANTED {
            return Some("the box had more hits at once than it can make clips of".to_owned());
        }
        let why = self.wish.unmaskable.as_ref().filter(|_| !self.view.masks.is_empty())?;
        Some(format!("it cannot be masked: {why}"))
    }

    /// Takes what the ring has by now.
    pub(super) fn gather(&mut self, most: usize) {
        if self.gathered.over != Over::No {
            return;
        }
        let kept = self.view.ring.as_ref().and_then(|ring| ring.span(Duration::ZERO, Duration::MAX));
        match (kept, &self.gathered.span) {
            (Some(kept), None) => {
                self.gathered.rotation = self.view.ring.as_ref().map(|ring| ring.rotation()).unwrap_or_default();
                self.gathered.begin(&kept, self.from, most);
            }
            (Some(kept), Some(_)) => self.gathered.go_on(&kept, most),
            (None, Some(_)) => self.gathered.over = Over::Early("it ends early: the camera was closed".to_owned()),
            (None, None) => {}
        }
        if self.gathered.newest().is_some_and(|newest| newest >= self.to) && self.gathered.over == Over::No {
            self.gathered.over = Over::Whole;
        }
    }

    /// Whether a look is worth it when the camera has a frame of `at`.
    pub(super) fn is_due(&self, at: TimeMs) -> bool {
        let newest = self.gathered.newest().map_or(0, |newest| newest.0);
        self.gathered.over == Over::No && (at >= self.to || at.0 >= newest.saturating_add(EVERY_MS))
    }

    /// How its pictures are to be turned.
    pub(super) fn rotation(&self) -> Rotation {
        self.gathered.rotation
    }

    /// Whether nothing more is to come.
    pub(super) fn is_complete(&self) -> bool {
        match self.gathered.over {
            Over::No => false,
            Over::Moved => true,
            Over::Whole | Over::Early(_) => self.is_sure(),
        }
    }

    /// The pictures up to the end that was asked for, and what is missing of what was asked for.
    pub(super) fn into_span(self) -> (Option<Span>, Option<String>) {
        let Some(mut span) = self.gathered.span else {
            return (None, Some("nothing was kept of that time: the camera had just been opened".to_owned()));
        };
        let is_moved = self.gathered.over == Over::Moved;
        let asked = span.pictures.iter().rposition(|c| c.at <= self.to).map_or(0, |place| place + 1);
        // A view that was never found in its place could not be compared: then nothing is known against its masks.
        let sure = self.sure.filter(|sure| is_moved || (*sure > TimeMs(0) && *sure < self.to));
        // Not even what is shown before it although it was coded after it.
        let right = sure.and_then(|sure| span.pictures.iter().position(|c| c.at > sure));
        let end = right.map_or(asked, |right| right.min(asked));
        let words = if is_moved { MOVED_WORDS } else { UNSURE_WORDS };
        let is_cut = is_moved || end < asked;
        span.pictures.truncate(end);
        if span.pictures.is_empty() && is_cut {
            return (None, Some(format!("there is none: {words}")));
        }
        let seconds = |ms: u64| f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1_000.0;
        let mut lacks = Vec::new();
        if let Some(ms) = self.stood {
            let ago = if ms < 120_000 { format!("{:.0} s", seconds(ms)) } else { format!("{} min", ms / 60_000) };
            lacks.push(format!(
                "what it is of was there {ago} before the hit already: it shows the time around the hit"
            ));
        }
        if let Some(late) = span.pictures.first().map(|c| c.at.0.saturating_sub(self.from.0)).filter(|late| *late > 500)
        {
            let begin = seconds(late);
            lacks.push(format!(
                "it begins {begin:.1} s later than asked for: no more was kept, or the camera had just been opened"
            ));
        }
        let early = span.pictures.iter().map(|c| c.at.0).max().map_or(0, |last| self.to.0.saturating_sub(last));
        match self.gathered.over {
            _ if is_cut => lacks.push(format!("it ends early: {words}")),
            Over::Early(why) => lacks.push(why),
            Over::No | Over::Whole | Over::Moved if early > 500 => {
                lacks.push(format!("it ends {:.1} s early: no more pictures came", seconds(early)));
            }
            Over::No | Over::Whole | Over::Moved => {}
        }
        (Some(span), (!lacks.is_empty()).then(|| lacks.join("; ")))
    }
}
