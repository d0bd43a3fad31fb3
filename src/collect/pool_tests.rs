use crossbeam_channel::bounded;

use super::*;
use crate::collect::test_rig::wait_until;

/// Measures when it is told to.
struct Gate(Receiver<()>);

impl Collector for Gate {
    fn measure(&mut self) -> Vec<Sample> {
        let _ = self.0.recv();
        Vec::new()
    }
}

struct Broken;

impl Collector for Broken {
    fn measure(&mut self) -> Vec<Sample> {
        panic!("broken on purpose");
    }
}

fn submit(pool: &mut Pool, id: u64, collector: impl Collector + 'static) -> Result<(), String> {
    pool.submit(Job { id, collector: Box::new(collector) }).map_err(|(_, reason)| reason)
}

fn free() -> Gate {
    Gate(bounded(0).1)
}

fn threads(pool: &Pool) -> usize {
    pool.desk.load().threads
}

/// Waits until so many are back.
#[track_caller]
fn back(pool: &mut Pool, wanted: usize) -> Vec<Done> {
    let mut done = Vec::new();
    wait_until("they are back", || {
        pool.grow(Moment::now());
        done.extend(pool.results());
        done.len() >= wanted
    });
    done
}

#[test]
fn it_grows_while_threads_are_stuck() {
    let (_held, gate) = bounded(0);
    let mut pool = Pool::new();
    for id in 0..20 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    submit(&mut pool, 20, free()).unwrap();
    assert_eq!(back(&mut pool, 1)[0].id, 20);
    assert!(threads(&pool) > 20);
    assert!(pool.next_look().is_none(), "nothing is queued, nothing wakes");
    assert_eq!(pool.open(), 20);
}

#[test]
fn it_stays_small_while_measurements_come_back() {
    let mut pool = Pool::new();
    for id in 0..200 {
        submit(&mut pool, id, free()).unwrap();
    }
    let mut ids: Vec<u64> = back(&mut pool, 200).iter().map(|done| done.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    assert!(threads(&pool) <= BASE);
}

#[test]
fn one_thread_is_woken_for_all_and_others_only_while_it_is_not_through() {
    let (open, gate) = bounded(0);
    let mut pool = Pool::new();
    let mut now = Moment::now();
    for id in 0..3 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    pool.grow(now);
    for thread in 1..=3 {
        wait_until("it is at work", || pool.desk.load().waiting == 3 - thread);
        assert_eq!(threads(&pool), thread);
        pool.grow(now);
        assert_eq!(threads(&pool), thread, "not before the next look");
        now = pool.look.0.max(pool.desk.load().moved_at.after(SLOW));
        pool.grow(now);
    }
    drop(open);
    back(&mut pool, 3);
    wait_until("all wait", || pool.desk.load().idle == 3);
    submit(&mut pool, 3, free()).unwrap();
    submit(&mut pool, 4, free()).unwrap();
    pool.grow(now);
    assert!(pool.desk.load().idle >= 2);
}

#[test]
fn the_bell_rings_for_each_or_for_all() {
    let (open, gate) = bounded(0);
    let mut pool = Pool::new();
    pool.gather(true);
    for id in 0..2 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    pool.grow(Moment::now());
    open.send(()).unwrap();
    wait_until("the first is back", || pool.desk.load().waiting == 0);
    assert!(pool.bell().is_empty(), "another one is under way");
    pool.gather(false);
    assert!(pool.bell().recv_timeout(IDLE).is_ok(), "nobody waits for the other any more");
    assert_eq!(pool.results().len(), 1);
    pool.gather(true);
    open.send(()).unwrap();
    assert!(pool.bell().recv_timeout(IDLE).is_ok(), "all are back");
    assert_eq!(pool.results().len(), 1);
}

#[test]
fn no_more_threads_than_the_cap_and_none_at_all_is_said() {
    let (_held, gate) = bounded(0);
    let mut pool = Pool::with_cap(2);
    for id in 0..10 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    for later in [20, 40, 60] {
        pool.grow(Moment::now().after(Duration::from_millis(later)));
    }
    assert_eq!(threads(&pool), 2);
    let refused = submit(&mut Pool::with_cap(0), 1, free()).unwrap_err();
    assert!(refused.contains("threads"), "{refused}");
}

#[test]
fn a_panic_is_an_answer() {
    let mut pool = Pool::new();
    for id in 0..3 {
        submit(&mut pool, id, Broken).unwrap();
        let done = back(&mut pool, 1).remove(0);
        assert_eq!((done.id, done.samples), (id, Err(Panicked("broken on purpose".to_owned()))));
    }
}

#[test]
fn threads_that_wait_end_with_the_pool() {
    let mut pool = Pool::new();
    submit(&mut pool, 0, free()).unwrap();
    back(&mut pool, 1);
    let desk = Arc::clone(&pool.desk);
    drop(pool);
    wait_until("it ended", || desk.load().threads == 0);
}

#[test]
fn the_first_thread_comes_by_itself_once() {
    let mut pool = Pool::new();
    submit(&mut pool, 0, free()).unwrap();
    wait_until("it came by itself", || pool.desk.load().waiting == 0);
    pool.grow(Moment::now());
    wait_until("it waits", || pool.desk.load().idle == 1);
    let (_held, gate) = bounded(0);
    submit(&mut pool, 1, Gate(gate)).unwrap();
    pool.grow(Moment::now());
    assert_eq!(pool.desk.load().idle, 0, "the idle thread is woken for what was submitted");
}

#[test]
fn a_queue_of_two_milliseconds_is_not_stuck_after_a_pause() {
    let (_held, gate) = bounded(0);
    let mut pool = Pool::new();
    // Threads that a busy machine has not let run yet.
    (0..BASE).for_each(|_| assert!(pool.desk.enter(CAP)));
    let quiet = Moment::now().after(STUCK * 2);
    wait_until("nothing was measured for a while", || quiet.is_due(Moment::now()));
    let submitted = Moment::now();
    for id in 0..200 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    pool.grow(submitted);
    pool.grow(submitted.after(FIRST_LOOK));
    assert_eq!(threads(&pool), BASE, "nobody took from the queue for 2 ms, which is less than STUCK");
}

#[test]
fn what_is_submitted_meanwhile_does_not_keep_the_pool_small() {
    let (_held, gate) = bounded(0);
    let mut pool = Pool::new();
    for id in 0..4 {
        submit(&mut pool, id, Gate(gate.clone())).unwrap();
    }
    wait_until("four are stuck", || {
        pool.grow(Moment::now());
        pool.desk.load().waiting == 0
    });
    let start = Moment::now();
    for millis in 1..=200 {
        submit(&mut pool, 100 + millis, free()).unwrap();
        pool.grow(start.after(Duration::from_millis(millis)));
    }
    assert!(threads(&pool) > BASE, "the queue did not move for 200 ms");
}

#[test]
fn no_wake_up_is_lost() {
    let mut pool = Pool::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let long = Duration::from_secs(5);
    for round in 0..20_000_u64 {
        let jobs = 1 + random(6);
        for id in 0..jobs {
            submit(&mut pool, id, free()).unwrap();
            if random(3) == 0 {
                pool.gather(random(2) == 0);
            }
        }
        pool.grow(Moment::now());
        let mut done = 0;
        while done < jobs {
            pool.gather(random(2) == 0);
            let look = pool.next_look();
            let wait = look.map_or(long, |look| look.since(Moment::now()));
            let rang = pool.bell().recv_timeout(wait).is_ok();
            assert!(rang || look.is_some(), "round {round}: {done} of {jobs} are back, and nobody rings");
            done += u64::try_from(pool.results().len()).unwrap();
            pool.grow(Moment::now());
        }
        assert_eq!((pool.open(), done), (0, jobs));
    }
    assert!(threads(&pool) <= BASE, "{}", threads(&pool));
}
