#!/usr/bin/env bash
# Servers, certificates and name servers that behave as badly as they can: each costs its own target a measurement with a reason,
# within its time and some memory, and no other target anything. Redirects are not followed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# A network and name servers of its own, which end with it.
if [ -z "${HOSTILE_NET:-}" ]; then
  HOSTILE_NET=own exec unshare --net --mount bash "$here/${0##*/}"
fi
. "$here/lib.sh"

ip link set lo up
ip link add hole type veth peer name bottom
ip address add 2001:db8::2/64 dev hole nodad
ip link set bottom up
ip link set hole up
# Whoever is sent there is never heard of again.
ip -6 neighbour add 2001:db8::1 lladdr 02:00:00:00:00:01 dev hole
ip route add unreachable 192.0.2.0/24
echo "nameserver 127.0.0.1" > "$DIR/resolv.conf"
echo "hosts: files dns" > "$DIR/nsswitch.conf"
mount --bind "$DIR/resolv.conf" "$(realpath /etc/resolv.conf)"
mount --bind "$DIR/nsswitch.conf" /etc/nsswitch.conf
python3 "$here/hostile_dns.py" & PIDS+=($!)

# Certificates, all from one authority but for those whose fault that is.
cd "$DIR"
mkdir issued
touch index.txt
echo 01 > serial
cat > ca.cnf <<EOT
[ca]
default_ca = own
[own]
database = $DIR/index.txt
serial = $DIR/serial
new_certs_dir = $DIR/issued
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = optional
EOT
key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"; }
authority() { key "$1" && openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 365 -out "$1.pem"; }
both="subjectAltName=DNS:shop.example,IP:127.0.0.1"
# issue NAME AUTHORITY START END ALTERNATIVE-NAMES [ARGUMENT...]: what openssl tells of is no news.
issue() {
  key "$1"
  openssl req -new -utf8 -key "$1.key" -subj "${subject:-/CN=shop.example}" -addext "$5" -out "$1.csr"
  openssl ca -batch -utf8 -notext -config ca.cnf -cert "$2.pem" -keyfile "$2.key" -startdate "$3" -enddate "$4" "${@:6}" -in "$1.csr" \
    -out "$1.pem" 2> "$DIR/openssl.err" || { cat "$DIR/openssl.err"; exit 1; }
}
at() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
now=$(at '-1 hour') month=$(at '+30 days')
authority ca
authority stranger
issue good ca "$now" "$month" "$both"
issue expired ca 20200101000000Z 20200102000000Z "$both"
issue future ca "$(at '+10 days')" "$month" "$both"
issue other_name ca "$now" "$month" "subjectAltName=DNS:other.example"
issue zero_days ca 20200101000000Z 20200101000000Z "$both"
issue year_9999 ca "$now" 99991231235959Z "$both"
issue before_1970 ca 19500101000000Z 19510101000000Z "$both"
issue no_chain stranger "$now" "$month" "$both"
issue sha1 ca "$now" "$month" "$both" -md sha1
subject=$(printf '/CN=\033[2J\r\nlevel\302\233 \342\200\256evil`|<script>/') issue hostile_names stranger "$now" "$month" "$both"
issue three_thousand_names ca "$now" "$month" "subjectAltName=$(seq -s , -f 'DNS:host-%g.example' 3000)"
key self_signed
openssl req -x509 -new -key self_signed.key -subj /CN=shop.example -addext "$both" -days 30 -out self_signed.pem
key v1
openssl req -new -key v1.key -subj /CN=shop.example -out v1.csr
openssl x509 -req -in v1.csr -CA ca.pem -CAkey ca.key -days 30 -out v1.pem 2> /dev/null
cp good.key megabyte.key
for _ in $(seq 1500); do cat good.pem; done > megabyte.pem
# Not to be served: files only.
for _ in $(seq 1000); do cat good.pem; done > thousand.pem
: > empty.pem
head -c 300 good.pem > broken.pem
head -c 5000 /dev/urandom > noise.pem
openssl x509 -in good.pem -outform DER | head -c 200 > truncated.der
truncate -s 5M large.pem
mkfifo pipe.pem
mv stranger.key stranger.secret
cd /

python3 "$here/hostile_server.py" "$DIR" & PIDS+=($!)
need 60 "the servers listen" [ -e "$DIR/ports.json" ]
port() { jq ".$1" "$DIR/ports.json"; }
CLOSED_PORT=$(free_port)
export CLOSED_PORT

# cases WHICH...: a line for each in the table, and a check.
cases() {
  python3 "$here/hostile_peers.py" "$AUTOHEAL" "$DIR" "$@" > "$DIR/table" || true
  cat "$DIR/table"
  PASSED=$((PASSED + $(grep -c '^ok ' "$DIR/table" || true)))
  FAILED=$((FAILED + $(grep -c '^FAIL ' "$DIR/table" || true)))
  check "each of the cases ($*) was tried" grep -q '^total ' "$DIR/table"
}
cases http tls files names actions
check "no redirect was followed" [ "$(grep -cE ' /(again|plain|latest)' "$DIR/requests")" = 0 ]
check "each was asked for once by the probe and once by the action" [ "$(grep -c '^redirect_loop ' "$DIR/requests")" = 2 ]

# All of them at once with a real agent: the good ones among them are measured as if they were alone.
good=20
python3 - "$DIR" "$CLOSED_PORT" "$good" << 'EOT' | settings
import json, sys
where, closed, good = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ports = {**json.load(open(where + "/ports.json")), "closed": closed}
every = {"interval_seconds": 1, "timeout_seconds": 2}
endpoints, certificates = [], []
for name, port in ports.items():
    scheme = "https" if name.startswith(("tls_", "redirect_to")) else "http"
    endpoints.append({"name": name, "url": f"{scheme}://127.0.0.1:{port}/{name}", **every})
    if scheme == "https":
        certificates.append({"name": name, "host": "127.0.0.1", "port": port, **every})
for name in "servfail nxdomain silent garbage broken6 only6 unreachable many".split():
    endpoints.append({"name": name + ".test", "url": f"http://{name}.test:{ports['good']}/", **every})
    certificates.append({"name": name + ".test", "host": name + ".test", "port": ports["tls_good"], **every})
endpoints += [{"name": f"fine-{number}", "url": f"http://127.0.0.1:{ports['good']}/fine-{number}/", **every} for number in range(good)]
json.dump({"watch": {"disks": [], "memory": False, "endpoints": endpoints, "certificates": certificates}}, sys.stdout)
EOT
playbooks <<< '{}'
start_agent
fine() { grep -c '^good GET /fine-' "$DIR/requests"; }
before=$(fine)
sleep 20
measured=$(($(fine) - before))
check "the good endpoints were measured on time ($measured times in 20 s, $good of them each second)" [ "$measured" -ge $((good * 18)) ]
"$AUTOHEAL" --json --data-dir "$DATA" status > "$DIR/status.json"
# old SECONDS: how many of the good endpoints have no sample as young as that.
old() { jq "[.targets[].samples[] | select(.metric == \"api_status\" and (.labels.endpoint | startswith(\"fine-\")) and (.age_seconds > $1 or .value != \"up\"))] | length" "$DIR/status.json"; }
check "each of them is up, and its sample is young" [ "$(old 3)" = 0 ]
check "each target has a value or a reason" [ "$(jq '[.targets[].samples[] | select(.value == null and .reason == null)] | length' "$DIR/status.json")" = 0 ]
peak=$(awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$AGENT/status")
threads=$(awk '/^Threads/ {print $2}' "/proc/$AGENT/status")
files=$(find "/proc/$AGENT/fd" -mindepth 1 | wc -l)
check "the agent's memory stays below 64 MiB (peak $peak MiB)" [ "$peak" -lt 64 ]
printf '%s targets, peak %s MiB, %s threads, %s descriptors\n' "$(jq '.targets | length' "$DIR/status.json")" "$peak" "$threads" "$files"
refuted "nothing panicked" grep -i panic "$LOG"
refuted "no line of the log holds a control character" grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$LOG"
stop_agent
