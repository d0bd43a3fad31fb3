#!/usr/bin/env bash
# A certificate that ends in three days is replaced by the renew command, and the one that the server shows then is proven.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

port=$(free_port)
pidfile=$DIR/nginx.pid
PIDFILES+=("$pidfile")
openssl ecparam -genkey -name prime256v1 -noout -out "$DIR/ca.key"
openssl req -x509 -new -key "$DIR/ca.key" -subj "/CN=autoheal test root" -days 365 -out "$DIR/ca.pem"
# issue DAYS: a certificate and key for shop.example, put in place together.
cat > "$DIR/issue.sh" <<EOF
#!/bin/sh
set -e
cd $DIR
openssl ecparam -genkey -name prime256v1 -noout -out new.key
printf 'subjectAltName=DNS:shop.example\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' > new.ext
openssl req -new -key new.key -subj /CN=shop.example -out new.csr
openssl x509 -req -in new.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "\$1" -extfile new.ext -out new.pem
mv new.key served.key
mv new.pem served.pem
echo "issued for \$1 days"
EOF
helper renew-certificate < "$DIR/issue.sh"
sh "$DIR/issue.sh" 3
cat > "$DIR/nginx.conf" <<EOF
daemon on;
worker_processes 1;
pid $pidfile;
events {}
http {
  access_log off;
  server { listen 127.0.0.1:$port ssl; ssl_certificate $DIR/served.pem; ssl_certificate_key $DIR/served.key; location / { return 200 "ok\n"; } }
}
EOF
nginx="nginx -e $DIR/nginx.log -c $DIR/nginx.conf"
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.5,
  "watch": {
    "disks": [], "memory": false,
    "certificates": [{"name": "shop", "host": "127.0.0.1", "port": $port, "server_name": "shop.example", "ca_file": "$DIR/ca.pem"}]
  },
  "allowed_commands": ["@shipped", "renew-certificate {int}"],
  "command_path": $(command_path),
  "services": {"web": {"reload": "$nginx -s reload"}}
}
EOF
playbooks <<'EOF'
{
  "ssl_expiring": {
    "condition": {"metric": "ssl_expires_in_days", "operator": "<", "threshold": 7},
    "actions": [
      {"type": "shell", "description": "Renew", "command": "renew-certificate 90"},
      {"type": "service_reload", "service": "web"}
    ],
    "verify": {
      "all": [{"metric": "ssl_expires_in_days", "operator": ">", "threshold": 7}, {"metric": "ssl_status", "operator": "==", "value": "valid"}],
      "retry_count": 20, "retry_interval_seconds": 0.3
    },
    "cooldown_seconds": 3600
  }
}
EOF
# served DAYS: the certificate on the wire is good for the name and at least for that long.
served() {
  openssl s_client -connect "127.0.0.1:$port" -servername shop.example -verify_hostname shop.example -CAfile "$DIR/ca.pem" \
    -verify_return_error < /dev/null 2> /dev/null | openssl x509 -noout -checkend $(($1 * 86400))
}

$nginx
need 10 "nginx shows a certificate" served 1
refuted "it ends within a week" served 7
start_agent
need 30 "that is healed, proven and reported" has_report ssl_expiring "✅ resolved" certificate=shop
check "the certificate on the wire is the new one" served 60
report=$(reports ssl_expiring)
check_report "$report"
check "the renewal's output is in the report" section_has "$report" "Actions Taken" "issued for 90 days"
check "the proof names the new end" grep -qE '"ssl_expires_in_days": (89|90)(\.[0-9]+)?' <<< "$(section "$report" Verification)"
stop_agent
check "the server outlives the agent" served 60
