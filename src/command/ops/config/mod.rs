//! The configuration from afar: what is in force and where it comes from, and another one on probation.

pub mod get;
pub mod set;
pub mod staging;

#[cfg(test)]
mod tests;
