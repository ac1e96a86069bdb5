//! What the console is given by the wiring; it reaches no other room by itself.

use std::time::Duration;

use crate::centre::ask::{Outcome, Question};
use crate::centre::wire::HealthReport;
use crate::command::Refusal;
use crate::domain::{CameraId, Class, Purpose};

/// What a camera sees now, as it may be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// At most 640 pixels wide; behind the privacy masks, persons a few squares.
    pub jpeg: Vec<u8>,
    /// Width and height of the camera's own picture.
    pub size: (u32, u32),
    /// What is followed in it.
    pub marks: Vec<Mark>,
}

/// Something that is followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// What it is.
    pub class: Class,
    /// Left, top, right, bottom: shares of the picture.
    pub rect: [f32; 4],
    /// Its track is sure.
    pub confirmed: bool,
}

/// The doors to the rooms. Calls may block for seconds; they are made on threads of their own.
pub trait Door: Send + Sync + 'static {
    /// How the box is; draws no challenge.
    fn report(&self) -> HealthReport;

    /// Alerts that wait for the centre by severity, the least severe first.
    fn waiting(&self) -> [u64; 4];

    /// What is wrong with the daemon as a whole.
    ///
    /// # Errors
    /// The words for it.
    fn well(&self) -> Result<(), String>;

    /// Writes into the audit log that whoever has the token looks at a camera, from now on and for so long.
    ///
    /// # Errors
    /// [`Reason::Purpose`](crate::domain::Reason::Purpose), [`Reason::NotFound`](crate::domain::Reason::NotFound); when the
    /// audit log cannot be written.
    fn look(&self, camera: &CameraId, purpose: Option<Purpose>, lasts: Duration) -> Result<(), Refusal>;

    /// What a camera sees now.
    ///
    /// # Errors
    /// As `camera.snapshot`.
    fn picture(&self, camera: &CameraId) -> Result<Live, Refusal>;

    /// Whether reads can be asked for here.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn reads(&self) -> Result<(), String>;

    /// Asks the box's own executor, signed with the console's key. Asked once at a time: others come in by the same few
    /// connections.
    ///
    /// # Errors
    /// What is missing to ask.
    fn ask(&self, question: Question) -> Result<Outcome, String>;
}
