//! What the centre lays over the configuration, and what it has changed on this box besides: `data_dir/managed/`.
//!
//! Files here are written by operations, never by hand. `managed/*.toml` are laid over the main file and `conf.d`, which
//! stay as they are; `box.managed = false` in one of those switches the overlay off. Models and the pauses of cameras lie
//! here as well, and are written by their own rooms.

pub mod patch;
pub mod trial;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::tree::Value;

/// The folder.
#[must_use]
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("managed")
}

/// Writes a file, 0600, in a folder that is made when it is not there: after a power cut there is the old file or the
/// new one.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = dir.join(name);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    File::open(dir)?.sync_all()
}

/// Takes a file away, durably; one that is not there is fine.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
        Ok(()) => path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()),
    }
}

/// The file that `config.set` writes, in that folder.
#[must_use]
pub fn overlay_path(folder: &Path) -> PathBuf {
    folder.join("centre.toml")
}

/// A value as the TOML crate has it; `None` for a date and what holds one, which no key of ours takes.
pub(super) fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Text(text) => toml::Value::from(text.as_str()),
        Value::Integer(number) => toml::Value::from(*number),
        Value::Float(number) => toml::Value::from(*number),
        Value::Bool(yes) => toml::Value::from(*yes),
        Value::Array(items) => toml::Value::Array(items.iter().map(|n| to_toml(&n.value)).collect::<Option<Vec<_>>>()?),
        Value::Table(table) => {
            let entries = table.iter().map(|(key, n)| Some((key.clone(), to_toml(&n.value)?)));
            toml::Value::Table(entries.collect::<Option<toml::Table>>()?)
        }
        Value::Datetime => return None,
    })
}
