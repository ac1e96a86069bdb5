//! Looking for one record of the log: by time first, so that a long log is not read whole.

use super::record::{Reader, Step};
use super::{Audit, AuditRecord, MARK_EVERY};
use crate::domain::TimeMs;
use crate::store::error::Error;

impl Audit {
    /// Number of the first record that is `wanted`, looked for among those of `since` and later; then, as a clock may have
    /// been set back between, among those before.
    pub(in crate::store) fn find(
        &self,
        since: TimeMs,
        wanted: &dyn Fn(&AuditRecord) -> bool,
    ) -> Result<Option<u64>, Error> {
        let (marks, size) = {
            let mut state = self.state();
            self.write(&mut state, None)?;
            (state.marks.clone(), state.edge.size())
        };
        let path = &self.paths.log;
        // Records before each place that is known, and the place.
        let places: Vec<(u64, u64)> = (0..).map(|mark| mark * MARK_EVERY).zip(marks).collect();
        // A place that can't be read is told by the search itself.
        let begins_before = |(before, at): &(u64, u64)| {
            let step = Reader::at(path, *at, *before).ok().and_then(|mut reader| reader.step().ok());
            matches!(step, Some(Step::Record(record, _)) if record.at < since)
        };
        let start = places.partition_point(begins_before).saturating_sub(1);
        let search = |from: usize, last: u64| -> Result<Option<u64>, Error> {
            let Some((before, at)) = places.get(from).copied() else { return Ok(None) };
            let mut reader = Reader::at(path, at, before)?;
            while reader.number < last {
                match reader.step().map_err(Error::io("read", path))? {
                    Step::Record(record, _) if wanted(&record) => return Ok(Some(record.number)),
                    Step::Record(..) => {}
                    Step::Damaged(what) => return Err(self.changed(what)),
                    Step::End | Step::Torn(_) => {
                        return Err(self.changed(format!("it ends with record {}", reader.number)));
                    }
                }
            }
            Ok(None)
        };
        let found = search(start, size)?;
        if found.is_some() || start == 0 {
            return Ok(found);
        }
        search(0, places.get(start).map_or(0, |(before, _)| *before))
    }
}
