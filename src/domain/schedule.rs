//! When a rule holds: days of the week and hours, in the box's local time.
//!
//! A span is written `mon-fri 07:00-19:00`, `sat,sun` (the whole day) or `22:00-06:00` (every day). One that ends before it
//! begins goes over midnight and belongs to the day on which it begins: `fri 22:00-06:00` ends on Saturday morning. On the
//! two days of the year on which clocks are set, hours are those that the wall clock shows.

use jiff::Timestamp;
use jiff::civil::Weekday;

use super::time::TimeMs;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Most spans of a schedule.
pub const MOST_SPANS: usize = 16;

/// A zone of local time: an IANA name (`Europe/Berlin`), an offset (`+05:30`) or `UTC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

impl TimeZone {
    /// The zone of this name. Rules of IANA zones are those of the system where it has them, else those that came with the
    /// program: both are read here and at no other time.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn named(name: &str) -> Result<Self, String> {
        let zone = match offset(name) {
            Some(offset) => Some(offset.to_time_zone()),
            None if name == "UTC" => Some(jiff::tz::TimeZone::UTC),
            None => jiff::tz::TimeZone::get(name).ok(),
        };
        let wrong =
            || format!("is {name:?}, wanted an IANA name as \"Europe/Berlin\", an offset as \"+05:30\", or \"UTC\"");
        zone.map(|zone| Self { name: name.to_owned(), zone }).ok_or_else(wrong)
    }

    /// Day of the week (0: Monday) and minute of the day that a wall clock there shows at `at`.
    fn wall(&self, at: TimeMs) -> (u8, u16) {
        let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        let wall = self.zone.to_datetime(at);
        let day = DAYS.iter().position(|(_, day)| *day == wall.weekday()).unwrap_or(0);
        let minute = i16::from(wall.hour()) * 60 + i16::from(wall.minute());
        (u8::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
    }
}

/// `+05:30` and the like.
fn offset(text: &str) -> Option<jiff::tz::Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let minutes = i32::from(clock(rest)?);
    jiff::tz::Offset::from_seconds(sign * minutes * 60).ok().filter(|_| minutes <= 14 * 60)
}

impl std::fmt::Display for TimeZone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Days and the minutes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Bit 0: Monday.
    days: u8,
    from: u16,
    /// Not among them; at or before `from`: of the next day.
    to: u16,
}

/// When a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    spans: Vec<Span>,
    zone: TimeZone,
}

impl Schedule {
    /// Of spans as people write them.
    ///
    /// # Errors
    /// The first that is none, and what a span looks like.
    pub fn new<'a>(spans: impl IntoIterator<Item = &'a str>, zone: TimeZone) -> Result<Self, String> {
        let wrong = |text: &str| {
            format!(
                "{text:?} is no span of time: wanted days, hours or both, as \"mon-fri 07:00-19:00\", \"sat,sun\" or \"22:00-06:00\""
            )
        };
        let spans: Vec<Span> =
            spans.into_iter().map(|text| span(text).ok_or_else(|| wrong(text))).collect::<Result<_, _>>()?;
        match spans.len() {
            1..=MOST_SPANS => Ok(Self { spans, zone }),
            n => Err(format!("has {n} spans, wanted 1 to {MOST_SPANS}; leave it out for always")),
        }
    }

    /// Whether it holds at `at`.
    #[must_use]
    pub fn covers(&self, at: TimeMs) -> bool {
        let (day, minute) = self.zone.wall(at);
        let has = |span: &Span, day: u8| span.days & (1 << day) != 0;
        self.spans.iter().any(|span| {
            if span.from < span.to {
                return has(span, day) && (span.from..span.to).contains(&minute);
            }
            (has(span, day) && minute >= span.from) || (has(span, (day + 6) % 7) && minute < span.to)
        })
    }
}

fn span(text: &str) -> Option<Span> {
    let mut words = text.split_whitespace();
    let (first, second, none) = (words.next()?, words.next(), words.next());
    if none.is_some() {
        return None;
    }
    let (days, hours) = match (days(first), second) {
        (Some(days), None) => (days, (0, DAY)),
        (Some(days), Some(text)) => (days, hours(text)?),
        (None, None) => (0x7F, hours(first)?),
        (None, Some(_)) => return None,
    };
    Some(Span { days, from: hours.0, to: hours.1 })
}

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`.
fn days(text: &str) -> Option<u8> {
    let day = |word: &str| DAYS.iter().position(|(name, _)| word.eq_ignore_ascii_case(name));
    let mut bits = 0_u8;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').map_or((part, part), |(a, b)| (a, b));
        let (first, last) = (day(first)?, day(last)?);
        let many = (last + 7 - first) % 7;
        (0..=many).for_each(|n| bits |= 1 << ((first + n) % 7));
    }
    Some(bits)
}

/// `22:00-06:00`.
fn hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (clock(from)?, clock(to)?);
    (from < DAY).then_some((from, to))
}

/// Minutes of `HH:MM`, up to 24:00.
fn clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> TimeMs {
        TimeMs::parse(text).unwrap()
    }

    fn schedule(spans: &[&str], zone: &str) -> Schedule {
        Schedule::new(spans.iter().copied(), TimeZone::named(zone).unwrap()).unwrap()
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-01-02 is a Friday.
        let night = schedule(&["fri 22:00-06:00"], "UTC");
        for (when, holds) in [
            ("2026-01-02T21:59:59Z", false),
            ("2026-01-02T22:00:00Z", true),
            ("2026-01-03T05:59:59Z", true),
            ("2026-01-03T06:00:00Z", false),
            ("2026-01-02T05:00:00Z", false),
            ("2026-01-03T23:00:00Z", false),
        ] {
            assert_eq!(night.covers(at(when)), holds, "{when}");
        }
    }

    #[test]
    fn hours_are_those_of_the_zone_in_summer_and_in_winter() {
        let day = schedule(&["mon-fri 07:00-19:00"], "Europe/Berlin");
        assert!(day.covers(at("2026-01-05T06:00:00Z")) && !day.covers(at("2026-01-05T05:59:00Z")));
        assert!(day.covers(at("2026-07-06T05:00:00Z")) && !day.covers(at("2026-07-06T04:59:00Z")));
        let india = schedule(&["07:00-08:00"], "+05:30");
        assert!(india.covers(at("2026-01-05T01:30:00Z")) && !india.covers(at("2026-01-05T02:30:00Z")));
        let west = schedule(&["sun"], "-03:00");
        assert!(west.covers(at("2026-01-05T02:59:00Z")) && !west.covers(at("2026-01-05T03:00:00Z")));
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, bits, from, to) in [
            ("mon-fri 07:00-19:00", 0b001_1111, 420, 1140),
            ("sat,sun", 0b110_0000, 0, 1440),
            ("22:00-06:00", 0b111_1111, 1320, 360),
            ("Fri-Mon 00:00-24:00", 0b111_0001, 0, 1440),
        ] {
            assert_eq!(span(text), Some(Span { days: bits, from, to }), "{text}");
        }
        for wrong in
            ["", "monday", "7:00-19:00", "07:00", "mon 25:00-26:00", "24:00-06:00", "mon fri", "mon 1 2", "07:60-08:00"]
        {
            assert_eq!(span(wrong), None, "{wrong}");
        }
        assert!(Schedule::new([], TimeZone::named("UTC").unwrap()).is_err());
    }

    #[test]
    fn zones_that_do_not_exist_are_told() {
        for wrong in ["", "Mars/Olympus", "+25:00", "5", "CET+1"] {
            assert!(TimeZone::named(wrong).unwrap_err().contains("Europe/Berlin"), "{wrong}");
        }
        assert_eq!(TimeZone::named("America/Sao_Paulo").unwrap().to_string(), "America/Sao_Paulo");
    }

    proptest! {
        #[test]
        fn a_span_and_the_rest_of_the_day_never_hold_together(from in 0_u16..1440, length in 1_u16..1440, minute in 0_u64..20_160) {
            let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
            let to = (from + length) % 1440;
            let zone = TimeZone::named("UTC").unwrap();
            let one = Schedule::new([format!("{}-{}", clock(from), clock(to)).as_str()], zone.clone()).unwrap();
            let rest = Schedule::new([format!("{}-{}", clock(to), clock(from)).as_str()], zone).unwrap();
            let at = TimeMs(1_767_225_600_000 + minute * 60_000);
            prop_assert!(one.covers(at) != rest.covers(at));
        }
    }
}
