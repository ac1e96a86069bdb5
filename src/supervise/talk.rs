//! A question put to the executor over a connection to the unix socket, or one like it: carried to its end in the caller's thread.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::centre::ask::{Outcome, Talk};
use crate::centre::link::Taken;
use crate::centre::topics;
use crate::command::local::{self, Frame};
use crate::domain::BoxId;

/// How often a talk is asked what it wants to say.
const TICK: Duration = Duration::from_millis(50);

/// Carries the talk over a connection to its end.
///
/// # Errors
/// When the other side is gone before it has answered.
pub fn converse(mut talk: Talk, stream: &UnixStream, root: &str) -> anyhow::Result<(BoxId, Outcome)> {
    let mut out = stream.try_clone().context("the socket")?;
    let (frames, heard) = sync_channel(16);
    let mut reads = stream.try_clone().context("the socket")?;
    let read = move || {
        while let Ok(Some(frame)) = local::read_frame(&mut reads) {
            if frames.send(frame).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("socket".to_owned()).spawn(read).context("cannot start a thread")?;
    let mut asked_health = false;
    while !talk.is_over() {
        while let Some(letter) = talk.turn() {
            local::write_frame(&mut out, &letter.topic, &letter.payload).context("the daemon closed its socket")?;
            talk.taken(Taken::Yes);
        }
        if talk.wants_health() && !std::mem::replace(&mut asked_health, true) {
            local::write_frame(&mut out, &talk.health_topic(), &[]).context("the daemon closed its socket")?;
        }
        if let Some((topic, bytes)) = next(&heard)?
            && let Ok(address) = topics::parse(root, &topic)
        {
            talk.hear(&address.kind, &topic, &bytes);
        }
    }
    // Ends the thread that reads.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    Ok((talk.box_id().clone(), talk.outcome()))
}

fn next(heard: &Receiver<Frame>) -> anyhow::Result<Option<Frame>> {
    match heard.recv_timeout(TICK) {
        Ok(frame) => Ok(Some(frame)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => bail!("the daemon ended before it answered; see its log"),
    }
}
