use crossbeam_channel::bounded;

use super::*;
use crate::collect::test_rig::{hold, pause, refusing, server, silent, wait_until};

fn within(addresses: &[SocketAddr], millis: u64) -> (IoResult<Socket>, Duration) {
    let began = clock::instant();
    let result = connect(addresses, First::We, began + Duration::from_millis(millis));
    (result, began.elapsed())
}

/// An address that answers no attempt to connect: its queue is full, and nobody takes anything out of it.
#[cfg(target_os = "linux")]
fn deaf() -> (SocketAddr, impl Sized) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listener, 0).unwrap();
    let address = std::net::TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap();
    let waiting = TcpStream::connect(address).unwrap();
    (address, (listener, waiting))
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_that_does_not_answer_costs_its_time_and_no_more() {
    let (deaf, _queue) = deaf();
    let (result, took) = within(&[deaf], 200);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(took >= Duration::from_millis(195) && took < Duration::from_secs(5), "{took:?}");
    let (result, took) = within(&[deaf, silent()], 600);
    assert!(result.is_ok(), "{result:?}");
    assert!(took >= Duration::from_millis(295) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_next_address_is_tried_and_the_last_one_says_why() {
    assert!(within(&[refusing(), silent()], 5000).0.is_ok());
    let kind = |addresses: &[SocketAddr], millis| within(addresses, millis).0.unwrap_err().kind();
    assert_eq!(kind(&[refusing(), refusing()], 5000), ErrorKind::ConnectionRefused);
    assert_eq!(kind(&[silent()], 0), ErrorKind::TimedOut);
    assert_eq!(kind(&[], 5000), ErrorKind::Other);
}

#[test]
fn a_byte_now_and_then_does_not_move_the_deadline() {
    let dripping = server(|mut stream| {
        while stream.write_all(b"x").is_ok() {
            pause(Duration::from_millis(20));
        }
    });
    let (socket, _) = within(&[dripping], 300);
    let mut socket = socket.unwrap();
    let began = clock::instant();
    let error = std::io::copy(&mut socket, &mut std::io::sink()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
    // The same connection with a later deadline.
    socket.set_end(clock::instant() + Duration::from_secs(20));
    assert_eq!(socket.read(&mut [0; 1]).unwrap(), 1);
}

#[test]
fn a_server_that_takes_nothing_does_not_move_the_deadline_either() {
    let unreading = server(|_stream| {
        let (_keep, never) = bounded::<()>(0);
        let _ = never.recv();
    });
    let error = within(&[unreading], 300).0.unwrap().write_all(&vec![0; 64 * 1024 * 1024]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
}

#[test]
fn quiet_is_a_connection_without_an_end_and_without_bytes() {
    let (talks, says) = bounded::<()>(0);
    let (socket, _) = within(
        &[server(move |mut stream| {
            let _ = says.recv();
            let _ = stream.write_all(b"x");
            hold(stream);
        })],
        20_000,
    );
    let mut socket = socket.unwrap();
    assert!(socket.is_quiet());
    talks.send(()).unwrap();
    wait_until("a byte is there", || !socket.is_quiet());
    assert_eq!(socket.read(&mut [0; 2]).unwrap(), 1);
    assert!(socket.is_quiet());
    let (closed, _) = within(&[server(drop)], 20_000);
    let closed = closed.unwrap();
    wait_until("the end is there", || !closed.is_quiet());
}
