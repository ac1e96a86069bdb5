//! `secret.set`: a credential, sealed to the box; write-only.
//!
//! Without a name it answers the key to seal to and the names that are set. What was set can be replaced and taken out; no
//! operation gives it back. Cameras that use it are opened anew.

use minicbor::{Decode, Encode};

use crate::command::secrets::{Error, Found, MAX_SECRET, OVERHEAD, Vault, Whose};
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::domain::{CameraId, Reason};
use crate::store::audit::Event;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// Name of the credential; without it only the answer is wanted.
    #[n(0)]
    pub name: Option<String>,
    /// The secret, sealed as `command::secrets` says; without it the one of that name is taken out.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sealed: Option<Vec<u8>>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The box's X25519 public key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub public: [u8; 32],
    /// Names of the secrets that are set.
    #[n(1)]
    pub names: Vec<String>,
    /// Cameras that use the one that was named and are being opened anew.
    #[n(2)]
    pub cameras: Vec<CameraId>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Name { .. } | Error::Length { .. } | Error::NoPublicKey => Reason::Arguments,
            Error::Sealed { .. } => Reason::Verification,
            Error::Io { .. } | Error::Key(_) | Error::NoKey { .. } => Reason::Internal,
        };
        Self::new(reason, error.to_string())
    }
}

pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = ops::decode(command.args())?;
    let vault = Vault::of(&rooms.config.site.data_dir);
    let public = vault.public()?;
    let mut done = Done::default();
    let mut cameras = Vec::new();
    if let Some(name) = &args.name {
        let what = set(rooms, command, &vault, name, args.sealed.as_deref())?;
        cameras = reopened(rooms, name);
        done.facts = vec![("name", name.clone()), ("what", what.to_owned())];
    } else if args.sealed.is_some() {
        return Err(Refusal::new(Reason::Arguments, "a secret without the name of its credential"));
    }
    done.result = ops::encode(&Answer { public, names: vault.names(), cameras });
    Ok(done)
}

fn set(
    rooms: &Rooms,
    command: &Authorised,
    vault: &Vault,
    name: &str,
    sealed: Option<&[u8]>,
) -> Result<&'static str, Refusal> {
    let site = &rooms.config.site;
    if let Found::System(_) = vault.find(name)? {
        let text = format!("credential {name} is a systemd credential of this box and goes before; change it there");
        return Err(Refusal::new(Reason::Conflict, text));
    }
    let what = match sealed {
        Some(sealed) => {
            if sealed.len() > MAX_SECRET + OVERHEAD {
                return Err(Error::Length { found: sealed.len() - OVERHEAD }.into());
            }
            let secret = vault.open(Whose { site: &site.site, box_id: &site.id }, name, sealed)?;
            let line = secret.split(|b| *b == b'\n').next().unwrap_or_default();
            if std::str::from_utf8(&secret).is_err() || !line.contains(&b':') {
                return Err(Refusal::new(Reason::Arguments, format!("credential {name} holds no user:password")));
            }
            "set"
        }
        None if vault.names().iter().any(|n| n == name) => "removed",
        None => {
            return Err(Refusal::new(Reason::NotFound, format!("the centre has set no credential {name} on this box")));
        }
    };
    let by = &command.caller().person;
    let details =
        [("name", name.to_owned()), ("what", what.to_owned()), ("by", by.name.clone()), ("org", by.org.clone())];
    ops::audit(rooms, Event::SecretSet, &details)?;
    match sealed {
        Some(sealed) => vault.keep(name, sealed)?,
        None => drop(vault.remove(name)?),
    }
    Ok(what)
}

/// Has the cameras opened anew that use a credential.
fn reopened(rooms: &Rooms, name: &str) -> Vec<CameraId> {
    let using = rooms.config.cameras.iter().filter(|c| c.enabled && c.credential.as_deref() == Some(name));
    using.map(|c| c.id.clone()).filter(|id| rooms.controls.reopen(id).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::secrets::seal;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn answer(done: &Done) -> Answer {
        ops::decode(&done.result).unwrap()
    }

    #[test]
    fn a_secret_is_set_named_in_the_audit_log_and_given_back_by_nobody() {
        let site = Site::new();
        let ask = |args: &Args| site.run(Op::SecretSet, Role::Fleet, args);
        let first = answer(&ask(&Args::default()).unwrap());
        assert!(first.names.is_empty());
        let (at, id) = site.ids();
        let sealed = seal(&first.public, Whose { site: &at, box_id: &id }, "gate", b"admin:hidden").unwrap();
        let args = Args { name: Some("gate".to_owned()), sealed: Some(sealed.clone()) };
        let done = ask(&args).unwrap();
        assert_eq!(answer(&done).names, ["gate"]);
        assert!(!done.result.windows(6).any(|w| w == b"hidden"));
        let (event, details) = site.audit().into_iter().rfind(|(event, _)| event == "secret.set").unwrap();
        assert_eq!(event, "secret.set");
        assert!(
            details.contains(&("name".to_owned(), "gate".to_owned())) && !format!("{details:?}").contains("hidden")
        );
        let vault = Vault::of(&site.rooms().config.site.data_dir);
        let Found::Sealed(path) = vault.find("gate").unwrap() else { panic!() };
        assert_eq!(std::fs::read(path).unwrap(), sealed, "it lies as it came");
        let gone = ask(&Args { name: Some("gate".to_owned()), sealed: None }).unwrap();
        assert!(answer(&gone).names.is_empty());
        assert_eq!(ask(&Args { name: Some("gate".to_owned()), sealed: None }).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn what_is_not_for_this_box_or_no_credential_is_refused_and_leaves_the_one_before() {
        let site = Site::new();
        let ask = |name: &str, sealed: Vec<u8>| {
            site.run(Op::SecretSet, Role::Fleet, &Args { name: Some(name.to_owned()), sealed: Some(sealed) })
        };
        let key = answer(&site.run(Op::SecretSet, Role::Fleet, &Args::default()).unwrap()).public;
        let (at, id) = site.ids();
        let whose = Whose { site: &at, box_id: &id };
        let good = seal(&key, whose, "gate", b"a:b").unwrap();
        ask("gate", good.clone()).unwrap();
        for (name, sealed, reason) in [
            ("yard", good.clone(), Reason::Verification),
            ("gate", vec![0; 20], Reason::Verification),
            ("gate", seal(&key, whose, "gate", b"no colon").unwrap(), Reason::Arguments),
            ("../gate", good.clone(), Reason::Arguments),
            ("gate", vec![0; MAX_SECRET + OVERHEAD + 1], Reason::Arguments),
        ] {
            assert_eq!(ask(name, sealed).unwrap_err().reason, reason, "{name}");
        }
        let Found::Sealed(path) = Vault::of(&site.rooms().config.site.data_dir).find("gate").unwrap() else { panic!() };
        assert_eq!(std::fs::read(path).unwrap(), good);
    }
}
