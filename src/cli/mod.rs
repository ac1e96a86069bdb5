//! One file a verb of `watchpost`; those of `watchpostctl` are in [`ctl`].

pub mod check;
pub mod ctl;
pub mod decode;
pub mod draw;
pub mod init;
pub mod read;
mod strokes;
