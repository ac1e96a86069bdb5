//! The words of the field as values: frames, detections, reads, sightings, hits, alerts.
//!
//! Nothing here does I/O, takes a lock or asks for the time: times are arguments. Every room knows this module and no
//! two rooms need to know each other's types because of it. Types that go to disk or over the wire carry their CBOR
//! integer keys here ([`Alert`] has exactly the keys of `docs/wire.cddl`), so that a key is written down once.

pub mod alert;
pub mod broker;
pub mod clip;
pub mod colour;
pub mod command;
pub mod confusable;
pub mod detection;
pub mod frame;
pub mod geometry;
pub mod hit;
pub mod hold;
pub mod hotlist;
pub mod id;
pub mod pattern;
pub mod plate;
pub mod polygon;
pub mod provider;
pub mod region;
pub mod report;
pub mod retention;
pub mod rule;
pub mod schedule;
pub mod script;
pub mod sighting;
pub mod source;
pub mod tally;
pub mod time;
pub mod transport;
pub mod tree;
pub mod verdict;
pub mod wish;

pub use alert::{Ack, Alert, Epoch, MatchMark, Shed, Stage};
pub use broker::{AckMode, Broker, BrokerError};
pub use clip::{Footage, Media};
pub use colour::{Colour, VehicleColour};
pub use command::{CommandStatus, Op, Picture, Purpose, Reason};
pub use detection::{Class, Detection};
pub use frame::{Frame, FrameFormat, PixelFormat, Pixels, Plane};
pub use geometry::{Point, Quad, Rect};
pub use hit::{Hit, HitCause, How, ListMatch, RetentionClass, Severity};
pub use hold::{CameraSpan, Hold, HoldScope, HoldWish};
pub use hotlist::{MatchPolicy, Ownership, RegionPolicy, Share};
pub use id::{BoxId, CameraId, EventId, IdError, ListId, PlaceId, RuleId, SiteId};
pub use pattern::{PatternError, PlatePattern};
pub use plate::{Candidate, Lattice, PlateRead, PlateText, Position};
pub use polygon::Polygon;
pub use provider::Provider;
pub use region::Region;
pub use retention::{Preset, ReadsAs, Retention};
pub use rule::{Line, ObjectEvent, Plan, Rule, RuleMatch, Way, Zone};
pub use schedule::{Schedule, TimeZone};
pub use sighting::{Pictures, Sighting, SightingEvent, Vehicle};
pub use source::{AddressError, SourceUri};
pub use time::{ClockState, TimeMs};
pub use transport::Transport;
pub use tree::{Checkpoint, LogId, TreeError, TreeHash, TreeHead};
pub use verdict::{Handling, HitState, Judgement, Mark, Verdict};
