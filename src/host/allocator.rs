//! One arena for all threads. glibc gives each thread an arena of its own, and what a burst (ten thousand incidents) freed in one
//! is not there for another: with a dozen threads that is half of the agent's memory, and no thread here allocates enough to
//! feel the lock.

/// Call it before the first thread starts.
pub fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "mallopt(3) is the only way to say this from inside the program")]
    // SAFETY: mallopt only sets a number inside the allocator. It is not safe beside other threads; there are none yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
