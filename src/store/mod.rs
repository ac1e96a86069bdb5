//! The encrypted local store: ledger, index, outbox, evidence.
