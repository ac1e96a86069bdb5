//! Runs models on canary pictures in a process of its own, and waits for what it saw.
//!
//! A model is a program by somebody else: it may end the process that loads it, eat its memory or never come back. So it is tried by
//! `watchpost try-models`, a hidden verb of the same program: what goes wrong there ends the trial, and the cameras go on. The
//! process is given [`WITHIN`]; then it is killed. What it saw comes back as CBOR on its stdout.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};

use crate::command::Refusal;
use crate::command::models::{Picture, Plan, Seen};
use crate::config::Vision;
use crate::domain::Reason;
use crate::vision::model::{Corrector, Settings};

use super::super::settings::model_settings;

/// How long a trial may take.
pub const WITHIN: Duration = Duration::from_mins(3);
/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most bytes that are taken from it.
const MAX_ANSWER: u64 = 4 << 20;
/// Name of the verb.
pub const VERB: &str = "try-models";

/// What the process says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outcome {
    /// What was seen in each picture, in their order.
    #[n(0)]
    pub seen: Vec<Seen>,
    /// Why the models can't be loaded.
    #[n(1)]
    pub fault: Option<String>,
}

/// The program that runs now, also when its file was replaced since.
#[must_use]
pub fn this_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { link } else { std::env::current_exe().unwrap_or(link) }
}

/// Runs the models of `plan`, and for all else those of `[vision]`, on the pictures, by `program`.
///
/// # Errors
/// [`Reason::Verification`] when they can't be loaded, end the process or take too long; [`Reason::Internal`] when it can't
/// be started.
pub fn try_models(vision: &Vision, program: &Path, plan: &Plan) -> Result<Vec<Seen>, Refusal> {
    let verification = |text: String| Refusal::new(Reason::Verification, text);
    let internal = |text: String| Refusal::new(Reason::Internal, text);
    plan.models.iter().try_for_each(super::check_manifest).map_err(verification)?;
    let settings = model_settings(vision).map_err(|e| internal(e.to_string()))?;
    let settings = super::with(settings, &plan.models)?;
    // The pictures of whole scenes come first in the answer.
    let (crops, scenes): (Vec<_>, Vec<_>) = plan.pictures.iter().enumerate().partition(|(_, picture)| picture.crop);
    let mut command = Command::new(program);
    command.arg(VERB).args(arguments(&settings, vision.patterns));
    for (_, Picture { path, crop }) in scenes.iter().chain(&crops) {
        command.arg(if *crop { "--crop" } else { "--scene" }).arg(path);
    }
    let outcome = run(command)?;
    if let Some(fault) = outcome.fault {
        return Err(verification(fault));
    }
    if outcome.seen.len() != plan.pictures.len() {
        let text = format!("the trial told of {} pictures of {}", outcome.seen.len(), plan.pictures.len());
        return Err(internal(text));
    }
    let mut seen: Vec<(usize, Seen)> = scenes.iter().chain(&crops).map(|(at, _)| *at).zip(outcome.seen).collect();
    seen.sort_by_key(|(at, _)| *at);
    Ok(seen.into_iter().map(|(_, seen)| seen).collect())
}

fn arguments(settings: &Settings, patterns: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--models".into(), settings.folder.clone().into()];
    let mut give = |flag: &str, value: OsString| args.extend([OsString::from(flag), value]);
    give("--detector", settings.detector.clone().into());
    give("--reader", settings.reader.clone().into());
    match &settings.corners {
        Corrector::Usual => {}
        Corrector::Named(name) => give("--corners", name.into()),
        Corrector::Off => give("--corners", "".into()),
    }
    if let Some(name) = &settings.vehicles {
        give("--vehicles", name.into());
    }
    if let Some(library) = &settings.library {
        give("--onnxruntime", library.clone().into());
    }
    for provider in &settings.providers {
        give("--provider", provider.as_str().into());
    }
    if let Some(score) = settings.score {
        give("--threshold", score.to_string().into());
    }
    if !patterns {
        args.push("--no-patterns".into());
    }
    args
}

/// Runs the process to its end.
fn run(mut command: Command) -> Result<Outcome, Refusal> {
    let internal = |e: std::io::Error| Refusal::new(Reason::Internal, format!("models can't be tried: {e}"));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(internal)?;
    let (told, said) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = wait(&mut child).map_err(internal)?;
    let (told, said) = (told.join().unwrap_or_default(), said.join().unwrap_or_default());
    let refused = |text: String| Err(Refusal::new(Reason::Verification, text));
    let Some(status) = status else {
        return refused(format!("the models did not come back within {} s; the trial was ended", WITHIN.as_secs()));
    };
    match minicbor::decode(&told) {
        Ok(outcome) if status.success() => Ok(outcome),
        _ => refused(format!("the models ended the process that tried them ({status}): {}", last_line(&said))),
    }
}

/// `None`: it took too long and was killed.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > WITHIN {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        // `Child` has no wait with a bound.
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Reads a pipe to its end beside the caller, so that the process is never stuck at a full one.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(MAX_ANSWER).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}

fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.chars().take(160).collect()
}
