//! The calls of the C library that nothing safe stands for. Nowhere else is `unsafe` allowed.

/// From this size on (bytes) a block is a mapping of its own, given back as soon as it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 128 * 1024;

/// Sets up glibc's allocator: what a burst of ten thousand incidents freed goes back to the system or is there for others. Call it
/// before the first thread starts.
///
/// One arena for all threads: glibc gives each thread one of its own, and what was freed in one is not there for another. With a
/// dozen threads that is half of the agent's memory, and no thread here allocates enough to feel the lock.
///
/// Large blocks, such as a pass over thousands of targets, stay mappings of their own: after the first one that is freed glibc
/// would take them from the heap, where small blocks that live long keep them from ever being given back.
pub fn set_up_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "mallopt(3) is the only way to say this from inside the program")]
    // SAFETY: mallopt only sets numbers inside the allocator. It is not safe beside other threads; there are none yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
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
