//! Holds the Yocto recipe's list of crates to `Cargo.lock`: every crate with its checksum, and none more.
//!
//! What is not in the list can't be built without a network, and what has no checksum could be anything. Reads text alone: what
//! needs Python and linters is `make yocto-lint`.

use std::collections::BTreeSet;
use std::path::PathBuf;

const LIST: &str = "yocto/meta-watchpost/recipes-watchpost/watchpost/watchpost-crates.inc";

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Name, version and checksum of each crate that comes from the registry.
fn locked() -> BTreeSet<[String; 3]> {
    let lock: toml::Table = toml::from_str(&read("Cargo.lock")).unwrap();
    let packages = lock["package"].as_array().unwrap().iter().filter(|p| p.get("source").is_some());
    packages.map(|p| ["name", "version", "checksum"].map(|key| p[key].as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_recipe_fetches_every_crate_of_cargo_lock_by_checksum_and_none_more() {
    let list = read(LIST);
    let mut listed = BTreeSet::new();
    for line in list.lines().map(str::trim) {
        let Some(rest) = line.strip_prefix("crate://${WATCHPOST_CRATES}/") else { continue };
        let (name, version) = rest.trim_end_matches([' ', '\\']).split_once('/').unwrap();
        let key = format!("SRC_URI[{name}-{version}.sha256sum] = \"");
        let sum = list.lines().find_map(|l| l.strip_prefix(&key)).unwrap_or_else(|| panic!("{name} {version}: no sum"));
        listed.insert([name, version, sum.trim_end_matches('"')].map(str::to_owned));
    }
    let locked = locked();
    let (missing, more): (Vec<_>, Vec<_>) =
        (locked.difference(&listed).collect(), listed.difference(&locked).collect());
    assert!(missing.is_empty() && more.is_empty(), "run yocto/update-crates.py: missing {missing:#?}, more {more:#?}");
    assert_eq!(list.matches(".sha256sum]").count(), listed.len(), "a checksum without its crate");
}

#[test]
fn the_layer_has_the_version_of_the_package() {
    let version = env!("CARGO_PKG_VERSION");
    let recipe = format!("yocto/meta-watchpost/recipes-watchpost/watchpost/watchpost_{version}.bb");
    assert!(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&recipe).exists(),
        "{recipe} is missing: rename the last one"
    );
    let distro = read("yocto/meta-watchpost/conf/distro/watchpost-os.conf");
    assert!(distro.contains(&format!("DISTRO_VERSION = \"{version}\"")), "DISTRO_VERSION is not {version}");
}
