//! `watchpost init`: a box's keys and starting configuration; with `--centre`, also a centre of one box.
//!
//! Everything is made in memory first; then, when none of the files is there yet, they are written. So a second `init`
//! changes nothing and says which file is in its way, and one that fails half-way takes back what it wrote. Private
//! files are 0600, folders 0700. Names of keys are names of roles: whom a role belongs to is not for a program to make up.

mod certificates;
mod one_box_centre;
mod this_box;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use crate::centre::keys;
use crate::clock::Clock;
use crate::config;
use crate::domain::{BoxId, SiteId};

/// Arguments of `watchpost init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make a one-box centre in this folder: keys, certificates, broker configuration.
    #[arg(long, value_name = "DIR")]
    pub centre: Option<PathBuf>,
    /// Folder of the configuration and what it names; data goes to DIR/data. Without it: /etc/watchpost and
    /// /var/lib/watchpost.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Name of the site: 1 to 16 of a-z, 0-9, '-'.
    #[arg(long, default_value = "site-1")]
    pub site: SiteId,
    /// Name of the box, unique in the fleet: 1 to 16 of a-z, 0-9, '-'.
    #[arg(long = "box", value_name = "BOX", default_value = "box-1")]
    pub box_id: BoxId,
    /// Port of the broker on this machine, with `--centre`.
    #[arg(long, default_value_t = 8883, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Have the box tell Home Assistant of itself below this topic, and let the broker of `--centre` take that.
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = config::HOME_ASSISTANT_PREFIX, requires = "centre")]
    pub home_assistant: Option<String>,
    /// The configuration to write. Without it: watchpost.toml in the folder of the box.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where everything of the box goes, absolute.
struct Places {
    dir: PathBuf,
    data: PathBuf,
    config: PathBuf,
}

/// Files that will be written, in order, and folders before them.
#[derive(Default)]
struct Plan {
    dirs: Vec<PathBuf>,
    files: Vec<(PathBuf, Zeroizing<Vec<u8>>, u32)>,
}

impl Plan {
    fn dir(&mut self, path: PathBuf) {
        self.dirs.push(path);
    }

    /// For its owner alone.
    fn secret(&mut self, path: PathBuf, bytes: impl Into<Vec<u8>>) {
        self.files.push((path, Zeroizing::new(bytes.into()), 0o600));
    }

    fn public(&mut self, path: PathBuf, bytes: impl Into<Vec<u8>>) {
        self.files.push((path, Zeroizing::new(bytes.into()), 0o644));
    }

    fn refuse_existing(&self) -> anyhow::Result<()> {
        for (path, _, _) in &self.files {
            // A dangling link counts: writing through it would put a key where nobody looks for it.
            if path.symlink_metadata().is_ok() {
                bail!("{} is there already, nothing was changed: init never overwrites", path.display());
            }
        }
        Ok(())
    }

    fn write(&self) -> anyhow::Result<()> {
        self.dirs.iter().try_for_each(|dir| keys::make_dir(dir))?;
        for (at, (path, bytes, mode)) in self.files.iter().enumerate() {
            if let Err(error) = keys::write_new(path, bytes, *mode) {
                for (written, _, _) in self.files.iter().take(at) {
                    // What cannot be removed is named by the next init.
                    let _ = std::fs::remove_file(written);
                }
                return Err(error).context("init failed and took back what it had written");
            }
        }
        Ok(())
    }
}

/// Makes what is asked for and prints the next steps to `out`.
///
/// # Errors
/// When a file is there already (it is named), or cannot be written.
pub fn run(args: &Args, clock: &Clock, out: &mut dyn Write) -> anyhow::Result<u8> {
    let places = places(args)?;
    let centre = args.centre.as_deref().map(absolute).transpose()?;
    let mut plan = Plan::default();
    let made = this_box::plan(&mut plan, args, &places, centre.is_some())?;
    if let Some(centre) = &centre {
        if *centre == places.dir || *centre == places.data {
            bail!(
                "--centre and the box need folders of their own: the centre's keys must not lie on a box. \
                 Try --centre {}/centre",
                centre.display()
            );
        }
        one_box_centre::plan(&mut plan, args, centre, &places, &made, clock)?;
    }
    plan.refuse_existing()?;
    plan.write()?;
    next_steps(out, args, &places, centre.as_deref())?;
    Ok(0)
}

fn places(args: &Args) -> anyhow::Result<Places> {
    let default = Path::new(config::DEFAULT_PATH);
    let (dir, data) = match &args.dir {
        Some(dir) => {
            let dir = absolute(dir)?;
            let data = dir.join("data");
            (dir, data)
        }
        None => (default.parent().unwrap_or(default).to_owned(), PathBuf::from("/var/lib/watchpost")),
    };
    let config = match &args.config {
        Some(path) => absolute(path)?,
        None => dir.join(default.file_name().unwrap_or(default.as_os_str())),
    };
    Ok(Places { dir, data, config })
}

/// Absolute, and fit for a line of a configuration file.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("{}: no usable path", path.display()))?;
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(path),
        _ => bail!("{}: a path of UTF-8 without control characters is wanted", path.display()),
    }
}

/// A TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

fn next_steps(out: &mut dyn Write, args: &Args, places: &Places, centre: Option<&Path>) -> std::io::Result<()> {
    let config = places.config.display();
    writeln!(out, "box {} of site {}:", args.box_id, args.site)?;
    writeln!(out, "  configuration   {config}")?;
    writeln!(out, "  data and keys   {}", places.data.display())?;
    if let Some(centre) = centre {
        writeln!(out, "centre of this one box:")?;
        writeln!(
            out,
            "  keys            {}/keys: take root.key off this machine, and give each person theirs",
            centre.display()
        )?;
        writeln!(out, "  broker          mqtts://127.0.0.1:{}", args.port)?;
    }
    writeln!(out, "\nnext:")?;
    writeln!(out, "  1. add a [[camera]] and a [[hotlist.list]] to {config}")?;
    let mut step = 2;
    if let Some(centre) = centre {
        let centre = centre.display();
        writeln!(out, "  2. mosquitto -c {centre}/broker/mosquitto.conf     # Debian's mosquitto, in /usr/sbin")?;
        writeln!(out, "  3. watchpostctl --centre {centre} tail")?;
        step = 4;
    } else {
        writeln!(out, "  2. fill in [centre]; the centre needs {}/keys/box.pub", places.data.display())?;
        step += 1;
    }
    writeln!(out, "  {step}. watchpost check --config {config}")?;
    writeln!(out, "  {}. watchpost run --config {config}", step + 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::centre::boxes::Boxes;
    use crate::centre::keyring::{Keyring, Role};
    use crate::centre::keys::{PublicKey, SigningKey};
    use crate::centre::tls::{self, TlsFiles};

    fn args(dir: &Path, centre: bool) -> Args {
        Args {
            centre: centre.then(|| dir.join("centre")),
            dir: Some(dir.to_owned()),
            site: SiteId::new("north").unwrap(),
            box_id: BoxId::new("box-7").unwrap(),
            port: 18_883,
            home_assistant: None,
            config: None,
        }
    }

    fn init(args: &Args) -> anyhow::Result<String> {
        let mut out = Vec::new();
        run(args, &Clock::system(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// All files below `dir` with mode and bytes.
    fn snapshot(dir: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() {
                found.extend(snapshot(&path));
            } else {
                found.push((path.clone(), meta.permissions().mode() & 0o777, std::fs::read(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn init_makes_a_configuration_that_loads_and_keys_that_fit_together() {
        let dir = tempfile::tempdir().unwrap();
        let said = init(&args(dir.path(), true)).unwrap();
        assert!(said.contains("watchpostctl --centre") && said.contains("18883"), "{said}");
        let config = config::load(&dir.path().join("watchpost.toml")).unwrap();
        assert_eq!((config.site.site.as_str(), config.site.id.as_str()), ("north", "box-7"));
        let centre = config.centre.unwrap();
        assert_eq!(centre.broker.to_string(), "mqtts://127.0.0.1:18883");
        let root = PublicKey::read(&centre.root_key).unwrap();
        let keyring = Keyring::read(&centre.keyring, &root).unwrap();
        assert_eq!(keyring.serial, 1);
        let delivery = SigningKey::read(&dir.path().join("centre/keys/delivery.key")).unwrap();
        let now = Clock::system().utc();
        assert!(keyring.keys_of(Role::Delivery, now).get(delivery.kid()).is_some());
        assert!(Role::ALL.iter().all(|role| !keyring.keys_of(*role, now).is_empty()));
        for entry in &keyring.entries {
            let key = SigningKey::read(&dir.path().join(format!("centre/keys/{}.key", entry.name))).unwrap();
            assert_eq!(key.kid(), entry.key.kid(), "{}", entry.name);
        }
        let custodians = keyring.entries.iter().filter(|e| e.role == Role::Custodian).count();
        assert_eq!((custodians, keyring.entries.iter().filter(|e| e.supervisor).count()), (2, 1));
        let box_key = SigningKey::read(&config.site.data_dir.join("keys/box.key")).unwrap();
        let boxes = Boxes::read(&dir.path().join("centre/boxes.toml")).unwrap();
        assert!(boxes.keys_of(&config.site.site, &config.site.id).unwrap().get(box_key.kid()).is_some());
        assert!(boxes.keys_of(&SiteId::new("south").unwrap(), &config.site.id).is_none());
        let files = TlsFiles {
            ca: centre.ca.unwrap(),
            certificate: centre.certificate.unwrap(),
            private_key: centre.private_key.unwrap(),
        };
        tls::client_config(&files, &Clock::system()).unwrap();
    }

    #[test]
    fn home_assistant_gets_its_line_and_its_section_only_where_it_is_asked_for() {
        for (asked, line) in [(None, None), (Some("ha"), Some("pattern write ha/device/%u/#\n"))] {
            let dir = tempfile::tempdir().unwrap();
            let asked = asked.map(str::to_owned);
            init(&Args { home_assistant: asked.clone(), ..args(dir.path(), true) }).unwrap();
            let acl = std::fs::read_to_string(dir.path().join("centre/broker/acl")).unwrap();
            assert_eq!(acl.contains("/device/%u/#"), line.is_some(), "{acl}");
            assert!(line.is_none_or(|line| acl.contains(line)), "{acl}");
            let mirrors = config::load(&dir.path().join("watchpost.toml")).unwrap().centre.unwrap().mirrors;
            assert_eq!(mirrors.home_assistant.map(|ha| ha.prefix), asked);
            assert!(!mirrors.json && !mirrors.onvif);
        }
        let dir = tempfile::tempdir().unwrap();
        let wild = Args { home_assistant: Some("ha/#".to_owned()), ..args(dir.path(), true) };
        assert!(init(&wild).unwrap_err().to_string().contains("--home-assistant"));
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        init(&args(dir.path(), true)).unwrap();
        let files = snapshot(dir.path());
        for (path, mode, bytes) in &files {
            let name = path.display().to_string();
            let secret = path.extension().is_some_and(|e| e == "key")
                || name.contains("-key.")
                || bytes.windows(7).any(|w| w == b"PRIVATE");
            assert_eq!(*mode == 0o600, secret, "{name} {mode:o}");
        }
        assert!(files.iter().any(|(path, _, bytes)| path.ends_with("keys/store.key") && bytes.len() == 32));
        for folder in ["data", "data/keys", "centre", "centre/keys", "centre/tls", "tls"] {
            let mode = dir.path().join(folder).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{folder}");
        }
    }

    #[test]
    fn a_second_init_changes_nothing_and_names_what_is_in_its_way() {
        let dir = tempfile::tempdir().unwrap();
        init(&args(dir.path(), true)).unwrap();
        let before = snapshot(dir.path());
        let error = init(&args(dir.path(), true)).unwrap_err().to_string();
        assert!(error.contains("box.key") && error.contains("never overwrites"), "{error}");
        assert_eq!(snapshot(dir.path()), before);
        // Also when only a late file is there.
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("root.pub"), "mine").unwrap();
        let error = init(&args(other.path(), true)).unwrap_err().to_string();
        assert!(error.contains("root.pub"), "{error}");
        assert_eq!(snapshot(other.path()).len(), 1);
    }

    #[test]
    fn without_a_centre_the_configuration_loads_and_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let said = init(&args(dir.path(), false)).unwrap();
        assert!(said.contains("box.pub"), "{said}");
        assert!(config::load(&dir.path().join("watchpost.toml")).unwrap().centre.is_none());
    }

    #[test]
    fn what_the_configuration_shows_as_examples_loads_as_well() {
        let dir = tempfile::tempdir().unwrap();
        init(&args(dir.path(), false)).unwrap();
        let path = dir.path().join("watchpost.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let is_example = |line: &str| line.starts_with('[') || line.contains(" = ");
        let uncommented = |line: &str| line.strip_prefix("# ").filter(|l| is_example(l)).unwrap_or(line).to_owned();
        std::fs::write(&path, text.lines().map(|line| uncommented(line) + "\n").collect::<String>()).unwrap();
        let config = config::load(&path).unwrap();
        assert!(config.centre.is_some() && config.hotlists.len() == 1 && config.site.location.is_some());
        assert_eq!(config.vision.vehicles.as_deref(), Some("objects-1"));
        let [camera] = &config.cameras[..] else { panic!("{:?}", config.cameras) };
        assert!(camera.substream.is_some() && camera.roi.len() == 1 && camera.privacy_mask.len() == 1);
    }

    #[test]
    fn a_configuration_elsewhere_names_its_files_in_full() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = elsewhere.path().join("deep/my.toml");
        init(&Args { config: Some(path.clone()), ..args(dir.path(), true) }).unwrap();
        let config = config::load(&path).unwrap();
        assert_eq!(config.site.data_dir, dir.path().join("data"));
        assert_eq!(config.centre.unwrap().root_key, dir.path().join("root.pub"));
    }

    #[test]
    fn a_centre_in_the_folder_of_the_box_and_a_box_called_centre_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let same = Args { centre: Some(dir.path().to_owned()), ..args(dir.path(), true) };
        assert!(init(&same).unwrap_err().to_string().contains("folders of their own"));
        let named = Args { box_id: BoxId::new("centre").unwrap(), ..args(dir.path(), true) };
        assert!(init(&named).unwrap_err().to_string().contains("choose another"));
        assert!(snapshot(dir.path()).is_empty());
    }
}
