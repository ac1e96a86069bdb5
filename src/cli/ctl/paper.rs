//! `watchpostctl completions` and `man`: made from the command line itself, so they are never out of date.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Ctl;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(options: &Completions) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Ctl::command(), "watchpostctl", &mut text);
    write(&text)
}

/// The page of the program, and one section a verb behind it.
pub(super) fn man() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    let command = Ctl::command();
    clap_mangen::Man::new(command.clone()).render(&mut text).context("the man page")?;
    for verb in command.get_subcommands() {
        let name = format!("watchpostctl {}", verb.get_name());
        let man = clap_mangen::Man::new(verb.clone().bin_name(name));
        let mut section = || -> io::Result<()> {
            writeln!(text, ".SH \"WATCHPOSTCTL {}\"", verb.get_name().to_uppercase())?;
            man.render_description_section(&mut text)?;
            man.render_synopsis_section(&mut text)?;
            man.render_options_section(&mut text)
        };
        section().context("the man page")?;
    }
    write(&text)
}

fn write(text: &[u8]) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(text).context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_and_man_page_know_every_verb() {
        let mut bash = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Ctl::command(), "watchpostctl", &mut bash);
        let bash = String::from_utf8(bash).unwrap();
        for verb in Ctl::command().get_subcommands() {
            assert!(bash.contains(verb.get_name()), "{}", verb.get_name());
        }
    }
}
