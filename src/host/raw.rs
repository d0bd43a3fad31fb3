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

/// Gives back what only the start or a reload needed: when the agent is ready, and when it has settled.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "malloc_trim(3) is the only way to have what was freed between blocks that live on given back")]
    // SAFETY: malloc_trim takes its own locks and touches nothing but memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
    give_back_code();
}

/// Gives back the pages of the program's code: they stay in the system's cache of the file, and those that are called come back, 64 KiB
/// at a time. Half of the memory that the agent shows are pages that only its start needed, and code that was not called for a while is
/// the first that a host without memory takes, and must come from its disk again.
#[cfg(target_os = "linux")]
fn give_back_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in code(&maps) {
        #[expect(unsafe_code, reason = "no safe wrapper exists: on memory that was written to, the writes would be lost")]
        // SAFETY: the range is one of the program's own file mappings that the kernel lists as not writable, up to the code. The
        // linker puts what the loader relocates behind it, so the program never writes there (a debugger's breakpoints
        // would vanish), and a page that is read again comes
        // from the same file: the kernel keeps a running program from being written to (ETXTBSY).
        let _ = unsafe { rustix::mm::madvise(start as *mut core::ffi::c_void, length, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Only Linux shows such pages as the agent's own.
#[cfg(not(target_os = "linux"))]
fn give_back_code() {}

/// The program's own file mappings up to its code, by start and length, from the lines of `/proc/self/maps` (proc(5)).
#[cfg(target_os = "linux")]
fn code(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut program = None;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [range, rights, _, device, inode, ..] = fields[..] else { continue };
        // The program is the first file of its own map.
        if inode == "0" || *program.get_or_insert((device, inode)) != (device, inode) || rights.contains('w') {
            break;
        }
        let ends = range
            .split_once('-')
            .and_then(|(start, end)| Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?)));
        found.extend(ends.map(|(start, end)| (start, end.saturating_sub(start))));
        if rights.contains('x') {
            return found;
        }
    }
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_before_the_end_of_the_code_is_code() {
        let maps = "\
55dcff618000-55dcff61b000 r--p 00000000 fe:00 247749                     /usr/bin/x y
55dcff61b000-55dcff62f000 r-xp 00003000 fe:00 247749                     /usr/bin/x y
55dcff62f000-55dcff635000 r--p 00017000 fe:00 247749                     /usr/bin/x y
55dcff636000-55dcff637000 rw-p 0001e000 fe:00 247749                     /usr/bin/x y
7fe1e6754000-7fe1e67ab000 r-xp 00000000 fe:00 316534                     /usr/lib/libc.so
";
        assert_eq!(code(maps), [(0x55dc_ff61_8000, 0x3000), (0x55dc_ff61_b000, 0x14000)]);
        let writable = "1000-2000 rw-p 0 fe:00 5 /x\n2000-3000 r-xp 0 fe:00 5 /x\n";
        let others = "1000-2000 r--p 0 fe:00 5 /x\n2000-3000 r-xp 0 fe:00 6 /lib\n";
        for maps in ["", writable, others, "1000-2000 r-xp 0 00:00 0 [vdso]\n", "nonsense"] {
            assert_eq!(code(maps), [], "{maps}");
        }
    }

    #[test]
    fn the_program_goes_on_when_its_code_and_free_memory_were_given_back() {
        assert!(!code(&std::fs::read_to_string("/proc/self/maps").unwrap()).is_empty());
        give_back();
        assert_eq!("1,2,3".split(',').filter_map(|digit| digit.parse::<u32>().ok()).sum::<u32>(), 6);
    }
}
