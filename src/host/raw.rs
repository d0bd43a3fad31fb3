//! The calls of the C library that nothing safe stands for. Nowhere else is `unsafe` allowed.

/// One arena for all threads. glibc gives each thread an arena of its own, and what a burst (ten thousand incidents) freed in one
/// is not there for another: with a dozen threads that is half of the agent's memory, and no thread here allocates enough to
/// feel the lock. Call it before the first thread starts.
pub fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "mallopt(3) is the only way to say this from inside the program")]
    // SAFETY: mallopt only sets a number inside the allocator. It is not safe beside other threads; there are none yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets SIGPIPE end this process again. Rust's runtime ignores it, and what is ignored stays so in the program that the process
/// becomes.
#[cfg(not(target_os = "macos"))]
pub(crate) fn default_sigpipe() {
    #[expect(unsafe_code, reason = "no safe wrapper exists: with a handler this call would be unsound")]
    // SAFETY: SIG_DFL installs no handler, so no code of ours can run where a signal interrupts.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
