//! One file a verb of `watchpost`.

pub mod check;
