//! The centre: COSE messages over MQTT 5, delivery until acknowledged.
//!
//! [`topics`] names where a message goes, [`wire`] gives it its bytes in the envelope of [`cose`]; [`keys`],
//! [`keyring`] and [`boxes`] say whose signature counts for what; [`tls`] secures the way to the broker.

pub mod boxes;
pub mod cose;
pub mod keyring;
pub mod keys;
pub mod tls;
pub mod topics;
pub mod wire;
