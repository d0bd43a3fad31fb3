"""A name server that behaves badly, on 127.0.0.1:53 over UDP and TCP: hostile_dns.py. What it says is told by the first label."""
import ipaddress, os, socket, struct, threading

A, AAAA = 1, 28
MANY = [ipaddress.ip_address(0x7F010000 + number) for number in range(1, 501)]
BLACK_HOLE = ipaddress.ip_address("2001:db8::1")
ANSWERS = {
    ("many", A): MANY,
    ("broken6", A): [ipaddress.ip_address("127.0.0.1")],
    ("broken6", AAAA): [BLACK_HOLE],
    ("only6", AAAA): [BLACK_HOLE],
    ("unreachable", A): [ipaddress.ip_address("192.0.2.1")],
}
KNOWN = {name for name, _ in ANSWERS}


def answer(question, whole):
    """The answer as bytes, cut to what a datagram may hold unless it may be whole; None for silence."""
    end, labels = 12, []
    while question[end]:
        labels.append(question[end + 1:end + 1 + question[end]].decode("latin-1").lower())
        end += question[end] + 1
    kind, = struct.unpack("!H", question[end + 1:end + 3])
    asked, name = question[12:end + 5], labels[0]
    if name == "silent":
        return None
    if name == "garbage":
        return question[:2] + os.urandom(60)
    code = 2 if name == "servfail" else 0 if name in KNOWN else 3
    found = ANSWERS.get((name, kind), [])
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one.packed)) + one.packed for one in found)
    cut = not whole and len(records) > 400
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | (0x0200 if cut else 0) | code, 1, 0 if cut else len(found), 0, 0)
    return head + asked + (b"" if cut else records)


def over_tcp(peer):
    with peer:
        while len(length := peer.recv(2)) == 2:
            said = answer(peer.recv(struct.unpack("!H", length)[0]), True)
            if said is None:
                threading.Event().wait(60)
                return
            peer.sendall(struct.pack("!H", len(said)) + said)


def serve_tcp():
    listener = socket.create_server(("127.0.0.1", 53))
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=over_tcp, args=(peer,), daemon=True).start()


threading.Thread(target=serve_tcp, daemon=True).start()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 53))
while True:
    question, who = datagrams.recvfrom(4096)
    said = answer(question, False)
    if said is not None:
        datagrams.sendto(said, who)
