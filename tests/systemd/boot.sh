#!/bin/bash
# boot.sh FOLDER: boots the systemd of a Debian folder (debootstrap) in namespaces of its own, with a network that is empty,
# and stays until that ends.  For machines where systemd-nspawn -b does not work, as it does not without a systemd outside.
# boot.sh FOLDER COMMAND…: runs a command inside of what was booted so.  Needs root.
set -eu
FOLDER=$(readlink -f "$1")
NAME=$(echo "${FOLDER#/}" | tr / -)
PIDFILE=/run/pocd-boot-$NAME
shift

if [ $# -gt 0 ]; then
    exec nsenter -t "$(cat "$PIDFILE")" -m -u -i -n -p -C env -i HOME=/root LC_ALL=C.UTF-8 SYSTEMD_PAGER=cat \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
fi

# a cgroup for it alone: two that share one end each other's services
CGROUPS=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
BEFORE=$CGROUPS$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$CGROUPS/boot-$NAME"
echo $$ >"$CGROUPS/boot-$NAME/cgroup.procs"

# shellcheck disable=SC2016 # the inner shell's
INSIDE='
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for each in null zero full random urandom tty; do touch "dev/$each"; mount --bind "/dev/$each" "dev/$each"; done
mkdir dev/pts dev/shm run/outside
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . run/outside
umount -l /run/outside
mount --make-rshared / # credentials reach services by propagation
exec env -i container=other LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=no
'
unshare --mount --pid --fork --ipc --uts --net --cgroup --kill-child bash -c "$INSIDE" boot "$FOLDER" </dev/null &
sleep 1
pgrep -P $! >"$PIDFILE"
wait $! || true # however it ends, by poweroff or by a signal: units.sh judges; here only what was made is taken away
rm -f "$PIDFILE"
echo $$ >"$BEFORE/cgroup.procs"
find "$CGROUPS/boot-$NAME" -depth -type d -exec rmdir {} \;
