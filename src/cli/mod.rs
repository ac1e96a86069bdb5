//! One file a verb of `watchpost`.
