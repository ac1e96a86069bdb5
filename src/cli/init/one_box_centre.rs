//! The centre's part: root key and keyring, a key for each role, certificates, broker configuration, what
//! `watchpostctl` reads; and the box's copies of what it must trust.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::this_box::Made;
use super::{Args, Places, Plan, certificates};
use crate::centre::boxes::{Boxes, KnownBox};
use crate::centre::keyring::{Entry, Keyring, Role};
use crate::centre::keys::SigningKey;
use crate::centre::topics;
use crate::clock::Clock;
use crate::domain::{ClockState, TimeMs};

/// CN of the centre's certificate and user of the broker's rules. A box of this name would have the centre's rights.
const CENTRE: &str = "centre";

pub(super) fn plan(
    plan: &mut Plan,
    args: &Args,
    centre: &Path,
    places: &Places,
    made: &Made,
    clock: &Clock,
) -> anyhow::Result<()> {
    if args.box_id.as_str() == CENTRE {
        bail!("--box {CENTRE}: the broker knows the centre by this name, choose another");
    }
    if clock.state() == ClockState::Unset {
        bail!("the clock says {}: set it first, certificates begin and end by it", clock.utc());
    }
    for dir in ["keys", "tls", "broker/data"] {
        plan.dir(centre.join(dir));
    }
    plan.dir(places.dir.join("tls"));
    keyring(plan, args, centre, places, clock.utc())?;
    tls(plan, args, centre, places, clock.utc())?;
    let mut boxes = Boxes::default();
    boxes.add(args.box_id.clone(), KnownBox::new(args.site.clone(), made.key.clone()));
    plan.public(centre.join("boxes.toml"), boxes.to_toml());
    plan.public(centre.join("watchpostctl.toml"), watchpostctl(args));
    plan.public(centre.join("broker/acl"), acl(args)?);
    plan.public(centre.join("broker/mosquitto.conf"), mosquitto(args, centre));
    Ok(())
}

/// The people of a site that begins: a key a role, called like it; a second custodian, since two people release a hold, and
/// a supervisor among the investigators, who lifts their bounds.
const PEOPLE: [(&str, Role, bool); 9] = [
    ("delivery", Role::Delivery, false),
    ("fleet", Role::Fleet, false),
    ("lists", Role::Lists, false),
    ("investigator", Role::Investigator, false),
    ("operator", Role::Operator, false),
    ("custodian", Role::Custodian, false),
    ("auditor", Role::Auditor, false),
    ("custodian-2", Role::Custodian, false),
    ("supervisor", Role::Investigator, true),
];

/// Root, people's keys, and the keyring of serial 1 that says who they are.
fn keyring(plan: &mut Plan, args: &Args, centre: &Path, places: &Places, now: TimeMs) -> anyhow::Result<()> {
    let (root, text) = SigningKey::generate()?;
    plan.secret(centre.join("keys/root.key"), text.as_bytes());
    let mut entries = Vec::new();
    for (name, role, supervisor) in PEOPLE {
        let (key, text) = SigningKey::generate()?;
        plan.secret(centre.join(format!("keys/{name}.key")), text.as_bytes());
        entries.push(Entry {
            key: key.public().clone(),
            name: name.to_owned(),
            role,
            org: args.site.as_str().to_owned(),
            not_before: now,
            not_after: None,
            revoked: None,
            supervisor,
        });
    }
    let keyring = Keyring { serial: 1, issued: now, entries }.sign(&root).context("the keyring")?;
    for folder in [centre, &places.dir] {
        plan.public(folder.join("keyring.cbor"), keyring.clone());
        plan.public(folder.join("root.pub"), root.public().to_pem());
    }
    Ok(())
}

fn tls(plan: &mut Plan, args: &Args, centre: &Path, places: &Places, now: TimeMs) -> anyhow::Result<()> {
    let made = certificates::make(args.site.as_str(), args.box_id.as_str(), CENTRE, now).context("certificates")?;
    for (folder, name, pair) in [
        (centre, "ca", &made.authority),
        (centre, "broker", &made.broker),
        (centre, "centre", &made.centre),
        (&places.dir, "box", &made.this_box),
    ] {
        plan.public(folder.join(format!("tls/{name}.pem")), pair.certificate.as_str());
        plan.secret(folder.join(format!("tls/{name}-key.pem")), pair.key.as_bytes());
    }
    plan.public(places.dir.join("tls/ca.pem"), made.authority.certificate.as_str());
    Ok(())
}

fn watchpostctl(args: &Args) -> String {
    format!(
        "# What `watchpostctl --centre` of this folder works with; paths are relative to it.\n\
         broker = \"mqtts://127.0.0.1:{}\"\nca = \"tls/ca.pem\"\ncertificate = \"tls/centre.pem\"\n\
         private_key = \"tls/centre-key.pem\"\ndelivery_key = \"keys/{}.key\"\nboxes = \"boxes.toml\"\n\
         keys = \"keys\"\nkeyring = \"keyring.cbor\"\nroot_key = \"root.pub\"\nstate = \"tail.state\"\ntopic_root = \"{}\"\n",
        args.port,
        Role::Delivery.as_str(),
        topics::DEFAULT_ROOT,
    )
}

fn acl(args: &Args) -> anyhow::Result<String> {
    let mut rules = topics::mosquitto_acl(topics::DEFAULT_ROOT, CENTRE)?;
    if let Some(prefix) = &args.home_assistant {
        rules.push_str(&topics::home_assistant_acl(prefix).context("--home-assistant")?);
    }
    Ok(format!(
        "# Who may do what at the broker; the user is the CN of the client's certificate.\n\
         # A box (%u) writes and reads its own topics alone. What no line allows is refused.\n\n{rules}"
    ))
}

/// Works as it is with mosquitto 2.0. Its paths are absolute: mosquitto takes others from where it is started.
fn mosquitto(args: &Args, centre: &Path) -> String {
    let dir = centre.display();
    // mosquitto drops root for the user `mosquitto` before it reads its keys, which are their owner's alone.
    let user = match std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)) {
        Ok(0) => {
            "# Made by root, so its keys are root's alone and it runs as root. For a centre that lasts, give this folder to\n\
             # the user mosquitto and take the next line out.\nuser root\n"
        }
        _ => "",
    };
    format!(
        "# Broker of a one-box centre, made by `watchpost init`: mosquitto -c {dir}/broker/mosquitto.conf\n\
         {user}\
         listener {port} 127.0.0.1\n\
         cafile {dir}/tls/ca.pem\n\
         certfile {dir}/tls/broker.pem\n\
         keyfile {dir}/tls/broker-key.pem\n\
         tls_version tlsv1.2\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         acl_file {dir}/broker/acl\n\n\
         # Queues survive a restart. What is lost in them all the same is sent again by the box: only the centre's\n\
         # signed ack removes an alert there.\n\
         persistence true\n\
         persistence_location {dir}/broker/data/\n\
         autosave_interval 60\n\
         persistent_client_expiration 14d\n\
         max_inflight_messages 20\n\
         max_queued_messages 10000\n\
         max_queued_bytes 67108864\n\
         message_size_limit 81920\n\
         max_keepalive 600\n\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n\
         log_type information\n",
        port = args.port,
    )
}
