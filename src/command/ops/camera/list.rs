//! `camera.list`: the cameras with what matters of their configuration, their state and counters.

use std::sync::atomic::Ordering;

use minicbor::{Decode, Encode};

use crate::centre::wire::Link;
use crate::command::{Authorised, Done, Refusal, Rooms, ops};
use crate::config::{Layers, Overlay};
use crate::domain::{CameraId, EventId, SourceUri, TimeMs};

/// What is asked: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Args {}

/// A camera.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Row {
    /// Its id.
    #[n(0)]
    pub id: CameraId,
    /// Its number in alerts.
    #[n(1)]
    pub number: u16,
    /// Where its pictures come from, without what is secret in it.
    #[n(2)]
    pub uri: String,
    /// What it is doing.
    #[n(3)]
    pub state: Link,
    /// Why, when it is not simply online.
    #[n(4)]
    pub reason: Option<String>,
    /// Its block is the centre's.
    #[n(5)]
    pub is_of_centre: bool,
    /// Frames that the decoder gave.
    #[n(6)]
    pub received: u64,
    /// Frames that were analysed.
    #[n(7)]
    pub analysed: u64,
    /// Frames replaced by newer ones before they were analysed.
    #[n(8)]
    pub dropped: u64,
    /// When its newest frame was captured.
    #[n(9)]
    pub last_frame: Option<TimeMs>,
    /// Name of its credential.
    #[n(10)]
    pub credential: Option<String>,
    /// The road that it looks at.
    #[n(11)]
    pub road: Option<String>,
    /// How many polygons are hidden from every model and person.
    #[n(12)]
    pub masks: u32,
    /// Where something is wrong with its picture: the id of the picture that shows it, for `evidence.get`.
    #[n(13)]
    pub view: Option<EventId>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The cameras, as configured.
    #[n(0)]
    pub cameras: Vec<Row>,
}

pub(in crate::command::ops) fn run(rooms: &Rooms, command: &Authorised) -> Result<Done, Refusal> {
    let Args {} = ops::decode(command.args())?;
    // The files may have been changed since the start: then nothing is said to be the centre's.
    let layers = Layers::read(&rooms.config_path, &Overlay::OnDisk).ok().filter(|l| l.digest() == rooms.config.digest);
    let of_centre = |id: &str| {
        let layers = layers.as_ref()?;
        Some(layers.is_of_centre(&layers.block(&["camera"], id)?.place))
    };
    let row = |camera: &crate::config::Camera| {
        let counters = rooms.health.camera(&camera.id);
        let (state, reason) = Link::of(&counters.state());
        let last = counters.last_frame_ms.load(Ordering::Relaxed);
        Row {
            id: camera.id.clone(),
            number: camera.number,
            uri: camera.uri.parse::<SourceUri>().map_or_else(|_| String::new(), |uri| uri.to_string()),
            state,
            reason,
            is_of_centre: of_centre(camera.id.as_str()).unwrap_or(false),
            received: counters.received.get(),
            analysed: counters.analysed.get(),
            dropped: counters.dropped.get(),
            last_frame: (last > 0).then_some(TimeMs(last)),
            credential: camera.credential.clone(),
            road: camera.road.clone(),
            masks: u32::try_from(camera.privacy_mask.len()).unwrap_or(u32::MAX),
            view: counters.view(),
        }
    };
    let cameras = rooms.config.cameras.iter().map(row).collect();
    Ok(Done { result: ops::encode(&Answer { cameras }), ..Done::default() })
}
