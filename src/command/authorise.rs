//! Who may run what: one match over all operations, without a wildcard.
//!
//! Deny is the default: a role that a rule does not name may not, and a new operation does not compile before somebody has
//! said who may run it. Nothing is read or decided here but what the verified envelope says. What depends on an
//! operation's arguments (a shorter retention, more than 500 rows) is the operation's own check, by
//! [`Caller::second`] and [`Caller::is_supervised`].

use super::{Caller, CommandId, Refusal};
use crate::centre::keyring::Role;
use crate::domain::{CameraId, Op, Purpose, Reason};

/// A command that may be executed. Only [`authorise`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    op: Op,
    id: CommandId,
    caller: Caller,
    args: Vec<u8>,
}

impl Authorised {
    /// What is to be done.
    #[must_use]
    pub fn op(&self) -> Op {
        self.op
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &CommandId {
        &self.id
    }

    /// Whom it comes from.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// CBOR of the operation's arguments.
    #[must_use]
    pub fn args(&self) -> &[u8] {
        &self.args
    }
}

/// A command whose signatures, time and audience are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What is asked for.
    pub op: Op,
    /// Its id.
    pub id: CommandId,
    /// Who asks.
    pub caller: Caller,
    /// CBOR of the operation's arguments.
    pub args: Vec<u8>,
}

/// What an operation asks of who runs it.
struct Rule {
    /// One of these.
    roles: &'static [Role],
    /// A second person has to sign.
    two: bool,
    /// A purpose has to be named.
    purpose: bool,
    /// A case number has to be named.
    case: bool,
}

const fn by(roles: &'static [Role]) -> Rule {
    Rule { roles, two: false, purpose: false, case: false }
}

/// Who may run `op`: the table of roles in `docs/mqtt.md` (Commands).
#[expect(clippy::match_same_arms, reason = "a line a room of operations")]
fn rule(op: Op) -> Rule {
    let fleet = by(&[Role::Fleet]);
    let lists = by(&[Role::Lists]);
    let operator = by(&[Role::Operator]);
    let custodian = by(&[Role::Custodian]);
    let auditor = by(&[Role::Auditor]);
    let investigator = Rule { case: true, ..by(&[Role::Investigator]) };
    match op {
        Op::BoxStatus | Op::BoxRestart | Op::LogTail | Op::SecretSet => fleet,
        Op::BoxWipe => Rule { two: true, ..fleet },
        Op::CameraList | Op::CameraSet | Op::CameraRemove | Op::CameraPause => fleet,
        Op::CameraSnapshot => Rule { purpose: true, ..fleet },
        Op::ConfigGet | Op::ConfigSet => fleet,
        Op::HotlistList | Op::HotlistPut | Op::HotlistPatch | Op::HotlistRemove | Op::HotlistPreview => lists,
        Op::IgnorePut => lists,
        Op::ReadsQuery | Op::HitsQuery | Op::EvidenceGet => Rule { purpose: true, ..investigator },
        Op::HitSeen | Op::HitVerdict => operator,
        Op::HoldPlace => investigator,
        Op::HoldList => by(&[Role::Custodian, Role::Investigator]),
        Op::HoldRelease => Rule { two: true, ..custodian },
        // A shorter time needs two: the operation knows which it is.
        Op::RetentionSet => custodian,
        Op::ModelList | Op::ModelPut | Op::ModelActivate | Op::ModelRollback => fleet,
        Op::AuditProof | Op::AuditExport => auditor,
        Op::ReportGet => by(&[Role::Auditor, Role::Operator]),
        Op::KeyringPut | Op::KeyRotate => custodian,
    }
}

/// The role whose key asks for `op`: the first where there is a choice. For clients.
#[must_use]
pub fn role_of(op: Op) -> Role {
    rule(op).roles.first().copied().unwrap_or(Role::Custodian)
}

/// Whether `op` always needs a second person. For clients.
#[must_use]
pub fn needs_two(op: Op) -> bool {
    rule(op).two
}

/// Lets a command pass, or says why not.
///
/// A second person is another than the first and has the operation's role, is a custodian, or is a supervisor of the same
/// organisation; one who signs where nobody has to is held to the same.
///
/// # Errors
/// [`Reason::Role`], [`Reason::SamePerson`], [`Reason::SecondPerson`], [`Reason::Purpose`], [`Reason::Case`].
pub fn authorise(command: Verified) -> Result<Authorised, Refusal> {
    let Verified { op, id, caller, args } = command;
    let rule = rule(op);
    let refuse = |reason, text: String| Err(Refusal::new(reason, text));
    let person = &caller.person;
    if !rule.roles.contains(&person.role) {
        let wanted = rule.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(" or ");
        let text = format!(
            "{op} is for the role {wanted}; key {} of {:?} has {}",
            person.kid,
            person.name,
            person.role.as_str()
        );
        return refuse(Reason::Role, text);
    }
    match &caller.second {
        Some(second) if second.name == person.name || second.kid == person.kid => {
            let text = format!("both signatures are of {:?}: another person has to sign as well", person.name);
            return refuse(Reason::SamePerson, text);
        }
        Some(second) => {
            let may = rule.roles.contains(&second.role) || second.role == Role::Custodian || caller.is_supervised();
            if !may {
                let (name, role) = (&second.name, second.role.as_str());
                let text =
                    format!("{op}: the second signature, of {name:?} with the role {role}, does not count for it");
                return refuse(Reason::Role, text);
            }
        }
        None if rule.two => {
            return refuse(
                Reason::SecondPerson,
                format!("{op} needs the signatures of two people: sign with --second KEY"),
            );
        }
        None => {}
    }
    if rule.purpose && caller.purpose.is_none() {
        return refuse(Reason::Purpose, format!("{op} needs a purpose: --purpose"));
    }
    if rule.case && caller.case.is_none() {
        return refuse(Reason::Case, format!("{op} needs a case number: --case"));
    }
    Ok(Authorised { op, id, caller, args })
}

/// A look at what a camera shows now by whoever stands before the box with its console's token. Only [`look`] makes one.
///
/// No key signs it: the token stands for the box's admin, who has the camera's password and the configuration anyway. It is as
/// far as that goes: masked, persons made unrecognisable, nothing stored, and no operation of the table above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    camera: CameraId,
    purpose: Purpose,
}

impl Look {
    /// Which camera.
    #[must_use]
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}

/// Lets a look pass, or says why not. Whoever asks has checked the token.
///
/// # Errors
/// [`Reason::Purpose`]: as `camera.snapshot`, it needs one.
pub fn look(camera: &CameraId, purpose: Option<Purpose>) -> Result<Look, Refusal> {
    let missing = || Refusal::new(Reason::Purpose, format!("a look at camera {camera} needs a purpose: choose one"));
    purpose.map(|purpose| Look { camera: camera.clone(), purpose }).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Person;

    fn person(role: Role, name: &str) -> Person {
        let kid = crate::command::testkit::key_of(&format!("{name} {}", role.as_str())).kid();
        Person { kid, name: name.to_owned(), org: "north".to_owned(), role, supervisor: false }
    }

    fn asks(op: Op, role: Role, second: Option<Person>) -> Result<Authorised, Reason> {
        let caller = Caller {
            person: person(role, role.as_str()),
            second,
            purpose: Some(Purpose::Traffic),
            case: Some("K-1".to_owned()),
        };
        authorise(Verified { op, id: [0; 16], caller, args: Vec::new() }).map_err(|r| r.reason)
    }

    #[test]
    fn every_operation_is_for_its_roles_alone() {
        for op in Op::ALL {
            for role in Role::ALL {
                let second = Some(person(Role::Custodian, "custodian-2"));
                let may = asks(*op, role, second);
                assert_eq!(may.is_ok(), rule(*op).roles.contains(&role), "{op} by {}", role.as_str());
                if let Err(reason) = may {
                    assert_eq!(reason, Reason::Role);
                }
            }
            assert!(!rule(*op).roles.contains(&Role::Delivery), "{op}: a delivery key acknowledges, nothing else");
        }
        assert!(!rule(Op::ReadsQuery).roles.contains(&Role::Auditor), "an auditor asks for no reads");
    }

    #[test]
    fn two_people_are_asked_for_where_the_table_says_so_and_are_two() {
        for op in [Op::BoxWipe, Op::HoldRelease] {
            let role = role_of(op);
            assert!(needs_two(op));
            assert_eq!(asks(op, role, None), Err(Reason::SecondPerson));
            assert_eq!(asks(op, role, Some(person(role, role.as_str()))), Err(Reason::SamePerson));
            assert_eq!(
                asks(op, role, Some(person(Role::Custodian, role.as_str()))),
                Err(Reason::SamePerson),
                "another key of one"
            );
            assert_eq!(asks(op, role, Some(person(Role::Auditor, "other"))), Err(Reason::Role));
            assert!(asks(op, role, Some(person(Role::Custodian, "other"))).is_ok());
        }
        assert_eq!(Op::ALL.iter().filter(|op| needs_two(**op)).count(), 2);
    }

    #[test]
    fn a_supervisor_counts_within_the_own_organisation() {
        let of = |org: &str| Person { supervisor: true, org: org.to_owned(), ..person(Role::Operator, "supervisor") };
        let passed = asks(Op::ReadsQuery, Role::Investigator, Some(of("north"))).unwrap();
        assert!(passed.caller().is_supervised());
        assert_eq!(asks(Op::ReadsQuery, Role::Investigator, Some(of("south"))), Err(Reason::Role));
    }

    #[test]
    fn purpose_and_case_are_asked_for_where_plates_are() {
        let asks = |op, purpose, case: Option<&str>| {
            let caller =
                Caller { person: person(role_of(op), "someone"), second: None, purpose, case: case.map(str::to_owned) };
            authorise(Verified { op, id: [0; 16], caller, args: Vec::new() }).map(drop).map_err(|r| r.reason)
        };
        for op in [Op::ReadsQuery, Op::HitsQuery, Op::EvidenceGet] {
            assert_eq!(asks(op, None, Some("K")), Err(Reason::Purpose));
            assert_eq!(asks(op, Some(Purpose::Traffic), None), Err(Reason::Case));
            assert_eq!(asks(op, Some(Purpose::Traffic), Some("K")), Ok(()));
        }
        assert_eq!(asks(Op::HoldPlace, None, None), Err(Reason::Case));
        assert_eq!(asks(Op::CameraSnapshot, None, None), Err(Reason::Purpose));
        assert_eq!(asks(Op::BoxStatus, None, None), Ok(()));
        let gate = CameraId::new("gate").unwrap();
        assert_eq!(look(&gate, None).unwrap_err().reason, Reason::Purpose);
        assert_eq!(look(&gate, Some(Purpose::Maintenance)).unwrap().camera(), &gate);
    }
}
