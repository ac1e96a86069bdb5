//! Bounds what is logged, whoever causes it: a box that nobody looks at must not fill its disk with one warning.
//!
//! Lines from INFO up are counted by the place in the code that says them, and by the camera that they name: one camera that
//! comes and goes hides no other's failure. Each such place has [`BURST`] lines, and gets one back
//! every [`EVERY`]; all together have [`ALL_BURST`], and get one back every [`ALL_EVERY`]. What is beyond is left out, and the
//! next line of that place says how many like it were ([`LEFT_OUT`]). ERROR goes by the bound of its place alone. No line is
//! longer than [`LINE_BYTES`]. DEBUG and TRACE are not bounded: who switches them on wants them.
//!
//! So a day has at most 8,640 lines at INFO and WARN after the first burst. Rooms say what repeats on a change all the same:
//! this is the net under them.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// Lines of one place at once.
const BURST: u32 = 100;
/// How long until one place has another one.
const EVERY: Duration = Duration::from_mins(1);
/// Lines of all places at once.
const ALL_BURST: u32 = 2_000;
/// How long until all have another one.
const ALL_EVERY: Duration = Duration::from_secs(10);
/// Of a day, when all that may be said is said.
#[cfg(test)]
const LINES_A_DAY: u32 = 8_640;
/// The field that says how many lines of the same place were left out before this one.
const LEFT_OUT: &str = "like_it_left_out";
/// Most places that are told apart by the camera that they name.
const PLACES: usize = 4_096;
/// Longest line, in bytes.
const LINE_BYTES: usize = 2_048;

/// What may still be said.
#[derive(Debug, Clone, Copy)]
struct Room {
    lines: f64,
    at: Duration,
}

impl Room {
    fn refill(&mut self, most: u32, every: Duration, now: Duration) {
        let came = now.saturating_sub(self.at).as_secs_f64() / every.as_secs_f64();
        *self = Self { lines: (self.lines + came).min(f64::from(most)), at: now };
    }

    fn take(&mut self) {
        self.lines -= 1.0;
    }

    fn is_empty(&self) -> bool {
        self.lines < 1.0
    }
}

/// Who says a line: the place in the code, and the camera that it names.
type Who = (Identifier, Option<u64>);

/// The camera that an event names.
#[derive(Default)]
struct Camera(Option<u64>);

impl Camera {
    fn of(event: &Event<'_>) -> Who {
        let mut camera = Self::default();
        event.record(&mut camera);
        (event.metadata().callsite(), camera.0)
    }
}

impl Visit for Camera {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "camera" {
            let mut hasher = Hashed(DefaultHasher::new());
            // Hashing cannot fail.
            let _ = write!(hasher, "{value:?}");
            self.0 = Some(hasher.0.finish());
        }
    }
}

/// Hashes what is written.
struct Hashed(DefaultHasher);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[derive(Debug)]
struct Place {
    room: Room,
    left_out: u64,
}

#[derive(Debug)]
struct Rooms {
    all: Room,
    places: HashMap<Who, Place>,
}

impl Rooms {
    /// Whose line it is; where there are too many places already, that of all cameras that have none of their own.
    fn who(&self, event: &Event<'_>) -> Who {
        let who = Camera::of(event);
        if self.places.len() >= PLACES && !self.places.contains_key(&who) { (who.0, None) } else { who }
    }
}

/// Shared by the filter, which decides, and by who writes the lines and says what was left out.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    rooms: Arc<Mutex<Rooms>>,
    clock: Clock,
}

impl Limit {
    pub(super) fn new(clock: Clock) -> Self {
        let all = Room { lines: f64::from(ALL_BURST), at: clock.monotonic() };
        Self { rooms: Arc::new(Mutex::new(Rooms { all, places: HashMap::new() })), clock }
    }

    /// Whether a line is said; it is counted when not.
    fn admits(&self, event: &Event<'_>) -> bool {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return true;
        }
        let now = self.clock.monotonic();
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let who = rooms.who(event);
        let Rooms { all, places } = &mut *rooms;
        all.refill(ALL_BURST, ALL_EVERY, now);
        let full = Place { room: Room { lines: f64::from(BURST), at: now }, left_out: 0 };
        let place = places.entry(who).or_insert(full);
        place.room.refill(BURST, EVERY, now);
        if place.room.is_empty() || (all.is_empty() && level != Level::ERROR) {
            place.left_out += 1;
            return false;
        }
        place.room.take();
        if !all.is_empty() {
            all.take();
        }
        true
    }

    /// How many lines like this one were left out since the last one; asked once for each that is said.
    pub(super) fn left_out(&self, event: &Event<'_>) -> Option<String> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let who = rooms.who(event);
        let place = rooms.places.get_mut(&who)?;
        let left_out = std::mem::take(&mut place.left_out);
        (left_out > 0).then(|| format!(" {LEFT_OUT}={left_out}"))
    }
}

/// What another filter lets through, as far as there is room.
pub(super) struct Bounded<F> {
    pub(super) filter: F,
    pub(super) limit: Limit,
}

impl<S, F: Filter<S>> Filter<S> for Bounded<F> {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        self.filter.enabled(metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.filter.callsite_enabled(metadata);
        // What is always wanted is not asked about again, and could not be left out then.
        if interest.is_always() && metadata.is_event() { Interest::sometimes() } else { interest }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filter.max_level_hint()
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        self.filter.event_enabled(event, context) && self.limit.admits(event)
    }

    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, id: &tracing::Id, context: Context<'_, S>) {
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context);
    }

    fn on_enter(&self, id: &tracing::Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context);
    }

    fn on_exit(&self, id: &tracing::Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context);
    }

    fn on_close(&self, id: tracing::Id, context: Context<'_, S>) {
        self.filter.on_close(id, context);
    }
}

/// A line as another format makes it, not too long, and with what was left out before it.
pub(super) struct Told<F> {
    pub(super) format: F,
    pub(super) limit: Limit,
}

impl<S, N, F> FormatEvent<S, N> for Told<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        let text = text.trim_end();
        let end = (0..=LINE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        out.write_str(text.get(..end).unwrap_or_default())?;
        if end < text.len() {
            out.write_str("…")?;
        }
        out.write_str(&self.limit.left_out(event).unwrap_or_default())?;
        out.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;
    use crate::clock::SimClock;
    use crate::domain::TimeMs;
    use crate::log::journal::tests::Sink;

    /// Runs `what` with a bounded log; gives its lines.
    fn logged(what: impl FnOnce(&SimClock)) -> Vec<String> {
        let (sim, sink) = (SimClock::at(TimeMs(1_790_000_000_000)), Sink::default());
        let limit = Limit::new(Clock::of(sim.clone()));
        let own = sink.clone();
        let format = Told { format: super::super::journal::Lines::default(), limit: limit.clone() };
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || own.clone());
        let layer = layer.event_format(format).with_filter(Bounded { filter: LevelFilter::DEBUG, limit });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || what(&sim));
        sink.text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_warning_that_comes_every_second_of_a_day_is_said_once_a_minute_and_nothing_goes_uncounted() {
        let lines = logged(|sim| {
            for _ in 0..86_400 {
                tracing::warn!("the same again");
                sim.advance(Duration::from_secs(1));
            }
            tracing::warn!("another place");
        });
        let of: Vec<_> = lines.iter().filter(|line| line.contains("the same again")).collect();
        assert!((1_500..=1_541).contains(&of.len()), "{}", of.len());
        let left_out = |line: &&String| line.rsplit_once("like_it_left_out=").map_or(0, |(_, n)| n.parse().unwrap());
        let left: u64 = of.iter().map(left_out).sum();
        assert!((86_400 - 60..=86_400).contains(&(left + u64::try_from(of.len()).unwrap())), "{left}");
        assert!(lines.last().unwrap().ends_with("another place"), "others are not held back");
    }

    #[test]
    fn a_camera_that_fails_all_the_time_hides_no_other() {
        let lines = logged(|_| {
            let failed = |camera: &str| tracing::warn!(camera = %camera, "camera failed");
            (0..500).for_each(|_| failed("gate"));
            failed("yard");
        });
        assert_eq!(lines.len(), 101);
        assert!(lines.last().unwrap().ends_with("camera=yard"), "{lines:?}");
    }

    #[test]
    fn a_day_on_which_everything_goes_wrong_at_once_has_a_bounded_number_of_lines_and_bytes() {
        // Every place of the code would need lines of its own: here are some, each in another place.
        macro_rules! places { ($($n:literal)*) => { $(tracing::warn!(n = $n, long = "x".repeat(10_000), "wrong");)* } }
        let lines = logged(|sim| {
            for _ in 0..86_400 {
                places!(1 2 3 4 5 6 7 8 9 10 11 12);
                sim.advance(Duration::from_secs(1));
            }
        });
        let most = usize::try_from(ALL_BURST + LINES_A_DAY).unwrap();
        assert!(lines.len() <= most + 1 && lines.len() > most / 2, "{} of {most}", lines.len());
        assert!(lines.iter().all(|line| line.len() < LINE_BYTES + 64));
    }

    #[test]
    fn an_error_is_said_when_warnings_have_used_up_all_room_and_debug_is_not_bounded() {
        macro_rules! places { ($($n:literal)*) => { $(for _ in 0..100 { tracing::warn!(n = $n, "noise"); })* } }
        let lines = logged(|_| {
            places!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22);
            tracing::error!("matters");
            (0..5_000).for_each(|n| tracing::debug!(n, "looked for"));
        });
        assert_eq!(lines.iter().filter(|line| line.contains("noise")).count(), 2_000);
        assert_eq!(lines.iter().filter(|line| line.contains("matters")).count(), 1);
        assert_eq!(lines.iter().filter(|line| line.contains("looked for")).count(), 5_000);
    }
}
