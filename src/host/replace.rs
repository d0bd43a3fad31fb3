//! A file that takes another's place whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes beside the file, then takes its place. `synced`: it is on the disk when this returns.
///
/// # Errors
/// What failed; the file is as it was, and nothing is left beside it.
pub(crate) fn replace(path: &Path, beside: &Path, mode: u32, bytes: &[u8], synced: bool) -> io::Result<()> {
    // A leftover of a crash, or a link that somebody laid there: never written through.
    let _ = fs::remove_file(beside);
    let sync = |file: &File| if synced { file.sync_all() } else { Ok(()) };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| sync(&file)))
        .and_then(|()| fs::rename(beside, path))
        .and_then(|()| path.parent().filter(|_| synced).map_or(Ok(()), |directory| File::open(directory)?.sync_all()));
    if written.is_err() {
        let _ = fs::remove_file(beside);
    }
    written
}
