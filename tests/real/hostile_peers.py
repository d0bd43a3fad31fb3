"""Probes each hostile peer with a process of its own, and compares what people are told: hostile_peers.py AUTOHEAL DIR ROWS...
Prints a line for each case: ok or FAIL, row, case, reason, seconds over the deadline, peak MiB."""
import concurrent.futures, json, os, re, subprocess, sys, tempfile, time

AGENT, DIR = sys.argv[1:3]
HOST = "127.0.0.1"
DEADLINE, MOST_OVER, MOST_MIB = 2, 1.5, 64
with open(DIR + "/ports.json") as file:
    PORTS = json.load(file)
CA = DIR + "/ca.pem"
# A port that was free a moment ago.
PORTS["closed"] = int(os.environ["CLOSED_PORT"])

# Row of the fault matrix, case, what the reason must say, with which status: None where there is none.
HTTP = [
    (35, "mute", r"^timed out after 2 s: connect [0-9.]+ ms, no first byte$", None),
    (36, "slow_head", r"^timed out after 2 s: connect [0-9.]+ ms, first byte [0-9.]+ ms, no end$", None),
    (36, "slow_body", r"^timed out after 2 s: connect [0-9.]+ ms, first byte [0-9.]+ ms, no end$", 200),
    (37, "huge_body", r"^up$", 200),
    (37, "gzip_bomb", r"^up$", 200),
    (37, "endless_chunks", r"^up$", 200),
    (37, "one_chunk_without_end", r"^up$", 200),
    (37, "huge_header", r"^the header is longer than 16 KiB$", None),
    (37, "long_header", r"^the header is longer than 16 KiB$", None),
    (37, "no_http", r"^not an answer in HTTP", None),
    (37, "hostile_status", r"^not an answer in HTTP", None),
    (37, "early_end", r"closed early|disconnected", 200),
    (37, "hundred_continues", r".", None),
    (38, "redirect_loop", r"^up$", 302),
    (38, "redirect_file", r"^up$", 302),
    (38, "redirect_metadata", r"^up$", 302),
    (38, "redirect_to_http", r"^up$", 301),
    (41, "reset", r"reset", None),
    (41, "closed", r"^connection refused$", None),
    (41, "half_open", r"^timed out after 2 s: no connection$", None),
    (43, "wrong_body", r"^the body does not match /\^ok\$/$", 200),
]
# Case, ssl_status, its reason, days left. An endpoint there says the same.
TLS = [
    (39, "tls_good", "valid", None, (29, 31)),
    (39, "tls_garbage", "unreachable", r"^the server does not speak TLS here$", None),
    (39, "tls_endless", "unreachable", r"^the server does not speak TLS here$|^TLS: ", None),
    (39, "tls_slow", "unreachable", r"^timed out after 2 s$", None),
    (39, "plain", "unreachable", r"^the server does not speak TLS here$", None),
    (39, "mute", "unreachable", r"^timed out after 2 s$", None),
    (39, "tls_expired", "expired", r"^expired on 2020-01-02$", (-9999, -1000)),
    (39, "tls_future", "not_yet_valid", r"^valid from 2\d\d\d-", (1, 99999)),
    (39, "tls_other_name", "name_mismatch", r"^it is for other.example$", (29, 31)),
    (39, "tls_self_signed", "untrusted", r"^it is an authority's own certificate, and nobody named it", (29, 31)),
    (39, "tls_no_chain", "untrusted", r"^issued by nobody whom this host trusts$", (29, 31)),
    (39, "tls_sha1", "unsupported", r"^a key or signature of a type that autoheal cannot judge$", (29, 31)),
    (39, "tls_zero_days", "expired", r"^expired on 2020-01-01$", (-9999, -1000)),
    (39, "tls_year_9999", "valid", None, (2_000_000, 3_000_000)),
    (39, "tls_before_1970", "expired", r"^expired on 1951-01-01$", (-99999, -20000)),
    (39, "tls_megabyte", "unreachable", r"^TLS: what the server shows is longer than 64 KiB$", None),
    (39, "tls_v1", "unsupported", r"^a certificate of another version than 3$", (29, 31)),
    (39, "tls_hostile_names", "untrusted", r"^issued by nobody whom this host trusts$", (29, 31)),
    (39, "tls_three_thousand_names", "name_mismatch", r"^it is for .{1,200}…$", (29, 31)),
    (41, "tls_reset", "unreachable", r"reset", None),
    (41, "closed", "unreachable", r"^connection refused$", None),
    (41, "half_open", "unreachable", r"^timed out after 2 s$", None),
]
# Path below DIR, ssl_status, reason, days left.
FILES = [
    (40, "ca.pem", "valid", None, (364, 366)),
    (40, "missing.pem", "unreachable", r"^no such file$", None),
    (40, "empty.pem", None, r"^no certificate in it$", None),
    (40, "thousand.pem", "valid", None, (29, 31)),
    (40, "good.key", None, r"^no certificate in it$", None),
    (40, "broken.pem", None, r"^broken PEM", None),
    (40, "noise.pem", None, r"certificate", None),
    (40, "truncated.der", None, r"^not a certificate", None),
    (40, "large.pem", None, r"^larger than 4 MiB$", None),
    (40, "pipe.pem", "unreachable", r"regular file", None),
]
# Names that the resolver of this name space answers, and what is said of them.
NAMES = [
    (42, "servfail.test", r"^the name cannot be looked up now"),
    (42, "nxdomain.test", r"^host not found$"),
    (42, "silent.test", r"^timed out after 2 s(: no address)?$"),
    (42, "many.test", r"^up$"),
    (42, "garbage.test", r"^host not found$|^the name cannot|^timed out after 2 s(: no address)?$"),
    (41, "broken6.test", r"^up$"),
    (41, "only6.test", r"^timed out after 2 s(: no connection)?$"),
    (41, "unreachable.test", r"^no route to host$"),
]
# What the http action says of the same servers, and whether it worked.
ACTIONS = [
    (35, "mute", r"no answer", False),
    (36, "slow_head", r"no answer", False),
    (36, "slow_body", r"the body broke off: its time was over", True),
    (37, "huge_body", r"the body goes on", True),
    (37, "endless_chunks", r"the body goes on", True),
    (37, "long_header", r"the header is longer than 16 KiB", False),
    (37, "no_http", r"not an answer in HTTP", False),
    (38, "redirect_loop", r"answered HTTP/1.1 302 Found", False),
    (38, "redirect_file", r"answered HTTP/1.1 302 Found", False),
    (38, "redirect_metadata", r"answered HTTP/1.1 302 Found", False),
    (38, "redirect_to_http", r"certificate untrusted: issued by nobody", False),
    (39, "tls_garbage", r"the server does not speak TLS here", False),
    (39, "tls_expired", r"certificate expired: expired on 2020-01-02", False),
    (41, "reset", r"reset", False),
    (41, "closed", r"refused", False),
]


def endpoint(url, **more):
    return {"name": "case", "url": url, "timeout_seconds": DEADLINE, **more}


def certificate(port, host=HOST):
    return {"name": "case", "host": host, "port": port, "server_name": "shop.example", "ca_file": CA, "timeout_seconds": DEADLINE}


def probe(watch):
    """What `probe --json` says, how long it took, and its peak of memory."""
    with tempfile.TemporaryDirectory(dir=DIR) as config, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with open(config + "/autoheal.json", "w") as file:
            json.dump({"watch": {"disks": [], "memory": False, **watch}}, file)
        with open(config + "/autoheal-playbooks.json", "w") as file:
            file.write("{}")
        begun = time.monotonic()
        child = subprocess.Popen([AGENT, "probe", "--json", "--config-dir", config], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, code, usage = os.wait4(child.pid, 0)
        took = time.monotonic() - begun
        child.returncode = code
        out.seek(0), err.seek(0)
        said, errors = out.read(), err.read().decode(errors="replace")
        samples = {one["metric"]: one for one in json.loads(said)["samples"]} if said else {}
        assert b"\x1b" not in said and b"\xc2\x9b" not in said, said
        return samples, took, usage.ru_maxrss // 1024, "panic" in errors and errors


def seen(sample, fine):
    return "nothing" if sample is None else fine if sample["reason"] is None else sample["reason"]


def judge(wanted, shown):
    return [f"{what} is {found!r}" for what, good, found in wanted if not good] + ([f"panicked: {shown}"] if shown else [])


def http(row, case, reason, status):
    scheme = "https" if case.startswith(("tls_", "redirect_to")) else "http"
    watch = endpoint(f"{scheme}://{HOST}:{PORTS[case]}/{case}", ca_file=CA)
    if case == "wrong_body":
        watch["expected_body"] = "^ok$"
    samples, took, mib, panic = probe({"endpoints": [watch]})
    found, code = seen(samples.get("api_status"), "up"), samples.get("http_status", {}).get("value")
    return row, case, found, took, mib, judge([("reason", re.search(reason, found), found), ("status", code == status, code)], panic)


def tls(row, case, word, reason, days):
    """A certificate and an endpoint at the same place, which agree."""
    port = PORTS[case]
    watch = {"certificates": [{**certificate(port), "server_name": HOST}], "endpoints": [endpoint(f"https://{HOST}:{port}/{case}", ca_file=CA)]}
    samples, took, mib, panic = probe(watch)
    faults, found = compare(samples, word, reason, days)
    why, says = samples["ssl_status"]["reason"], seen(samples.get("api_status"), "up")
    # When its time is over an endpoint says besides how far it came.
    says = re.sub("^(timed out after 2 s): .*, no TLS$|^(timed out after 2 s): no connection$", r"\1\2", says)
    same = "up" if word == "valid" else why if word == "unreachable" else f"certificate {word}: {why}"
    return row, case, found, took, mib, faults + judge([("what the endpoint says", says == same, says)], panic)


def compare(samples, word, reason, days):
    status, left = samples.get("ssl_status", {}), samples.get("ssl_expires_in_days", {})
    why, value = status.get("reason"), left.get("value")
    faults = judge([
        ("ssl_status", status.get("value") == word, status.get("value")),
        ("its reason", why is None if reason is None else re.search(reason, why or ""), why),
        ("days left", value is None if days is None else value is not None and days[0] <= value <= days[1], value),
    ], None)
    return faults, f"{status.get('value')}: {why}" + ("" if value is None else f", {value:.0f} days")


def on_disk(row, case, word, reason, days):
    samples, took, mib, panic = probe({"certificates": [{"name": "case", "path": f"{DIR}/{case}"}]})
    faults, found = compare(samples, word, reason, days)
    return row, "file " + case, found, took, mib, faults + judge([], panic)


def name(row, case, reason):
    port = PORTS["good"]
    watch = {"endpoints": [endpoint(f"http://{case}:{port}/{case}")], "certificates": [certificate(PORTS["tls_good"], case)]}
    samples, took, mib, panic = probe(watch)
    found, shown = seen(samples.get("api_status"), "up"), seen(samples.get("ssl_status"), "up")
    wanted = [("reason", re.search(reason, found), found), ("the certificate's reason", re.search(reason, shown), shown)]
    return row, case, f"{found} | certificate: {shown}", took, mib, judge(wanted, panic)


def action(row, case, told, works):
    """The playbook is started by hand, without an agent."""
    url = f"{'https' if case.startswith(('tls_', 'redirect_to')) else 'http'}://{HOST}:{PORTS[case]}/{case}"
    with tempfile.TemporaryDirectory(dir=DIR) as place:
        settings = {"dry_run": False, "watch": {"disks": [], "memory": False, "logs": [{"path": CA}]}, "allowed_commands": [f"http POST {{url:{url}}}"]}
        playbook = {"condition": "log_file_size_mb >= 0", "actions": [{"type": "http", "url": url, "body": "x", "timeout_seconds": DEADLINE}],
                    "verify": {"metric": "log_file_size_mb", "operator": ">=", "threshold": 0, "retry_count": 0}}
        for name, value in ("autoheal.json", settings), ("autoheal-playbooks.json", {"asks": playbook}):
            with open(f"{place}/{name}", "w") as file:
                json.dump(value, file)
        with open(place + "/out", "w+") as out, open(place + "/err", "w+") as err:
            begun = time.monotonic()
            words = [AGENT, "--json", "--config-dir", place, "--data-dir", place + "/data", "heal", "asks", "--force"]
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            _, code, usage = os.wait4(child.pid, 0)
            took, child.returncode = time.monotonic() - begun, code
            out.seek(0), err.seek(0)
            lines, errors = out.read().splitlines(), err.read()
        done = json.loads(lines[-1]).get("incident", {}).get("actions", [{}])[0] if lines else {}
    said = f"{done.get('reason') or ''}\n{done.get('output') or ''}".strip()
    faults = judge([("what is said", re.search(told, said), said), ("success", (done.get("status") == "success") == works, done.get("status"))],
                   "panic" in errors and errors)
    return row, "action " + case, "".join(letter if letter.isprintable() else "." for letter in said)[:100], took, usage.ru_maxrss // 1024, faults


def jobs():
    groups = {"actions": (action, ACTIONS), "http": (http, HTTP), "tls": (tls, TLS), "files": (on_disk, FILES), "names": (name, NAMES)}
    return [(groups[which][0], case) for which in sys.argv[3:] for case in groups[which][1]]


bad = 0
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for done in [pool.submit(run, *case) for run, case in jobs()]:
        row, case, found, took, mib, faults = done.result()
        over = max(0.0, took - DEADLINE)
        faults += judge([("time over the deadline", over <= MOST_OVER, over), ("peak memory in MiB", mib <= MOST_MIB, mib)], None)
        bad += bool(faults)
        print(f"{'FAIL' if faults else 'ok'}  {row}  {case:26} {over:4.1f} s  {mib:3} MiB  {found}", flush=True)
        for fault in faults:
            print(f"      {fault}")
print(f"total bad={bad}")
