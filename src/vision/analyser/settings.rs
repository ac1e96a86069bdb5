//! What the analyser goes by: when a read is trusted, how often a plate is read, how long things are remembered.

use std::time::Duration;

use crate::domain::{Plan, Polygon};
use crate::vision::{Patterns, track};

/// Settings of one camera's analysis.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is blanked in every frame before anything sees it.
    pub privacy_mask: Vec<Polygon>,
    /// Where plates are looked for; empty: everywhere.
    pub roi: Vec<Polygon>,
    /// Whether it rests while nothing moves.
    pub motion_gate: bool,
    /// Whether nothing is looked at while the camera's view lies elsewhere than the masks were drawn for.
    pub stop_while_moved: bool,
    /// Which shapes of plates are expected, when reading and when fusing.
    pub patterns: Patterns,
    /// How tracks begin, go on and end.
    pub track: track::Settings,
    /// Narrowest plate that is read, pixels.
    pub min_plate_width: f32,
    /// Fewest characters of a read that is told.
    pub min_characters: usize,
    /// Whether a plate is read at a glance, where it was looked at in all ways when it was about as readable.
    pub glances: bool,
    /// Most plates read in one frame; the others wait for the next.
    pub reads_per_frame: usize,
    /// Reads of one track, at about the same size of its plate, after which it is read only now and then.
    pub reads_per_track: f32,
    /// How often a moving vehicle is read again that is certain, or that too many tries were spent on.
    pub reread_moving: Duration,
    /// The same of a parked one.
    pub reread_parked: Duration,
    /// Confidence from which a read is told as soon as two frames agree on it.
    pub tell_confidence: f32,
    /// Confidence from which one frame is enough.
    pub tell_at_once: f32,
    /// Confidence from which a read goes with the end of its track although it was never told.
    pub keep_confidence: f32,
    /// Frames that a track must have been seen in to be told without a read.
    pub unread_hits: u32,
    /// Detection score that it must have reached.
    pub unread_score: f32,
    /// How readable a plate (0..1, by size and score) must have been for its track to be read no more when it is certain:
    /// frames of one small plate make the same mistake together.
    pub rest_quality: f32,
    /// Confidence from which a track that three frames agree on is certain.
    pub rest_confidence: f32,
    /// Shortest time between two updates of one sighting.
    pub update_every: Duration,
    /// How long after its track broke off a moving vehicle's sighting waits for it to come back before it ends.
    pub rejoin_within: Duration,
    /// How long after a sighting the same plate on the same camera is no new one.
    pub same_within: Duration,
    /// How long a parked vehicle's sighting waits while it can't be seen, before its end is told.
    pub parked_memory: Duration,
    /// How long it is known again in its place after that, and is no new sighting.
    pub parked_known: Duration,
    /// How far from its place, in widths of its plate, what stood there is a new sighting when it is seen again.
    pub min_travel: f32,
    /// How long a plate must have stayed in its place to be parked.
    pub parked_after: Duration,
    /// How often a model of their own looks for vehicles; what tells of them beside plates does so in every frame.
    pub vehicles_every: Duration,
    /// How long between two frames in which plates are looked for while none is under way; zero: all frames.
    pub look_every: Duration,
    /// Zones, lines and rules.
    pub plan: Plan,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            privacy_mask: Vec::new(),
            roi: Vec::new(),
            motion_gate: false,
            stop_while_moved: false,
            patterns: Patterns::default(),
            track: track::Settings::default(),
            min_plate_width: 24.0,
            min_characters: 4,
            glances: true,
            reads_per_frame: 4,
            reads_per_track: 24.0,
            reread_moving: Duration::from_secs(1),
            reread_parked: Duration::from_secs(10),
            tell_confidence: 0.8,
            tell_at_once: 0.95,
            keep_confidence: 0.25,
            unread_hits: 5,
            unread_score: 0.5,
            rest_quality: 0.5,
            rest_confidence: 0.97,
            update_every: Duration::from_millis(500),
            rejoin_within: Duration::from_secs(3),
            same_within: Duration::from_mins(1),
            parked_memory: Duration::from_mins(10),
            parked_known: Duration::from_hours(4),
            min_travel: 1.0,
            parked_after: Duration::from_secs(5),
            vehicles_every: Duration::from_millis(200),
            look_every: Duration::ZERO,
            plan: Plan::default(),
        }
    }
}
