//! `retention.set`: how long things are kept, from now on. Shorter, or less of it, takes two people.
//!
//! What is set stands over the configuration until it is taken back; what is over then goes within minutes, but for what a
//! hold covers.

use minicbor::{Decode, Encode};

use super::{decode, encode, stored};
use crate::command::{Authorised, Done, Refusal, Rooms};
use crate::domain::{Preset, ReadsAs, Reason, Retention};
use crate::store::audit::Event;

/// What is to be changed; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {
    /// What is kept of reads without a hit.
    #[n(0)]
    pub reads: Option<ReadsAs>,
    /// Hours that they are kept.
    #[n(1)]
    pub reads_hours: Option<u64>,
    /// Days that hits are kept.
    #[n(2)]
    pub info_days: Option<u64>,
    /// See [`Args::info_days`].
    #[n(3)]
    pub minor_days: Option<u64>,
    /// See [`Args::info_days`].
    #[n(4)]
    pub serious_days: Option<u64>,
    /// See [`Args::info_days`].
    #[n(5)]
    pub critical_days: Option<u64>,
    /// Begin with what this statute allows at most; the rest can only shorten it.
    #[n(6)]
    pub preset: Option<String>,
    /// Begin with the configuration; with nothing else: take back what was set.
    #[n(7)]
    pub configured: Option<bool>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// From now on.
    #[n(0)]
    pub retention: Retention,
    /// Before; absent where nobody knew.
    #[n(1)]
    pub before: Option<Retention>,
    /// It is the configuration's, and follows it.
    #[n(2)]
    pub configured: bool,
}

pub(super) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let args: Args = decode(command.args())?;
    let before = rooms.store.retention().ok();
    let wanted = wanted(&args, before, rooms.store.configured_retention())?;
    if let Some(fault) = wanted.fault() {
        return Err(Refusal::new(Reason::Arguments, fault));
    }
    if before.is_none_or(|before| wanted.shortens(&before)) && command.caller().second.is_none() {
        let text = match before {
            Some(_) => "to keep things shorter, or less of them, takes two people: deleting can't be undone",
            None => "what was set before does not open, so this may shorten it: that takes two people",
        };
        return Err(Refusal::new(Reason::SecondPerson, text));
    }
    let back = args.configured == Some(true) && args == Args { configured: Some(true), ..Args::default() };
    // On disk before it takes effect: what it was, what it becomes, and by whom.
    let mut details = vec![
        ("before", before.map_or_else(|| "unknown".to_owned(), |r| in_words(&r))),
        ("after", in_words(&wanted)),
        ("configured", back.to_string()),
    ];
    details.extend(stored::persons(command.caller()));
    rooms.store.audit(Event::RetentionChanged, &details).map_err(stored::refused)?;
    let order = (!back).then(|| (wanted, stored::mark(rooms, command.caller())));
    rooms.store.set_retention(order).map_err(stored::refused)?;
    let facts = vec![("after", in_words(&wanted))];
    let answer = Answer { retention: wanted, before, configured: back };
    Ok(Done { result: encode(&answer), facts, ..Done::default() })
}

fn wanted(args: &Args, before: Option<Retention>, configured: Retention) -> Result<Retention, Refusal> {
    let wrong = |text: String| Refusal::new(Reason::Arguments, text);
    if *args == Args::default() {
        return Err(wrong("nothing is to be changed".to_owned()));
    }
    if args.configured.is_some() && (args.preset.is_some() || args.configured == Some(false)) {
        return Err(wrong("begin with a preset or with the configuration, not with both".to_owned()));
    }
    let preset = args.preset.as_deref().map(str::parse::<&Preset>).transpose();
    let preset = preset.map_err(|what| wrong(format!("the preset {what}")))?;
    let most = preset.map(Preset::retention);
    let base = match (most, args.configured) {
        (Some(most), _) => most,
        (None, Some(_)) => configured,
        (None, None) => before.unwrap_or(configured),
    };
    let wanted = Retention {
        reads: args.reads.unwrap_or(base.reads),
        reads_hours: args.reads_hours.unwrap_or(base.reads_hours),
        info_days: args.info_days.unwrap_or(base.info_days),
        minor_days: args.minor_days.unwrap_or(base.minor_days),
        serious_days: args.serious_days.unwrap_or(base.serious_days),
        critical_days: args.critical_days.unwrap_or(base.critical_days),
    };
    if let (Some(preset), Some(most)) = (preset, most)
        && (wanted.reads_as() < most.reads_as()
            || wanted.reads_hours > most.reads_hours
            || wanted.hit_days().into_iter().any(|days| days > preset.longest_hits()))
    {
        return Err(wrong(format!("longer than {} ({}) allows: {}", preset.name, preset.rule, in_words(&most))));
    }
    Ok(wanted)
}

/// `reads plain 24 h, info 7 d, …`.
#[must_use]
pub fn in_words(retention: &Retention) -> String {
    let [info, minor, serious, critical] = retention.hit_days();
    let reads = match retention.reads_as() {
        ReadsAs::Off => "off".to_owned(),
        kept => format!("{kept} {} h", retention.reads_hours),
    };
    format!("reads {reads}, info {info} d, minor {minor} d, serious {serious} d, critical {critical} d")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centre::keyring::Role;
    use crate::command::testkit::Site;
    use crate::domain::Op;

    fn set(site: &Site, second: Option<&str>, args: &Args) -> Result<Answer, Refusal> {
        let caller = site.caller_named(Role::Custodian.as_str(), second);
        site.run_as(Op::RetentionSet, caller, args).map(|done| decode(&done.result).unwrap())
    }

    #[test]
    fn longer_takes_one_person_shorter_two_and_both_are_in_force_at_once_and_after_reopening() {
        let site = Site::new();
        let longer = Args { info_days: Some(9), ..Args::default() };
        assert_eq!(set(&site, None, &longer).unwrap().retention.info_days, 9);
        assert_eq!(site.store.retention().unwrap().info_days, 9);
        let shorter = Args { info_days: Some(8), ..Args::default() };
        assert_eq!(set(&site, None, &shorter).unwrap_err().reason, Reason::SecondPerson);
        assert_eq!(set(&site, Some("custodian-2"), &shorter).unwrap().before.unwrap().info_days, 9);
        assert_eq!(site.store.retention_order().unwrap().set.by, "custodian");
        let hashed = Args { reads: Some(ReadsAs::Hashed), ..Args::default() };
        assert_eq!(set(&site, None, &hashed).unwrap_err().reason, Reason::SecondPerson, "less is shorter");
        let audited = site.audit().into_iter().filter(|(event, _)| event == "retention.changed").count();
        assert_eq!(audited, 2);
        let back = Args { configured: Some(true), ..Args::default() };
        let answer = set(&site, Some("custodian-2"), &back).unwrap();
        assert!(answer.configured && site.store.retention_order().is_none());
        assert_eq!(site.store.retention().unwrap(), Retention::default());
    }

    #[test]
    fn a_preset_is_the_most_that_it_sets() {
        let site = Site::new();
        let preset = |reads_hours| Args { preset: Some("us-me".to_owned()), reads_hours, ..Args::default() };
        assert_eq!(set(&site, Some("custodian-2"), &preset(Some(504))).unwrap_err().reason, Reason::Arguments);
        let answer = set(&site, Some("custodian-2"), &preset(None)).unwrap();
        assert_eq!((answer.retention.reads_hours, answer.retention.critical_days), (479, 19));
        let unknown = Args { preset: Some("us-xx".to_owned()), ..Args::default() };
        assert_eq!(set(&site, None, &unknown).unwrap_err().reason, Reason::Arguments);
        assert_eq!(set(&site, None, &Args::default()).unwrap_err().reason, Reason::Arguments);
        let zero = Args { info_days: Some(0), ..Args::default() };
        assert_eq!(set(&site, Some("custodian-2"), &zero).unwrap_err().reason, Reason::Arguments);
    }
}
