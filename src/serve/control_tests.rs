use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use crossbeam_channel::unbounded;
use serde_json::json;

use super::super::client::Client;
use super::*;
use crate::record::test_history::test_history;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose calls come out here.
struct Rig {
    dir: tempfile::TempDir,
    calls: Receiver<Call>,
    shutdown: Option<Sender<()>>,
    worker: Worker,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(dir.path(), None).unwrap();
        let (send, calls) = unbounded();
        let (shutdown, stop) = bounded(0);
        let worker = start(listener, send, dir.path().to_owned(), stop);
        Self { dir, calls, shutdown: Some(shutdown), worker }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join(super::super::listener::NAME)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn client(&self) -> Client {
        client(self.dir.path(), PATIENCE).unwrap()
    }

    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).unwrap()
    }
}

fn client(dir: &Path, patience: Duration) -> Result<Client, Refusal> {
    Client::to(dir, &[dir.join("none.sock"), dir.join(super::super::listener::NAME)], patience)
}

/// What a raw connection says: its last line.
fn raw(mut stream: UnixStream, bytes: &[u8]) -> Answer {
    // The server may have answered and gone before all of it was written.
    let _ = stream.write_all(bytes);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

#[track_caller]
fn refused(answer: Answer, code: &str, text: &str) {
    match answer {
        Answer::Error(refusal) => assert!(refusal.code == code && refusal.message.contains(text), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
}

/// Asks in a thread, so that the test can play the agent meanwhile.
fn in_background<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (send, receive) = bounded(1);
    threads::spawn("test:client", move || {
        let _ = send.send(ask());
    });
    receive
}

#[test]
fn a_call_knows_who_asks_and_its_answer_comes_back() {
    let rig = Rig::new();
    let client = rig.client();
    let answer = in_background(move || client.ask(&Request::Status));
    let Call { request, peer, reply } = rig.call();
    assert_eq!((request, peer.uid), (Request::Status, nix::unistd::geteuid().as_raw()));
    reply.ok(json!({"version": "x\ny"}));
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(json!({"version": "x\ny"})));

    let client = rig.client();
    let answer = in_background(move || client.ask(&Request::Reload));
    rig.call().reply.error("not_waiting", "too late", 4);
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Err(Refusal::refused("not_waiting", "too late")));

    let client = rig.client();
    let answer = in_background(move || client.ask(&Request::Reload));
    drop(rig.call());
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap_err().code, "ended");
}

#[test]
fn a_stream_goes_on_until_its_last_line() {
    let rig = Rig::new();
    let client = rig.client();
    let answer = in_background(move || {
        let mut lines = Vec::new();
        let follow = Request::Follow { id: None, playbook: None };
        let last = client.follow(&follow, |line| -> Result<(), Refusal> {
            lines.push(line);
            Ok(())
        });
        (last, lines)
    });
    let reply = rig.call().reply;
    assert!(reply.line(json!(1)) && reply.line(json!(2)));
    reply.ok(Value::Null);
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), (Ok(Value::Null), vec![json!(1), json!(2)]));
}

#[test]
fn a_client_that_is_gone_is_noticed_while_nothing_happens() {
    let rig = Rig::new();
    let mut stream = rig.connect();
    stream.write_all(&Request::Follow { id: None, playbook: None }.to_line()).unwrap();
    let Call { reply, .. } = rig.call();
    assert!(reply.line(json!("first")));
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    // Who only says no more still reads.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(reply.line(json!("second")));
    line.clear();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("second"));
    drop(stream);
    let gone = Moment::now().after(PATIENCE);
    let pause = crossbeam_channel::tick(Duration::from_millis(20));
    // The channel closes without a word to the client.
    while !is_closed(&reply) {
        assert!(!gone.is_due(Moment::now()), "nobody noticed");
        pause.recv().unwrap();
    }
}

/// Whether the other end of the reply was dropped; says a line if not.
fn is_closed(reply: &Reply) -> bool {
    matches!(reply.0.try_send(Answer::Line(json!("x"))), Err(crossbeam_channel::TrySendError::Disconnected(_)))
}

#[test]
fn a_client_that_does_not_read_blocks_nobody() {
    let rig = Rig::new();
    let mut stream = rig.connect();
    stream.write_all(&Request::Follow { id: None, playbook: None }.to_line()).unwrap();
    let Call { reply, .. } = rig.call();
    let big = json!("x".repeat(10_000));
    let said = (0..LINES * 2).take_while(|_| reply.line(big.clone())).count();
    assert!((LINES..LINES * 2).contains(&said), "{said} lines were taken");
    drop(reply);
    // Meanwhile others are served.
    let client = rig.client();
    let answer = in_background(move || client.ask(&Request::Status));
    rig.call().reply.ok(json!("fine"));
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(json!("fine")));
    // What was taken arrives, and then that there was more.
    let mut all = String::new();
    BufReader::new(stream).read_to_string(&mut all).unwrap();
    assert_eq!(all.lines().count(), said + 1);
    refused(serde_json::from_str(all.lines().last().unwrap()).unwrap(), "ended", "not read fast enough");
}

#[test]
fn what_is_no_request_is_answered_and_dropped() {
    let rig = Rig::new();
    refused(raw(rig.connect(), b"GET / HTTP/1.1\r\n"), "bad_request", "not JSON");
    refused(raw(rig.connect(), b"{\"version\":7,\"command\":\"status\"}\n"), "version", "version 1");
    refused(raw(rig.connect(), b"{\"version\":1,\"command\":\"explode\"}\n"), "bad_request", "explode");
    refused(raw(rig.connect(), &vec![b'x'; 4 << 20]), "bad_request", "longer than 64 KiB");
    let longest = format!("{{\"version\":1,\"command\":\"deny\",\"id\":\"{}\"}}\n", "x".repeat(REQUEST_BYTES));
    refused(raw(rig.connect(), longest.as_bytes()), "bad_request", "longer than 64 KiB");
    let mut silent = rig.connect();
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "no request, no answer");
    assert!(rig.calls.is_empty(), "nothing of this reached the agent");
}

#[test]
fn a_request_that_does_not_come_is_not_waited_for() {
    let rig = Rig::new();
    let begin = Moment::now();
    refused(raw(rig.connect(), b"{\"version\":1,"), "bad_request", "within 5 s");
    let took = Moment::now().since(begin);
    assert!(took >= REQUEST && took < PATIENCE, "{took:?}");
}

#[test]
fn beyond_sixteen_connections_there_is_an_error_and_then_room_again() {
    let rig = Rig::new();
    let ask = || {
        let mut stream = rig.connect();
        stream.write_all(&Request::Status.to_line()).unwrap();
        stream
    };
    let streams: Vec<UnixStream> = (0..CONNECTIONS).map(|_| ask()).collect();
    let calls: Vec<Call> = streams.iter().map(|_| rig.call()).collect();
    refused(raw(rig.connect(), &Request::Status.to_line()), "busy", "16 others");
    let refusal = rig.client().ask(&Request::Status).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.exit), ("busy", 1));
    for Call { reply, .. } in calls {
        reply.ok(json!(1));
    }
    streams.into_iter().for_each(|stream| {
        let mut end = Vec::new();
        BufReader::new(stream).read_to_end(&mut end).unwrap();
    });
    let pause = crossbeam_channel::tick(Duration::from_millis(10));
    let deadline = Moment::now().after(PATIENCE);
    loop {
        let client = rig.client();
        let answer = in_background(move || client.ask(&Request::Status));
        if let Ok(Call { reply, .. }) = rig.calls.recv_timeout(Duration::from_millis(200)) {
            reply.ok(json!("room"));
            assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(json!("room")));
            break;
        }
        assert!(!deadline.is_due(Moment::now()), "no room again");
        pause.recv().unwrap();
    }
}

#[test]
fn who_is_not_admitted_may_look_and_change_nothing() {
    let (send, calls) = unbounded();
    let peer = |uid| Peer { uid, pid: None, user: "somebody".to_owned() };
    let desk = Desk { calls: send, data_dir: "/none".into(), admitted: Admitted { group: Some(4_000_000_002) } };
    let stranger = (peer(4_000_000_001), 100);
    let judge = |request: Request, (peer, gid): (Peer, u32)| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let done = in_background(move || {
            let mut line = String::new();
            BufReader::new(ours).read_line(&mut line).unwrap();
            serde_json::from_str::<Answer>(&line).unwrap()
        });
        let answering = calls.clone();
        let agent = in_background(move || {
            if let Ok(Call { reply, .. }) = answering.recv_timeout(Duration::from_millis(300)) {
                reply.ok(json!("done"));
            }
        });
        desk.answer(request, peer, gid, &theirs).unwrap();
        let _ = agent.recv_timeout(PATIENCE);
        done.recv_timeout(PATIENCE).unwrap()
    };
    let playbook = || "disk".to_owned();
    for request in [
        Request::Approve { id: "7f3kq9zd".to_owned(), argv: Vec::new(), reason: None },
        Request::Deny { id: "7f3kq9zd".to_owned(), reason: None },
        Request::Silence { playbook: None, labels: Default::default(), for_seconds: 1.0, reason: None },
        Request::ExpireSilence { id: "x".to_owned() },
        Request::Reset { playbook: playbook(), labels: Default::default() },
        Request::Reload,
        Request::Heal { playbook: playbook(), labels: Default::default(), force: false, dry_run: true },
    ] {
        match judge(request.clone(), stranger.clone()) {
            Answer::Error(refusal) => assert_eq!((refusal.code.as_str(), refusal.exit), ("not_permitted", 4), "{request:?}"),
            other => panic!("{request:?}: {other:?}"),
        }
    }
    assert_eq!(judge(Request::Status, stranger.clone()), Answer::Ok(json!("done")));
    assert_eq!(judge(Request::Silences, stranger.clone()), Answer::Ok(json!("done")));
    assert_eq!(judge(Request::Reload, (stranger.0, 4_000_000_002)), Answer::Ok(json!("done")), "a member of the group");
}

#[test]
fn what_is_on_record_is_answered_without_the_agent() {
    let rig = Rig::new();
    test_history(rig.dir.path(), &[("7f3kq9zd", "disk", "resolved", "2026-11-22T14:00:00Z")]);
    let list = rig.client().ask(&Request::Incidents { open: false, playbook: None, since_seconds: None }).unwrap();
    assert_eq!(list["incidents"][0]["id"], "7f3kq9zd");
    let one = rig.client().ask(&Request::Incident { id: "7f".to_owned() }).unwrap();
    assert_eq!(one["incident"]["status"], "resolved");
    assert_eq!(rig.client().ask(&Request::Stats { since_seconds: None }).unwrap()["held"], 1);
    fs::remove_file(rig.dir.path().join("history.db")).unwrap();
    fs::write(rig.dir.path().join("history.db"), "rubbish".repeat(1000)).unwrap();
    assert_eq!(rig.client().ask(&Request::Stats { since_seconds: None }).unwrap_err().code, "history");
    assert!(rig.calls.is_empty());
}

#[test]
fn the_socket_goes_when_the_agent_stops() {
    let mut rig = Rig::new();
    let socket = rig.socket();
    assert!(socket.exists());
    drop(rig.shutdown.take());
    assert_eq!(rig.worker.ended().recv_timeout(PATIENCE), Ok(true));
    assert!(!socket.exists());
    let refusal = client(rig.dir.path(), PATIENCE).unwrap_err();
    assert!(refusal.code == "no_agent" && refusal.exit == 3 && refusal.message.contains("start one with `autoheal run`"), "{refusal:?}");
    assert!(refusal.message.contains(&socket.display().to_string()), "{refusal:?}");
}

#[test]
fn a_client_gives_up_on_an_agent_that_hangs_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join(super::super::listener::NAME);
    let short = Duration::from_millis(100);
    let deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let refusal = client(dir.path(), short).unwrap().ask(&Request::Status).unwrap_err();
    assert!(refusal.code == "no_answer" && refusal.exit == 1, "{refusal:?}");
    // Nobody takes connections, and no more can wait.
    let mut waiting = Vec::new();
    let refusal = loop {
        match client(dir.path(), short) {
            Ok(client) => waiting.push(client),
            Err(refusal) => break refusal,
        }
        assert!(waiting.len() < 10_000, "the queue has no end");
    };
    assert!(refusal.code == "no_answer" || refusal.code == "no_agent", "{refusal:?}");
    drop(deaf);
    assert_eq!(client(dir.path(), short).unwrap_err().code, "no_agent", "a stale socket");
    fs::remove_file(&socket).unwrap();
    let babble = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let said = in_background(move || {
        for words in ["{\"unknown\":1}\n", ""] {
            let (mut stream, _) = babble.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
        }
    });
    assert_eq!(client(dir.path(), PATIENCE).unwrap().ask(&Request::Status).unwrap_err().code, "bad_answer");
    assert_eq!(client(dir.path(), PATIENCE).unwrap().ask(&Request::Status).unwrap_err().code, "ended");
    said.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_socket_that_lets_nobody_in_is_no_missing_agent() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    fs::set_permissions(rig.socket(), fs::Permissions::from_mode(0o000)).unwrap();
    match client(rig.dir.path(), PATIENCE) {
        Ok(_) => assert!(nix::unistd::geteuid().is_root(), "only root passes"),
        Err(refusal) => assert!(refusal.code == "not_permitted" && refusal.exit == 4, "{refusal:?}"),
    }
}
