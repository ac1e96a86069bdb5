//! What a decode worker can't do any more once it is fenced in. There is no way back.
//!
//! | part | what it takes away |
//! |---|---|
//! | `prctl` | new privileges; core dumps and being traced; outliving the daemon |
//! | `oom_score_adj` | outliving others when memory is short |
//! | rlimits | memory beyond a bound, core files, writing to files, many descriptors |
//! | Landlock | every file but libraries, certificates and the cameras' own; TCP but to the cameras' ports; signals to others |
//! | seccomp | programs, listening, unix sockets and odd ones, tracing, mounts, modules, keys, changes to files |
//!
//! Landlock knows ports and no hosts, and no UDP. What the kernel does not offer is told, and the worker runs without it: a box that watches is better than
//! one that does not.

#![expect(
    unsafe_code,
    reason = "three calls without a safe door: ignoring signals, leaving at once, asking for the version of Landlock"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::carry::place;
use super::wire::Limits;

/// What is asked of Landlock; a kernel with less gives less.
const NEWEST: ABI = ABI::V9;

/// Read by libraries: loading plugins, names of hosts, certificates, what the processor can do.
const SYSTEM: [&str; 30] = [
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/alternatives",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/gnutls",
    "/etc/crypto-policies",
    "/etc/pkcs11",
    "/etc/OpenCL",
    "/etc/vdpau_wrapper.cfg",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system",
    "/dev/urandom",
];

/// Names of folders in the environment that libraries read as well.
const NAMED: [&str; 9] = [
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_PATH_1_0",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_PLUGIN_SYSTEM_PATH_1_0",
    "GIO_EXTRA_MODULES",
    "LIBVA_DRIVERS_PATH",
    "LD_LIBRARY_PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// Of hardware, what their names begin with: only for cameras that are devices, and for pipelines of one's own; one of the program's has what its own
/// decoder opens ([`Api::devices`](crate::camera::hardware::Api::devices)). Capture and graphics cards; decoders of
/// Rockchip, Jetson, i.MX, Raspberry Pi and others, and the heaps of memory that they share pictures in.
pub(super) const DEVICES: [&str; 20] = [
    "/dev/dri",
    "/dev/media",
    "/dev/video",
    "/dev/nvidia",
    "/dev/nvhost",
    "/dev/nvmap",
    "/dev/nvgpu",
    "/dev/nvsciipc",
    "/dev/mpp_service",
    "/dev/vpu",
    "/dev/hevc",
    "/dev/rkvdec",
    "/dev/rga",
    "/dev/mali",
    "/dev/galcore",
    "/dev/mxc_",
    "/dev/vchiq",
    "/dev/rpivid",
    "/dev/ion",
    "/dev/dma_heap",
];

/// What drivers in programs read beside.
const DRIVERS: [&str; 5] = ["/sys", "/run/udev", "/proc/device-tree", "/proc/driver/nvidia", "/etc/nv_tegra_release"];

/// How readily the kernel ends it when memory is short: before all others.
const FIRST_TO_GO: &str = "1000";
const HOW_READILY: &str = "/proc/self/oom_score_adj";

/// Descriptors that may be open: sockets, plugins, files.
const MOST_FILES: u64 = 1_024;
/// Stack of threads that the libraries start; ours say their own.
const STACK: u64 = 2 << 20;

/// Ends with the daemon and not before, and can't be looked into. First thing of all.
pub(super) fn bind_to_parent() {
    // Sent to every process of a unit or a terminal when the daemon is to stop: the daemon hangs up when it has stopped.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // Before the next: who can't be looked into has no such file of its own. Whether it was taken is looked at when the fence is up.
    let _ = std::fs::write(HOW_READILY, FIRST_TO_GO);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Ends the process at once, without asking its threads.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: takes a number and does not return; nothing of this process is to be kept.
    unsafe { libc::_exit(code) }
}

/// Puts up the fence; what could not be done, and what holds, for people. Called while the process has one thread.
pub(super) fn enclose(limits: &Limits) -> (Vec<String>, Vec<String>) {
    let mut lacks = Vec::new();
    let mut holds = Vec::new();
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        lacks.push(format!("new privileges can't be ruled out ({error})"));
    }
    if let Err(error) = bound(limits.bytes) {
        lacks.push(format!("its memory can't be bounded ({error})"));
    } else {
        holds.push(format!("{} MiB of memory, no files written, no core dump", limits.bytes >> 20));
    }
    if std::fs::read_to_string(HOW_READILY).is_ok_and(|how| how.trim() == FIRST_TO_GO) {
        holds.push("ended before all others when memory is short".to_owned());
    } else {
        lacks.push(format!("memory that is short may cost another process ({HOW_READILY} can't be set)"));
    }
    let walls = wall(limits);
    if let (Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced), Some(abi)) =
        (&walls, landlock_version())
    {
        let ports = if abi >= 4 { " and TCP ports" } else { "" };
        holds.push(format!("Landlock {abi}: files{ports}"));
    }
    match walls {
        Ok(RulesetStatus::FullyEnforced) => {}
        Ok(RulesetStatus::PartiallyEnforced) => match landlock_version() {
            Some(abi) if abi >= 4 => {}
            Some(abi) => lacks.push(format!("Landlock of this kernel (version {abi}) bounds files and no ports")),
            None => lacks.push("Landlock of this kernel bounds a part only".to_owned()),
        },
        Ok(RulesetStatus::NotEnforced) => {
            lacks.push("this kernel has no Landlock: files and ports are not bounded".to_owned());
        }
        Err(error) => lacks.push(format!("files and ports are not bounded (Landlock: {error})")),
    }
    if let Err(error) = filter(|program| seccompiler::apply_filter_all_threads(program)) {
        lacks.push(format!("system calls are not filtered (seccomp: {error})"));
    } else {
        holds.push("seccomp: system calls".to_owned());
    }
    (lacks, holds)
}

fn bound(bytes: u64) -> rustix::io::Result<()> {
    // Code that is made while running wants a file first, and takes memory when it gets none.
    // SAFETY: ignoring a signal installs no handler.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let fixed = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Core, fixed(0))?;
    setrlimit(Resource::Fsize, fixed(0))?;
    setrlimit(Resource::Nofile, fixed(MOST_FILES))?;
    setrlimit(Resource::Stack, fixed(STACK))?;
    setrlimit(Resource::Data, fixed(bytes.max(256 << 20)))
}

fn wall(limits: &Limits) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, reading))?
        .add_rules(path_beneath_rules(named(), reading))?
        .add_rules(path_beneath_rules(limits.reads.iter().map(|path| place(path)), reading))?;
    rules = write_to(rules, Path::new("/dev/null"))?;
    if !limits.devices.is_empty() {
        for folder in folders(&limits.devices) {
            // Its names, and nothing in it.
            rules = rules.add_rules(path_beneath_rules([folder], AccessFs::ReadDir))?;
        }
        for path in devices(&limits.devices) {
            rules = write_to(rules, &path)?;
        }
        rules = rules.add_rules(path_beneath_rules(DRIVERS, reading))?;
    }
    for port in &limits.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// What the environment names: it is the daemon's, without what could be secret.
fn named() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/gstreamer-1.0"));
    let lists = NAMED.iter().filter_map(std::env::var_os);
    let all = lists.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>()).chain(own);
    all.filter(|path| path.is_absolute() && path.exists()).collect()
}

/// A device may be opened for reading and writing, where it is there.
fn write_to(rules: RulesetCreated, path: &Path) -> Result<RulesetCreated, RulesetError> {
    let Ok(fd) = PathFd::new(path) else { return Ok(rules) };
    let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let access = if path.is_dir() { access | AccessFs::ReadDir } else { access };
    rules.add_rule(PathBeneath::new(fd, access))
}

/// The devices whose names begin so, as far as they are there.
fn devices(begins: &[String]) -> Vec<PathBuf> {
    let places = ["/dev"].into_iter().chain(folders(begins));
    let found = places.filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten().map(|entry| entry.path());
    found.filter(|path| begins.iter().any(|known| path.to_string_lossy().starts_with(known))).collect()
}

/// Folders of graphics cards, where only some of what is in them may be opened: libraries look through the names.
fn folders(begins: &[String]) -> impl Iterator<Item = &'static str> {
    let is_within = begins.iter().any(|begin| begin.starts_with("/dev/dri/"));
    is_within.then_some("/dev/dri").into_iter()
}

/// The version of the kernel's Landlock.
fn landlock_version() -> Option<i64> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: asked for the version, the call takes no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    Some(version).filter(|version| *version > 0)
}

/// Calls that no decoder needs.
const REFUSED: [i64; 58] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_mknodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat2,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
];

/// The same under their older names.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLDER: [i64; 13] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_iopl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLDER: [i64; 0] = [];

/// Kinds of sockets that may be made: to cameras, and to ask which addresses this machine has.
const FAMILIES: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Puts a filter up: for all threads, or in tests for one.
type Install = fn(&BpfProgram) -> Result<(), seccompiler::Error>;

fn filter(install: Install) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(&REFUSED_OLDER).map(|call| (*call, Vec::new())).collect();
    let is_not = |family: &i32| {
        let family = u64::try_from(*family).unwrap_or(u64::MAX);
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    let others = FAMILIES.iter().map(is_not).collect::<Result<_, _>>().map_err(|e| told(&e))?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others).map_err(|e| told(&e))?]);
    // Signals go nowhere but to itself: `abort` uses tgkill.
    rules.insert(libc::SYS_kill, Vec::new());
    // Threads, but no processes.
    let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or(0);
    let process = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), 0);
    let process = SeccompRule::new(vec![process.map_err(|e| told(&e))?]).map_err(|e| told(&e))?;
    rules.insert(libc::SYS_clone, vec![process]);
    refuse_with(libc::EPERM, rules, install)?;
    // What it asks for lies in memory, where a filter can't look: the C library then takes the call above.
    refuse_with(libc::ENOSYS, BTreeMap::from([(libc::SYS_clone3, Vec::new())]), install)
}

/// Has these calls answered by an error.
fn refuse_with(error: i32, rules: BTreeMap<i64, Vec<SeccompRule>>, install: Install) -> Result<(), String> {
    let refuse = SeccompAction::Errno(u32::try_from(error).unwrap_or(1));
    let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|e| e.to_string())?;
    let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    install(&program).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn behind_the_fence_there_are_the_cameras_files_and_ports_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (own, store) = (dir.path().join("own.mp4"), dir.path().join("ledger.bin"));
        std::fs::write(&own, "video").unwrap();
        std::fs::write(&store, "secret").unwrap();
        let listen = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (camera, elsewhere) = (listen(), listen());
        let at = |listener: &TcpListener| listener.local_addr().unwrap();
        let reads = vec![own.as_os_str().as_bytes().to_vec().into()];
        let limits = Limits { reads, ports: vec![at(&camera).port()], devices: Vec::new(), bytes: 0 };
        let (camera_at, elsewhere_at) = (at(&camera), at(&elsewhere));
        // Both fences are of one thread here; in a worker there is only one when they are put up.
        let thread = std::thread::spawn(move || {
            let walls = wall(&limits).unwrap();
            filter(|program| seccompiler::apply_filter(program)).unwrap();
            let kind = |error: std::io::Error| error.kind();
            let denied = Some(ErrorKind::PermissionDenied);
            if walls == RulesetStatus::NotEnforced {
                eprintln!("no Landlock here: files and ports are not tried");
            } else {
                assert_eq!(std::fs::read(&own).unwrap(), b"video");
                assert_eq!(std::fs::read(&store).map_err(kind).err(), denied);
                assert_eq!(std::fs::write(&own, "other").map_err(kind).err(), denied);
                assert_eq!(std::fs::read_dir("/root").map(drop).map_err(kind).err(), denied);
            }
            if landlock_version().is_some_and(|version| version >= 4) {
                assert!(TcpStream::connect(camera_at).is_ok());
                assert_eq!(TcpStream::connect(elsewhere_at).map_err(kind).err(), denied);
                assert_eq!(TcpListener::bind(("127.0.0.1", 0)).map_err(kind).err(), denied);
            }
            assert_eq!(UnixStream::connect("/run/any").map_err(kind).err(), denied);
            assert_eq!(std::process::Command::new("/bin/true").status().map_err(kind).err(), denied);
            // Threads go on.
            std::thread::spawn(|| ()).join().unwrap();
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_device_can_be_opened_where_the_pipeline_needs_it_and_no_other_one() {
        // Devices of every machine stand for those of decoders: the rules are the same.
        let limits = Limits { devices: vec!["/dev/zer".to_owned()], ..Limits::default() };
        let open = |path: &str| std::fs::File::options().read(true).write(true).open(path).map_err(|e| e.kind()).err();
        let denied = Some(ErrorKind::PermissionDenied);
        for (limits, zero) in [(limits, None), (Limits::default(), denied)] {
            let thread = std::thread::spawn(move || {
                if wall(&limits).unwrap() == RulesetStatus::NotEnforced {
                    eprintln!("no Landlock here: devices are not tried");
                    return;
                }
                assert_eq!((open("/dev/zero"), open("/dev/full")), (zero, denied));
                // What drivers read is there with a device alone.
                assert_eq!(std::fs::read_dir("/sys/class").is_ok(), zero.is_none());
            });
            thread.join().unwrap();
        }
    }

    #[test]
    fn of_graphics_cards_render_nodes_alone_are_let_through_with_the_names_beside_them() {
        let of = |begins: &[&str]| begins.iter().map(|&begin| begin.to_owned()).collect::<Vec<_>>();
        assert_eq!(folders(&of(&["/dev/dri/renderD"])).collect::<Vec<_>>(), ["/dev/dri"]);
        assert_eq!(folders(&of(&["/dev/dri", "/dev/video"])).count(), 0);
        assert!(devices(&of(&["/dev/ful", "/dev/zer"])).len() == 2);
        assert!(devices(&[]).is_empty());
    }
}
