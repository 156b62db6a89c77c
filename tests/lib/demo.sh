#!/bin/bash
# ./dev demo: a throw-away world on the loopback interface, and the main job before the reader's eyes.  Every part is played
# with the public commands, which are printed as they run.
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DIR="" TEAMS=$ROOT/tests/data/contacts/national_teams.csv PORT=7437 WAIT=yes STOP=no BUILD=no

usage() {
    cat <<'TEXT'
usage: ./dev demo [--dir DIR] [--teams FILE.csv] [--port N] [--no-wait]
       ./dev demo --dir DIR --stop
  --dir DIR    where the world is made (default: a new folder below /tmp); must not exist or be empty
  --teams FILE list of national teams (default: tests/data/contacts/national_teams.csv)
  --port N     port on 127.0.0.1 (default: 7437)
  --no-wait    return and leave the daemon running; --stop ends it
TEXT
}

while [ $# -gt 0 ]; do
    case $1 in
    --dir) DIR=${2:?--dir needs a value} && shift ;;
    --teams) TEAMS=${2:?--teams needs a value} && shift ;;
    --port) PORT=${2:?--port needs a value} && shift ;;
    --no-wait) WAIT=no ;;
    --build) BUILD=yes ;; # ./dev gives it
    --stop) STOP=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
case $PORT in
*[!0-9]* | "" | ??????*) PORT=0 ;;
esac
if [ "$PORT" -lt 1 ] || [ "$PORT" -gt 65535 ]; then
    echo "demo: --port takes 1 to 65535" >&2
    exit 2
fi

stop_daemon() {
    if [ -f "$DIR/pocd.pid" ]; then
        local pid exe
        pid=$(cat "$DIR/pocd.pid")
        # only what this script started: the process must still be our pocd, though it may have been built anew since
        exe=$(readlink "/proc/$pid/exe" 2>/dev/null || true) # empty if it has ended: then nothing is signalled
        if [ "${exe% (deleted)}" = "$(readlink -f "$BIN/pocd/pocd")" ]; then
            kill -TERM "$pid"
            for _ in $(seq 100); do
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.1
            done
        fi
        rm -f "$DIR/pocd.pid"
    fi
}

BIN=${POCD_BUILD:-$ROOT/build}
if [ $STOP = yes ]; then
    [ -n "$DIR" ] || { usage >&2 && exit 2; }
    stop_daemon
    echo "stopped"
    exit 0
fi
[ -f "$TEAMS" ] || { echo "demo: $TEAMS: no such file" >&2 && exit 2; }
TEAMS=$(readlink -f "$TEAMS")
if [ -d "$DIR" ] && [ -n "$(ls -A "$DIR")" ]; then
    echo "demo: $DIR is not empty" >&2
    exit 2
fi
# whatever was asked for wrongly has been said by now
[ $BUILD = no ] || "$ROOT/dev" build
[ -n "$DIR" ] || DIR=$(mktemp -d /tmp/pocd-demo-XXXXXX)
[ ! -d "$DIR" ] || rmdir "$DIR"
mkdir -p "$(dirname "$DIR")"
DIR=$(readlink -f "$(dirname "$DIR")")/$(basename "$DIR")
export PATH=$BIN/clients:$BIN/pocd:$PATH
bold="" plain=""
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# Prints a command, quoted where it must be so that it can be repeated, runs it, checks its exit status (run STATUS COMMAND…).
run() {
    local want=$1 got=0 word shown=""
    shift
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:=,@%+-]*) word=${word@Q} ;; esac
        shown="$shown $word"
    done
    printf '%s$%s%s\n' "$bold" "$shown" "$plain"
    "$@" </dev/null || got=$?
    if [ "$got" != "$want" ]; then
        echo "demo: expected exit status $want, got $got" >&2
        [ -f "$DIR/pocd.log" ] && tail -20 "$DIR/pocd.log" >&2
        stop_daemon
        exit 1
    fi
    [ "$want" = 0 ] || echo "(exit status $got, as it should be)"
}

# tamper FILE COPY: a copy of which one bit in the middle is another.
tamper() {
    local size byte
    cp "$1" "$2"
    size=$(stat -c %s "$2")
    byte=$(od -An -tu1 -j $((size / 2)) -N 1 "$2" | tr -d ' ')
    # shellcheck disable=SC2059 # the byte is made of an octal escape
    printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$2" bs=1 seek=$((size / 2)) conv=notrunc status=none
}

quiet() {
    if ! "$@" >"$DIR/.out" 2>&1; then
        echo "demo: failed: $*" >&2
        cat "$DIR/.out" >&2
        stop_daemon
        exit 1
    fi
}

title "A directory is made: keys, trust root, register, configuration"
run 0 pocadm init "$DIR" --origin "pocd.demo.example/2026" --listen "127.0.0.1:$PORT"
cat >>"$DIR/pocd.conf" <<'CONF'
checkpoint_interval = 100ms

[limits]
connections = 20000
connections_per_address = 20000
handshakes = 5000

[diagnostics]
file = pocd.log
CONF
mkdir -m 700 "$DIR/users" "$DIR/states"
cat >"$DIR/env" <<ENV
# puts the built programs on PATH:  . $DIR/env
PATH=$BIN/clients:$BIN/pocd:\$PATH
export PATH
ENV

title "The daemon starts (mutual TLS 1.3, LMDB)"
printf '%s$ pocd -c %s &%s\n' "$bold" "$DIR/pocd.conf" "$plain"
pocd -c "$DIR/pocd.conf" >"$DIR/.ready" 2>"$DIR/.errors" </dev/null &
pid=$!
echo $pid >"$DIR/pocd.pid"
for _ in $(seq 100); do
    grep -q '^ready' "$DIR/.ready" && break
    kill -0 $pid 2>/dev/null || { cat "$DIR/.errors" >&2 && exit 1; }
    sleep 0.05
done
cat "$DIR/.ready"

# the staff's configurations, where the users' are
for name in admin service; do
    sed -e "s|= $name.crt|= ../$name.crt|; s|= $name.state|= ../$name.state|; s|= keys/|= ../keys/|g; s|, keys/|, ../keys/|g" \
        "$DIR/directory-$name.conf" >"$DIR/users/directory-$name.conf"
    chmod 600 "$DIR/users/directory-$name.conf"
done
admin=$DIR/users/directory-admin.conf
service=$DIR/users/directory-service.conf

title "A real list of national teams becomes one unsigned draft a state"
printf '%s$ %s%s\n' "$bold" "pocadm import $TEAMS --out $DIR/drafts" "$plain"
pocadm import "$TEAMS" --out "$DIR/drafts" >"$DIR/import.report"
head -3 "$DIR/import.report"
echo "... ($(($(wc -l <"$DIR/import.report") - 1)) rows, all of them in $DIR/import.report)"
tail -1 "$DIR/import.report"

for code in XA XB; do
    number=$([ $code = XA ] && echo 1 || echo 2)
    cat >"$DIR/drafts/$code.json" <<JSON
{"schema": "poc.record/1", "place": "$code", "pocs": [
  {"id": "technical-1", "kind": "technical", "sections": [
    {"name": "office", "content": {
      "names": [{"lang": "en", "text": "$code-CERT"}], "languages": ["en", "fr"],
      "descriptions": [{"lang": "en", "text": "National CERT of the fictional state $code, for exercises"}],
      "channels": [
        {"id": "phone-1", "type": "phone", "value": "+99900000$number", "notes": [{"lang": "en", "text": "duty desk"}]},
        {"id": "email-1", "type": "email", "value": "cert@${code,,}.example"},
        {"id": "night-1", "type": "phone", "value": "+99900001$number", "out_of_hours": true,
         "notes": [{"lang": "en", "text": "out of hours"}]}],
      "hours": {"zone": "Europe/Paris", "weekly": [
        {"day": 1, "open": "08:00", "close": "18:00"}, {"day": 2, "open": "08:00", "close": "18:00"},
        {"day": 3, "open": "08:00", "close": "18:00"}, {"day": 4, "open": "08:00", "close": "18:00"},
        {"day": 5, "open": "08:00", "close": "18:00"}]}}},
    {"name": "persons", "content": {"persons": [
      {"id": "head", "names": [{"lang": "en", "text": "Head of the duty desk"}],
       "channels": [{"id": "mobile", "type": "phone", "value": "+99900002$number"}]}]}}]},
  {"id": "diplomatic-1", "kind": "diplomatic", "sections": [
    {"name": "office", "content": {
      "names": [{"lang": "en", "text": "Ministry of Foreign Affairs of $code"}], "languages": ["en"],
      "channels": [{"id": "email-1", "type": "email", "value": "poc@mfa.${code,,}.example"}]}}]}]}
JSON
done
states=$(cd "$DIR/drafts" && for f in ??.json; do echo "${f%.json}"; done)

title "Each state makes its own keys, offline; the directory's staff enrols it"
first=yes
for code in $states; do
    if [ $first = yes ]; then
        run 0 poc state new "$code" --out "$DIR/states" --directory "$DIR/directory.info"
        echo "... and so on for $(echo "$states" | wc -w) states"
        first=no
    else
        quiet poc state new "$code" --out "$DIR/states" --directory "$DIR/directory.info"
    fi
done
set --
for code in $states; do
    set -- "$@" "$DIR/states/$code.enrol"
    if [ $# = 25 ]; then
        quiet pocadm -c "$admin" -y state enrol "$@" --reference "demo nomination 1/2026"
        set --
    fi
done
[ $# = 0 ] || run 0 pocadm -c "$admin" -y -q state enrol "$@" --reference "demo nomination 1/2026"

title "Each state signs and publishes its record; people join by invitation"
first=yes
for code in $states; do
    lower=${code,,}
    conf=$DIR/users/$lower-coordinator.conf
    sed -e "s|= $code-|= ../states/$code-|; s|, $code-|, ../states/$code-|g" "$DIR/states/$code-coordinator.conf" >"$conf"
    chmod 600 "$conf"
    for role in operator reader; do
        invite=$DIR/states/$code-$role.invite kinds=""
        [ $role = reader ] || kinds="--kind technical --kind diplomatic" # whose notices an operator acts on
        if [ $first = yes ]; then
            # shellcheck disable=SC2086 # words
            run 0 poc -c "$conf" user invite "$role" --role $role $kinds --out "$invite"
            run 0 poc -c "$DIR/users/$lower-$role.conf" setup "$invite" --request "$DIR/users/$lower-$role.request"
        else
            # shellcheck disable=SC2086
            quiet poc -c "$conf" user invite "$role" --role $role $kinds --out "$invite"
            quiet poc -c "$DIR/users/$lower-$role.conf" setup "$invite" --request "$DIR/users/$lower-$role.request"
        fi
    done
    if [ $first = yes ]; then
        run 0 poc -c "$conf" -y user add "$DIR/users/$lower-operator.request" "$DIR/users/$lower-reader.request"
        printf '%s$ %s%s\n' "$bold" "poc -c $conf -y publish $DIR/drafts/$code.json" "$plain"
        poc -c "$conf" -y publish "$DIR/drafts/$code.json" | tail -1
        echo "... and so on"
        first=no
    else
        quiet poc -c "$conf" -y -q user add "$DIR/users/$lower-operator.request" "$DIR/users/$lower-reader.request"
        quiet poc -c "$conf" -y -q publish "$DIR/drafts/$code.json"
    fi
done
reader=$DIR/users/xa-reader.conf operator=$DIR/users/xa-operator.conf theirs=$DIR/users/xb-operator.conf

title "Another state looks a contact up; the answer proves itself"
one=$(echo "$states" | tr ' ' '\n' | grep -x BR || echo "$states" | head -1)
run 0 poc -c "$reader" lookup "$one" --save "$DIR/$one.proof"
run 0 poc -c "$operator" lookup XB --kind technical

title "The saved answer verifies without network"
run 0 poc -c "$reader" --offline verify "$DIR/$one.proof"

title "One changed byte, and it is refused"
tamper "$DIR/$one.proof" "$DIR/$one.tampered"
run 6 poc -c "$reader" --offline verify "$DIR/$one.tampered"

title "A state that is not in the directory: its absence is proven"
run 5 poc -c "$reader" lookup XZ

title "A notice: XA's operator to XB's technical point of contact, encrypted to its desk"
run 0 poc -c "$operator" notice send --to XB --subject "Scans from AS64500" --reply-by 24h --ref XA-2026-77 \
    --text "Since 02:00 UTC we see scans from your network. Please look."
notice=$(poc -c "$operator" -o json notice list --sent | sed -n 's/^ *"id": "\(.*\)",$/\1/p' | head -1)
run 0 poc -c "$theirs" notice list
run 0 poc -c "$theirs" notice show "$notice"
run 0 poc -c "$theirs" notice ack "$notice" --answer-by 12h

title "The sender sees stored, delivered, acknowledged, each proven by whoever said it"
run 0 poc -c "$operator" notice status "$notice" --save "$DIR/notice.story"

title "The saved story verifies without network; a tampered one is refused"
run 0 poc -c "$reader" --offline verify "$DIR/notice.story"
tamper "$DIR/notice.story" "$DIR/notice.tampered"
run 6 poc -c "$reader" --offline verify "$DIR/notice.tampered"

title "Answered and closed; an exercise is marked as one for ever"
run 0 poc -c "$theirs" notice reply "$notice" --text "Found and stopped. Thank you."
run 0 poc -c "$operator" notice close "$notice"
run 0 poc -c "$operator" notice send --to XB --kind diplomatic --subject "Opening of the exercise" --exercise winter-26 \
    --text "This is an exercise."
run 0 poc -c "$theirs" handover

# worlds of tests are as the founders left them: nobody has been asked, no key rotated
if [ "${DEMO_LATER:-yes}" = yes ]; then
    title "A communications check: who answers, and what lookups say of it from then on"
    run 0 pocadm -c "$service" -y ping start XA XB >"$DIR/.out"
    cat "$DIR/.out"
    check=$(sed -n 's/^XB  technical   asked  *//p' "$DIR/.out")
    run 0 poc -c "$theirs" notice ack "$check"
    sleep 1 # until that is published, which is when it counts
    run 0 pocadm -c "$admin" -y ping report --publish
    run 0 poc -c "$reader" lookup XB --kind technical

    title "A log key is rotated: the daemon gets the new one, the council lists both, then drops the old; nobody notices"
    run 0 poc key new "$DIR/keys/log-2.key"
    run 0 sed -i 's|^key = keys/log.key|key = keys/log.key, keys/log-2.key|' "$DIR/pocd.conf"
    run 0 kill -HUP $pid
    run 0 pocadm -c "$admin" -y trust draft "$DIR/trust-2" --log-add "$DIR/keys/log-2.key"
    run 0 pocadm -y -q trust sign "$DIR/trust-2" --key "$DIR/keys/root.key" --directory "$DIR/directory.info"
    run 0 pocadm -c "$admin" -y -q trust publish "$DIR/trust-2"
    run 0 pocadm -c "$admin" -y -q trust draft "$DIR/trust-3" --log-drop "$DIR/keys/log.key"
    run 0 pocadm -y -q trust sign "$DIR/trust-3" --key "$DIR/keys/root.key" --directory "$DIR/directory.info"
    run 0 pocadm -c "$admin" -y -q trust publish "$DIR/trust-3"
    run 0 sed -i 's|^key = keys/log.key, keys/log-2.key|key = keys/log-2.key|' "$DIR/pocd.conf"
    run 0 kill -HUP $pid

    title "A coordinator key is rotated: the authority signs offline; all that the old key had signed goes along, signed anew"
    run 0 poc key new "$DIR/states/XB-signing-2.key"
    run 0 poc -c "$DIR/users/xb-coordinator.conf" -y state draft "$DIR/XB.keys" --coordinator-add "$DIR/states/XB-signing-2.key" \
        --coordinator-drop "$DIR/states/XB-signing.key"
    run 0 poc -y -q state sign "$DIR/XB.keys" --key "$DIR/states/XB-authority.key" --directory "$DIR/directory.info"
    run 0 poc -c "$DIR/users/xb-coordinator.conf" -y -q state submit "$DIR/XB.keys" --key "$DIR/states/XB-signing-2.key"
    run 0 sed -i 's|XB-signing.key|XB-signing-2.key|' "$DIR/users/xb-coordinator.conf" "$DIR/states/XB-coordinator.conf"

    title "An operator's own key is rotated: a request, the coordinator's word, and the old one is gone"
    run 0 poc -c "$theirs" -y key rotate user --request "$DIR/xb-operator.request"
    run 0 poc -c "$DIR/users/xb-coordinator.conf" -y user add "$DIR/xb-operator.request"
    run 0 poc -c "$theirs" -y key rotate user
    run 0 poc -c "$theirs" notice list
fi

title "A verified copy for the day when the network is the incident"
run 0 poc -c "$reader" -q sync >/dev/null
run 0 poc -c "$reader" --offline lookup XB --kind diplomatic
run 0 poc -c "$reader" status
rm -f "$DIR/.out" "$DIR/.ready" "$DIR/.errors"

title "Go on"
cat <<TEXT
. $DIR/env
poc -c $DIR/users/xb-reader.conf lookup $one
poc -c $DIR/users/xa-coordinator.conf edit
poc -c $DIR/users/xa-operator.conf notice send --to XB,$one --subject "..."
poc -c $DIR/users/xb-operator.conf notice watch
pocadm -c $admin state list
the log: $DIR/pocd.log    stop it: ./dev demo --dir $DIR --stop
TEXT
if [ $WAIT = yes ] && [ -t 0 ]; then
    printf '\npress Enter to stop the daemon '
    read -r _
    stop_daemon
    echo "stopped; the world stays in $DIR"
fi
