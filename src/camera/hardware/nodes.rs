//! Device nodes of decoders: which are there, what they are, and whether this user may open them.
//!
//! A node of V4L2 is asked for its capabilities (VIDIOC_QUERYCAP of the Linux media API): a decoder takes pictures from
//! memory and gives pictures to memory, which a camera or a tuner does not. Render nodes are not opened, since that wakes the card:
//! the system is asked whether it would.

#![expect(unsafe_code, reason = "asking a device for its capabilities is an ioctl")]

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its place.
    pub path: PathBuf,
    /// Why it can't be opened, as the system says it.
    pub fault: Option<String>,
}

/// The device nodes of a machine that may decode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Of graphics cards.
    pub render: Vec<Node>,
    /// Of V4L2 that turn memory into memory, and those that can't be asked.
    pub codecs: Vec<Node>,
    /// Of the media API, by which stateless decoders are given their parameters.
    pub media: Vec<Node>,
}

impl Nodes {
    /// Of this machine, now.
    #[must_use]
    pub fn now() -> Self {
        let asked = |path: PathBuf| Node { fault: may_open(&path), path };
        Self {
            render: named("/dev/dri", "renderD").into_iter().map(asked).collect(),
            codecs: named("/dev", "video").into_iter().filter_map(|path| codec(&path)).collect(),
            media: named("/dev", "media").into_iter().map(asked).collect(),
        }
    }
}

/// The files in `folder` whose names are `begin` and a number, in their order.
fn named(folder: &str, begin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix(begin)?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> = entries.filter_map(|e| Some((number(&e.path())?, e.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn may_open(path: &Path) -> Option<String> {
    access(path, Access::READ_OK | Access::WRITE_OK).err().map(|error| std::io::Error::from(error).to_string())
}

/// A decoder (or an encoder, which GStreamer tells apart), or one that can't be asked; `None` for other devices.
fn codec(path: &Path) -> Option<Node> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let node = |fault| Node { path: path.to_owned(), fault };
    match open(path, flags, Mode::empty()) {
        Ok(device) => is_memory_to_memory(&device).then(|| node(None)),
        Err(error) => Some(node(Some(std::io::Error::from(error).to_string()))),
    }
}

/// `struct v4l2_capability` of linux/videodev2.h.
#[repr(C)]
struct Capability {
    driver: [u8; 16],
    card: [u8; 32],
    bus_info: [u8; 32],
    version: u32,
    capabilities: u32,
    device_caps: u32,
    reserved: [u32; 3],
}

const QUERYCAP: Opcode = opcode::read::<Capability>(b'V', 0);
/// V4L2_CAP_VIDEO_M2M and V4L2_CAP_VIDEO_M2M_MPLANE.
const MEMORY_TO_MEMORY: u32 = 0x8000 | 0x4000;
/// V4L2_CAP_DEVICE_CAPS: what this node can do is said apart from what the whole device can.
const HAS_OWN: u32 = 0x8000_0000;

fn is_memory_to_memory(device: &OwnedFd) -> bool {
    // SAFETY: the request writes one `struct v4l2_capability`, as `Capability` lays it out, and reads nothing.
    let asked = unsafe { ioctl(device, Getter::<QUERYCAP, Capability>::new()) };
    asked.is_ok_and(|told| turns_memory(told.capabilities, told.device_caps))
}

fn turns_memory(capabilities: u32, own: u32) -> bool {
    let caps = if capabilities & HAS_OWN == 0 { capabilities } else { own };
    caps & MEMORY_TO_MEMORY != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_kernels() {
        assert_eq!(std::mem::size_of::<Capability>(), 104);
        // As linux/videodev2.h makes it on x86-64 and ARM.
        assert_eq!(QUERYCAP, 0x8068_5600);
    }

    #[test]
    fn a_node_is_known_by_its_own_capabilities_where_it_tells_them() {
        assert!(turns_memory(0x8000, 0) && turns_memory(0x4000, 0) && !turns_memory(1, 0));
        // The device has a decoder and a camera; this node is the camera.
        assert!(!turns_memory(HAS_OWN | 0x8000 | 1, 1));
        assert!(turns_memory(HAS_OWN | 0x4000 | 1, 0x4000));
    }

    #[test]
    fn what_is_no_decoder_is_left_out_and_what_can_not_be_opened_is_told() {
        assert_eq!(codec(Path::new("/dev/null")), None);
        let gone = codec(Path::new("/dev/video-that-is-not-there")).unwrap();
        assert!(gone.fault.unwrap().contains("No such file"));
        assert!(may_open(Path::new("/dev/null")).is_none());
    }

    #[test]
    fn nodes_are_found_by_name_and_number_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "video", "videox", "v4l"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = named(dir.path().to_str().unwrap(), "video");
        assert_eq!(found, ["video2", "video10"].map(|name| dir.path().join(name)));
    }
}
