//! Why something could not be measured, in words that an operator knows.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;

use crate::clock::in_words;

/// A rate was measured for the first time.
pub(crate) const SECOND_LOOK: &str = "needs a second look";

/// A slow rate was not measured for long enough.
pub(crate) const TOO_SHORT: &str = "seen for too short a time";

/// Whether nothing is wrong but that too little time has passed.
pub(crate) fn is_not_yet(reason: &str) -> bool {
    [SECOND_LOOK, TOO_SHORT].contains(&reason)
}

/// What an input or output error means, without the number of the system's error. `timeout` is the deadline that was set.
pub(crate) fn io(error: &Error, timeout: Duration) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => timed_out(timeout),
        ErrorKind::UnexpectedEof => "connection closed early".to_owned(),
        ErrorKind::NotFound => "no such file".to_owned(),
        _ => plain(error),
    }
}

/// The error's own text in lower case, without `(os error 13)`.
pub(crate) fn plain(error: &Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(|| "failed".to_owned(), |first| first.to_lowercase().chain(letters).collect())
}

/// Why a name has no address. What a resolver says is told apart by its text only: the library keeps no number of it.
pub(crate) fn look_up(error: &Error) -> String {
    if error.to_string().contains("Temporary failure") {
        return "the name cannot be looked up now: no name server answers, or it fails".to_owned();
    }
    "host not found".to_owned()
}

/// The deadline has passed.
pub(crate) fn timed_out(timeout: Duration) -> String {
    format!("timed out after {}", in_words(timeout))
}

/// Whether the host is out of descriptors, ports or memory: then the failure says nothing about the target.
pub(crate) fn is_our_own(error: &Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_without_their_numbers() {
        let refused = Error::from_raw_os_error(Errno::CONNREFUSED.raw_os_error());
        assert_eq!(io(&refused, Duration::from_secs(5)), "connection refused");
        assert_eq!(io(&ErrorKind::TimedOut.into(), Duration::from_secs(5)), "timed out after 5 s");
        assert!(!is_our_own(&refused) && is_our_own(&Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
    }
}
