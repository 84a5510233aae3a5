#!/bin/bash
# Boots a systemd in namespaces of its own, over a throw-away overlay of this machine's root file system.
#
#   boot.sh FOLDER CGROUP [SOURCE:TARGET]...
#
# FOLDER is an empty folder to mount on, CGROUP a name for its control group; each SOURCE is bound read-only at TARGET.
# Needs root, in a mount namespace of its own whose mounts reach nobody (unshare --mount --propagation private). All
# writes land on a tmpfs. It becomes the process whose only child is that systemd, and both end with whoever
# started it.
set -euo pipefail
folder=$1 name=$2
shift 2

# The own group in each hierarchy that systemd uses; whoever started this removes it.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ -f "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$name"
    echo $$ >"$hierarchy/$name/cgroup.procs"
done

mount -t tmpfs -o size=2G,mode=755 sandbox "$folder"
mkdir "$folder"/{upper,work,root}
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"

# A quiet system, the same everywhere: none of this machine's services, an empty volatile journal, no limits on it.
mount -t tmpfs -o mode=755 units "$root/etc/systemd/system"
rm -rf "$root/var/log/journal"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
: >"$root/etc/fstab"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\nForwardToConsole=no\n' >"$root/etc/systemd/journald.conf.d/sandbox.conf"
for unit in console-getty getty@tty1 systemd-timesyncd systemd-logind systemd-networkd systemd-resolved; do
    ln -s /dev/null "$root/etc/systemd/system/$unit.service"
done
for bind in "$@"; do
    target=$root${bind#*:}
    mkdir -p "$target"
    mount --bind "${bind%%:*}" "$target"
    mount -o remount,bind,ro "$target"
done

cat >"$folder/enter.sh" <<'INIT'
set -euo pipefail
root=$1
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys" || mount --rbind /sys "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r device major minor <<<"$node"
    mknod -m 666 "$root/dev/$device" c "$major" "$minor"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
cd "$root"
mkdir .outside
pivot_root . .outside
umount -l /.outside
exec env -i container=sandbox PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
    /lib/systemd/systemd --system systemd.unit=multi-user.target systemd.show_status=0 systemd.firstboot=no
INIT
exec unshare --pid --fork --kill-child=SIGKILL --mount --uts --ipc --cgroup --net -- /bin/bash "$folder/enter.sh" "$root"
