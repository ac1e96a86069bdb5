//! Reads a ledger: in order and with every check, or, for a salvage, whatever is still sound.
//!
//! What an honest crash leaves behind is told from damage by the chain. Behind the last sound batch of the *newest*
//! segment there may be the torn rest of a batch that was never acknowledged: it is reported as [`Torn`] and cut by the
//! caller. Behind the batch that the *next* segment's header names there may be what a failed write left: ignored. All
//! else that does not fit is [`Error::Damaged`], and nothing is cut: a sound batch behind an unsound one, a segment
//! that does not reach the batch its successor names, a MAC that is wrong, a missing segment.

use std::fs;
use std::path::{Path, PathBuf};

use ring::hmac;

use super::error::Error;
use super::ledger::End;
use super::segment::{Batch, Fault, HEADER_LEN, Header};

/// The rest of an unfinished write at the very end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) path: PathBuf,
    /// How much of the file is sound; `None` when not even its header is, and the file can go.
    pub(super) keep: Option<u64>,
    /// How much is not.
    pub(super) bytes: u64,
}

/// What a walk found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) end: End,
    pub(super) torn: Vec<Torn>,
}

/// Segments of a ledger folder, by number.
pub(super) fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".seg")).map(str::parse);
        if let Some(Ok(number)) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Visits the batches from number `from` on, in order, and says where the ledger ends.
///
/// The two newest segments are always read and checked, whatever `from` is. `Ok(None)`: there is no sound segment and
/// no sound batch, as when the very first write did not come through.
///
/// # Errors
/// [`Error::Damaged`], I/O errors, and whatever `visit` says; batches before the damage have been visited then.
pub(super) fn walk(
    dir: &Path,
    mac: &hmac::Key,
    from: u64,
    visit: &mut dyn FnMut(&Batch) -> Result<(), Error>,
) -> Result<Option<Walked>, Error> {
    let mut torn = Vec::new();
    let mut sound: Vec<(PathBuf, Header)> = Vec::new();
    for (number, path) in segments(dir)? {
        match head_of(&path, mac)? {
            Ok(header) if header.segment == number => sound.push((path, header)),
            Ok(header) => {
                let what = format!("its header says that it is segment {}", header.segment);
                return Err(Error::Damaged { segment: number, offset: 8, what });
            }
            Err(fault @ (Fault::Mac | Fault::Content)) => return Err(damaged(number, 0, fault)),
            // Never finished: proven below, when the chain of the sound ones closes without it.
            Err(Fault::Short | Fault::Checksum) => {
                let bytes = fs::metadata(&path).map_or(0, |m| m.len());
                torn.push(Torn { path, keep: None, bytes });
            }
        }
    }
    let Some((_, first)) = sound.first() else {
        return match torn.iter().find(|t| t.bytes > HEADER_LEN as u64) {
            Some(_) => Err(Error::Damaged { segment: 1, offset: 0, what: "no segment has a sound header".to_owned() }),
            None => Ok(None),
        };
    };
    if let Some(t) = torn.iter().find(|t| t.bytes > HEADER_LEN as u64) {
        // Batches are only written behind a header that was synced.
        let what = format!("the header of {} is damaged", t.path.display());
        return Err(Error::Damaged { segment: first.segment, offset: 0, what });
    }
    if from < first.first_batch && first.first_batch > 1 {
        let what = format!("batches before {} are missing", first.first_batch);
        return Err(Error::Damaged { segment: first.segment, offset: 0, what });
    }
    let wanted = sound.iter().rposition(|(_, h)| h.first_batch <= from).unwrap_or(0);
    let start = wanted.min(sound.len().saturating_sub(2));
    let mut end = End::empty(first.epoch);
    for (i, (path, header)) in sound.iter().enumerate().skip(start) {
        let next = sound.get(i + 1).map(|(_, next)| next);
        let mut one = One { mac, path, header, next, from };
        end = one.walk(visit, &mut torn)?;
    }
    Ok(Some(Walked { end, torn }))
}

fn damaged(segment: u64, offset: usize, fault: Fault) -> Error {
    Error::Damaged { segment, offset: offset as u64, what: fault.words().to_owned() }
}

fn head_of(path: &Path, mac: &hmac::Key) -> Result<Result<Header, Fault>, Error> {
    use std::io::Read as _;
    let mut head = Vec::with_capacity(HEADER_LEN);
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    file.take(HEADER_LEN as u64).read_to_end(&mut head).map_err(Error::io("read", path))?;
    Ok(Header::parse(mac, &head))
}

/// One segment of a walk.
struct One<'a> {
    mac: &'a hmac::Key,
    path: &'a Path,
    header: &'a Header,
    next: Option<&'a Header>,
    from: u64,
}

impl One<'_> {
    fn walk(&mut self, visit: &mut dyn FnMut(&Batch) -> Result<(), Error>, torn: &mut Vec<Torn>) -> Result<End, Error> {
        let bytes = fs::read(self.path).map_err(Error::io("read", self.path))?;
        let segment = self.header.segment;
        let mut offset = HEADER_LEN;
        let mut end = End {
            epoch: self.header.epoch,
            segment,
            offset: None,
            chain: self.header.prev,
            batch: self.header.first_batch.saturating_sub(1),
            last_seq: self.header.last_seq,
        };
        if let Some(next) = self.next.filter(|next| next.epoch != self.header.epoch) {
            let what = format!("the next segment is of epoch {}, this one of {}", next.epoch, self.header.epoch);
            return Err(Error::Damaged { segment, offset: 16, what });
        }
        loop {
            if self.next.is_some_and(|next| next.prev == end.chain && next.first_batch == end.batch + 1) {
                return Ok(end);
            }
            let rest = bytes.get(offset..).unwrap_or_default();
            if rest.is_empty() && self.next.is_none() {
                break;
            }
            match Batch::parse(rest, Some((self.mac, &end.chain))) {
                Ok((batch, chain, len)) if batch.number == end.batch + 1 && batch.last_seq >= end.last_seq => {
                    if batch.number >= self.from {
                        visit(&batch)?;
                    }
                    end.chain = chain;
                    end.batch = batch.number;
                    end.last_seq = batch.last_seq;
                    offset += len;
                }
                Ok(_) => return Err(damaged(segment, offset, Fault::Content)),
                Err(fault @ (Fault::Mac | Fault::Content)) => return Err(damaged(segment, offset, fault)),
                Err(fault) if self.next.is_some() || Batch::find(&bytes, offset + 1).is_some() => {
                    return Err(damaged(segment, offset, fault));
                }
                Err(_) => {
                    let keep = Some(offset as u64);
                    torn.push(Torn { path: self.path.to_owned(), keep, bytes: rest.len() as u64 });
                    break;
                }
            }
        }
        end.offset = Some(offset as u64);
        Ok(end)
    }
}

/// Visits every batch whose checksums are right, wherever it stands, in the order of segments and offsets; returns how
/// many bytes between headers and batches were skipped.
///
/// # Errors
/// I/O errors, and whatever `visit` says.
pub(super) fn rescue(dir: &Path, visit: &mut dyn FnMut(&Batch) -> Result<(), Error>) -> Result<u64, Error> {
    let mut skipped = 0;
    for (_, path) in segments(dir)? {
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let mut offset = HEADER_LEN;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            if let Ok((batch, _, len)) = Batch::parse(rest, None) {
                visit(&batch)?;
                offset += len;
                continue;
            }
            let next = Batch::find(&bytes, offset + 1).unwrap_or(bytes.len());
            skipped += (next - offset) as u64;
            offset = next;
        }
    }
    Ok(skipped)
}
