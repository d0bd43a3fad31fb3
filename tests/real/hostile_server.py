"""Servers that behave badly, on all addresses of a name space of their own: hostile_server.py DIR. Writes DIR/ports.json when all of
them listen, and one line in DIR/requests for each request that it reads. Certificates are DIR/NAME.pem with DIR/NAME.key."""
import gzip, io, json, os, socket, ssl, struct, sys, threading, time

DIR = sys.argv[1]
PORTS = {}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def bomb():
    """1 GiB of zeros in about 1 MiB of gzip."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="w", compresslevel=9) as out:
        for _ in range(1024):
            out.write(bytes(1 << 20))
    return packed.getvalue()


def read_head(peer, name):
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 65536:
        got = peer.recv(4096)
        if not got:
            break
        head += got
    if head:
        with open(DIR + "/requests", "a") as log:
            log.write(f"{name} {head.split(chr(13).encode())[0].decode('latin-1')}\n")
    return head


def serve(name):
    """The decorated function gets each connection of its own port, in a thread of its own."""
    def register(answer):
        listener = socket.create_server(("0.0.0.0", 0), backlog=256)
        PORTS[name] = listener.getsockname()[1]

        def one(peer):
            try:
                answer(peer)
            except OSError:
                pass
            finally:
                peer.close()

        def loop():
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=one, args=(peer,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        return answer
    return register


def silent(peer):
    time.sleep(600)


def says(name, *pieces, again=None, pause=0.0):
    """Reads a request and says the pieces, then `again` for ever, with a pause after each."""
    @serve(name)
    def _(peer):
        read_head(peer, name)
        for piece in pieces:
            peer.sendall(piece)
        while again is not None:
            peer.sendall(again)
            time.sleep(pause)


def redirects(name, to):
    says(name, b"HTTP/1.1 302 Found\r\nLocation: " + to.encode() + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def tls(name, certificate, answer=OK, weak=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if weak:
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(f"{DIR}/{certificate}.pem", f"{DIR}/{certificate}.key")

    @serve(name)
    def _(peer):
        with context.wrap_socket(peer, server_side=True) as secret:
            if read_head(secret, name):
                secret.sendall(answer)


serve("mute")(silent)
says("good", OK)
says("slow_head", b"HTTP/1.1 200 OK\r\nX-Slow: ", again=b"x", pause=1)
says("slow_body", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", again=b"x", pause=1)
says("huge_body", b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", *[bytes(1 << 20)] * 1024)
BOMB = bomb()
says("gzip_bomb", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB)
says("endless_chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", again=b"1000\r\n" + bytes(4096) + b"\r\n")
says("one_chunk_without_end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", again=bytes(4096))
says("huge_header", b"HTTP/1.1 200 OK\r\n", *[b"X-Pad-%d: " % i + b"x" * 1000 + b"\r\n" for i in range(10_000)], b"\r\n")
says("long_header", b"HTTP/1.1 200 OK\r\nX-Pad: ", *[b"x" * 1000] * 10_000, b"\r\n\r\n")
says("no_http", b"\x00\xff\x1b]0;title\x07 this is not HTTP\r\n\r\n")
says("hostile_status", b"HTTP/1.1 503 \x1b[2J\xc2\x9b31m| <script>\r\nContent-Length: 0\r\n\r\n")
says("wrong_body", b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n<h1>Please log in</h1>\r\n")
says("early_end", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
says("hundred_continues", again=b"HTTP/1.1 100 Continue\r\n\r\n")
redirects("redirect_loop", "/again")
redirects("redirect_file", "file:///etc/passwd")
redirects("redirect_metadata", "http://169.254.169.254/latest/meta-data/")


@serve("reset")
def _(peer):
    read_head(peer, "reset")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@serve("plain")
def _(peer):
    # What comes is no request but the beginning of a handshake.
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@serve("tls_reset")
def _(peer):
    peer.recv(4096)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# Nobody accepts, and the queue is full: the kernel answers no further SYN, as if the host had gone.
full = socket.socket()
full.bind(("127.0.0.1", 0))
full.listen(0)
PORTS["half_open"] = full.getsockname()[1]
waiting = []
for _ in range(4):
    peer = socket.socket()
    peer.setblocking(False)
    peer.connect_ex(full.getsockname())
    waiting.append(peer)


@serve("tls_garbage")
def _(peer):
    peer.recv(4096)
    peer.sendall(b"\x16\x03\x03\xff\xff" + os.urandom(65535) * 4)


@serve("tls_endless")
def _(peer):
    # Records of a handshake message that announces 16 MiB and never ends.
    peer.recv(4096)
    peer.sendall(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + bytes(16380))
    while True:
        peer.sendall(b"\x16\x03\x03\x40\x00" + bytes(16384))


@serve("tls_slow")
def _(peer):
    peer.recv(4096)
    for byte in b"\x16\x03\x03\x40\x00" + bytes(16384):
        peer.sendall(bytes([byte]))
        time.sleep(1)


for name in sorted(entry[:-4] for entry in os.listdir(DIR) if entry.endswith(".key")):
    if os.path.exists(f"{DIR}/{name}.pem"):
        tls("tls_" + name, name, weak=True)
if "tls_good" in PORTS:
    tls("redirect_to_http", "good", b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:%d/plain\r\nContent-Length: 0\r\n\r\n" % PORTS["good"])
with open(DIR + "/ports.new", "w") as out:
    json.dump(PORTS, out)
os.rename(DIR + "/ports.new", DIR + "/ports.json")
threading.Event().wait()
