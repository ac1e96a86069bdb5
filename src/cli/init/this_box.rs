//! The box's own part: signing key, store key, starting configuration.

use super::{Args, Places, Plan, quoted};
use crate::centre::keys::{self, PublicKey, SigningKey};

/// What the centre needs to know of it.
pub(super) struct Made {
    pub(super) key: PublicKey,
}

pub(super) fn plan(plan: &mut Plan, args: &Args, places: &Places, with_centre: bool) -> anyhow::Result<Made> {
    let keys_dir = places.data.join("keys");
    let (key, text) = SigningKey::generate()?;
    plan.dir(places.dir.clone());
    plan.dir(keys_dir.clone());
    if let Some(parent) = places.config.parent() {
        plan.dir(parent.to_owned());
    }
    plan.secret(keys_dir.join("box.key"), text.as_bytes());
    plan.public(keys_dir.join("box.pub"), key.public().to_pem());
    plan.secret(keys_dir.join("store.key"), &keys::random_32()?[..]);
    plan.public(places.config.clone(), config(args, places, with_centre));
    Ok(Made { key: key.public().clone() })
}

/// The starting configuration. Paths are relative to its folder where they lie below it.
fn config(args: &Args, places: &Places, with_centre: bool) -> String {
    let folder = places.config.parent().unwrap_or(&places.dir);
    let path = |name: &str| {
        let full = places.dir.join(name);
        quoted(full.strip_prefix(folder).unwrap_or(&full))
    };
    let data = quoted(places.data.strip_prefix(folder).unwrap_or(&places.data));
    let centre = format!(
        "[centre]\nbroker = \"mqtts://127.0.0.1:{}\"\nca = {}\ncertificate = {}\nprivate_key = {}\nkeyring = {}\nroot_key = {}\n",
        args.port,
        path("tls/ca.pem"),
        path("tls/box.pem"),
        path("tls/box-key.pem"),
        path("keyring.cbor"),
        path("root.pub"),
    );
    let home_assistant =
        args.home_assistant.as_ref().map(|prefix| format!("\n[centre.home_assistant]\nprefix = \"{prefix}\"\n"));
    let centre = centre + &home_assistant.unwrap_or_default();
    let centre = if with_centre {
        centre
    } else {
        let lines = centre.replace('\n', "\n# ");
        let lines = lines.trim_end_matches("# ");
        format!(
            "# The centre gives the five files; it needs keys/box.pub of this box. Without this section hits stay here.\n# {lines}"
        )
    };
    format!(
        r#"# Watchpost: configuration of one box, made by `watchpost init`. docs/config.md lists every key;
# `watchpost check` says what is wrong. More files: conf.d/*.toml beside this one.

[box]
site = "{site}"
id = "{box_id}"
data_dir = {data}
# location = [52.52, 13.40]     # latitude, longitude

# One block a camera.
# [[camera]]
# id = "gate"
# number = 1                    # what alerts call it
# uri = "rtsp://192.0.2.7/stream1"
# credential = "gate"           # a file with user:password, data_dir/credentials/gate, mode 0600
# substream = "rtsp://192.0.2.7/stream2"                # plates are looked for on it, and read on `uri`
# roi = [[[0.0, 0.4], [1.0, 0.4], [1.0, 1.0], [0.0, 1.0]]]           # look here alone: shares 0-1 from the top left
# privacy_mask = [[[0.8, 0.0], [1.0, 0.0], [1.0, 0.3], [0.8, 0.3]]]  # blanked before anything sees it

# Without this section plates are read and vehicles are not named.
# [vision]
# vehicles = "objects-1"        # car, bus, truck, motorbike or person in alerts

# One block a list of plates.
# [[hotlist.list]]
# id = "stolen"
# number = 1
# file = "stolen.csv"           # PlateNumber,PlateState,Category,EffectiveDate,ExpiryDate
# severity = "serious"

[store.retention]
reads_hours = 24
info_days = 7
minor_days = 30
serious_days = 90
critical_days = 365

{centre}"#,
        site = args.site,
        box_id = args.box_id,
    )
}
