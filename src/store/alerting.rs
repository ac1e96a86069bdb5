//! From a hit to its alert, and what must be remembered of a track until it is over.
//!
//! Stages come with the hits: who matches knows what was told. What is remembered of at most [`MAX_OPEN`] tracks under
//! way: how severe they became, the digest of their newest crop, and pictures of those that are not stored yet. After a
//! restart tracks begin anew anyway.

use std::collections::HashMap;
use std::sync::Arc;

use super::evidence;
use super::row::{permille, share16};
use crate::domain::alert::{ALERT_VERSION, CandidateMark, VehicleMark};
use crate::domain::{
    Alert, Epoch, EventId, Hit, HitCause, MatchMark, Pictures, RetentionClass, Sighting, SightingEvent, TimeMs,
};

/// Tracks that are remembered while they are under way; beyond it the oldest is forgotten.
pub(super) const MAX_OPEN: usize = 1024;

/// A track under way.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTrack {
    /// The most severe class that a hit of it had.
    pub(super) hit_class: Option<RetentionClass>,
    /// When its first hit was stored.
    pub(super) first_at: Option<TimeMs>,
    /// Digest of the newest crop.
    pub(super) crop: Option<[u8; 16]>,
    /// Pictures of a track that is not stored yet: it may still become a hit.
    pub(super) pending: Option<Arc<Pictures>>,
    /// Class that its pictures lie under.
    pub(super) pictures_class: Option<RetentionClass>,
}

impl OpenTrack {
    /// Remembers how severe `hits` are.
    pub(super) fn note(&mut self, hits: &[Hit]) {
        let most = hits.iter().map(|hit| RetentionClass::from(hit.cause.severity())).max();
        self.hit_class = self.hit_class.max(most);
    }

    /// Class of the sighting: that of its most severe hit, also of one that was withdrawn.
    pub(super) fn class(&self) -> RetentionClass {
        self.hit_class.unwrap_or(RetentionClass::Read)
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

/// What every alert of a store shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) epoch: Epoch,
    pub(super) state: [u8; 4],
}

/// The alert of a hit; one that is withdrawn carries no match. Candidates are the other texts, best first.
pub(super) fn alert(
    stamp: Stamp,
    seq: u64,
    hit: &Hit,
    sighting: &Sighting,
    cause_at: TimeMs,
    crop: Option<[u8; 16]>,
) -> Alert {
    let read = sighting.read.as_ref();
    let (matched, rule) = match &hit.cause {
        _ if hit.withdrawn => (None, None),
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
        stage: hit.stage,
        severity: hit.cause.severity(),
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
        vehicle: sighting.vehicle.map(|vehicle| VehicleMark {
            class: vehicle.class,
            colour: vehicle.colour.map(|c| c.colour.number()),
            permille: permille(vehicle.confidence),
        }),
        direction: sighting.direction,
        rect: Some(sighting.rect.map(share16)),
        frames: read.map(|read| read.frames),
        crop,
        state: Some(stamp.state),
        stale: matches!(&hit.cause, HitCause::List(m) if m.stale && !hit.withdrawn).then_some(true),
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
    use crate::domain::{Class, Colour, Severity, Stage, Vehicle, VehicleColour};

    #[test]
    fn a_sighting_keeps_the_class_of_its_most_severe_hit() {
        let event = event(1, Stage::New, Some("AB123CD"));
        let mut track = OpenTrack::default();
        assert_eq!(track.class(), RetentionClass::Read);
        track.note(&[list_hit(&event, 1, Severity::Minor), list_hit(&event, 2, Severity::Serious)]);
        track.note(&[list_hit(&event, 1, Severity::Info)]);
        track.note(&[]);
        assert_eq!(track.class(), RetentionClass::Serious);
    }

    #[test]
    fn a_withdrawn_hit_is_told_without_its_match() {
        let event = event(1, Stage::Update, Some("AB123CD"));
        let mut hit = list_hit(&event, 4, Severity::Serious);
        hit.withdrawn = true;
        let stamp = Stamp { epoch: Epoch([1; 8]), state: [2; 4] };
        let alert = alert(stamp, 9, &hit, &event.sighting, event.cause_at, None);
        assert_eq!((alert.matched, alert.rule, alert.stage), (None, None, Stage::Update));
    }

    #[test]
    fn alert_carries_the_other_candidates_and_the_digest_of_the_crop() {
        let mut event = event(1, Stage::New, Some("AB123CD"));
        event.pictures = Some(Pictures { crop: b"jpeg".to_vec(), scene: Vec::new() });
        let colour = Some(VehicleColour { colour: Colour::Blue, confidence: 0.7 });
        event.sighting.vehicle = Some(Vehicle { class: Class::Bus, confidence: 0.81, colour, rect: [0.0; 4] });
        let hit = list_hit(&event, 4, Severity::Serious);
        let stamp = Stamp { epoch: Epoch([1; 8]), state: [2; 4] };
        let crop = crop_digest(&event, &OpenTrack::default());
        let alert = alert(stamp, 9, &hit, &event.sighting, event.cause_at, crop);
        assert_eq!((alert.seq, alert.severity, alert.confidence), (9, Severity::Serious, Some(910)));
        let texts: Vec<_> = alert.candidates.unwrap().into_iter().map(|c| c.text.as_str().to_owned()).collect();
        assert_eq!(texts, ["A8123CD", "AB1Z3CD", "AB123C0"]);
        assert_eq!(alert.crop.unwrap()[..4], [0x41, 0xe5, 0x78, 0x7e]);
        assert_eq!(alert.rect, Some([6554, 13107, 19661, 26214]));
        assert_eq!(alert.vehicle, Some(VehicleMark { class: Class::Bus, colour: Some(4), permille: 810 }));
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
