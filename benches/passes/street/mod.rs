//! Whole pictures of a drawn street: vehicles with drawn plates pass a camera, frame by frame, from seeds.
//!
//! A [`Clip`] says what is seen: how large, how long, which vehicles when ([`Pass`]) and what is wrong with the camera
//! ([`Spoil`]). [`truth`] tells what was to be read and where; [`frames`] gives the pictures, [`encode`] a file as a camera's
//! recorder would write it. The same clip gives the same pictures on every machine; the coded file is the installed
//! encoder's. For tests and benches: bars over passes, idle footage, a camera's health, clips made bad on purpose.
//!
//! One street, seen by one camera on a pole or a bridge: metres, x to the right, y along the road away from the camera, z up.
//! The camera is set up before the lanes that are used, and such that the widest plate of the clip's passes is seen at the picture's lower edge and that a
//! vehicle comes into the picture, at its upper edge, when its plate is three quarters as wide as at the begin of its pass
//! (or less, where that would need a pole of more than [`camera::HIGHEST`] metres).
//! The street is drawn once; a vehicle is some dozens of faces, painted from far to near at twice the picture's size.
//! Left out: traffic that hides traffic on purpose, curves, night lamps, colours of plates.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::missing_panics_doc,
    unused_imports,
    reason = "pixels of pictures that it makes itself"
)]

pub mod bar;
pub mod camera;
#[cfg(feature = "gst")]
pub mod coded;
pub mod film;
pub mod layer;
pub mod place;
pub mod spoil;
pub mod told;
pub mod vehicle;

use watchpost::domain::Frame;

pub use self::bar::{bar_passes, smeared_passes};
#[cfg(feature = "gst")]
pub use self::coded::{encode, encode_pictures};
pub use self::film::{Film, Picture420};
pub use self::spoil::Spoil;
pub use self::told::{Seen, Truth, truth};

/// What a recording shows.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Pixels across and down, even.
    pub size: (u32, u32),
    /// Frames a second.
    pub fps: u32,
    /// How long it is.
    pub seconds: f32,
    /// Of the place and the camera.
    pub seed: u64,
    /// Who passes.
    pub passes: Vec<Pass>,
    /// What is wrong with the camera.
    pub spoil: Spoil,
    /// Constant rate factor of the encoder: 18 fine, 23 usual, 30 and above coarse.
    pub crf: u32,
    /// From one key frame to the next.
    pub key_every_s: f32,
    /// How it is coded.
    pub codec: Codec,
}

impl Default for Clip {
    /// Four seconds of an empty street, 1280×720 at 25 frames a second.
    fn default() -> Self {
        Self {
            size: (1280, 720),
            fps: 25,
            seconds: 4.0,
            seed: 1,
            passes: Vec::new(),
            spoil: Spoil::default(),
            crf: 23,
            key_every_s: 2.0,
            codec: Codec::H264,
        }
    }
}

impl Clip {
    /// Frames that it has.
    pub fn count(&self) -> usize {
        (self.seconds * self.fps as f32).round() as usize
    }

    /// When frame `n` is taken, seconds.
    pub fn at(&self, n: usize) -> f32 {
        n as f32 / self.fps as f32
    }
}

/// How a clip is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// By x264enc.
    H264,
    /// By x265enc.
    H265,
}

/// One vehicle on its way.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Of the plate and the vehicle.
    pub seed: u64,
    /// Begin of the pass: the plate is `plate_px.0` wide. The vehicle is seen before, coming.
    pub from_s: f32,
    /// Until the plate is `plate_px.1` wide; the speed is the same all the way.
    pub lasts_s: f32,
    /// Width of the plate in the picture at the begin and at the end, pixels. A vehicle that drives away shrinks.
    pub plate_px: (f32, f32),
    /// Share of the pass for which something hides the plate: a sign before the camera, or a passer-by where it `stands`.
    pub hidden: f32,
    /// Length of the smear along its way where the plate is widest, pixels: a long exposure. Farther away the vehicle moves
    /// more slowly in the picture and is smeared less, as with any camera.
    pub blur_px: f32,
    /// The smear is `blur_px` long all the way, however slowly it moves: harder than a camera makes it.
    pub even_blur: bool,
    /// It stands still at `plate_px.0` for `lasts_s`: it comes before, unless `from_s` is 0 or less, and drives off after.
    pub stands: bool,
    /// -1 left, 0 middle, 1 right, in lanes of 3.3 m.
    pub lane: i8,
    /// It shows its rear and drives away from the camera.
    pub away: bool,
    /// Takes plates of this region only (`eu`, `us`, `br` …, see [`super::plates`]); `None` for any.
    pub region: Option<&'static str>,
}

impl Default for Pass {
    /// A car comes near in two seconds, clean and unhidden.
    fn default() -> Self {
        Self {
            seed: 1,
            from_s: 0.5,
            lasts_s: 2.0,
            plate_px: (60.0, 110.0),
            hidden: 0.0,
            blur_px: 0.0,
            even_blur: false,
            stands: false,
            lane: 0,
            away: false,
            region: None,
        }
    }
}

/// The pictures, as a camera delivers them: I420, video range. Frame `n` is taken at `n / fps`.
pub fn frames(clip: &Clip) -> impl Iterator<Item = Frame> {
    let film = Film::new(clip);
    (0..clip.count()).map(move |n| film.frame(n))
}
