//! Holds a bundle against the keys that somebody trusts, offline: one line a check, and an error at the first that fails.

use anyhow::{Context as _, bail};

use super::bundle::{self, Bundle, Manifest};
use crate::centre::cose::{self, MAX_ENVELOPE};
use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::{Keys, PublicKey};
use crate::centre::note;
use crate::centre::topics::{self, Kind};
use crate::centre::wire::{self, BlobRef, Reply, Wire as _};
use crate::command::ops;
use crate::command::ops::query::evidence;
use crate::domain::{Alert, CommandStatus, Op, Picture, tree};
use crate::store::accounting::{accounts_for, commitment};
use crate::store::audit::export::Export;

/// What whoever verifies trusts already.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The root key; without one, the bundle's own is taken and that is said.
    pub root: Option<PublicKey>,
    /// The box's key; without one, the investigator who signed vouches for the bundle's.
    pub box_key: Option<PublicKey>,
}

/// Verifies a bundle; `say` is told what was found right.
///
/// # Errors
/// The first thing that does not fit.
pub fn check(bytes: &[u8], trust: &Trust, say: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let bundle = Bundle::decode(bytes)?;
    let manifest = signed(&bundle, trust, say)?;
    digests(&bundle, &manifest)?;
    say(format!("files: all {} are as the manifest says", manifest.files.len()));
    let box_key = PublicKey::from_spki(bundle.file("box.der")?).context("box.der")?;
    match &trust.box_key {
        Some(trusted) if *trusted == box_key => say(format!("box key {}: the one that was given", box_key.kid())),
        Some(trusted) => bail!("the bundle is of a box with the key {}, given is {}", box_key.kid(), trusted.kid()),
        None => say(format!("box key {}: {} vouches for it (--box-key FILE checks it)", box_key.kid(), manifest.by)),
    }
    let keys = Keys::from(box_key);
    let answer = answer(&bundle, &manifest, &keys)?;
    say(format!("answer: signed by {} of site {}", manifest.box_id, manifest.site));
    pictures(&bundle, &manifest, &answer, say)?;
    clip(&bundle, &answer, say)?;
    let rows = answer.rows.context("the answer tells no rows")?;
    if rows.hits.is_empty() {
        say("hits: none that may be seen".to_owned());
    }
    for (n, hit) in (1..).zip(&rows.hits) {
        let said = committed(&bundle, &manifest, hit, &keys).with_context(|| format!("hit {n}"))?;
        say(format!("hit {n}: {said}"));
    }
    let known = |name: &str| {
        let fixed = [
            bundle::REPLY,
            bundle::CROP,
            bundle::SCENE,
            bundle::PIXELATED,
            bundle::CLIP,
            "keyring.cbor",
            "root.der",
            "box.der",
        ];
        fixed.contains(&name) || rows.hits.iter().any(|h| h.record.is_some_and(|n| bundle::record_name(n) == name))
    };
    match bundle.files.keys().find(|name| !known(name)) {
        Some(stranger) => bail!("{stranger} belongs to nothing in the bundle"),
        None => Ok(()),
    }
}

/// The manifest, signed by an investigator of the root's keyring.
fn signed(bundle: &Bundle, trust: &Trust, say: &mut dyn FnMut(String)) -> anyhow::Result<Manifest> {
    let own = PublicKey::from_spki(bundle.file("root.der")?).context("root.der")?;
    let root = trust.root.as_ref().unwrap_or(&own);
    if *root != own {
        bail!("the bundle builds on the root key {}, given is {}", own.kid(), root.kid());
    }
    let whose =
        if trust.root.is_some() { "the one that was given" } else { "the bundle's own: compare it (--root-key)" };
    let ring = Keyring::verify(bundle.file("keyring.cbor")?, std::path::Path::new("keyring.cbor"), root)?;
    say(format!("keyring {}: signed by the root key {}, {whose}", ring.serial, root.kid()));
    let investigators = ring.entries.iter().filter(|entry| entry.role == Role::Investigator);
    let keys: Keys = investigators.map(|entry| entry.key.clone()).collect();
    let opened = cose::verify(&bundle.manifest, bundle::AAD, &keys, MAX_ENVELOPE).context("the manifest")?;
    let manifest = Manifest::decode(&opened.payload).context("the manifest is not in its one form")?;
    let entry = ring.entry(opened.kid).context("the manifest's signer is not in the keyring")?;
    if entry.name != manifest.by || !entry.valid_at(manifest.made) {
        bail!("{} could not sign at {}: the key's name or its time does not fit", manifest.by, manifest.made);
    }
    let purpose = manifest.purpose.map_or("–", |purpose| purpose.as_str());
    let case = crate::cli::ctl::printable(manifest.case.as_deref().unwrap_or("–"));
    say(format!(
        "manifest: signed by {} of {} at {}, purpose {purpose}, case {case}",
        entry.name, entry.org, manifest.made
    ));
    Ok(manifest)
}

fn digests(bundle: &Bundle, manifest: &Manifest) -> anyhow::Result<()> {
    if !bundle.files.keys().eq(manifest.files.iter().map(|listed| &listed.name)) {
        bail!("the bundle has other files than its manifest says");
    }
    for listed in &manifest.files {
        if BlobRef::of(bundle.file(&listed.name)?) != listed.content {
            bail!("{} was changed: its digest is another than the manifest's", listed.name);
        }
    }
    Ok(())
}

/// What the box answered, if it was this box, about this sighting.
fn answer(bundle: &Bundle, manifest: &Manifest, keys: &Keys) -> anyhow::Result<evidence::Answer> {
    let address = topics::parse(&manifest.topic_root, &manifest.topic)?;
    let of_evidence = matches!(&address.kind, Kind::Reply { op, .. } if op == Op::EvidenceGet.as_str());
    if address.site != manifest.site || address.box_id != manifest.box_id || !of_evidence {
        bail!("the answer is of {}, which is not what the manifest is about", manifest.topic);
    }
    let (reply, _) = wire::verify::<Reply>(bundle.file(bundle::REPLY)?, &manifest.topic, keys)?;
    if !reply.fits(&address.kind) || reply.status != CommandStatus::Successful {
        bail!("the answer is not of this question, or tells of no success");
    }
    let answer: evidence::Answer = ops::decode(reply.result.as_deref().unwrap_or_default())?;
    if answer.id != manifest.sighting {
        bail!("the answer is about the sighting {}, the bundle about {}", answer.id, manifest.sighting);
    }
    Ok(answer)
}

fn pictures(
    bundle: &Bundle,
    manifest: &Manifest,
    answer: &evidence::Answer,
    say: &mut dyn FnMut(String),
) -> anyhow::Result<()> {
    let told = |picture| answer.pictures.iter().find(|given| given.picture == picture).map(|given| &given.attached);
    for (name, picture) in [(bundle::CROP, Picture::Crop), (bundle::SCENE, Picture::Scene)] {
        let derived = manifest.files.iter().find(|f| picture == Picture::Scene && f.name == bundle::PIXELATED);
        match (told(picture), bundle.files.get(name), derived) {
            (Some(attached), Some(bytes), None) if attached.fits(bytes) => {
                say(format!("{name}: the picture that the box signed"));
            }
            (Some(attached), None, Some(derived)) if derived.derived_from == Some(attached.sha256) => say(format!(
                "{}: derived by {} from the picture that the box signed, which is not in here",
                derived.name, manifest.by
            )),
            (None, None, None) => say(format!("{name}: the box gave none")),
            _ => bail!("{name} is not the picture that the box signed"),
        }
    }
    Ok(())
}

/// That the clip is the one that the box signed; what is missing of it is said.
fn clip(bundle: &Bundle, answer: &evidence::Answer, say: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let name = bundle::CLIP;
    let given = answer.clip.as_ref();
    match (given.and_then(|clip| clip.attached.as_ref()), bundle.files.get(name)) {
        (Some(attached), Some(bytes)) if attached.fits(bytes) => {
            let about = given.and_then(|clip| clip.about.as_ref());
            let times = about.map_or_else(String::new, |about| format!(", {} to {}", about.from, about.to));
            let masked =
                if about.is_some_and(|about| about.masked) { ", coded anew with the camera's masks" } else { "" };
            let lacks = about
                .and_then(|about| about.note.as_deref())
                .map_or_else(String::new, |lacks| format!("; of it is missing: {}", crate::cli::ctl::printable(lacks)));
            say(format!("{name}: the clip that the box signed{times}{masked}{lacks}"));
        }
        (None, None) => {
            let why = given.and_then(|clip| clip.why.as_deref()).unwrap_or("it was not asked for");
            say(format!("{name}: none: {}", crate::cli::ctl::printable(why)));
        }
        _ => bail!("{name} is not the clip that the box signed"),
    }
    Ok(())
}

/// That the alert of a hit is what the audit log holds a commitment to.
fn committed(bundle: &Bundle, manifest: &Manifest, hit: &evidence::Committed, keys: &Keys) -> anyhow::Result<String> {
    let alert: Alert = ops::decode(&hit.alert)?;
    if ops::encode(&alert) != hit.alert || alert.id != manifest.sighting || hit.row.read.id != manifest.sighting {
        bail!("its alert is of another sighting, or not in its one form");
    }
    let (Some(salt), Some(number)) = (hit.salt, hit.record) else {
        return Ok("NO PROOF: no record of the box's audit log accounts for it".to_owned());
    };
    if let Some(why) = &manifest.unproven {
        return Ok(format!("NO PROOF: record {number} accounts for it, the bundle does not hold it: {why}"));
    }
    let export = Export::decode(bundle.file(&bundle::record_name(number))?)?;
    note::open(&export.checkpoint, &tree::origin(&manifest.site, &manifest.box_id), keys)?;
    let (checkpoint, records) = export.check()?;
    let [record] = records.as_slice() else { bail!("more than one record where one has to be") };
    if record.number != number || !accounts_for(record, alert.epoch, alert.seq, &commitment(salt, &alert)) {
        bail!("record {number} of the audit log holds no commitment to this alert");
    }
    Ok(format!(
        "alert {} is accounted for by record {number} of {}, written {}, under the box's signature",
        alert.seq, checkpoint.head.size, record.at
    ))
}
