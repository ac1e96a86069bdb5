//! A limit on the memory that models may take while they run.
//!
//! A graph can compute a size as it runs, which no look at its file foretells. All sessions take their tensors from one arena
//! of the library with a limit; what would exceed it is an error of that run, and the other models go on. What
//! the library computes of constants alone, while it loads a model, is not taken from it: sizes that stand in the file are
//! judged beforehand (`inspect`), sizes that are computed there are bounded by the process's limit of memory alone.
#![expect(unsafe_code, reason = "the library's arenas have no safe door; all of it is in this file")]

use std::ptr;

use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

/// Most bytes that all models together may hold; less on a machine with less than twice as much.
const MAX_BYTES: usize = 2 << 30;

/// Gives the environment an arena with a limit. Sessions use it when they are made with `with_env_allocators`.
///
/// # Errors
/// What the library says.
pub(super) fn limit(environment: &Environment) -> Result<(), String> {
    let told = |e: ort::Error| e.to_string();
    let place = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default).map_err(told)?;
    let key = c"max_mem".as_ptr();
    let bytes = half_of_memory().map_or(MAX_BYTES, |half| half.min(MAX_BYTES));
    let mut settings = ptr::null_mut();
    let api = ort::api();
    // SAFETY: one key, nul-terminated and static, and one value, both alive during the call; `settings` is written on
    // success only, and only then used. The status is handed over once.
    unsafe {
        ort::Error::result_from_status((api.CreateArenaCfgV2)(&raw const key, &raw const bytes, 1, &raw mut settings))
    }
    .map_err(told)?;
    // SAFETY: environment, place and settings are alive; the library copies what it needs of the latter two. The
    // environment is the library's own shared object, which it guards by a lock.
    let registered = unsafe {
        let status = (api.CreateAndRegisterAllocator)(environment.ptr().cast_mut(), place.ptr(), settings);
        ort::Error::result_from_status(status)
    };
    // SAFETY: made above, released once.
    unsafe { (api.ReleaseArenaCfg)(settings) };
    registered.map_err(told)
}

/// Half of the machine's memory, in bytes.
fn half_of_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim();
    kib.parse::<usize>().ok()?.checked_mul(1024 / 2)
}
