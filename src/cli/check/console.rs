//! Can the console be opened, where one is asked for, and do reads open with its key?

use super::{Finding, keyring};
use crate::causes;
use crate::clock::Clock;
use crate::config::{self, Config, Listen};
use crate::console::SHORTEST_TOKEN;
use crate::supervise;

const TODO: &str = "openssl rand -hex 24, into the credential that [console] token names, mode 0600; docs/console.md";
const KEY_TODO: &str = "a PEM file of an Ed25519 key, mode 0600, in the credential that [console] key names, or leave key out; docs/console.md";
const RING_TODO: &str =
    "at the centre: watchpostctl key add NAME --role investigator --public FILE, then key put; docs/console.md";

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let Some(section) = &config.console else { return vec![Finding::ok("console", "off: nothing listens")] };
    let place = match &section.listen {
        Listen::Tcp(at) => at.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    };
    let token = match supervise::console_token(section, config) {
        Err(error) => Finding::failure("console", causes::line(&error), TODO),
        Ok(token) if token.chars().count() < SHORTEST_TOKEN => {
            Finding::failure("console", format!("its token has fewer than {SHORTEST_TOKEN} characters"), TODO)
        }
        Ok(_) => Finding::ok("console", format!("its page is at {place}")),
    };
    std::iter::once(token).chain(key(section, config, clock)).collect()
}

/// Of the key in whose name it asks for reads. Without a usable one where one is named there is no console; one that the keyring does
/// not know opens no reads.
fn key(section: &config::Console, config: &Config, clock: &Clock) -> Option<Finding> {
    let key = match supervise::console_key(section, config) {
        Ok(key) => key?,
        Err(error) => return Some(Finding::failure("console", causes::line(&error), KEY_TODO)),
    };
    let Some(centre) = &config.centre else {
        return Some(Finding::warning(
            "console",
            "its key opens no reads: there is no [centre], so no keyring that knows it",
            "add [centre], or leave [console] key out",
        ));
    };
    // A keyring that cannot be read is a finding of its own. A running daemon may have been given a newer one since.
    let ring = keyring::newest(config, centre).ok()?;
    Some(match supervise::console_key_name(&ring, &key, clock.utc()) {
        Ok(name) => Finding::ok("console", format!("it asks for reads as {name:?} of the keyring")),
        Err(why) => Finding::warning("console", format!("its key opens no reads: {why}"), RING_TODO),
    })
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
    #[test]
    fn a_key_that_is_none_is_a_failure_and_one_without_a_centre_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchpost.toml");
        let text = "[box]\nsite = \"n\"\nid = \"b\"\ndata_dir = \"data\"\n[console]\nkey = \"reader\"\n";
        std::fs::write(&path, text).unwrap();
        let of = || check(&crate::config::load(&path).unwrap(), &Clock::system()).remove(1);
        let missing = of();
        assert!(missing.level == Level::Failure && missing.what.contains("the console's key"), "{missing:?}");
        let key = dir.path().join("data/credentials/reader");
        std::fs::create_dir_all(key.parent().unwrap()).unwrap();
        let (_, pem) = crate::centre::keys::SigningKey::generate().unwrap();
        for (content, mode, level) in [
            ("no key".to_owned(), 0o600, Level::Failure),
            (pem.to_string(), 0o644, Level::Failure),
            (pem.to_string(), 0o600, Level::Warning),
        ] {
            std::fs::write(&key, &content).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = of();
            assert_eq!(found.level, level, "{mode:o}: {found:?}");
            assert!(!found.what.contains("PRIVATE KEY"));
        }
        assert!(of().what.contains("no [centre]"));
    }
}
