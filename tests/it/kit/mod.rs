//! Real parts for the tests of delivery: certificates, keys, a mosquitto with TLS and ACL, a box's session, a centre.

pub mod broker;
#[cfg(all(feature = "testkit", feature = "onnx"))]
pub mod browser;
#[cfg(feature = "testkit")]
pub mod camera;
pub mod centre;
pub mod commanded;
#[cfg(all(feature = "testkit", feature = "onnx"))]
pub mod daemon;
#[cfg(all(feature = "testkit", feature = "onnx"))]
pub mod http;
#[cfg_attr(
    not(all(feature = "testkit", feature = "onnx")),
    expect(dead_code, reason = "most of it is for tests of a daemon with cameras")
)]
pub mod one_box;
pub mod outbox;
#[cfg(all(feature = "testkit", feature = "onnx"))]
pub mod pages;
#[cfg(feature = "testkit")]
pub mod pauses;
#[cfg(all(feature = "testkit", feature = "onnx"))]
pub mod prometheus;
pub mod raw;
pub mod said;
pub mod site;
pub mod stored;
