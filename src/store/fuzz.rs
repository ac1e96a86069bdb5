//! The doors of this room for the fuzz targets ([`crate::fuzz`]): what lies on the disk.
//!
//! Checksums, MACs and seals stop nearly every altered byte; here what lies behind them is given the bytes as they come.

use ring::hmac;

use super::column::{self, Shelf};
use super::record::{self, Bytes, OutboxName, Record};
use super::segment::{Batch, HEADER_LEN, Header};
use super::{StoreKey, row};
use crate::store::audit::AuditRecord;

fn mac() -> Option<hmac::Key> {
    StoreKey::from_bytes([3; 32]).ledger_mac().ok()
}

/// A segment as it is pinned, its batches alone, the records in them, rows, a block of the plate column.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let segment: &[u8] = include_bytes!("../../tests/golden/store/segment-1.bin");
    let batch = segment.get(HEADER_LEN..).unwrap_or_default();
    let mut records = Vec::new();
    if let Ok((batch, ..)) = Batch::parse(batch, None) {
        batch.records.iter().for_each(|record| record.encode(&mut records));
    }
    let rows: [&[u8]; 4] = [
        include_bytes!("../../tests/golden/store/sighting-1.bin"),
        include_bytes!("../../tests/golden/store/sighting-colour-1.bin"),
        include_bytes!("../../tests/golden/store/sighting-vehicle-1.bin"),
        include_bytes!("../../tests/golden/store/column-1.bin"),
    ];
    [segment, batch, &records].into_iter().chain(rows).map(<[u8]>::to_vec).collect()
}

/// A segment's header, a batch, records, rows, a block of the plate column: what is read is written the same.
pub(crate) fn ledger(bytes: &[u8]) {
    let Some(mac) = mac() else { return };
    if let Ok(header) = Header::parse(&mac, bytes) {
        assert_eq!(bytes.get(..HEADER_LEN), Some(header.encode(&mac).as_slice()), "a header has two forms");
    }
    if let Ok((batch, _, length)) = Batch::parse(bytes, None) {
        assert!(length <= bytes.len(), "a batch is longer than its bytes");
        let (again, tag) = batch.encode(&mac, &[0; 32]);
        assert_eq!(Batch::parse(&again, Some((&mac, &[0; 32]))), Ok((batch, tag, again.len())), "a batch changes");
    }
    let _ = Batch::find(bytes, 0);
    let mut input = Bytes(bytes);
    while let Some(record) = Record::decode(&mut input) {
        let mut out = Vec::new();
        record.encode(&mut out);
        assert_eq!(Record::decode(&mut Bytes(&out)).as_ref(), Some(&record), "a record changes");
        let _ = (record.is_withheld(), record.gone_ranges(), record::hit_cause(&record.name));
        let _ = OutboxName::parse(&record.name);
    }
    for shelf in [Shelf::Sightings, Shelf::Hits] {
        if let Some(entries) = column::decode(shelf, bytes) {
            let _ = column::encode(shelf, &entries);
        }
    }
    let _ = (row::sighting(bytes), row::read_facts(bytes), row::hash_of(bytes), row::rehashed(bytes, None));
    let _ = AuditRecord::decode(bytes);
}
