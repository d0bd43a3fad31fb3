//! Which files the kernel executes when it starts a program: itself, for a script its interpreter, and for what is linked
//! dynamically the loader (execve(2), elf(5)). Libraries are read, not executed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::abi::PT_INTERP;
use elf::endian::AnyEndian;

/// How much of the first line of a script Linux reads (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;
/// How many interpreters may lie behind each other before Linux gives up (ELOOP).
const DEEPEST: usize = 5;

/// The program and what it takes to load it.
pub(super) fn files(program: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![program.to_owned()];
    while let Some(next) = interpreter(&files[files.len() - 1])? {
        if files.len() > DEEPEST {
            return Err(Error::new(ErrorKind::InvalidData, format!("{} has too many interpreters", program.display())));
        }
        let is_loader = next.is_loader;
        files.push(next.path);
        // The kernel maps a loader without asking for another one.
        if is_loader {
            break;
        }
    }
    Ok(files)
}

struct Interpreter {
    path: PathBuf,
    is_loader: bool,
}

/// What the kernel starts in place of the file, or along with it.
fn interpreter(file: &Path) -> Result<Option<Interpreter>> {
    let mut beginning = Vec::new();
    File::open(file)?.take(FIRST_LINE).read_to_end(&mut beginning)?;
    if let Some(line) = beginning.strip_prefix(b"#!") {
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\0')).skip_while(|word| word.is_empty());
        return Ok(words.next().map(|word| Interpreter { path: path(word), is_loader: false }));
    }
    if beginning.starts_with(b"\x7fELF") { dynamic_loader(file) } else { Ok(None) }
}

fn dynamic_loader(file: &Path) -> Result<Option<Interpreter>> {
    let wrong = |error: elf::ParseError| Error::new(ErrorKind::InvalidData, format!("{}: {error}", file.display()));
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(File::open(file)?).map_err(wrong)?;
    let Some(header) = elf.segments().iter().find(|segment| segment.p_type == PT_INTERP).copied() else { return Ok(None) };
    let name = elf.segment_data(&header).map_err(wrong)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(Interpreter { path: path(name), is_loader: true }))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        std::fs::write(&file, content).unwrap();
        (dir, file)
    }

    #[test]
    fn this_very_program_has_the_loader_that_the_kernel_mapped() {
        let own = std::env::current_exe().unwrap();
        let found = files(&own).unwrap();
        assert_eq!(found[0], own);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        match found.get(1) {
            Some(loader) => {
                let real = loader.canonicalize().unwrap();
                assert!(maps.contains(real.to_str().unwrap()), "{loader:?} is mapped nowhere");
                assert_eq!(found.len(), 2);
            }
            None => assert!(!maps.contains("/ld-"), "a loader is mapped: {maps}"),
        }
    }

    #[test]
    fn a_script_has_its_interpreter_and_that_ones_loader() {
        let own = std::env::current_exe().unwrap();
        for line in [format!("#!{}\n", own.display()), format!("#! \t{} -e x\necho", own.display()), format!("#!{}", own.display())] {
            let (_dir, script) = written(line.as_bytes());
            let mut expected = vec![script.clone()];
            expected.extend(files(&own).unwrap());
            assert_eq!(files(&script).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_program_is_an_error_or_itself() {
        for content in [&b""[..], b"#!", b"#! \n", b"plain text", b"\0\0\0"] {
            let (_dir, file) = written(content);
            assert_eq!(files(&file).unwrap(), [file], "{content:?}");
        }
        for content in
            [&b"\x7fELF"[..], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", &[b"\x7fELF\x02\x01\x01".as_slice(), &[0xff; 200]].concat()]
        {
            let (_dir, file) = written(content);
            assert!(files(&file).is_err(), "{content:?}");
        }
        let (_dir, file) = written(b"");
        std::fs::write(&file, format!("#!{}", file.display())).unwrap();
        assert!(files(&file).unwrap_err().to_string().contains("too many interpreters"));
        assert_eq!(files(Path::new("/no/such/program")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
