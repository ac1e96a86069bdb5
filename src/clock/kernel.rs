//! Asks the kernel whether somebody keeps its clock (`adjtimex(2)`): true with timesyncd, chrony, ntpd and ptp4l alike.

#![expect(unsafe_code, reason = "the one system call that tells, in a file of its own")]

/// Whether the clock is kept by a time service now; `None` where the kernel may not be asked (a unit's system call
/// filter can forbid it).
pub(super) fn is_kept() -> Option<bool> {
    // SAFETY: `timex` is made of integers alone, for which zero is a value.
    let mut told: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` that is ours alone; `modes` is 0, so nothing is set.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    if state < 0 {
        return None;
    }
    Some(state != libc::TIME_ERROR && told.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_is_asked_and_not_changed() {
        assert_eq!(super::is_kept(), super::is_kept());
    }
}
