//! `ignore.put`: plates that never make a hit. Kept sealed; told and audited by counts alone.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{PlateText, Reason};
use crate::store::audit::Event;

/// Most plates of the list.
pub const MOST: usize = 50_000;

/// What becomes of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum How {
    /// These take the place of all.
    #[n(0)]
    Replace,
    /// These come to it.
    #[n(1)]
    Add,
    /// These leave it.
    #[n(2)]
    Remove,
}

/// Which plates.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// What becomes of them.
    #[n(0)]
    pub how: How,
    /// The plates: 1 to 16 of A-Z and 0-9 each.
    #[n(1)]
    pub plates: Vec<PlateText>,
}

/// How many there are now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// On the list now.
    #[n(0)]
    pub plates: u32,
    /// Of these new.
    #[n(1)]
    pub added: u32,
    /// Taken out.
    #[n(2)]
    pub removed: u32,
}

pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args { how, plates } = decode(command.args())?;
    let given = plates.iter().map(stored::checked).collect::<Result<BTreeSet<_>, _>>()?;
    let before = rooms.store.ignored();
    let before = match (before, how) {
        (Ok(before), _) => before,
        // What does not open any more is put in place anew.
        (Err(_), How::Replace) => BTreeSet::new(),
        (Err(error), _) => return Err(stored::refused(error)),
    };
    let after: BTreeSet<PlateText> = match how {
        How::Replace => given,
        How::Add => before.union(&given).cloned().collect(),
        How::Remove => before.difference(&given).cloned().collect(),
    };
    if after.len() > MOST {
        return Err(Refusal::new(Reason::Bound, format!("{} plates, the ignore list takes {MOST}", after.len())));
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let answer = Answer {
        plates: count(after.len()),
        added: count(after.difference(&before).count()),
        removed: count(before.difference(&after).count()),
    };
    let facts = vec![
        ("plates", answer.plates.to_string()),
        ("added", answer.added.to_string()),
        ("removed", answer.removed.to_string()),
    ];
    let mut details = vec![("list", "ignore".to_owned())];
    details.extend(facts.clone());
    details.extend(stored::persons(command.caller()));
    rooms.store.audit(Event::ListChanged, &details).map_err(stored::refused)?;
    rooms.store.set_ignored(after.clone()).map_err(stored::refused)?;
    rooms.hotlists.set_ignored(after);
    Ok(Done { result: encode(&answer), facts, ..Done::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn plate(text: &str) -> PlateText {
        PlateText::from_raw(text).unwrap()
    }

    fn put(site: &Site, how: How, plates: &[&str]) -> Result<Answer, Refusal> {
        let args = Args { how, plates: plates.iter().map(|p| plate(p)).collect() };
        site.run(Op::IgnorePut, Role::Lists, &args).map(|done| decode(&done.result).unwrap())
    }

    #[test]
    fn plates_come_and_go_are_in_force_at_once_and_are_told_by_count_alone() {
        let site = Site::new();
        assert_eq!(put(&site, How::Add, &["AB123CD", "XY987ZA"]).unwrap().plates, 2);
        assert_eq!(put(&site, How::Remove, &["XY987ZA", "Q1"]).unwrap().removed, 1);
        let lists = site.rooms().hotlists;
        assert!(lists.ignores(&plate("AB123CD")) && !lists.ignores(&plate("XY987ZA")));
        assert_eq!(site.store.ignored().unwrap(), [plate("AB123CD")].into());
        assert_eq!(put(&site, How::Replace, &["Q1"]).unwrap(), Answer { plates: 1, added: 1, removed: 1 });
        assert!(!format!("{:?}", site.audit()).contains("AB123CD"));
        assert_eq!(put(&site, How::Replace, &[]).unwrap().plates, 0);
        assert!(site.store.ignored().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_plate_is_refused() {
        let site = Site::new();
        // {0: 1, 1: ["ab 1"]}
        let bytes = vec![0xA2, 0x00, 0x01, 0x01, 0x81, 0x64, b'a', b'b', b' ', b'1'];
        let command = site.authorised_bytes(Op::IgnorePut, site.caller(Role::Lists), bytes);
        let refusal = crate::command::ops::execute(&site.rooms(), &command).unwrap_err();
        assert_eq!(refusal.reason, Reason::Arguments);
    }
}
