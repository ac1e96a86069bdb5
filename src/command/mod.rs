//! Commands of the centre: verify, authorise, execute, answer. Empty: this version takes acks (`centre`), no commands.
