//! What the schedule is told: settings, conditions, and requests for fresh measurements.

use super::*;

#[test]
fn a_fresh_measurement_never_began_before_it_was_asked_for() {
    // The server lets each request wait until it is told to answer.
    let (tell, told) = unbounded::<()>();
    let (begun, requests) = unbounded();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let _ = begun.send(());
        let _ = told.recv();
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let mut settings = settings();
    settings.watch.endpoints = vec![EndpointEntry { timeout: Duration::from_secs(20), ..endpoint("shop", &format!("http://{address}/")) }];
    let running = Running::new(settings);
    requests.recv_timeout(Duration::from_secs(10)).unwrap();
    let (reply, answers) = unbounded();
    let wants = vec![Want { metric: metric::named("api_status"), identity: label("endpoint", "shop") }];
    running.orders.send(Order::Measure(Fresh { token: 1, wants, deadline: Moment::now().after(SLOW), reply })).unwrap();
    // Until the request is known the first measurement must not end.
    wait_until("the order was taken", || running.orders.is_empty());
    tell.send(()).unwrap();
    requests.recv_timeout(Duration::from_secs(10)).expect("it is measured once more");
    assert!(answers.is_empty(), "the first measurement is no answer");
    tell.send(()).unwrap();
    let answer = answers.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(sample(&answer.samples, "api_status").value, Some(Value::Text("up".into())));
}

#[test]
fn a_want_for_what_nobody_watches_is_answered_without_it() {
    let mut settings = settings();
    settings.watch.memory = Some(SLOW);
    let running = Running::new(settings);
    assert!(running.ask(&[("process_status", label("process_name", "web"))], SLOW).samples.is_empty());
    // The host's metrics have no identity: an incident of a process may want them.
    let answer = running.ask(&[("memory_usage", label("process_name", "web"))], SLOW);
    assert!(sample(&answer.samples, "memory_usage").value.is_some());
}

#[test]
fn what_no_condition_names_is_measured_all_the_same_for_who_asks() {
    let mut settings = settings();
    settings.watch.memory = Some(FAST);
    let running = Running::new(settings);
    running.orders.send(Order::Heed(vec![metric::named("memory_usage")])).unwrap();
    wait_until("cpu_usage is left out", || {
        let batch = running.samples.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        !batch.samples.is_empty() && batch.samples.iter().all(|sample| sample.metric.name != "cpu_usage")
    });
    let answer = running.ask(&[("cpu_usage", Labels::default())], SLOW);
    sample(&answer.samples, "cpu_usage");
}

#[test]
fn a_reload_does_not_take_away_what_somebody_has_asked_for() {
    let (sender, _samples) = bounded(8);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let entry = Entry::Memory(SLOW);
    let collector = entry.collector(&scheduler.shared);
    let id = scheduler.insert(entry, String::new(), collector, Moment::now());
    let heed = || Order::Heed(vec![metric::named("memory_usage")]);
    scheduler.obey(iter::once(heed()));
    (0..3).for_each(|_| scheduler.begin(id));
    let (reply, answers) = unbounded();
    let wants = vec![Want { metric: metric::named("load_average"), identity: Labels::default() }];
    let ask = Order::Measure(Fresh { token: 1, wants, deadline: Moment::now().after(SLOW), reply });
    // Both have come when the thread looks.
    scheduler.obey([ask, heed()].into_iter());
    scheduler.turn_ends(Moment::now()).unwrap();
    sample(&answers.try_recv().unwrap().samples, "load_average");
}

/// Says when it begins, and ends when it is told to.
struct Told(Sender<()>, Receiver<()>);

impl Collector for Told {
    fn may_hang(&mut self) -> bool {
        true
    }

    fn measure(&mut self) -> Vec<Sample> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        vec![Sample::known(metric::named("memory_usage"), &Arc::default(), Value::Number(1.0), Moment::now())]
    }
}

#[test]
fn no_measurement_that_began_before_an_order_was_sent_is_its_answer() {
    let (sender, _samples) = bounded(8);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let (begun, begins) = unbounded();
    let (end_first, first_ends) = unbounded();
    let (end_second, second_ends) = unbounded();
    let mut add = |kind: Entry, ends| scheduler.insert(kind, String::new(), Box::new(Told(begun.clone(), ends)), Moment::now());
    let first = add(Entry::AllDisks(SLOW), first_ends);
    let second = add(Entry::Memory(SLOW), second_ends);
    scheduler.begin(first);
    begins.recv_timeout(Duration::from_secs(10)).unwrap();
    // It waits for the only thread.
    scheduler.begin(second);
    let (reply, answers) = unbounded();
    let heed = iter::once_with(|| Order::Heed(Vec::new()));
    // The second order comes while the first one is obeyed: meanwhile a measurement begins.
    let ask = iter::once_with(|| {
        end_first.send(()).unwrap();
        begins.recv_timeout(Duration::from_secs(10)).unwrap();
        let wants = vec![Want { metric: metric::named("memory_usage"), identity: Labels::default() }];
        Order::Measure(Fresh { token: 1, wants, deadline: Moment::now().after(SLOW), reply })
    });
    scheduler.obey(heed.chain(ask));
    end_second.send(()).unwrap();
    wait_until("both are back", || {
        scheduler.results();
        scheduler.slots[&first].measured && scheduler.slots[&second].measured
    });
    scheduler.turn_ends(Moment::now()).unwrap();
    assert!(answers.is_empty(), "the measurement began before the order was sent");
    drop((end_first, end_second));
}
