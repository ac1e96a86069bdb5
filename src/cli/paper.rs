//! `completions` and `man` of both programs: made from the command line itself, so they are never out of date.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(options: &Completions, mut program: Command) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(options.shell, &mut program, name, &mut text);
    write(&text)
}

/// The page of the program, and one section a verb behind it.
pub(super) fn man(program: &Command) -> anyhow::Result<ExitCode> {
    write(&page(program).context("the man page")?)
}

fn page(program: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{} {}", program.get_name(), verb.get_name());
        writeln!(text, ".SH \"{}\"", name.to_uppercase())?;
        let man = clap_mangen::Man::new(verb.clone().bin_name(name));
        man.render_description_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_options_section(&mut text)?;
    }
    Ok(text)
}

fn write(text: &[u8]) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(text).context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn completions_and_man_page_know_every_verb() {
        for program in [crate::cli::ctl::Ctl::command(), crate::cli::Args::command()] {
            let man = String::from_utf8(page(&program).unwrap()).unwrap();
            let (name, mut bash) = (program.get_name().to_owned(), Vec::new());
            clap_complete::generate(Shell::Bash, &mut program.clone(), name.clone(), &mut bash);
            let bash = String::from_utf8(bash).unwrap();
            for verb in program.get_subcommands() {
                let section = format!(".SH \"{} {}\"", name.to_uppercase(), verb.get_name().to_uppercase());
                assert!(bash.contains(verb.get_name()), "{}", verb.get_name());
                assert_eq!(man.contains(&section), !verb.is_hide_set(), "{section}");
            }
        }
    }
}
