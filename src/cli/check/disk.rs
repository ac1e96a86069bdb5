//! Is there room for the store, can it be written, how fast is it, and does it survive a power cut?
//!
//! Writes 4 KiB into a file without a name, which the system forgets when it is closed.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::supervise::machine;

/// Below this hits alone are kept, and twice as close to the end not even they (docs/store.md).
const NEEDED_MIB: u64 = 64;
/// Room for hits and pictures beside the outbox.
const HITS_MIB: u64 = 1_024;
/// A hit is durable after one sync: slower than this is felt.
const SLOW: Duration = Duration::from_millis(100);
/// Syncs that are timed; the middle one counts.
const SYNCS: usize = 5;

/// File systems by their magic number (`statfs(2)`), and what is wrong with them for a store.
const FILE_SYSTEMS: [(i64, &str, Option<&str>); 12] = [
    (0xef53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683e, "btrfs", None),
    (0xf2f5_2010, "f2fs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0x794c_7630, "overlay", Some("what is written there may go with its container")),
    (0x0102_1994, "tmpfs", Some("all of it is lost when the power goes")),
    (0x8584_58f6, "ramfs", Some("all of it is lost when the power goes")),
    (0x6969, "nfs", Some("hits wait for the network, and a lock may be lost")),
    (0xfe53_4d42, "smb", Some("hits wait for the network, and keys cannot be kept from others")),
    (0x4d44, "vfat", Some("keys cannot be kept from others there, and a power cut may damage it")),
    (0x2011_bab0, "exfat", Some("keys cannot be kept from others there, and a power cut may damage it")),
];

pub(super) fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let dir = &config.site.data_dir;
    // The folder is made by `init` or `run`; until then the nearest one above it tells.
    let there = dir.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    vec![room(config, there), writing(there, clock), kind(there)]
}

fn room(config: &Config, there: &Path) -> Finding {
    let path = config.site.data_dir.display();
    let free = machine::disk(there).free >> 20;
    // The outbox lies in the ledger and in the index.
    let advised = config.store.outbox_mib.saturating_mul(2).saturating_add(HITS_MIB);
    if free < NEEDED_MIB {
        Finding::failure(
            "disk",
            format!("{free} MiB free at {path}: below {NEEDED_MIB} hits alone are kept"),
            format!("free at least {NEEDED_MIB} MiB; {advised} are advised"),
        )
    } else if free < advised {
        Finding::warning(
            "disk",
            format!("{free} MiB free at {path}, {advised} are advised: a full outbox and a GiB of hits"),
            "free some space, give it a larger disk, or lower [store] outbox_mib",
        )
    } else {
        Finding::ok("disk", format!("{free} MiB free at {path}"))
    }
}

fn writing(there: &Path, clock: &Clock) -> Finding {
    let path = there.display();
    match sync_time(there, clock) {
        Err(error) => Finding::failure(
            "disk",
            format!("{path} cannot be written: {error}"),
            "see that data_dir is a folder on a mounted, writable disk and belongs to the user that runs watchpost",
        ),
        Ok(time) if time > SLOW => Finding::warning(
            "disk",
            format!("a durable write at {path} takes {} ms: hits are told that much later", time.as_millis()),
            "use a faster disk; a worn SD card gets slow before it fails",
        ),
        Ok(time) => Finding::ok("disk", format!("a durable write at {path} takes {:.1} ms", time.as_secs_f64() * 1e3)),
    }
}

/// The middle time of a few small durable writes.
fn sync_time(dir: &Path, clock: &Clock) -> std::io::Result<Duration> {
    let mut file = std::fs::File::from(unnamed(dir)?);
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let begun = clock.monotonic();
        file.write_all(&[0x57; 4096])?;
        file.sync_data()?;
        times.push(clock.monotonic().saturating_sub(begun));
    }
    times.sort();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

/// A file without a name; where the file system has none, one whose name is removed at once.
fn unnamed(dir: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let path = dir.join(format!(".watchpost-check-{}", std::process::id()));
            let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?;
            rustix::fs::unlink(&path)?;
            Ok(file)
        }
        other => Ok(other?),
    }
}

fn kind(there: &Path) -> Finding {
    let path = there.display();
    let Ok(stat) = rustix::fs::statfs(there) else {
        return Finding::ok("disk", format!("the file system at {path} is not known"));
    };
    #[expect(clippy::unnecessary_cast, reason = "its type differs between machines")]
    let magic = stat.f_type as i64;
    match FILE_SYSTEMS.iter().find(|(known, _, _)| *known == magic) {
        Some((_, name, None)) => Finding::ok("disk", format!("{path} is on {name}")),
        Some((_, name, Some(why))) => Finding::warning(
            "disk",
            format!("{path} is on {name}: {why}"),
            "put data_dir on a local disk with ext4 or another journalling file system",
        ),
        None => Finding::ok("disk", format!("{path} is on a file system of type {magic:#x}")),
    }
}
