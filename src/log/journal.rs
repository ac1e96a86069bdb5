//! Lines as the journal of systemd wants them: the priority first (sd-daemon(3)), one line an event, no time and no colour,
//! since the journal has both of its own.

use std::fmt;
use std::os::fd::AsFd as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What systemd sets where it takes an output into its journal: device and inode of that.
const VARIABLE: &str = "JOURNAL_STREAM";

/// Whether stderr goes into the journal. The variable alone does not tell: a child may write elsewhere (systemd.exec(5)).
pub(super) fn is_stderr() -> bool {
    let Some(told) = std::env::var(VARIABLE).ok() else { return false };
    rustix::fs::fstat(std::io::stderr().as_fd()).is_ok_and(|stat| names(&told, stat.st_dev, stat.st_ino))
}

fn names(told: &str, device: u64, inode: u64) -> bool {
    let Some((d, i)) = told.split_once(':') else { return false };
    d.parse() == Ok(device) && i.parse() == Ok(inode)
}

/// Formats them.
pub(super) struct Lines(Format<Full, ()>);

impl Default for Lines {
    fn default() -> Self {
        Self(Format::default().without_time().with_level(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        write!(out, "<{}>", priority(*event.metadata().level()))?;
        // A second line would be an entry of its own, of another priority.
        text.trim_end().chars().try_for_each(|c| out.write_char(if c.is_control() { ' ' } else { c }))?;
        out.write_char('\n')
    }
}

/// The syslog priority (RFC 5424, 6.2.1).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    pub(in crate::log) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(in crate::log) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_journal_begins_with_its_priority_and_is_one_line_without_time_and_colour() {
        let sink = Sink::default();
        let own = sink.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || own.clone());
        let journal = tracing_subscriber::registry().with(layer.event_format(Lines::default()));
        tracing::subscriber::with_default(journal, || {
            tracing::error!(path = "a\nb", "lost\nand gone");
            tracing::info_span!("camera", id = "gate").in_scope(|| tracing::warn!("late"));
            tracing::info!("runs");
        });
        let text = sink.text();
        let here = module_path!();
        let lines = [
            format!("<3>{here}: lost and gone path=\"a\\nb\""),
            format!("<4>camera{{id=\"gate\"}}: {here}: late"),
            format!("<6>{here}: runs"),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn only_the_stream_that_systemd_named_is_the_journal() {
        assert!(names("8:1234", 8, 1_234));
        assert!(!names("8:1234", 8, 1_235) && !names("9:1234", 8, 1_234) && !names("8", 8, 0) && !names("", 0, 0));
    }
}
