#!/usr/bin/env bash
# A Debian system, made here by mmdebstrap, boots from its disk: the initramfs mounts root=/dev/vda and hands over to
# systemd. A small unit looks around, installs a package with apt, and powers off. From a terminal you get a login on
# the console instead (root, no password; dpkg -i hello*.deb is up to you).
# The system is made once and kept in build/samples/debian_guest.img; delete it for a newer one.
source "$(dirname "$0")/lib.sh"
begin debian_guest
system=build/samples/debian_guest.img

if [ ! -e "$system" ]; then
  step "a Debian system of the smallest kind, with systemd and one package file to install (about a minute)"
  need mmdebstrap fakeroot
  [ "$(id -u)" = 0 ] || need uidmap
  mirror=$(apt_mirror)
  [ -n "$mirror" ] || die 69 "apt has no mirror for this machine's release"
  # shellcheck disable=SC2016  # $1 is for mmdebstrap
  mmdebstrap --variant=minbase --include=systemd-sysv \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/zoneinfo/*' \
    --customize-hook='chroot "$1" sh -c "cd /root && apt-get -qq -o APT::Sandbox::User=root download hello"' \
    --customize-hook='chroot "$1" passwd -d root' --customize-hook='echo debian >"$1/etc/hostname"' \
    bookworm "$vm/system.tar" "$mirror" || die 69 "mmdebstrap cannot make the system"
  # With fakeroot the files in the image belong to whom the archive says, not to who runs this, who has to be able to
  # read them: gshadow-, an old copy, is for nobody.
  # shellcheck disable=SC2016
  fakeroot sh -ec 'mkdir "$1/system"
    tar -xf "$1/system.tar" -C "$1/system" --exclude "./dev/*" --exclude ./etc/gshadow-
    truncate -s 512M "$1/system.img" && mkfs.ext4 -q -d "$1/system" "$1/system.img"' - "$vm"
  mv "$vm/system.img" "$system"
  rm -rf "$vm/system" "$vm/system.tar"
fi

step "a copy of its disk, with the unit that this guest runs; an initramfs that mounts it"
cp --sparse=always "$system" "$vm/disk.img"
cat >"$vm/sample.sh" <<'END'
echo "guest: $(cat /proc/1/comm) is process 1, $(dpkg-query -W | wc -l) packages"
cat /etc/os-release
DEBIAN_FRONTEND=noninteractive apt-get install -y -q /root/hello_*.deb
hello | tee /root/said
END
cat >"$vm/sample.service" <<'END'
[Unit]
Description=what this sample shows
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=sh -e /root/sample.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
END
debugfs -w -f - "$vm/disk.img" >/dev/null 2>&1 <<END
write $vm/sample.sh /root/sample.sh
write $vm/sample.service /etc/systemd/system/sample.service
END
initrd --module autofs4 <<'END'
root=$(sed 's/.*root=\([^ ]*\).*/\1/' /proc/cmdline)
mount "$root" /mnt
for name in dev proc sys run; do
  mount --move /$name /mnt/$name
done
exec switch_root /mnt /sbin/init
END
unit=sample.service
[ ! -t 0 ] || unit=console-getty.service

on_host --get disk.img -- acrn-dm -m 256M -k vmlinuz -r initrd.gz \
  -B "console=ttyS0 quiet root=/dev/vda rw systemd.unit=$unit" \
  -s 0:0,hostbridge -s 1:0,lpc -l com1,stdio -s 9,virtio-blk,disk.img,writeback vm1

step "back on this host: the package in the guest's dpkg, and what its program said"
look "$vm/disk.img" 'cat /var/lib/dpkg/status' | grep -A 1 '^Package: hello$' || echo "hello is not installed"
look "$vm/disk.img" 'cat /root/said'
