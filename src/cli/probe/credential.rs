//! The credential that a camera is tried with: from a file, or asked for. Never from the environment, which others can
//! read, and never printed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, ensure};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Args, read_credential};
use crate::camera::Credential;

/// The credential that the options give.
pub(super) fn given(args: &Args) -> anyhow::Result<Option<Credential>> {
    if let Some(path) = &args.credential {
        let text = Zeroizing::new(read_credential(path)?);
        let line = text.lines().next().unwrap_or_default();
        let (user, password) =
            line.split_once(':').with_context(|| format!("--credential {}: holds no user:password", path.display()))?;
        return Ok(Some(Credential::new(user, password)));
    }
    let Some(user) = &args.user else { return Ok(None) };
    ensure!(!user.contains(':'), "--user {user:?}: the name alone; the password is asked for");
    let password = ask(user).context("the password could not be read")?;
    Ok(Some(Credential::new(user, &password)))
}

/// The first line of stdin, not shown while it is typed.
fn ask(user: &str) -> std::io::Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let mut line = Zeroizing::new(String::new());
    if stdin.is_terminal() {
        let mut err = std::io::stderr();
        write!(err, "Password of {user}: ")?;
        err.flush()?;
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent)?;
        let read = stdin.lock().read_line(&mut line);
        tcsetattr(&stdin, OptionalActions::Now, &before)?;
        writeln!(err)?;
        read?;
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
