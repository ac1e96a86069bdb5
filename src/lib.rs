//! Watchpost: edge video analytics for the box at a camera site.
//!
//! Seven rooms around one [`domain`]:
//!
//! | room | what it does |
//! |---|---|
//! | [`camera`] | opens sources, decodes, hands out [`domain::Frame`]s, reopens what breaks |
//! | [`vision`] | finds plates and vehicles, tracks them, reads, fuses: frames in, sightings out |
//! | [`hotlist`] | loads lists, normalises plates, matches |
//! | [`store`] | makes sightings, hits and alerts durable and sealed; the outbox |
//! | [`centre`] | speaks to the centre: COSE over MQTT, delivery until acknowledged |
//! | [`command`] | what the centre may ask: verified, authorised, audited, executed one at a time |
//! | [`console`] | the page in the browser, `/metrics`, `/healthz`; off unless asked for |
//!
//! [`supervise`] wires them: it starts, watches and stops every room's threads and tasks; [`cli`] holds a file a verb.
//!
//! **The path of a frame**: `camera::Source::next` → `vision::Analyser::step` → `hotlist::Matcher` →
//! `store::Recorder` → `centre::publish`. **The path of an ack**: `centre::session` → keyring and signature → `store::Outbox`.
//! **The path of a command**: `centre::session` or `command::local` → `command::executor` (envelope, journal, authorise) →
//! `command::ops` → reply.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss))]

pub mod backoff;
pub mod camera;
pub mod causes;
pub mod centre;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod console;
pub mod domain;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod health;
pub mod hotlist;
pub mod log;
pub mod memory;
pub mod shutdown;
pub mod store;
pub mod supervise;
pub mod vision;
