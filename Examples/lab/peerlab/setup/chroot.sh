#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs apt inside the guest root, in mount and process namespaces that the caller made:
#   chroot.sh ROOT WORK install PACKAGE...   install into the root
#   chroot.sh ROOT WORK upgrades             print what an upgrade would change ("Inst ..." lines)
#   chroot.sh ROOT WORK kernel SUITE KNOWN   fetch SUITE's kernel into WORK, unless it is KNOWN
#   chroot.sh ROOT WORK unpack TOOL          unpack the kernel image in WORK
#   chroot.sh ROOT WORK depmod VERSION       index the modules in WORK
# apt in the root checks the archive's signatures against the root's own Debian keys.
set -eu
root=$1 work=$2 verb=$3
shift 3
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc "$root/proc"
mount --bind "$work" "$root/mnt"
for memory in var/lib/apt/lists var/cache/apt tmp; do
    mount -t tmpfs tmpfs "$root/$memory"
done
if [ -e /etc/resolv.conf ]; then
    [ -e "$root/etc/resolv.conf" ] || : > "$root/etc/resolv.conf"
    mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
fi

inside() { chroot "$root" "$@"; }
apt() {
    inside apt-get -q -y -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

install_packages() {
    # No service may start in a chroot, no documentation is read there, and a root that is
    # published by one rename needs no fsync for each file.
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' > "$root/etc/dpkg/dpkg.cfg.d/lab"
    apt update
    apt install "$@"
}

# The archive's address is the one that debootstrap wrote into the root.
fetch_kernel() {
    local suite=$1 known=$2 packages
    awk -v suite="$suite" '$1 == "deb" {print "deb", $2, suite, "main"; exit}' \
        "$root/etc/apt/sources.list" > "$work/extra.list"
    [ -e "$root/etc/apt/sources.list.d/lab.list" ] || : > "$root/etc/apt/sources.list.d/lab.list"
    mount --bind "$work/extra.list" "$root/etc/apt/sources.list.d/lab.list"
    apt update
    packages=$(apt -s -t "$suite" install linux-image-amd64 |
        sed -nE 's/^Inst (linux-(image|binary|modules|base)-[0-9][^ ]*) \(([^ ]*).*/\1=\3/p')
    [ -n "$packages" ] || { echo "no linux-image-amd64 in $suite of this mirror"; exit 1; }
    echo "packages:" $packages
    [ "$(echo $packages)" != "$known" ] || return 0
    # shellcheck disable=SC2086
    inside sh -c 'cd /mnt && exec apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 \
        download "$@"' sh $packages
    for deb in "$work"/*.deb; do
        inside dpkg-deb -x "/mnt/${deb##*/}" /mnt/tree
        rm "$deb"
    done
    rm "$work/extra.list"
}

case $verb in
    install) install_packages "$@" ;;
    upgrades) apt update && apt -s dist-upgrade ;;
    kernel) fetch_kernel "$@" ;;
    unpack) inside "$1" -dc /mnt/payload > "$work/vmlinux" ;;
    depmod) inside depmod -b /mnt "$1" ;;
esac
