//! A bundle of evidence: one file with all that it takes to believe a hit without the box, the centre or a network.
//!
//! CBOR in its one form, so that one changed bit is seen:
//! ```text
//! { 0: version 1, 1: { name: bytes, … } the files, 2: the manifest, signed by the investigator who made it (COSE_Sign1) }
//! ```
//! | file | what |
//! |---|---|
//! | `reply.cose` | the box's answer to `evidence.get`, as it came: read, hits, alerts, salts, digests of the pictures |
//! | `crop.jpg`, `scene.jpg` | the pictures, as the box sent them |
//! | `scene-pixelated.jpg` | in place of `scene.jpg`: derived, all but the vehicle itself pixelated |
//! | `clip.mp4` | the clip of the hit, as the box sent it; its answer says from when to when, and what is missing of it |
//! | `record-N.audit` | record N of the box's audit log with its proof and the signed checkpoint |
//! | `keyring.cbor`, `root.der`, `box.der` | who could sign, the root that says so, the box's key |
//!
//! The manifest names each file with its digest, and of a derived one the digest of the original. Models are named by the
//! alert's `state` alone: what it stands for is in the box's `health` of that time and not in here.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::scene;
use crate::centre::ask::Answer;
use crate::centre::cose;
use crate::centre::keys::{PublicKey, SigningKey};
use crate::centre::wire::BlobRef;
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::{BoxId, EventId, Picture, Purpose, SiteId, TimeMs};

/// `external_aad` of a manifest: its signature counts for nothing else.
pub const AAD: &str = "watchpost evidence 1";
const VERSION: u8 = 1;
/// Largest bundle that is read, in bytes.
pub const MAX_BUNDLE: usize = 64 << 20;
/// The answer of the box.
pub const REPLY: &str = "reply.cose";
/// The scene as the box sent it.
pub const SCENE: &str = "scene.jpg";
/// The scene with all but the vehicle pixelated.
pub const PIXELATED: &str = "scene-pixelated.jpg";
/// The clip.
pub const CLIP: &str = "clip.mp4";
/// The crop.
pub const CROP: &str = "crop.jpg";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bundle {
    #[n(0)]
    version: u8,
    /// The files.
    #[n(1)]
    pub files: BTreeMap<String, ByteVec>,
    /// COSE_Sign1 of a [`Manifest`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub manifest: Vec<u8>,
}

/// What the investigator signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Manifest {
    #[n(0)]
    version: u8,
    /// The box's site.
    #[n(1)]
    pub site: SiteId,
    /// The box.
    #[n(2)]
    pub box_id: BoxId,
    /// The sighting.
    #[n(3)]
    pub sighting: EventId,
    /// When the bundle was made.
    #[n(4)]
    pub made: TimeMs,
    /// What the keyring calls who made it.
    #[n(5)]
    pub by: String,
    /// What for.
    #[n(6)]
    pub purpose: Option<Purpose>,
    /// For which case.
    #[n(7)]
    pub case: Option<String>,
    /// First part of the topics of these boxes.
    #[n(8)]
    pub topic_root: String,
    /// The topic that the box signed its answer for.
    #[n(9)]
    pub topic: String,
    /// The files, by name.
    #[n(10)]
    pub files: Vec<Listed>,
    /// Why there are no proofs from the audit log.
    #[n(11)]
    pub unproven: Option<String>,
}

/// A file, as the manifest says it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listed {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its bytes.
    #[n(1)]
    pub content: BlobRef,
    /// SHA-256 of the picture that it was made of.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub derived_from: Option<[u8; 32]>,
}

/// Who and what a bundle is made by and of.
pub struct Parts<'a> {
    /// The box and its site.
    pub whose: (SiteId, BoxId),
    /// The key that signed its answer.
    pub box_key: &'a PublicKey,
    /// The root of the keyring.
    pub root: &'a PublicKey,
    /// Bytes of the keyring.
    pub keyring: Vec<u8>,
    /// First part of every topic.
    pub topic_root: &'a str,
    /// The box's answer, with its pictures.
    pub answer: &'a Answer,
    /// Exports of one audit record each, by its number; or why there are none.
    pub proofs: Result<BTreeMap<u64, Vec<u8>>, String>,
    /// The investigator, and what the keyring calls that key.
    pub by: (&'a SigningKey, &'a str),
    /// What for, and for which case.
    pub why: (Option<Purpose>, Option<String>),
    /// Now.
    pub made: TimeMs,
    /// Whether the scene goes in as it is.
    pub unsealed: bool,
}

/// Name of the file with a record's proof.
#[must_use]
pub fn record_name(number: u64) -> String {
    format!("record-{number}.audit")
}

impl Bundle {
    /// Puts one together.
    ///
    /// # Errors
    /// When the answer tells no rows, a picture did not come, or the scene cannot be pixelated.
    pub fn make(parts: Parts<'_>) -> anyhow::Result<Self> {
        let told: evidence::Answer = ops::decode(parts.answer.reply.result.as_deref().unwrap_or_default())?;
        let rows = told.rows.context("the box told pictures alone: update it to this version")?;
        let mut files = BTreeMap::from([
            (REPLY.to_owned(), parts.answer.signed.bytes.clone()),
            ("keyring.cbor".to_owned(), parts.keyring),
            ("root.der".to_owned(), parts.root.to_spki()),
            ("box.der".to_owned(), parts.box_key.to_spki()),
        ]);
        let mut derived_from = BTreeMap::new();
        for given in &told.pictures {
            let bytes =
                parts.answer.attachments.get(&given.attached.id).context("a picture did not come: ask again")?;
            match given.picture {
                Picture::View => bail!("this is the picture of a camera, not of a sighting: there is nothing to prove"),
                Picture::Crop => files.insert(CROP.to_owned(), bytes.clone()),
                Picture::Scene if parts.unsealed => files.insert(SCENE.to_owned(), bytes.clone()),
                Picture::Scene => {
                    derived_from.insert(PIXELATED.to_owned(), given.attached.sha256);
                    files.insert(PIXELATED.to_owned(), scene::pixelated(bytes, rows.rect)?)
                }
            };
        }
        if let Some(clip) = told.clip.as_ref().and_then(|clip| clip.attached.as_ref()) {
            let bytes = parts.answer.attachments.get(&clip.id).context("the clip did not come: ask again")?;
            files.insert(CLIP.to_owned(), bytes.clone());
        }
        let unproven = parts.proofs.as_ref().err().cloned();
        files.extend(parts.proofs.unwrap_or_default().into_iter().map(|(n, export)| (record_name(n), export)));
        let listed = |(name, bytes): (&String, &Vec<u8>)| Listed {
            name: name.clone(),
            content: BlobRef::of(bytes),
            derived_from: derived_from.get(name).copied(),
        };
        let manifest = Manifest {
            version: VERSION,
            site: parts.whose.0,
            box_id: parts.whose.1,
            sighting: told.id,
            made: parts.made,
            by: parts.by.1.to_owned(),
            purpose: parts.why.0,
            case: parts.why.1,
            topic_root: parts.topic_root.to_owned(),
            topic: parts.answer.signed.topic.clone(),
            files: files.iter().map(listed).collect(),
            unproven,
        };
        let manifest = cose::sign(&ops::encode(&manifest), AAD, parts.by.0)?;
        let files = files.into_iter().map(|(name, bytes)| (name, ByteVec::from(bytes))).collect();
        Ok(Self { version: VERSION, files, manifest })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        ops::encode(self)
    }

    /// Takes the bytes back.
    ///
    /// # Errors
    /// When they are not exactly one bundle of this version.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.len() > MAX_BUNDLE {
            bail!("{} bytes, a bundle has at most {MAX_BUNDLE}", bytes.len());
        }
        let bundle: Self = minicbor::decode(bytes).context("this is no bundle of evidence")?;
        if bundle.version != VERSION {
            bail!("a bundle of version {}, this program knows {VERSION}: update it", bundle.version);
        }
        if bundle.encode() != bytes {
            bail!("the bundle is not in its one form: something was changed");
        }
        Ok(bundle)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn file(&self, name: &str) -> anyhow::Result<&[u8]> {
        Ok(self.files.get(name).with_context(|| format!("{name} is not in the bundle"))?)
    }
}

impl Manifest {
    /// Takes the signed bytes back; `None` when they are not in their one form.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let manifest: Self = minicbor::decode(payload).ok()?;
        (manifest.version == VERSION && ops::encode(&manifest) == payload).then_some(manifest)
    }
}
