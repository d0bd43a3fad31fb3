//! Native actions: what the agent does itself instead of running a program. Each takes plain values, after the guard has allowed
//! the line that they stand for; none trusts the file system or the process table any further for that.
//!
//! All answer `Ok` with what there is to show or `Err` with the reason of the failure, look at their [`Limit`] often, and start
//! nothing that outlives it (see [`Outcome::native`]).
//!
//! [`Limit`]: crate::heal::outcome::Limit
//! [`Outcome::native`]: crate::heal::outcome::Outcome::native

pub mod archive_log;
mod archive_names;
pub mod delete_files;
pub mod http;
pub mod signal_process;
pub mod top_processes;

/// The reason given by an action that was ended because its time was over or the agent stops.
fn ended_early(limit: &crate::heal::outcome::Limit) -> &'static str {
    if limit.stop.load(std::sync::atomic::Ordering::Relaxed) { "the agent stops" } else { "its time was over" }
}

/// MiB with one decimal, as people read them.
pub(super) fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let size = bytes as f64 / f64::from(1 << 20);
    format!("{size:.1} MiB")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::clock::Moment;
    use crate::heal::outcome::Limit;

    /// A limit that ends `seconds` from now.
    pub(in crate::heal) fn limit(seconds: u64) -> Limit {
        Limit { deadline: Moment::now().after(Duration::from_secs(seconds)), stop: Arc::default() }
    }

    #[test]
    fn an_early_end_names_its_cause() {
        let limit = limit(60);
        assert_eq!(super::ended_early(&limit), "its time was over");
        limit.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(super::ended_early(&limit), "the agent stops");
        assert_eq!(super::mebibytes(1_572_864), "1.5 MiB");
    }
}
