//! The one integration binary: real parts, one file a behaviour.

mod tidy;
