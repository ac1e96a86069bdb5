//! The credential that a camera is tried with: from a file, or asked for. Never from the environment, which others can
//! read, and never printed.

use std::io::{BufRead, ErrorKind, IsTerminal as _, Write as _};

use anyhow::{Context as _, ensure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
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

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// A line up to its end; [`ErrorKind::Interrupted`] when it ends in [`CTRL_C`].
fn read_typed(from: &mut impl BufRead, line: &mut String) -> std::io::Result<()> {
    let mut typed = Zeroizing::new(Vec::new());
    loop {
        let piece = match from.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            piece => piece?,
        };
        let end = piece.iter().position(|b| matches!(*b, b'\n' | CTRL_C));
        let (taken, last) = match end {
            Some(at) => (piece.get(..at).unwrap_or_default(), piece.get(at).copied()),
            None => (piece, None),
        };
        typed.extend_from_slice(taken);
        let (used, is_over) = (taken.len() + usize::from(last.is_some()), last.is_some() || piece.is_empty());
        from.consume(used);
        if last == Some(CTRL_C) {
            return Err(ErrorKind::Interrupted.into());
        }
        if is_over {
            let text = std::str::from_utf8(&typed).map_err(|_| ErrorKind::InvalidData)?;
            line.push_str(text);
            return Ok(());
        }
    }
}

/// The first line of stdin, not shown while it is typed.
fn ask(user: &str) -> std::io::Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let mut line = Zeroizing::new(String::new());
    if stdin.is_terminal() {
        let mut err = std::io::stderr();
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        // Ctrl-C comes as a character that ends the line: a signal would end the program and leave the terminal silent.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&stdin, OptionalActions::Now, &silent)?;
        let asked = write!(err, "Password of {user}: ").and_then(|()| err.flush());
        let read = asked.and_then(|()| read_typed(&mut stdin.lock(), &mut line));
        tcsetattr(&stdin, OptionalActions::Now, &before)?;
        writeln!(err)?;
        read?;
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_ends_at_enter_and_is_given_up_at_ctrl_c() {
        let read = |mut typed: &[u8]| {
            let mut line = String::new();
            read_typed(&mut typed, &mut line).map(|()| line).map_err(|e| e.kind())
        };
        assert_eq!(read("pä ss\nmore".as_bytes()), Ok("pä ss".to_owned()));
        assert_eq!(read(b"end of input"), Ok("end of input".to_owned()));
        assert_eq!(read(b"sec\x03ret\n"), Err(ErrorKind::Interrupted));
        assert_eq!(read(b"\xff\n"), Err(ErrorKind::InvalidData));
    }
}
