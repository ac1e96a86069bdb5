//! `watchpostctl hotlist pack`, `diff`, `show`: packages made and looked at where no box is asked.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::read;
use crate::centre::keyring::{Keyring, Role};
use crate::centre::keys::{PublicKey, SigningKey, hex};
use crate::cli::ctl::ask::Keys;
use crate::cli::ctl::printable;
use crate::clock::Clock;
use crate::command::lists::{Package, sign};
use crate::domain::{ListId, MatchPolicy, Ownership, RegionPolicy, Severity, Share};
use crate::hotlist::package::{self, MAX_BYTES};
use crate::hotlist::{ListSettings, delta};

/// Options of `pack`. What is not given is taken from the package of `--like`.
#[derive(Debug, Args)]
pub struct Packing {
    /// PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate and free columns, which stay here
    #[arg(value_name = "CSV")]
    csv: PathBuf,
    /// An older package of the list: its settings count where no other is given, and the serial follows its
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Name of the list
    #[arg(long, value_name = "LIST", required_unless_present = "like")]
    list: Option<ListId>,
    /// Its number in alerts, the same on every box
    #[arg(long, value_name = "NUMBER", required_unless_present = "like", value_parser = clap::value_parser!(u16).range(1..))]
    number: Option<u16>,
    /// Greater than that of the package before [default: the seconds since 1970]
    #[arg(long, value_name = "SERIAL", value_parser = clap::value_parser!(u32).range(1..))]
    serial: Option<u32>,
    /// The organisation that owns it: that of the key that signs [default: as the keyring says]
    #[arg(long, value_name = "ORGANISATION")]
    owner: Option<String>,
    /// Who else sees its hits: none, all, or organisations by commas [default: none]
    #[arg(long, value_name = "WHOM")]
    share: Option<Share>,
    /// Severity of its hits: info, minor, serious, critical [default: info]
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Severity of a category, as Stolen=serious; once for each
    #[arg(long = "category", value_name = "NAME=SEVERITY", value_parser = category)]
    categories: Vec<(String, Severity)>,
    /// How plates match: exact, confusable, near [default: confusable]
    #[arg(long, value_name = "POLICY")]
    policy: Option<MatchPolicy>,
    /// What an entry's state demands: lenient, strict [default: lenient]
    #[arg(long, value_name = "REGION")]
    region: Option<RegionPolicy>,
    /// Hours after which it counts as stale
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    fresh_hours: Option<u32>,
    /// Sign with this key: a role of the centre's folder, or a file; a box takes a lists key alone
    #[arg(long = "as", value_name = "ROLE|FILE", default_value = "lists")]
    signer: String,
    /// The package [default: LIST-SERIAL.wpl]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct Diffing {
    /// The package that boxes have
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The package that they shall have
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Sign with this key: a role of the centre's folder, or a file
    #[arg(long = "as", value_name = "ROLE|FILE", default_value = "lists")]
    signer: String,
    /// The delta [default: LIST-OLD-NEW.wpl]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Showing {
    /// A package or delta
    #[arg(value_name = "FILE")]
    package: PathBuf,
    /// The entry of this number, as alerts name it
    #[arg(long, value_name = "NUMBER")]
    entry: Option<u32>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn category(text: &str) -> Result<(String, Severity), String> {
    let (name, severity) = text.split_once('=').ok_or("wanted NAME=SEVERITY, as Stolen=serious")?;
    Ok((name.to_owned(), severity.parse()?))
}

pub(super) fn pack(packing: &Packing, keys: &Keys, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let key = keys.key(&packing.signer).context("the key that signs the package")?;
    let like = packing.like.as_deref().map(read).transpose()?;
    let like = like.as_deref().map(Package::inspect).transpose()?.map(|package| package.header);
    let settings = settings(packing, like.as_ref().map(package::Header::settings), keys, &key)?;
    let now = Clock::system().utc();
    let seconds = u32::try_from(now.0 / 1000).unwrap_or(u32::MAX);
    let after = like.map_or(0, |header| header.serial);
    let serial = packing.serial.unwrap_or_else(|| seconds.max(after.saturating_add(1)));
    if serial <= after {
        bail!("serial {serial} does not follow {after}, that of the older package");
    }
    let csv = read(&packing.csv)?;
    let packed = package::pack(&packing.csv, &csv, &settings, serial, now)?;
    let bytes = sign(&packed.header, &packed.body, &key)?;
    if bytes.len() > MAX_BYTES {
        bail!("the package has {} bytes, a box takes at most {MAX_BYTES}: split the list", bytes.len());
    }
    let path = output(packing.output.as_deref(), &format!("{}-{serial}.wpl", settings.id));
    write(&path, &bytes)?;
    let duplicates = match packed.duplicates {
        0 => String::new(),
        n => format!(", {n} lines that said the same left out"),
    };
    let (entries, size) = (packed.header.entries, bytes.len());
    writeln!(out, "{}: serial {serial}, {entries} entries, {size} bytes{duplicates}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn settings(
    packing: &Packing,
    like: Option<ListSettings>,
    keys: &Keys,
    key: &SigningKey,
) -> anyhow::Result<ListSettings> {
    let before = like.as_ref().and_then(|s| s.owner.clone());
    let id = packing.list.clone().or(like.as_ref().map(|s| s.id.clone())).context("--list is not given")?;
    let number = packing.number.or(like.as_ref().map(|s| s.number)).context("--number is not given")?;
    let mut settings = like.unwrap_or_else(|| ListSettings::new(id.clone(), number, Severity::Info));
    (settings.id, settings.number) = (id, number);
    settings.severity = packing.severity.unwrap_or(settings.severity);
    settings.policy = packing.policy.unwrap_or(settings.policy);
    settings.region = packing.region.unwrap_or(settings.region);
    if !packing.categories.is_empty() {
        settings.category_severity.clone_from(&packing.categories);
    }
    if let Some(hours) = packing.fresh_hours {
        settings.freshness = Some(Duration::from_secs(u64::from(hours) * 3_600));
    }
    let org = match packing.owner.clone().or_else(|| before.as_ref().map(|b| b.org.clone())) {
        Some(org) => org,
        None => org_of(keys, key).context("--owner is not given")?,
    };
    let share = packing.share.clone().or_else(|| before.map(|b| b.share)).unwrap_or_default();
    settings.owner = Some(Ownership { org, share });
    Ok(settings)
}

/// The organisation that the keyring says for a lists key.
fn org_of(keys: &Keys, key: &SigningKey) -> anyhow::Result<String> {
    let path = keys.keyring.as_deref().context("no keyring is known: give --keyring, or --centre DIR")?;
    let root = keys.root.as_deref().context("no root key is known: give --root-key, or --centre DIR")?;
    let ring = Keyring::read(path, &PublicKey::read(root)?)?;
    let entry = ring.entry(key.kid()).filter(|entry| entry.role == Role::Lists);
    let entry =
        entry.with_context(|| format!("key {} is no lists key of the keyring {}", key.kid(), path.display()))?;
    Ok(entry.org.clone())
}

fn output(given: Option<&Path>, default: &str) -> PathBuf {
    given.map_or_else(|| PathBuf::from(default), Path::to_owned)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Plates are in it: for its owner alone.
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("{} cannot be written", path.display()))
}

/// The signed delta from one package to another.
pub(super) fn delta(old: &[u8], new: &[u8], key: &SigningKey) -> anyhow::Result<Vec<u8>> {
    Ok(between(old, new, key)?.0)
}

fn between(old: &[u8], new: &[u8], key: &SigningKey) -> anyhow::Result<(Vec<u8>, delta::Change, String)> {
    let (old, new) = (Package::inspect(old)?, Package::inspect(new)?);
    for package in [&old, &new] {
        if package.header.base.is_some() {
            bail!(
                "serial {} of list {} is a delta: two whole packages are compared",
                package.header.serial,
                package.header.list
            );
        }
        package::load(&package.header, package.body)?;
    }
    let (header, body, change) = delta::between((&old.header, old.body), (&new.header, new.body))?;
    let name = format!("{}-{}-{}.wpl", header.list, old.header.serial, header.serial);
    Ok((sign(&header, &body, key)?, change, name))
}

pub(super) fn diff(diffing: &Diffing, keys: &Keys, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let key = keys.key(&diffing.signer).context("the key that signs the delta")?;
    let new = read(&diffing.new)?;
    let (bytes, change, name) = between(&read(&diffing.old)?, &new, &key)?;
    let path = output(diffing.output.as_deref(), &name);
    write(&path, &bytes)?;
    let delta::Change { added, removed, changed } = change;
    let (size, whole) = (bytes.len(), new.len());
    let path = path.display();
    writeln!(out, "{path}: {added} added, {removed} removed ({changed} plates in both), {size} bytes of {whole}")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(showing: &Showing, keys: &Keys, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let bytes = read(&showing.package)?;
    let package = Package::inspect(&bytes)?;
    let header = &package.header;
    let signed = signed_by(keys, &bytes).unwrap_or_else(|why| format!("not verified: {why}"));
    if header.base.is_none() {
        package::load(header, package.body)?;
    }
    let entry = match (showing.entry, header.base) {
        (Some(_), Some(_)) => bail!("a delta does not hold all entries: show the whole package of its serial"),
        (Some(number), None) => {
            let found = package::entry(header, package.body, number)?;
            Some(found.with_context(|| format!("it has entries 1 to {}, not {number}", header.entries))?)
        }
        (None, _) => None,
    };
    if showing.json {
        let value = json!({
            "list": header.list.as_str(), "number": header.number, "serial": header.serial,
            "issued": header.issued.to_string(), "owner": header.owner.org, "share": header.owner.share.to_string(),
            "severity": header.severity.as_str(), "policy": header.policy.as_str(), "region": header.region.as_str(),
            "categories": header.categories.iter().map(|(n, s)| json!([n, s.as_str()])).collect::<Vec<_>>(),
            "fresh_s": header.fresh_s, "entries": header.entries, "digest": hex(&header.digest),
            "builds_on": header.base.map(|b| b.serial), "kid": package.kid.to_string(), "signed": signed, "entry": entry,
        });
        writeln!(out, "{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let kind = header.base.map_or_else(|| "whole list".to_owned(), |b| format!("delta to serial {}", b.serial));
    let name = &header.list;
    writeln!(out, "{name}, number {}, serial {} of {}: {kind}", header.number, header.serial, header.issued)?;
    let entries = header.entries;
    writeln!(out, "{entries} entries, {}, {}, {}", header.severity, header.policy.as_str(), header.region.as_str())?;
    writeln!(out, "owner {}, shared with {}", printable(&header.owner.org), header.owner.share)?;
    writeln!(out, "signed with key {}: {}", package.kid, printable(&signed))?;
    if let Some(entry) = entry {
        writeln!(out, "{}", printable(&entry))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose signature it is, when it is a lists key's of the keyring.
fn signed_by(keys: &Keys, bytes: &[u8]) -> anyhow::Result<String> {
    let path = keys.keyring.as_deref().context("no keyring is known")?;
    let ring = Keyring::read(path, &PublicKey::read(keys.root.as_deref().context("no root key is known")?)?)?;
    let package = Package::open(bytes, &ring.keys_of(Role::Lists, Clock::system().utc()))?;
    let entry = ring.entry(package.kid).context("its key is not in the keyring")?;
    Ok(format!("{} of {}", entry.name, entry.org))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        packing: Packing,
    }

    #[test]
    fn packages_are_made_compared_and_shown_without_a_box() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        SigningKey::create(Path::new(&at("lists.key"))).unwrap();
        let keys = Keys { dir: Some(dir.path().to_owned()), keyring: None, root: None };
        let pack = |csv: &str, more: &[&str]| {
            std::fs::write(at("l.csv"), csv).unwrap();
            let args = ["x".to_owned(), at("l.csv")].into_iter().chain(more.iter().map(|w| (*w).to_owned()));
            let mut out = Vec::new();
            pack(&Cli::try_parse_from(args).unwrap().packing, &keys, &mut out).map(|_| String::from_utf8(out).unwrap())
        };
        let (one, two, three) = (at("1.wpl"), at("2.wpl"), at("delta.wpl"));
        let said = pack(
            "PlateNumber,PlateState,Category,ExpiryDate\nABC-123,CA,Stolen,20301231\nXYZ 999,,,\nxyz999,,,\n",
            &[
                "--list",
                "wanted",
                "--number",
                "7",
                "--serial",
                "5",
                "--owner",
                "north",
                "--share",
                "south,east",
                "--category",
                "Stolen=critical",
                "--policy",
                "near",
                "--fresh-hours",
                "36",
                "-o",
                &one,
            ],
        );
        let said = said.unwrap();
        assert!(said.contains("serial 5, 2 entries") && said.contains("1 lines that said the same left out"), "{said}");
        let said = pack("PlateNumber\nXYZ999\nQQQ777\n", &["--like", &one, "--serial", "6", "-o", &two]).unwrap();
        assert!(said.contains("serial 6, 2 entries"), "{said}");
        let older = pack("PlateNumber\nXYZ999\n", &["--like", &one, "--serial", "5"]).unwrap_err().to_string();
        assert!(older.contains("does not follow"), "{older}");
        let short = pack("PlateNumber\nXYZ999\nAB1\n", &["--like", &one]).unwrap_err().to_string();
        assert!(short.contains("line 3: PlateNumber has 3 letters and digits"), "{short}");

        let mut out = Vec::new();
        let diffing = Diffing {
            old: one.clone().into(),
            new: two.clone().into(),
            signer: "lists".to_owned(),
            output: Some(three.clone().into()),
        };
        diff(&diffing, &keys, &mut out).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert!(said.contains("1 added, 1 removed (0 plates in both)"), "{said}");
        let show = |package: &str, entry, json| {
            let mut out = Vec::new();
            let showing = Showing { package: package.into(), entry, json };
            show(&showing, &keys, &mut out).map(|_| String::from_utf8(out).unwrap())
        };
        let said = show(&one, Some(1), false).unwrap();
        for part in [
            "wanted, number 7, serial 5",
            "2 entries, info, near, lenient",
            "owner north, shared with east, south",
            "ABC123, state CA, category stolen, until 2030-12-31",
            "not verified: no keyring is known",
        ] {
            assert!(said.contains(part), "{part:?} not in:\n{said}");
        }
        assert!(show(&two, None, false).unwrap().contains("2 entries, info, near"), "settings are carried on");
        assert!(show(&three, None, true).unwrap().contains("\"builds_on\":5"));
        assert!(show(&one, Some(3), false).unwrap_err().to_string().contains("entries 1 to 2, not 3"));
        assert!(show(&three, Some(1), false).is_err());
        let plates = std::fs::metadata(&one).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&plates.permissions()) & 0o777, 0o600);
    }
}
