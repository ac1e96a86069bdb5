//! `watchpost decode`: a wire message, from a file or stdin, as JSON.
//!
//! Takes raw bytes, hex and base64. With `--topic` and a key it verifies; without, it shows what the message says and
//! says that nobody vouches for it: `"verified": false`. A keyring file is shown too.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde_json::{Value, json};

use crate::centre::boxes::Boxes;
use crate::centre::cose;
use crate::centre::cose::two::Envelope;
use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::{Keys, PublicKey, hex};
use crate::centre::topics::{self, Address, Kind};
use crate::centre::wire::{self, Wire as _};
use crate::clock::Clock;
use crate::domain::TimeMs;

/// Largest input, in bytes: base64 and hex of the largest envelope, with line ends.
const MAX_INPUT: u64 = 256 * 1024;

/// Arguments of `watchpost decode`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with the message; stdin when it is not given or `-`.
    pub file: Option<PathBuf>,
    /// The topic that it came under; a signature holds under no other.
    #[arg(long)]
    pub topic: Option<String>,
    /// Root of the topics.
    #[arg(long, default_value = topics::DEFAULT_ROOT)]
    pub topic_root: String,
    /// Public key (PEM) of who should have signed it.
    #[arg(long, value_name = "FILE", requires = "topic")]
    pub key: Option<PathBuf>,
    /// The centre's registry of boxes: the key of the box in the topic is taken from it.
    #[arg(long, value_name = "FILE", requires = "topic", conflicts_with = "key")]
    pub boxes: Option<PathBuf>,
    /// Keyring: verifies what the centre signed. Needs --root-key.
    #[arg(long, value_name = "FILE", requires = "root_key", requires = "topic", conflicts_with_all = ["key", "boxes"])]
    pub keyring: Option<PathBuf>,
    /// Public key (PEM) of the centre's root.
    #[arg(long, value_name = "FILE")]
    pub root_key: Option<PathBuf>,
}

/// Decodes and prints one message as JSON to `out`.
///
/// # Errors
/// When the input is no message of ours, or does not verify.
pub fn run(args: &Args, clock: &Clock, input: &mut dyn Read, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (name, raw) = read(args, input)?;
    let bytes = unwrap_text(&raw);
    let json = match (&args.topic, keys(args, clock)?) {
        (Some(topic), Some(keys)) => verified(&bytes, args, topic, &keys, clock.utc()).with_context(|| name.clone())?,
        _ => shown(&bytes, args).with_context(|| name.clone())?,
    };
    writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
    Ok(0)
}

fn read(args: &Args, input: &mut dyn Read) -> anyhow::Result<(String, Vec<u8>)> {
    let mut raw = Vec::new();
    let name = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path).with_context(|| name.clone())?;
            file.take(MAX_INPUT + 1).read_to_end(&mut raw).with_context(|| name.clone())?;
            name
        }
        _ => {
            input.take(MAX_INPUT + 1).read_to_end(&mut raw).context("stdin")?;
            "stdin".to_owned()
        }
    };
    if raw.len() as u64 > MAX_INPUT {
        bail!("{name}: larger than {MAX_INPUT} bytes: no message is");
    }
    if raw.is_empty() {
        bail!("{name}: is empty");
    }
    Ok((name, raw))
}

/// The bytes behind hex or base64. A message begins with 0x84, which is no text.
fn unwrap_text(raw: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(raw) else { return raw.to_vec() };
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let codings = [(&HEXLOWER_PERMISSIVE, digits), (&BASE64, &text), (&BASE64URL_NOPAD, &text)];
    codings
        .into_iter()
        .find_map(|(coding, text)| coding.decode(text.as_bytes()).ok().filter(|bytes| !bytes.is_empty()))
        .unwrap_or_else(|| raw.to_vec())
}

/// Where keys come from.
enum Trust {
    These(Keys),
    Boxes(Boxes),
    Keyring(Keyring, Keys),
}

fn keys(args: &Args, clock: &Clock) -> anyhow::Result<Option<Trust>> {
    if let Some(path) = &args.key {
        return Ok(Some(Trust::These(Keys::from(PublicKey::read(path)?))));
    }
    if let Some(path) = &args.boxes {
        return Ok(Some(Trust::Boxes(Boxes::read(path)?)));
    }
    if let (Some(path), Some(root)) = (&args.keyring, &args.root_key) {
        let keyring = Keyring::read(path, &PublicKey::read(root)?)?;
        let delivery = keyring.keys_of(Role::Delivery, clock.utc());
        return Ok(Some(Trust::Keyring(keyring, delivery)));
    }
    Ok(None)
}

impl Trust {
    fn keys_of(&self, address: &Address) -> Option<Keys> {
        match self {
            Self::These(keys) => Some(keys.clone()),
            Self::Boxes(boxes) => boxes.keys_of(&address.site, &address.box_id),
            Self::Keyring(_, delivery) => (address.kind == Kind::Ack).then(|| delivery.clone()),
        }
    }

    fn name_of(&self, kid: crate::centre::keys::Kid) -> Option<String> {
        match self {
            Self::Keyring(keyring, _) => keyring.entry(kid).map(|entry| entry.name.clone()),
            Self::These(_) | Self::Boxes(_) => None,
        }
    }
}

/// A command with all its signatures, which only a keyring can vouch for. That they are good says who asks, not that a box
/// does it: time, audience, role and replay are its own to judge.
fn command(bytes: &[u8], topic: &str, address: &Address, trust: &Trust, now: TimeMs) -> anyhow::Result<Value> {
    let Trust::Keyring(keyring, _) = trust else {
        bail!("a command is signed by people: give --keyring and --root-key");
    };
    let envelope = Envelope::parse(bytes, cose::MAX_ENVELOPE)?;
    let mut signers = Vec::new();
    for (which, kid) in envelope.kids().iter().enumerate() {
        let entry = keyring.entry(*kid).with_context(|| format!("key {kid} is not in the keyring"))?;
        envelope.verify(which, topic, &entry.key)?;
        signers.push(json!({
            "kid": kid.to_string(), "name": entry.name, "role": entry.role.as_str(), "org": entry.org,
            "valid_now": entry.valid_at(now),
        }));
    }
    let claims: wire::Claims = wire::decode(envelope.payload())?;
    if !claims.fits(&address.kind) || claims.audience != wire::command::audience(&address.site, &address.box_id) {
        bail!("signed as {} {} for {}, which is not this topic", claims.op, hex(&claims.id), claims.audience);
    }
    Ok(json!({
        "verified": true,
        "note": "the signatures are good; whether a box does it is its own to judge",
        "signers": signers,
        "bytes": bytes.len(),
        "topic": topic,
        "message": claims.to_json(),
    }))
}

fn verified(bytes: &[u8], args: &Args, topic: &str, trust: &Trust, now: TimeMs) -> anyhow::Result<Value> {
    let address = topics::parse(&args.topic_root, topic)?;
    if let Kind::Command { .. } = address.kind {
        return command(bytes, topic, &address, trust, now);
    }
    let (address, message, kid) = wire::open(bytes, &args.topic_root, topic, |address| trust.keys_of(address))?;
    Ok(json!({
        "verified": true,
        "kid": kid.to_string(),
        "signer": trust.name_of(kid),
        "bytes": bytes.len(),
        "site": address.site.as_str(),
        "box": address.box_id.as_str(),
        "topic": topic,
        "message": message.to_json(),
    }))
}

fn shown(bytes: &[u8], args: &Args) -> anyhow::Result<Value> {
    if let Some(root) = &args.root_key {
        let path = args.file.clone().unwrap_or_else(|| PathBuf::from("stdin"));
        let keyring = Keyring::verify(bytes, &path, &PublicKey::read(root)?)?;
        return Ok(json!({ "verified": true, "bytes": bytes.len(), "message": keyring.to_json() }));
    }
    let opened = Envelope::parse(bytes, cose::MAX_ENVELOPE)?;
    let message = wire::guess(opened.payload()).map_err(|errors| {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("a signed envelope with none of the known messages in it:\n  {}", reasons.join("\n  "))
    })?;
    Ok(json!({
        "verified": false,
        "note": "nobody vouches for this: give --topic with --key, --boxes or --keyring",
        "kid": opened.kids().first().map(ToString::to_string),
        "kids": opened.kids().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "bytes": bytes.len(),
        "message": message.to_json(),
    }))
}
