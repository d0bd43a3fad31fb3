use crossbeam_channel::{bounded, unbounded};

use super::*;
use crate::collect::Collector;
use crate::collect::test_rig::{Child, answering, endpoint, process_entry, read_head, sample, server, settings, silent, wait_until};
use crate::collect::{Collectors, Exclusions, Measured, Want};
use crate::config::settings::Settings;
use crate::config::settings::{DiskEntry, Disks, EndpointEntry, LogEntry, ProcessMatch};
use crate::metric;
use crate::sample::{Labels, Value};

#[path = "gone_tests.rs"]
mod gone;
#[path = "order_tests.rs"]
mod orders;

const FAST: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_hours(1);

/// Running collectors and the ends of their channels.
struct Running {
    collectors: Collectors,
    orders: Sender<Order>,
    samples: Receiver<Batch>,
    stop: Option<Sender<()>>,
}

impl Running {
    fn new(settings: Settings) -> Self {
        let (sender, samples) = bounded(1024);
        let (stop, shutdown) = bounded(0);
        let (collectors, orders) = Collectors::start(Arc::new(settings), sender, shutdown);
        Self { collectors, orders, samples, stop: Some(stop) }
    }

    /// The next sample of this metric for this label value.
    #[track_caller]
    fn next(&self, metric: &str, label: Option<(&str, &str)>) -> Sample {
        let mut found = None;
        wait_until(metric, || {
            let batch = self.samples.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            let wanted = |sample: &Sample| {
                sample.metric.name == metric && label.is_none_or(|(name, value)| sample.target.identity.get(name) == Some(value))
            };
            found = batch.samples.into_iter().find(wanted);
            found.is_some()
        });
        found.unwrap()
    }

    fn ask(&self, wants: &[(&'static str, Labels)], limit: Duration) -> Measured {
        let (reply, answers) = unbounded();
        let wants = wants.iter().map(|(name, identity)| Want { metric: metric::named(name), identity: identity.clone() }).collect();
        let deadline = Moment::now().after(limit);
        self.orders.send(Order::Measure(Fresh { token: 7, wants, deadline, reply })).unwrap();
        let answer = answers.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(answer.token, 7);
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        assert_eq!(self.collectors.worker().ended().recv_timeout(Duration::from_secs(10)), Ok(true), "the thread ends at shutdown");
    }
}

/// An endpoint that hangs for as long as the test lives.
fn hung(name: &str) -> EndpointEntry {
    let url = format!("http://{}/", silent());
    EndpointEntry { timeout: SLOW, ..endpoint(name, &url) }
}

fn label(name: &'static str, value: &str) -> Labels {
    Labels::from([(name, value)])
}

#[test]
fn hung_endpoints_delay_nobody_else() {
    let mut settings = settings();
    settings.watch.memory = Some(FAST);
    settings.watch.endpoints = (0..30).map(|number| hung(&format!("hung-{number}"))).collect();
    let healthy = format!("http://{}/", answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    settings.watch.endpoints.push(EndpointEntry { interval: FAST, ..endpoint("healthy", &healthy) });
    let running = Running::new(settings);
    for _ in 0..5 {
        running.next("memory_usage", None);
        assert_eq!(running.next("api_status", Some(("endpoint", "healthy"))).value, Some(Value::Text("up".into())));
    }
}

#[test]
fn a_tick_that_finds_its_target_hanging_is_late_and_not_queued() {
    let mut settings = settings();
    settings.watch.endpoints = vec![EndpointEntry { interval: Duration::from_millis(20), ..hung("hung") }];
    let running = Running::new(settings);
    let counts = running.collectors.counts();
    wait_until("ticks are counted as late", || counts.late() > 10);
    assert!(running.samples.try_iter().all(|batch| batch.samples.is_empty()));
}

#[test]
fn everything_is_measured_at_once_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.watch.memory = Some(SLOW);
    settings.watch.disks = Disks::List(vec![DiskEntry { mount: "/".into(), interval: SLOW }]);
    settings.watch.logs = vec![LogEntry { path: format!("{}/none.log", dir.path().display()), recursive: false, interval: SLOW }];
    let running = Running::new(settings);
    let first = running.samples.recv_timeout(Duration::from_secs(10)).unwrap();
    for metric in ["memory_usage", "disk_usage", "log_file_size_mb"] {
        assert_eq!(sample(&first.samples, metric).interval, SLOW);
    }
}

#[test]
fn a_fresh_measurement_is_answered_though_another_target_hangs() {
    let child = Child::sleeping();
    let pattern = regex::Regex::new(&format!("^sleep {}$", regex::escape(child.argument()))).unwrap();
    let mut settings = settings();
    settings.watch.endpoints = vec![hung("hung")];
    settings.watch.processes = vec![process_entry("web", ProcessMatch::Pattern(pattern))];
    let running = Running::new(settings);
    assert_eq!(running.next("process_status", None).value, Some(Value::Text("running".into())));
    drop(child);
    let web = label("process_name", "web");
    let asked = Moment::now();
    let answer = running.ask(&[("process_status", web.clone())], SLOW);
    let status = sample(&answer.samples, "process_status");
    assert_eq!(status.value, Some(Value::Text("stopped".into())));
    assert!(status.at >= asked);
    // The ordinary channel has it too.
    assert_eq!(running.next("process_status", None).value, Some(Value::Text("stopped".into())));
    // What hangs is missing at the deadline, the rest is there.
    let both = [("api_status", label("endpoint", "hung")), ("process_status", web)];
    let answer = running.ask(&both, Duration::from_millis(200));
    assert!(answer.samples.iter().all(|sample| sample.metric.kind == metric::Kind::Process) && !answer.samples.is_empty());
}

#[test]
fn changed_settings_keep_what_was_seen_and_drop_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    std::fs::write(&path, "x").unwrap();
    let entry = |interval| LogEntry { path: path.display().to_string(), recursive: false, interval };
    let mut first = settings();
    first.watch.logs = vec![entry(SLOW)];
    let mut second = settings();
    second.watch.logs = vec![entry(FAST)];
    second.watch.memory = Some(SLOW);
    let running = Running::new(first);
    running.next("log_file_size_mb", None);
    std::fs::remove_file(&path).unwrap();
    running.orders.send(Order::Watch(Arc::new(second))).unwrap();
    let log = running.next("log_file_size_mb", None);
    assert_eq!((log.value, log.interval), (Some(Value::Number(0.0)), FAST), "seen before, absent now");
    running.orders.send(Order::Watch(Arc::new(settings()))).unwrap();
    assert!(running.ask(&[("memory_usage", Labels::default())], SLOW).samples.is_empty());
    assert!(running.ask(&[("log_file_size_mb", Labels::default())], SLOW).samples.is_empty());
}

#[test]
fn samples_that_nobody_takes_do_not_stop_the_schedule() {
    let (sender, samples) = bounded(1);
    let (_stop, shutdown) = bounded(0);
    let mut settings = settings();
    settings.watch.memory = Some(Duration::from_millis(10));
    let (collectors, _orders) = Collectors::start(Arc::new(settings), sender, shutdown);
    let counts = collectors.counts();
    wait_until("samples coalesce", || counts.coalesced() > 50);
    assert!(samples.recv().is_ok());
    drop(samples);
    assert_eq!(collectors.worker().ended().recv_timeout(Duration::from_secs(10)), Ok(true), "nobody listens: it ends");
}

/// Panics every other time.
struct Flaky(u32);

impl Collector for Flaky {
    fn measure(&mut self) -> Vec<Sample> {
        self.0 += 1;
        assert!(self.0.is_multiple_of(2), "on purpose");
        vec![Sample::known(metric::named("memory_usage"), &Arc::default(), Value::Number(f64::from(self.0)), Moment::now())]
    }
}

#[test]
fn a_panic_makes_unknown_samples_and_the_collector_goes_on() {
    let (sender, samples) = bounded(1024);
    let counts = Arc::new(Counts::default());
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::clone(&counts));
    let id = scheduler.insert(Entry::Memory(FAST), "flaky".to_owned(), Box::new(Flaky(0)), Moment::now());
    for _ in 0..4 {
        scheduler.begin(id);
        scheduler.turn_ends(Moment::now()).unwrap();
    }
    let values: Vec<_> = samples.try_iter().map(|batch| sample(&batch.samples, "memory_usage").clone()).collect();
    let known: Vec<_> = values.iter().map(|sample| sample.value.clone()).collect();
    assert_eq!(known, [None, Some(Value::Number(2.0)), None, Some(Value::Number(4.0))]);
    assert!(values[0].reason.as_ref().unwrap().contains("panicked"));
    assert_eq!(counts.panics(), 2);
}

#[test]
fn ticks_are_absolute() {
    let seconds = Duration::from_secs;
    for (due, now, next, missed) in [(10, 10, 15, 0), (10, 14, 15, 0), (10, 15, 20, 1), (10, 16, 20, 1), (10, 100, 105, 18)] {
        assert_eq!(next_tick(seconds(due), seconds(5), seconds(now)), (seconds(next), missed), "due {due} now {now}");
    }
}

#[test]
fn a_late_tick_does_not_move_the_next_one() {
    let (sender, _samples) = bounded(1024);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let start = Moment::now();
    let collector = Entry::Memory(FAST).collector(&scheduler.shared);
    let id = scheduler.insert(Entry::Memory(FAST), String::new(), collector, start);
    // Each turn comes up to 90 ms late; over 100 turns nothing adds up.
    for turn in 0..100_u32 {
        scheduler.tick(start.after(FAST * turn + Duration::from_millis(u64::from(turn * 7 % 91))));
        assert_eq!(scheduler.slots[&id].due, start.running + FAST * (turn + 1));
    }
}

/// Memory, and an endpoint that hangs.
fn with_a_hung_endpoint() -> (Scheduler, Receiver<Batch>, Moment) {
    let (sender, samples) = bounded(8);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let now = Moment::now();
    for entry in [Entry::Memory(SLOW), Entry::Endpoint(hung("hung"))] {
        let collector = entry.collector(&scheduler.shared);
        scheduler.insert(entry, String::new(), collector, now);
    }
    (scheduler, samples, now)
}

#[test]
fn what_was_measured_waits_for_what_is_under_way_a_moment_and_no_longer() {
    let (mut scheduler, samples, now) = with_a_hung_endpoint();
    assert!(!scheduler.gathers(now), "there is nothing to gather");
    scheduler.tick(now);
    assert!(scheduler.gathers(now) && scheduler.wait(now) <= GATHER);
    let later = scheduler.gathering.unwrap();
    assert!(!scheduler.gathers(later));
    scheduler.turn_ends(later).unwrap();
    assert!(!samples.recv().unwrap().samples.is_empty());
    // Whoever hangs for ever must not make the thread turn for ever.
    scheduler.pool.grow(later);
    wait_until("it is under way", || scheduler.pool.next_look().is_none());
    assert!(!scheduler.gathers(later));
    assert_eq!(scheduler.wait(later), LONGEST_WAIT);
}

#[test]
fn a_turn_with_endpoints_is_one_batch() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut settings = settings();
    settings.watch.memory = Some(SLOW);
    settings.watch.endpoints = (0..5).map(|number| endpoint(&format!("e{number}"), &format!("http://{address}/"))).collect();
    let (sender, samples) = bounded(8);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    scheduler.watch(&settings);
    scheduler.tick(Moment::now());
    wait_until("all are back", || {
        scheduler.pool.grow(Moment::now());
        scheduler.results();
        scheduler.pool.open() == 0
    });
    assert!(!scheduler.gathers(Moment::now()), "nothing is under way any more");
    scheduler.turn_ends(Moment::now()).unwrap();
    let batch = samples.recv().unwrap();
    assert_eq!(batch.samples.iter().filter(|sample| sample.metric.name == "api_status").count(), 5);
    sample(&batch.samples, "memory_usage");
    assert!(samples.is_empty());
}

#[test]
fn what_is_due_to_leave_does_not_make_the_thread_spin_while_it_gathers() {
    let (mut scheduler, _samples, now) = with_a_hung_endpoint();
    let gone = Gone { kind: Kind::LogFile, identity: label("path", "/x") };
    scheduler.leaving.push(Leaving::new(gone, Duration::ZERO, now));
    scheduler.tick(now);
    scheduler.pool.grow(now);
    wait_until("it is under way", || scheduler.pool.next_look().is_none());
    assert!(!scheduler.gathers(now) || !scheduler.wait(now).is_zero(), "turn after turn without a pause, until it has gathered");
}

/// A file system in which a directory is open cannot be unmounted.
#[test]
#[cfg(target_os = "linux")]
fn no_directory_of_watched_files_stays_open_between_two_ticks() {
    let dir = tempfile::tempdir().unwrap();
    let path = |number: usize| dir.path().join(number.to_string()).to_str().unwrap().to_owned();
    let mut watched = settings();
    for number in 0..40 {
        std::fs::write(path(number), vec![0; number * 1_048_576 / 4]).unwrap();
        watched.watch.logs.push(LogEntry { path: path(number), recursive: false, interval: SLOW });
    }
    let running = Running::new(watched);
    for number in 0..40_u32 {
        let identity = label("path", &path(number as usize));
        let answer = running.ask(&[("log_file_size_mb", identity)], Duration::from_secs(10));
        assert_eq!(answer.samples[0].value, Some(Value::Number(f64::from(number) / 4.0)));
    }
    wait_until("the directory is closed", || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        !open.into_iter().any(|open| open == dir.path())
    });
}
