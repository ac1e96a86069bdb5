//! The end of a process that can't be ended in order.
//!
//! Threads that hang in native code make an ordinary exit a danger of its own: it runs the destructors of libraries that are
//! still at work. So this one runs nothing; the kernel takes everything back.

#![expect(unsafe_code, reason = "the one call that ends a process and runs nothing else, in a file of its own")]

/// Exit code of a daemon that left threads behind (`EX_SOFTWARE` of sysexits.h).
pub(super) const EXIT_CODE: i32 = 70;

/// Ends the process now.
pub(super) fn end_at_once(code: i32) -> ! {
    // SAFETY: takes a number, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}
