//! From a sighting event and its hits to alerts: stages, severity, what goes to which retention class.
//!
//! For each cause (list entry or rule) of a sighting the centre hears exactly one `New`, then `Update`s, then exactly
//! one `End`. A cause that matches for the first time when the track ends gets both. `End` is sent for every cause that
//! was alerted, also when the last read no longer matches it. What is known of tracks under way is held in memory for at
//! most [`MAX_OPEN`] tracks; after a restart tracks begin anew anyway.

use std::collections::HashMap;
use std::sync::Arc;

use super::evidence;
use super::row::{permille, share16};
use crate::domain::alert::{ALERT_VERSION, CandidateMark, VehicleMark};
use crate::domain::{
    Alert, Class, Epoch, EventId, Hit, HitCause, MatchMark, Pictures, RetentionClass, Sighting, SightingEvent, Stage,
    TimeMs,
};

/// Tracks that are remembered while they are under way; beyond it the oldest is forgotten.
pub(super) const MAX_OPEN: usize = 1024;

/// A track under way.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTrack {
    /// Causes that were alerted, with their newest match.
    pub(super) causes: Vec<HitCause>,
    /// When the first of them was stored.
    pub(super) first_at: Option<TimeMs>,
    /// Digest of the newest crop.
    pub(super) crop: Option<[u8; 16]>,
    /// Pictures of a track that is not stored yet: it may still become a hit.
    pub(super) pending: Option<Arc<Pictures>>,
    /// Class that its pictures lie under.
    pub(super) pictures_class: Option<RetentionClass>,
}

impl OpenTrack {
    /// Class of the sighting: that of its most severe cause.
    pub(super) fn class(&self) -> RetentionClass {
        self.causes.iter().map(|cause| RetentionClass::from(cause.severity())).max().unwrap_or(RetentionClass::Read)
    }
}

/// Tracks under way, by sighting.
#[derive(Debug, Default)]
pub(super) struct OpenTracks(HashMap<EventId, OpenTrack>);

impl OpenTracks {
    pub(super) fn get(&self, id: EventId) -> Option<&OpenTrack> {
        self.0.get(&id)
    }

    /// Takes over what a batch changed, once the batch is on disk; `None`: the track is over.
    pub(super) fn update(&mut self, changes: HashMap<EventId, Option<OpenTrack>>) {
        for (id, track) in changes {
            match track {
                Some(track) => drop(self.0.insert(id, track)),
                None => drop(self.0.remove(&id)),
            }
        }
        while self.0.len() > MAX_OPEN {
            // Ids sort by time. An end that never came: its camera was taken away, or its thread restarted.
            let Some(oldest) = self.0.keys().min().copied() else { break };
            self.0.remove(&oldest);
        }
    }
}

/// An alert that has no seq yet, and its cause.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) stage: Stage,
    pub(super) cause: HitCause,
}

/// Which alerts `event` with `hits` brings, in order; moves `track` on.
pub(super) fn drafts(event: &SightingEvent, hits: &[Hit], track: &mut OpenTrack) -> Vec<Draft> {
    let mut out = Vec::new();
    let over = event.stage == Stage::End;
    for hit in hits {
        let known = track.causes.iter_mut().find(|cause| cause.key() == hit.cause.key());
        let stage = match &known {
            Some(_) if over => None,
            Some(_) => Some(Stage::Update),
            None => Some(Stage::New),
        };
        match known {
            Some(cause) => *cause = hit.cause.clone(),
            None => track.causes.push(hit.cause.clone()),
        }
        out.extend(stage.map(|stage| Draft { stage, cause: hit.cause.clone() }));
    }
    if over {
        out.extend(track.causes.iter().map(|cause| Draft { stage: Stage::End, cause: cause.clone() }));
    }
    out
}

/// What every alert of a store shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) epoch: Epoch,
    pub(super) state: [u8; 4],
}

/// The alert of a draft. Candidates are the other texts, best first; the confidence that the vehicle's class is right
/// is not known to the store and is 0.
pub(super) fn alert(
    stamp: Stamp,
    seq: u64,
    draft: &Draft,
    sighting: &Sighting,
    cause_at: TimeMs,
    crop: Option<[u8; 16]>,
) -> Alert {
    let read = sighting.read.as_ref();
    let (matched, rule) = match &draft.cause {
        HitCause::List(m) => (
            Some(MatchMark {
                list: m.list_number,
                serial: m.list_serial,
                entry: m.entry,
                how: m.how,
                expiry_day: m.expiry_day,
            }),
            None,
        ),
        HitCause::Rule { number, .. } => (None, Some(*number)),
    };
    let others = read.map(|read| {
        let others = read.candidates.iter().filter(|c| c.text != read.text);
        others
            .take(Alert::MAX_CANDIDATES)
            .map(|c| CandidateMark { text: c.text.clone(), permille: permille(c.confidence) })
            .collect::<Vec<_>>()
    });
    Alert {
        version: ALERT_VERSION,
        id: sighting.id,
        epoch: stamp.epoch,
        seq,
        stage: draft.stage,
        severity: draft.cause.severity(),
        time: cause_at,
        clock: sighting.clock,
        camera: sighting.camera_number,
        track: sighting.track,
        plate: read.map(|read| read.text.clone()),
        confidence: read.map(|read| permille(read.confidence)),
        candidates: others,
        region: read.and_then(|read| read.region.clone()),
        matched,
        rule,
        vehicle: (sighting.class != Class::Plate).then_some(VehicleMark {
            class: sighting.class,
            colour: None,
            permille: 0,
        }),
        direction: sighting.direction,
        rect: Some(sighting.rect.map(share16)),
        frames: read.map(|read| read.frames),
        crop,
        state: Some(stamp.state),
    }
    .bounded()
}

/// Digest of the crop of `event`, or of the newest one before.
pub(super) fn crop_digest(event: &SightingEvent, track: &OpenTrack) -> Option<[u8; 16]> {
    let crop = event.pictures.as_ref().map(|p| &p.crop).filter(|crop| !crop.is_empty());
    crop.map(|crop| evidence::digest(crop)).or(track.crop)
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{event, list_hit};
    use super::*;
    use crate::domain::Severity;

    fn stages(track: &mut OpenTrack, stage: Stage, entries: &[u32]) -> Vec<(Stage, u32)> {
        let event = event(1, stage, Some("AB123CD"));
        let hits: Vec<Hit> = entries.iter().map(|entry| list_hit(&event, *entry, Severity::Minor)).collect();
        let entry = |cause: &HitCause| match cause {
            HitCause::List(m) => m.entry,
            HitCause::Rule { .. } => 0,
        };
        drafts(&event, &hits, track).iter().map(|d| (d.stage, entry(&d.cause))).collect()
    }

    #[test]
    fn each_cause_gets_one_new_and_one_end() {
        let mut track = OpenTrack::default();
        assert_eq!(stages(&mut track, Stage::New, &[1]), [(Stage::New, 1)]);
        assert_eq!(stages(&mut track, Stage::Update, &[1, 2]), [(Stage::Update, 1), (Stage::New, 2)]);
        assert_eq!(stages(&mut track, Stage::Update, &[]), []);
        assert_eq!(
            stages(&mut track, Stage::End, &[2, 3]),
            [(Stage::New, 3), (Stage::End, 1), (Stage::End, 2), (Stage::End, 3)]
        );
        assert_eq!(stages(&mut OpenTrack::default(), Stage::End, &[]), []);
    }

    #[test]
    fn alert_carries_the_other_candidates_and_the_digest_of_the_crop() {
        let mut event = event(1, Stage::New, Some("AB123CD"));
        event.pictures = Some(Pictures { crop: b"jpeg".to_vec(), scene: Vec::new() });
        let hit = list_hit(&event, 4, Severity::Serious);
        let stamp = Stamp { epoch: Epoch([1; 8]), state: [2; 4] };
        let draft = Draft { stage: Stage::New, cause: hit.cause };
        let crop = crop_digest(&event, &OpenTrack::default());
        let alert = alert(stamp, 9, &draft, &event.sighting, event.cause_at, crop);
        assert_eq!((alert.seq, alert.severity, alert.confidence), (9, Severity::Serious, Some(910)));
        let texts: Vec<_> = alert.candidates.unwrap().into_iter().map(|c| c.text.as_str().to_owned()).collect();
        assert_eq!(texts, ["A8123CD", "AB1Z3CD", "AB123C0"]);
        assert_eq!(alert.crop.unwrap()[..4], [0x58, 0x18, 0xa0, 0xbe]);
        assert_eq!(alert.rect, Some([6554, 13107, 19661, 26214]));
        assert_eq!(alert.vehicle.map(|v| v.class), Some(Class::Car));
    }

    #[test]
    fn forgotten_tracks_are_the_oldest() {
        let mut open = OpenTracks::default();
        for i in 0..=u64::try_from(MAX_OPEN).unwrap() {
            let id = EventId::from_parts(i, [0; 10]);
            open.update(HashMap::from([(id, Some(OpenTrack::default()))]));
        }
        assert!(open.get(EventId::from_parts(0, [0; 10])).is_none());
        assert!(open.get(EventId::from_parts(1, [0; 10])).is_some());
        open.update(HashMap::from([(EventId::from_parts(1, [0; 10]), None)]));
        assert!(open.get(EventId::from_parts(1, [0; 10])).is_none());
    }
}
