//! Can the console be opened, where one is asked for?

use super::Finding;
use crate::causes;
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::console::SHORTEST_TOKEN;
use crate::supervise;

const TODO: &str = "openssl rand -hex 24, into the credential that [console] token names, mode 0600; docs/console.md";

pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    let Some(section) = &config.console else { return vec![Finding::ok("console", "off: nothing listens")] };
    let place = match &section.listen {
        Listen::Tcp(at) => at.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    };
    vec![match supervise::console_token(section, config) {
        Err(error) => Finding::failure("console", causes::line(&error), TODO),
        Ok(token) if token.chars().count() < SHORTEST_TOKEN => {
            Finding::failure("console", format!("its token has fewer than {SHORTEST_TOKEN} characters"), TODO)
        }
        Ok(_) => Finding::ok("console", format!("its page is at {place}")),
    }]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::check::Level;

    #[test]
    fn a_token_that_is_not_there_short_or_open_to_others_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        let of = |section: &str| {
            std::fs::write(&path, format!("[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n{section}")).unwrap();
            check(&crate::config::load(&path).unwrap(), &Clock::system()).remove(0)
        };
        assert_eq!(of("").level, Level::Ok);
        assert_eq!(of("[console]\n").level, Level::Failure);
        let token = dir.path().join("data/credentials/console");
        std::fs::create_dir_all(token.parent().unwrap()).unwrap();
        for (text, mode, level) in [
            ("short", 0o600, Level::Failure),
            ("5c0d8a6e1f4b47d2a9e3", 0o644, Level::Failure),
            ("5c0d8a6e1f4b47d2a9e3", 0o600, Level::Ok),
        ] {
            std::fs::write(&token, text).unwrap();
            std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(of("[console]\n").level, level, "{text} {mode:o}");
        }
    }
}
