//! Can cameras be decoded in a process of their own, and how well is it fenced in here? Which decoders does `auto` take?

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;

#[cfg(not(feature = "gst"))]
pub(super) fn check(_config: &Config, _clock: &Clock) -> Vec<Finding> {
    // `pipelines` says that nothing is decoded.
    Vec::new()
}

#[cfg(feature = "gst")]
pub(super) fn check(config: &Config, _clock: &Clock) -> Vec<Finding> {
    [process(config)].into_iter().chain(decoders(config)).collect()
}

/// The process that decodes.
#[cfg(feature = "gst")]
fn process(config: &Config) -> Finding {
    use crate::camera::worker::{Fence, Workers};
    use crate::config::DecodeWorkers;
    use crate::supervise::models::trial::this_program;

    if config.decode.workers == DecodeWorkers::None {
        return Finding::ok("decoding", "cameras are decoded in the daemon itself: [decode] workers is \"none\"");
    }
    match Workers::try_out(&this_program()) {
        Ok(Fence { lacks, holds }) if lacks.is_empty() => {
            Finding::ok("decoding", format!("a decode worker starts, and is fenced in: {}", holds.join("; ")))
        }
        Ok(Fence { lacks, holds }) => Finding::warning(
            "decoding",
            format!(
                "a decode worker starts, but is not fenced in whole: {}; what holds: {}",
                lacks.join("; "),
                if holds.is_empty() { "nothing".to_owned() } else { holds.join("; ") }
            ),
            "a kernel from 6.7 on with Landlock and seccomp (CONFIG_SECURITY_LANDLOCK, lsm=landlock,…) has all of it",
        ),
        Err(why) => Finding::failure(
            "decoding",
            format!("no decode worker can be started: it {why}"),
            "see that the program may be executed and the system has memory; [decode] workers = \"none\" decodes in the daemon",
        ),
    }
}

/// What `auto` takes at each camera that has it, and why; without such a camera, what it would take here.
#[cfg(feature = "gst")]
fn decoders(config: &Config) -> Vec<Finding> {
    use crate::camera::hardware::{self, Survey};
    use crate::domain::SourceUri;

    let survey = Survey::now();
    let said = |uri: &str| {
        let uri: SourceUri = uri.parse().ok()?;
        Some(hardware::choices(&uri, &survey)).filter(|all| !all.is_empty())
    };
    let asking = config.cameras.iter().filter(|c| c.enabled && c.pipeline.as_deref() == Some(hardware::AUTO));
    let mut findings: Vec<Finding> = asking
        .filter_map(|camera| Some((camera, said(&camera.uri)?)))
        .map(|(camera, choices)| {
            let what = choices.iter().map(|(codec, choice)| taken(codec, choice)).collect::<Vec<_>>().join("; ");
            Finding::ok("decoding", format!("{}: pipeline = \"auto\" takes {what}", camera.id))
        })
        .collect();
    let plain = config.cameras.iter().all(|c| !c.enabled || c.pipeline.is_none());
    if plain
        && let Some(choices) = said("rtsp://192.0.2.1/")
        && choices.iter().any(|(_, choice)| choice.api.is_some())
    {
        let what = choices.iter().map(|(codec, choice)| taken(codec, choice)).collect::<Vec<_>>().join("; ");
        let what = format!("all cameras are decoded by software; pipeline = \"auto\" would take {what}");
        findings.push(Finding::ok("decoding", what));
    }
    findings
}

/// `h264: rtsp-h264-va (VA-API, /dev/dri/renderD128)`, or why software.
#[cfg(feature = "gst")]
fn taken(codec: &str, choice: &crate::camera::hardware::Choice) -> String {
    let lacks: Vec<String> = choice.lacks.iter().map(|(api, lack)| format!("{}: {lack}", api.name())).collect();
    let lacks = if lacks.is_empty() { String::new() } else { format!(" ({})", lacks.join(", ")) };
    match (choice.api, &choice.node) {
        (Some(api), Some(node)) => {
            format!("for {codec} {}, by {} on {}{lacks}", choice.text, api.name(), node.path.display())
        }
        _ => format!("for {codec} {}, by software{lacks}", choice.text),
    }
}
