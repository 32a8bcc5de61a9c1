#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs apt inside the guest root, in mount and process namespaces that the caller made:
#   chroot.sh ROOT WORK install PACKAGE...   install into the root
#   chroot.sh ROOT WORK upgrades             print what an upgrade would change ("Inst ..." lines)
#   chroot.sh ROOT WORK candidate PACKAGE    print the version of the archive's PACKAGE ("candidate: ...")
#   chroot.sh ROOT WORK kernel SUITE KNOWN   fetch SUITE's kernel into WORK, unless it is KNOWN
#   chroot.sh ROOT WORK unpack TOOL          unpack the kernel image in WORK
#   chroot.sh ROOT WORK depmod VERSION       index the modules in WORK
#   chroot.sh ROOT WORK toolchain SUITE PACKAGE...   install, also from SUITE unless that is empty
#   chroot.sh ROOT WORK source NAME PACKAGE  unpack the source NAME that PACKAGE in the root is of
#   chroot.sh ROOT WORK build SCRIPT PACKAGE...  install PACKAGEs into a copy of the root that is in memory and vanishes
#                                            with the command, and run SCRIPT of WORK there, as what others go before
#   chroot.sh ROOT WORK run WORD...          run a command in WORK
# apt in the root checks the archive's signatures against the root's own Debian keys.
set -eu
root=$1 work=$2 verb=$3
shift 3
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

if [ "$verb" = build ]; then
    # Relative names: those of overlayfs have characters of their own.
    mkdir "$work/memory"
    mount -t tmpfs -o size=100% tmpfs "$work/memory"
    cd "$work/memory"
    mkdir lower upper overlay copy
    mount --bind "$root" lower
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=overlay overlay copy
    root=$work/memory/copy
fi
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

# Let apt look at one more suite, or at sources (TYPE deb-src), for the time of this script.
# The archive's address is the one that debootstrap wrote into the root.
look_at() {
    local type=$1 suite=$2 list=etc/apt/sources.list.d/lab.list
    awk -v type="$type" -v suite="$suite" \
        '$1 == "deb" {print type, $2, suite ? suite : $3, "main"; exit}' \
        "$root/etc/apt/sources.list" > "$root/tmp/lab.list"
    [ -e "$root/$list" ] || : > "$root/$list"
    mount --bind "$root/tmp/lab.list" "$root/$list"
}

fetch_kernel() {
    local suite=$1 known=$2 packages
    look_at deb "$suite"
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
}

install_toolchain() {
    local suite=$1
    shift
    [ -z "$suite" ] || look_at deb "$suite"
    apt update
    apt ${suite:+-t "$suite"} install "$@" || {
        echo "If a version was not found: the archive has a newer one by now, and the lab's root" \
            "and kernel are old. Renew them with: lab fetch --refresh"
        exit 1
    }
}

# For a look at the headers the tar archive is enough. Its hash is in the archive's signed index.
unpack_source() {
    local name=$1 version
    version=$(inside dpkg-query -W -f '${source:Version}' "$2")
    look_at deb-src ""
    apt update
    inside sh -c 'cd /mnt && exec apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 \
        source --download-only --tar-only "$1"' sh "$name=$version"
    mkdir -p "$root/usr/src/$name"
    inside sh -c 'tar -xf /mnt/"$1"_*.orig.tar.* -C /usr/src/"$1" --strip-components=1' sh "$name"
    rm -f "$work/${name}_"*
}

build() {
    local script=$1 package
    shift
    install_toolchain "" "$@"
    for package; do
        inside dpkg-query -W -f 'package: ${Package}=${Version}\n' "$package"
    done
    echo "fetched"
    inside sh -c 'cd /mnt && exec nice -n 10 sh "$1"' sh "$script"
}

case $verb in
    build) build "$@" ;;
    install) install_packages "$@" ;;
    upgrades) apt update && apt -s dist-upgrade ;;
    candidate) apt update && inside apt-cache policy "$1" | sed -n 's/^  Candidate/candidate/p' ;;
    kernel) fetch_kernel "$@" ;;
    unpack) inside "$1" -dc /mnt/payload > "$work/vmlinux" ;;
    depmod) inside depmod -b /mnt "$1" ;;
    toolchain) install_toolchain "$@" ;;
    source) unpack_source "$@" ;;
    run) inside sh -c 'cd /mnt && exec "$@"' sh "$@" ;;
esac
