//! An error with its causes, as it is shown.
//!
//! Many messages tell their cause themselves, since they are also shown alone. `{error:#}` would tell it a second time,
//! so everything that shows a chain of causes calls [`line()`] (held by `tests/it/tidy.rs`).

/// An error and its causes in one line; a cause that an outer message tells already is not told again.
#[must_use]
pub fn line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.contains(&cause) {
        true => text,
        false if text.is_empty() => cause,
        false => text + ": " + &cause,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::centre::keys::PublicKey;

    #[test]
    fn a_cause_is_told_once() {
        let error = PublicKey::read("/nonexistent/a.pub".as_ref()).context("the root's public key").unwrap_err();
        let told = line(&error);
        assert!(told.starts_with("the root's public key: /nonexistent/a.pub: "), "{told}");
        assert_eq!(told.matches("No such file").count(), 1, "{told}");
        assert_eq!(line(&anyhow::anyhow!("inside").context("outside")), "outside: inside");
    }
}
