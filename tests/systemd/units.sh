#!/bin/bash
# units.sh: what is installed, under the systemd that runs here, step by step as README.md and the manual pages have it: socket,
# reload, death, watchdog, credentials, drain, reminders, mail.  It makes users and folders: for a throw-away machine only
# (docs/HACKING.md).  Ends at the first thing that is not as it should be.
set -eu
LIB=$(cd "$(dirname "$0")/../lib" && pwd)
D=/var/lib/pocd/directory CONF=/var/lib/pocd/directory/pocd.conf DROPINS=/etc/systemd/system/pocd.service.d
WORK=$(mktemp -d)
trap 'echo "units.sh: failed in line $LINENO" >&2; journalctl -u pocd -u poc-watch@mail -o cat -n 20 --no-pager >&2' ERR

ok() { echo "ok  $*"; }
is() { [ "$1" = "$2" ] || { echo "units.sh: \"$1\" is not \"$2\"" >&2 && return 1; }; }
prop() { systemctl show "$1" -p "$2" --value; }
look() { poc -c "$WORK/xa-op.conf" --online lookup XB | grep -q XB-CERT; }
until_is() { # UNIT PROPERTY VALUE
    for _ in $(seq 150); do
        [ "$(prop "$1" "$2")" != "$3" ] || return 0
        sleep 0.2
    done
    is "$(prop "$1" "$2")" "$3"
}

systemd-analyze verify --man=no pocd.service pocd.socket pocadm-remind.service pocadm-remind.timer poc-watch@mail.service
systemd-sysusers
install -d -o pocd -g pocd -m 700 /var/lib/pocd
runuser -u pocd -- pocadm init $D --origin pocd.example.int/2026a --listen '[::]:7437' --server localhost:7437 >/dev/null
systemctl enable --now pocd
ok "installed and started"

cd "$WORK"
cp -r $D staff
chown -R 0:0 staff
for code in XA XB; do
    poc state new $code --out states --directory staff/directory.info >/dev/null
    pocadm -c staff/directory-admin.conf -y state enrol states/$code.enrol --reference 'units.sh' >/dev/null
    cat >$code.json <<JSON
{"schema": "poc.record/1", "place": "$code", "pocs": [{"id": "technical-1", "kind": "technical", "sections": [{"name": "office",
  "content": {"names": [{"lang": "en", "text": "$code-CERT"}], "languages": ["en"],
    "channels": [{"id": "email-1", "type": "email", "value": "cert@${code,,}.example"}]}}]}]}
JSON
    poc -c states/$code-coordinator.conf -y publish $code.json >/dev/null
done
poc -q -c states/XA-coordinator.conf user invite op --role operator --kind technical --out xa-op.invite
poc -c xa-op.conf setup xa-op.invite --request xa-op.request >/dev/null
poc -c states/XA-coordinator.conf -y user add xa-op.request >/dev/null
look
is "$(journalctl -u pocd -o cat --no-pager | grep -c -E ' (warning|error) ')" 0
ok "a lookup; the log has no warnings"

systemctl reload pocd
cp $CONF conf
echo 'nonsense = 1' >>$CONF
if systemctl reload pocd 2>/dev/null; then false; fi
cat conf >$CONF
look
ok "reload; it fails where the configuration is bad, and the daemon goes on"

for _ in 1 2 3; do
    kill -9 "$(prop pocd MainPID)"
    look
    until_is pocd ActiveState active
done
is "$(prop pocd NRestarts)" 3
ok "killed thrice; clients wait at the socket"

mkdir -p $DROPINS
printf '[Service]\nWatchdogSec=6s\n' >$DROPINS/units.conf
systemctl daemon-reload
systemctl restart pocd
sleep 8
is "$(prop pocd NRestarts)" 0
kill -STOP "$(prop pocd MainPID)"
until_is pocd NRestarts 1
until_is pocd ActiveState active
look
ok "one that hangs is started anew, one that does not is not"

for key in server log; do
    install -m 600 $D/keys/$key.key /etc/pocd-$key.key
    rm $D/keys/$key.key
    sed -i "s|^key = keys/$key.key|key = /run/credentials/pocd.service/$key.key|" $CONF
done
printf '[Service]\nLoadCredential=server.key:/etc/pocd-server.key\nLoadCredential=log.key:/etc/pocd-log.key\n' >$DROPINS/units.conf
systemctl daemon-reload
systemctl restart pocd
systemctl reload pocd
pocadm reload $CONF >/dev/null # by root
poc -c states/XA-coordinator.conf -y confirm | grep -q proven
ok "keys as credentials, of the signer too; reload with them, by systemd and by root"

systemctl stop pocd.socket pocd
is "$(prop pocd Result) $(prop pocd ExecMainStatus)" "success 0"
systemctl start pocd.socket
look
is "$(prop pocd ActiveState)" active
ok "stopped, and started by a client"

install -d -o poc -g poc -m 700 /var/lib/poc /var/lib/poc/keys
install -o poc -m 600 staff/directory-service.conf staff/service.crt /var/lib/poc/
install -o poc -m 600 -t /var/lib/poc/keys staff/keys/service.key staff/keys/service-reading.key
mkdir -p /etc/systemd/system/pocadm-remind.timer.d
printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\n' >/etc/systemd/system/pocadm-remind.timer.d/units.conf
systemctl enable --now pocadm-remind.timer
for _ in $(seq 100); do
    journalctl -u pocadm-remind -o cat --no-pager | grep -q ' sent before' && break
    sleep 0.2
done
systemctl stop pocadm-remind.timer
is "$(prop pocadm-remind Result) $(prop pocadm-remind ExecMainStatus)" "success 0"
ok "the timer fires, and reminders are sent"

python3 - "$LIB" mails >/dev/null <<'PYTHON' &
import sys, time
sys.path.insert(0, sys.argv[1])
from mail_server import MailServer
server = MailServer()
print(server.address, file=open(sys.argv[2] + ".address", "w", encoding="ascii"))
while True:
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.writelines(f"{mail['Subject']}\n" for mail in server.mails)
    time.sleep(0.2)
PYTHON
server=$!
for _ in $(seq 100); do
    [ ! -s mails.address ] || break
    sleep 0.2
done
poc -q -c states/XB-coordinator.conf user invite gateway --role operator --kind technical --service --out gateway.invite
install -o poc gateway.invite /var/lib/poc/
(cd /var/lib/poc && runuser -u poc -- poc -c poc.conf setup gateway.invite >/dev/null)
poc -c states/XB-coordinator.conf -y user add /var/lib/poc/gateway.request >/dev/null
install -D /usr/local/share/poc/gateway/mail /etc/poc/gateway/mail
printf 'POC_MAIL_TO=duty@cert.example\nPOC_SMTP=%s\n' "$(cat mails.address)" >/etc/poc/gateway/mail.env
systemctl enable --now poc-watch@mail
notice=$(poc -c xa-op.conf notice send --to XB --subject s --text t | sed -n '1s/ .*//p')
for _ in $(seq 100); do
    grep -q "$notice" mails && break
    sleep 0.2
done
systemctl restart poc-watch@mail
sleep 3
is "$(grep -c "$notice" mails)" 1
kill $server
ok "a notice is one mail, after a restart of the watcher too"
