//! Commands of the centre: verify, authorise, execute, answer.
