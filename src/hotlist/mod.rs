//! Hotlists: load, normalise, match.
