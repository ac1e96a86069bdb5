//! Sets up `tracing` for a binary: to stderr, level by `WATCHPOST_LOG` (default `info`).

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr. Calling it twice does nothing.
///
/// `default` is the filter used when `WATCHPOST_LOG` is not set or cannot be parsed.
pub fn init(default: &str) {
    let filter = EnvFilter::try_from_env("WATCHPOST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // An Err means that a subscriber is set already, as in tests: that one serves.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).try_init();
}
