//! A disk with a write cache that loses its power: one image file that this process serves by FUSE, below a loop device
//! with ext4 on it.
//!
//! What the kernel writes to the loop device comes here write by write, and so does every flush (a barrier of ext4's
//! journal, `fdatasync`, `syncfs`): it makes what came before it stable. A [`Medium::cut`] takes, without stopping anybody,
//! everything that is stable, and of the writes since the last flush what the drive happened to have written out: all, none,
//! or any sectors of them in any order. That is more than a copy of the image file can be: a copy is no point in time,
//! and has everything that was ever written, as if drives had no cache. What is not emulated: sectors that tear, and drives
//! that lie about flushes.
//!
//! The FUSE protocol (kernel's `include/uapi/linux/fuse.h`, 7.31) is spoken over `/dev/fuse` itself, mounted by `mount`:
//! nothing needs to be installed, and there is nothing unsafe. The file system has one file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::fault::Chance;

const SECTOR: usize = 512;
const MAX_WRITE: usize = 1 << 20;
const ROOT: u64 = 1;
const IMAGE: u64 = 2;

/// What the drive holds.
struct Drive {
    stable: Vec<u8>,
    /// Writes since the last flush, in order.
    cached: Vec<(usize, Vec<u8>)>,
    flushes: u64,
    writes: u64,
    /// Flushes do nothing, as with a drive that lies: what a campaign has to find.
    lies: bool,
    /// Sectors that cuts found in the cache and did not leave.
    lost: u64,
}

impl Drive {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.writes += 1;
        if at + bytes.len() <= self.stable.len() {
            self.cached.push((at, bytes.to_vec()));
        }
    }

    fn flush(&mut self) {
        self.flushes += 1;
        if self.lies {
            return;
        }
        for (at, bytes) in std::mem::take(&mut self.cached) {
            self.stable[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let end = (at + len).min(self.stable.len());
        let mut out = self.stable.get(at..end).unwrap_or_default().to_vec();
        for (from, bytes) in &self.cached {
            let (low, high) = ((*from).max(at), (from + bytes.len()).min(end));
            if low < high {
                out[low - at..high - at].copy_from_slice(&bytes[low - from..high - from]);
            }
        }
        out
    }

    /// What is left when the power goes now.
    fn cut(&mut self, chance: &mut Chance) -> Vec<u8> {
        let mut left = self.stable.clone();
        // Parts of a hundred of the sectors in the cache that had been written out.
        let percent = if self.lies { 0 } else { [0, 100, 50, 90, 10][chance.below(5) as usize] };
        for (at, bytes) in &self.cached {
            for (i, sector) in bytes.chunks(SECTOR).enumerate() {
                if chance.percent(percent) {
                    left[at + i * SECTOR..at + i * SECTOR + sector.len()].copy_from_slice(sector);
                } else {
                    self.lost += 1;
                }
            }
        }
        left
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Unmounts when it is dropped, and takes the loop device away with it.
pub struct Mounted(pub PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        for _ in 0..20 {
            if run(Command::new("umount").arg(&self.0)).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        // Somebody is still in it; it goes when they do.
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// Makes an image of `bytes` with an empty ext4 on it.
pub fn make_image(path: &Path, bytes: u64) -> Result<(), String> {
    File::create(path).and_then(|file| file.set_len(bytes)).map_err(|error| error.to_string())?;
    let small = ["-q", "-F", "-b", "1024", "-m", "0", "-N", "8192", "-J", "size=1"];
    let now = ["-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"];
    run(Command::new("mkfs.ext4").args(small).args(now).arg(path)).map(drop)
}

/// Mounts the ext4 in an image file by a loop device.
pub fn mount(image: &Path, at: &Path) -> Result<Mounted, String> {
    fs::create_dir_all(at).map_err(|error| error.to_string())?;
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))?;
    Ok(Mounted(at.to_owned()))
}

/// Why no loop device can be used here, if so.
pub fn no_loop(dir: &Path) -> Option<String> {
    let (image, at) = (dir.join("try.img"), dir.join("try"));
    let tried = make_image(&image, 4 << 20).and_then(|()| mount(&image, &at).map(drop));
    let _ = fs::remove_file(&image);
    tried.err().map(|why| format!("no loop device with ext4 can be mounted here ({why})"))
}

/// The drive, mounted.
pub struct Medium {
    drive: Arc<Mutex<Drive>>,
    /// In the order in which they have to go.
    ext4: Option<Mounted>,
    fuse: Option<Mounted>,
    server: Option<JoinHandle<()>>,
    at: PathBuf,
}

impl Medium {
    /// Serves a drive that holds `image` and mounts its ext4; everything lies below `dir`. A drive that `lies` keeps
    /// nothing of what it says that it flushed.
    pub fn mount(image: Vec<u8>, dir: &Path, lies: bool) -> Result<Self, String> {
        let (below, at) = (dir.join("drive"), dir.join("disk"));
        fs::create_dir_all(&below).map_err(|error| error.to_string())?;
        let device =
            OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(|e| format!("/dev/fuse: {e}"))?;
        // The mount program gets the descriptor: it must not be closed on the way.
        let flags = rustix::io::fcntl_getfd(&device).map_err(|e| e.to_string())?;
        rustix::io::fcntl_setfd(&device, flags - rustix::io::FdFlags::CLOEXEC).map_err(|e| e.to_string())?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        run(Command::new("mount").args(["-i", "-t", "fuse", "-o", &options, "watchpost-medium"]).arg(&below))?;
        rustix::io::fcntl_setfd(&device, flags).map_err(|e| e.to_string())?;
        let fuse = Some(Mounted(below.clone()));
        let drive =
            Arc::new(Mutex::new(Drive { stable: image, cached: Vec::new(), flushes: 0, writes: 0, lies, lost: 0 }));
        let served = Arc::clone(&drive);
        let server = Some(std::thread::spawn(move || serve(device, &served)));
        let mut medium = Self { drive, ext4: None, fuse, server, at: at.clone() };
        medium.ext4 = Some(mount(&below.join("image"), &at)?);
        Ok(medium)
    }

    /// Where the ext4 is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// What a power cut at this moment leaves; whoever writes is not stopped.
    pub fn cut(&self, chance: &mut Chance) -> Vec<u8> {
        self.drive.lock().unwrap().cut(chance)
    }

    /// Writes and flushes so far, and sectors that cuts lost.
    pub fn traffic(&self) -> (u64, u64, u64) {
        let drive = self.drive.lock().unwrap();
        (drive.writes, drive.flushes, drive.lost)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        drop(self.ext4.take());
        drop(self.fuse.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// Answers the kernel until the file system is unmounted.
fn serve(mut device: File, drive: &Mutex<Drive>) {
    let mut buffer = vec![0; MAX_WRITE + 4096];
    loop {
        match device.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                if let Some(reply) = answer(&buffer[..len], drive) {
                    // The asker may be gone.
                    let _ = device.write_all(&reply);
                }
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // The request went away before it could be read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap()
}

/// A request is its header (40 bytes) and its arguments; a reply its header (16) and its results. `None`: no reply is wanted.
fn answer(request: &[u8], drive: &Mutex<Drive>) -> Option<Vec<u8>> {
    let (opcode, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
    let arguments = &request[40..];
    let result: Result<Vec<u8>, rustix::io::Errno> = match opcode {
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // INIT
        26 => Ok(init()),
        // LOOKUP
        1 if arguments.strip_suffix(&[0]) == Some(b"image") => {
            let times = [IMAGE, 0, 3600, 3600, 0];
            let mut out: Vec<u8> = times.iter().flat_map(|n| n.to_le_bytes()).collect();
            out.extend(attributes(IMAGE, drive));
            Ok(out)
        }
        1 => Err(rustix::io::Errno::NOENT),
        // GETATTR, SETATTR
        3 | 4 => {
            let mut out: Vec<u8> = [3600_u64, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
            out.extend(attributes(node, drive));
            Ok(out)
        }
        // OPEN, OPENDIR: no handle, no flags
        14 | 27 => Ok(vec![0; 16]),
        // READDIR, RELEASE, FLUSH, RELEASEDIR, DESTROY
        28 | 18 | 25 | 29 | 38 => Ok(Vec::new()),
        // READ
        15 => {
            let (at, len) = (u64_at(arguments, 8) as usize, u32_at(arguments, 16) as usize);
            Ok(drive.lock().unwrap().read(at, len))
        }
        // WRITE
        16 => {
            let (at, len) = (u64_at(arguments, 8) as usize, u32_at(arguments, 16) as usize);
            drive.lock().unwrap().write(at, &arguments[40..40 + len]);
            Ok(u64::from(len as u32).to_le_bytes().to_vec())
        }
        // FSYNC
        20 => {
            drive.lock().unwrap().flush();
            Ok(Vec::new())
        }
        // STATFS
        17 => Ok(vec![0; 80]),
        _ => Err(rustix::io::Errno::NOSYS),
    };
    let (error, body) = match result {
        Ok(body) => (0, body),
        Err(errno) => (-errno.raw_os_error(), Vec::new()),
    };
    let mut reply = ((16 + body.len()) as u32).to_le_bytes().to_vec();
    reply.extend(error.to_le_bytes());
    reply.extend(unique.to_le_bytes());
    reply.extend(body);
    Some(reply)
}

/// `fuse_init_out`: version 7.31, big writes.
fn init() -> Vec<u8> {
    const BIG_WRITES: u32 = 1 << 5;
    const MAX_PAGES: u32 = 1 << 22;
    let mut out = Vec::new();
    out.extend([7_u32, 31, 1 << 17, BIG_WRITES | MAX_PAGES].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([16_u16, 12].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([MAX_WRITE as u32, 1].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([(MAX_WRITE / 4096) as u16, 0].iter().flat_map(|n| n.to_le_bytes()));
    out.resize(64, 0);
    out
}

/// `fuse_attr`
fn attributes(node: u64, drive: &Mutex<Drive>) -> Vec<u8> {
    let (size, mode, links) = if node == ROOT {
        (0, 0o040_755_u32, 2_u32)
    } else {
        (drive.lock().unwrap().stable.len() as u64, 0o100_600, 1)
    };
    let mut out = Vec::new();
    out.extend([node, size, size / 512, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([0, 0, 0, mode, links, 0, 0, 0, 4096, 0].iter().flat_map(|n: &u32| n.to_le_bytes()));
    out
}
