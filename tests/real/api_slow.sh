#!/usr/bin/env bash
# A slow HTTP server is healed by the first rung of a ladder, a POST; the last rung, nginx, is never reached.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

port=$(free_port)
cat > "$DIR/server.py" <<'EOF'
"""Answers; slowly once GET /break was asked, until POST /admin/reset-pool is."""
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    slow = False

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path == "/break":
            Handler.slow = True
        elif Handler.slow:
            time.sleep(0.8)
        self.answer(b"ok\n")

    def do_POST(self):
        if self.path == "/admin/reset-pool":
            Handler.slow = False
        self.answer(b"pool reset\n")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
EOF
helper nginx <<EOF
#!/bin/sh
touch $DIR/nginx-was-run
EOF
settings <<EOF
{
  "dry_run": false,
  "interval_seconds": 0.3,
  "watch": {
    "disks": [], "memory": false,
    "endpoints": [{"name": "shop", "url": "http://127.0.0.1:$port/", "timeout_seconds": 3}]
  },
  "allowed_commands": ["@shipped", "http POST {url:http://127.0.0.1:$port/admin/reset-pool}"],
  "command_path": $(command_path)
}
EOF
playbooks <<EOF
{
  "api_slow": {
    "strategy": "ladder",
    "condition": {"metric": "api_latency_ms", "operator": ">", "threshold": 500, "for_seconds": 1},
    "actions": [
      {"type": "http", "description": "Reset the pool", "method": "POST", "url": "http://127.0.0.1:$port/admin/reset-pool", "timeout_seconds": 5,
       "retry_count": 5, "retry_interval_seconds": 0.3},
      {"type": "shell", "description": "Reload nginx", "command": "nginx -s reload"}
    ],
    "verify": {"metric": "api_latency_ms", "operator": "<", "threshold": 300, "retry_count": 3, "retry_interval_seconds": 0.3},
    "cooldown_seconds": 3600
  }
}
EOF
python3 "$DIR/server.py" "$port" &
PIDS+=($!)
need 10 "the server listens" on_tcp "$port"
start_agent
refuted "a fast server is no incident" has_report api_slow
curl -fsS -o /dev/null "http://127.0.0.1:$port/break"
need 30 "that it is slow is healed, proven and reported" has_report api_slow "✅ resolved" endpoint=shop
report=$(reports api_slow)
check_report "$report"
check "the report says where the time went" section_has "$report" "Initial State" "first byte 8"
check "the POST is in the report" section_has "$report" "Actions Taken" "POST http://127.0.0.1:$port/admin/reset-pool"
check "its answer too" section_has "$report" "Actions Taken" "pool reset"
check "the rung that was not needed is shown as not run" section_has "$report" "Actions Taken" "⏸️ Not run"
check "nginx was never run" [ ! -e "$DIR/nginx-was-run" ]
stop_agent
