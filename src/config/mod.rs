//! The configuration: one TOML file and `conf.d`, all faults named at once.
