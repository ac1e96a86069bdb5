//! Frames in, sightings out: detect, track, rectify, read, fuse.
//!
//! | file | what it does |
//! |---|---|
//! | [`analyser`] | the whole: frames of one camera in, its sightings out |
//! | [`model`] | manifests, the inference library, sessions shared fairly |
//! | [`sight`] | what may be seen of a frame and where plates are looked for |
//! | [`gate`] | rests on a still scene |
//! | [`view`] | a camera's health by its picture: cut, frozen, black, out of focus, moved |
//! | [`mask`] | privacy masks: pixels that no model sees |
//! | [`area`] | the part of a frame that a detector is shown |
//! | [`preprocess`] | pixels of a frame into the numbers a model reads |
//! | [`detect`] | plates (or vehicles) of one frame |
//! | [`plate`] | has a plate cut out by its corners (`crop`) and reads it |
//! | [`stack`] | pictures of one plate laid over each other |
//! | `skew` | how far a plate is tilted in a picture of it alone |
//! | `looks` | in which ways a plate is cut out, whole or as two lines |
//! | `legend` | a reader's classes as our characters |
//! | [`ctc`] | text, candidates and the lattice out of a reader's probabilities |
//! | [`prior`] | how probable texts are by the shapes of plates (`series`) |
//! | [`track`] | joins detections from frame to frame |
//! | [`colour`] | what colour a vehicle has |
//! | [`tie`] | which vehicle carries which plate |
//! | [`fuse`] | the reads of a track as one |
//! | [`rules`] | what objects do in zones and at lines |
//! | [`second`] | a slower look at a pass that was read with doubt |
//! | [`quality`] | how good a picture is for reading, in numbers: for `watchpost doctor` |
//! | [`pictures`] | JPEGs that let a person verify a read |
//!
//! Everything is a plain call on the thread of the camera that brought the frame; the only thing that is waited for is a
//! free session. Knows `domain` alone.

pub mod analyser;
pub mod area;
mod assign;
mod axis;
pub mod colour;
pub mod corners;
mod crop;
pub mod ctc;
pub mod detect;
mod error;
pub mod fuse;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod gate;
mod legend;
mod looks;
pub mod mask;
pub mod model;
pub mod pictures;
pub mod plate;
pub mod preprocess;
pub mod prior;
pub mod quality;
mod rectify;
mod resample;
pub mod rules;
pub mod search;
pub mod second;
mod series;
pub mod sight;
mod skew;
pub mod stack;
pub mod tie;
pub mod track;
pub mod view;

pub use analyser::{Analyser, Settings};
pub use area::Area;
pub use error::Error;
pub use mask::Seen;
pub use model::Models;
pub use prior::Patterns;
