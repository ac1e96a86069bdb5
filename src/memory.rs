//! The C library's allocator, told what it cannot know: how many arenas are of use, and when much was freed at once.
//!
//! What is hot (pictures, tensors) is kept and reused, and asks no allocator.

#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library has no safe door to it; all of it is in this file")
)]

/// From this size on the system is asked directly, bytes.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 << 10;
/// What may lie free at the heap's end, bytes.
#[cfg(target_env = "gnu")]
const SPARE: libc::c_int = 2 << 20;

/// Two arenas, not eight a core: threads that come and go with cameras leave pieces in each, and memory grows by them for days. And what is large
/// goes back as soon as it is free. (Left alone, the allocator takes ever larger things from its heap, where they are cut up:
/// a list of a megabyte that was read once makes it so. A daemon without cameras took 28 MiB of its own that way, and takes 22.)
/// Called before there are other threads.
pub fn keep_together() {
    #[cfg(target_env = "gnu")]
    // SAFETY: each takes two numbers, and there are no other threads that allocate.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE);
    }
}

/// Gives free pages back to the system. After work that took much once, such as the deletion of a day: the allocator would keep
/// them for ever. Milliseconds, in which others may wait for memory: nothing for a frame's way.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
