#!/usr/bin/env bash
# The program's functions lie as packaging/layout/functions.ld says. Without that it works as well, in more memory, so nobody would
# notice that the script no longer fits: names are spelled otherwise, the linker is another one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# size SECTION: bytes of it in the program; nothing if there is none.
size() { readelf -SW "$AUTOHEAL" | awk -v section="$1" 'sub(/^ *\[ *[0-9]+\] /, "") && $1 == section {print "0x" $5}'; }
hot=$(($(size .text.hot) + 0))
warm=$(($(size .text.warm) + 0))
all=$(($(size .text) + hot + warm))
check "what runs always is together ($hot bytes)" [ "$hot" -gt 800000 ]
check "what runs when something is wrong is together ($warm bytes)" [ "$warm" -gt 150000 ]
check "that is at most two thirds of the program ($all bytes)" [ $((3 * (hot + warm))) -lt $((2 * all)) ]
