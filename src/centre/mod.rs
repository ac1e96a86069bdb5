//! The centre: COSE messages over MQTT 5, delivery until acknowledged.
//!
//! [`topics`] names where a message goes, [`wire`] gives it its bytes in the envelope of [`cose`]; [`keys`],
//! [`keyring`] and [`boxes`] say whose signature counts for what; [`tls`] secures the way to the broker.
//!
//! [`session`] keeps a [`link`] to the broker, waits by [`crate::backoff`] after a [`fault`], and carries [`publish`], which
//! drains the outbox through a sending [`window`], [`carry`], which takes up replies and their like, and [`status`]. What goes over the link is counted, and has to fit into a [`budget`] where there is one; a [`mirror`] says some of it in other forms. [`client`] is the other end, the centre's: it keeps
//! [`receipts`] of what arrived and acknowledges, and is [`witness`] of audit logs, whose checkpoints are signed as a [`note`]; [`listen`] only looks around; [`ask`] sends commands and gathers answers. [`x509`] tells how long certificates last.

pub mod ask;
pub mod boxes;
pub mod budget;
pub mod carry;
pub mod client;
pub mod cose;
pub mod fault;
pub mod keyring;
pub mod keys;
pub mod link;
pub mod listen;
pub mod mirror;
pub mod note;
pub mod publish;
pub mod receipts;
pub mod report;
pub mod session;
pub mod status;
pub mod tls;
pub mod topics;
pub mod window;
pub mod wire;
pub mod witness;
pub mod x509;
