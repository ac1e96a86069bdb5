//! The one integration binary: real parts, one file a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "tests say what is wrong by failing"
)]

mod alarms;
mod audit_witness;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod bad_input;
mod boxes;
mod broker;
mod budget;
mod by_hand;
#[cfg(feature = "testkit")]
mod camera_cycles;
#[cfg(feature = "testkit")]
mod camera_elsewhere;
#[cfg(feature = "testkit")]
mod camera_files;
#[cfg(feature = "testkit")]
mod camera_hardware;
#[cfg(feature = "testkit")]
mod camera_inside;
#[cfg(feature = "testkit")]
mod camera_neighbours;
#[cfg(feature = "testkit")]
mod camera_rtsp;
#[cfg(feature = "testkit")]
mod camera_secure;
#[cfg(feature = "testkit")]
mod camera_sources;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod check;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod clips;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod commanded_daemon;
mod commands;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod console;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod console_page;
#[cfg(all(feature = "gst", feature = "onnx"))]
mod data;
mod delivery;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod doc_commands;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod doctor;
#[cfg(all(feature = "gst", feature = "onnx"))]
mod eval;
mod evidence;
#[cfg(feature = "onnx")]
mod families;
#[cfg(feature = "testkit")]
mod idle;
#[cfg(feature = "testkit")]
mod kept_pictures;
mod kit;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod logged;
mod messages;
mod mirrors;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod model_commands;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod model_packages;
#[cfg(feature = "onnx")]
mod models;
#[cfg(all(feature = "gst", feature = "onnx"))]
mod passes;
#[cfg(feature = "testkit")]
mod probe;
#[cfg(feature = "onnx")]
mod providers;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod python;
mod queries;
#[cfg(feature = "onnx")]
mod read;
#[cfg(feature = "onnx")]
mod readers;
#[cfg(feature = "onnx")]
mod refusals;
#[cfg(feature = "onnx")]
mod regions;
mod rotation;
#[cfg(all(feature = "gst", feature = "onnx"))]
mod rules;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod run;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod second;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod secrets;
mod sight;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod spoil;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod staged;
mod store_kill;
mod stored_delivery;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod substream;
mod tail;
mod tidy;
mod tracks;
#[cfg(all(feature = "testkit", feature = "onnx"))]
mod unit;
#[cfg(all(feature = "gst", feature = "onnx"))]
mod vehicles;
mod verbs;
#[cfg(all(feature = "testkit", feature = "gst", feature = "onnx"))]
mod views;
#[cfg(feature = "onnx")]
mod weights;
mod wire;
mod wire_init;
#[cfg(feature = "testkit")]
mod worker;
mod yocto;
