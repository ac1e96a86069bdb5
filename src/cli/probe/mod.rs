//! `watchpost probe URI`: what a camera or a file sends, what that means, and the `[[camera]]` block to paste.
//!
//! For whoever stands at the mast with a laptop: facts first, then what is well and what is not and what to do about it,
//! then the block. The credential may stand in the address here, for trying; what is printed never holds it. Exit 1 when
//! no picture comes, with the reason.

mod advice;
mod block;
mod credential;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::camera::probe::{Probed, probe, reach};
use crate::camera::{self, Credential, Error, SourceUri};
use crate::cli::check::Finding;
use crate::clock::Clock;
use crate::domain::{AddressError, CameraId, Transport};
use block::Block;

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// rtsp://HOST/PATH or rtsps://…, a video file, or what else `uri` of a camera takes
    pub uri: String,
    /// File with user:password
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub credential: Option<PathBuf>,
    /// User at the camera; the password is asked for, or read from stdin when that is no terminal
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// PEM file that the certificate of a rtsps camera is checked against, instead of the system's authorities
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How the pictures travel: auto, tcp or udp
    #[arg(long, value_name = "HOW", default_value_t)]
    pub transport: Transport,
    /// How long to look, seconds of the stream; three times that until a second key frame comes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub seconds: u64,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// What the verb found.
struct Report {
    probed: Probed,
    findings: Vec<Finding>,
    block: Block,
}

/// Looks at the source and prints what was found to `out`.
///
/// # Errors
/// No picture came: the reason. An address that is none, a credential that cannot be read.
pub fn run(args: &Args, clock: &Clock, out: &mut dyn Write) -> anyhow::Result<u8> {
    let uri: SourceUri = args.uri.parse().map_err(|error: AddressError| match hint_of_address(&args.uri) {
        Some(hint) => anyhow::anyhow!("{error}. {hint}"),
        None => anyhow::Error::new(error),
    })?;
    let given = credential::given(args)?;
    let id = block::id_of(&uri)?;
    let has_credential = given.is_some() || block::credential_inside(&uri).is_some();
    let settings = settings(id.clone(), uri.clone(), args, given);
    let probed = probe(&settings, clock, Duration::from_secs(args.seconds));
    let reached = reach_of(&uri, &probed);
    let block = Block::new(id, (&uri, &args.uri), has_credential, &probed).reached_by(&settings);
    let mut findings = advice::findings(&probed);
    if probed.first_frame.is_some() {
        findings.extend(block.findings());
    }
    let report = Report { probed, findings, block };
    if args.json {
        writeln!(out, "{}", show::json(&report))?;
    } else {
        write!(out, "{}", show::text(&report))?;
    }
    match &report.probed.error {
        Some(error) if report.probed.first_frame.is_none() => {
            Err(refused(error, &args.uri, has_credential, reached.as_ref()))
        }
        _ if report.probed.first_frame.is_none() => bail!("{}: no picture came", report.probed.origin),
        _ => Ok(0),
    }
}

fn settings(id: CameraId, uri: SourceUri, args: &Args, given: Option<Credential>) -> camera::Settings {
    let mut settings = camera::Settings::new(id, 1, uri);
    settings.credential = given;
    settings.ca.clone_from(&args.ca);
    settings.transport = args.transport;
    settings
}

/// Asks the network itself, after a failure that GStreamer has few words for.
fn reach_of(uri: &SourceUri, probed: &Probed) -> Option<(reach::Reach, String, u16)> {
    let SourceUri::Rtsp { url, .. } = uri else { return None };
    let unclear = matches!(
        probed.error,
        Some(Error::Stream { .. } | Error::Closed { .. } | Error::Stalled { .. } | Error::NoVideo { .. })
    );
    if probed.first_frame.is_some() || !unclear {
        return None;
    }
    let (host, port) = reach::place(url)?;
    Some((reach::reach(url)?, host, port))
}

/// The failure in one message: what the network says where that is clearer, otherwise what the source said.
fn refused(
    error: &Error,
    address: &str,
    has_credential: bool,
    reached: Option<&(reach::Reach, String, u16)>,
) -> anyhow::Error {
    if let Some(advice) = reached.and_then(|(reach, host, port)| reach.words(host, *port)) {
        return anyhow::anyhow!(advice);
    }
    let mut text = error.to_string();
    if text.contains("credential") && !has_credential {
        text += ": none was given; use --user NAME (it asks for the password) or --credential FILE";
    }
    if let Some((reach::Reach::Rtsp { server: Some(server), .. }, ..)) = reached {
        text = format!("{text} (an RTSP server answers there: {server})");
    }
    if let (Error::Unreadable { .. }, Some(hint)) = (error, hint_of_address(address)) {
        text = format!("{text}. {hint}");
    }
    anyhow::anyhow!(text)
}

/// What was probably meant by something that is no address of a stream.
fn hint_of_address(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Some(
            "That is a web page. A camera's stream has an address of its own, rtsp://HOST/PATH; its manual names the path",
        );
    }
    let first = text.split('/').next().unwrap_or_default();
    let like_a_host = !first.is_empty() && (first.contains('.') || first.contains(':')) && !first.starts_with('.');
    let a_file = [".mp4", ".mkv", ".mov", ".ts", ".webm", ".h264", ".h265", ".264", ".265"];
    if like_a_host && !lower.contains("://") && !a_file.iter().any(|end| lower.ends_with(end)) {
        return Some("A camera's address begins with rtsp://, as rtsp://192.0.2.7/stream1");
    }
    None
}

/// Context for what reading a credential does.
fn read_credential(path: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("--credential {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_said() {
        assert!(hint_of_address("http://192.0.2.7/").unwrap().contains("web page"));
        assert!(hint_of_address("192.0.2.7").unwrap().contains("rtsp://"));
        assert!(hint_of_address("cam.example/stream1").unwrap().contains("rtsp://"));
        for right in ["rtsp://192.0.2.7/x", "clip.mp4", "/data/clip", "./x.y"] {
            assert_eq!(hint_of_address(right), None, "{right}");
        }
    }
}
