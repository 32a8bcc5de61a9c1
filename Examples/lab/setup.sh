# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the project's scripts need from the machine. To be sourced by a bash script:
#   require_root       stop unless we are root
#   require_swift      stop unless a Swift toolchain of 6.2 or newer is on PATH
#   install_packages [PACKAGE...]   install those of the lab's and the build's packages (and of
#                      the named ones) that are missing
#   install_build_packages [PACKAGE...]   the same without what only the lab needs
# "Stop" is one sentence on standard error with cause and remedy, and exit code 1.

readonly build_packages="
    libibverbs-dev librdmacm-dev liburing-dev libblkid-dev libssl-dev libarchive-dev pkg-config g++ make git python3"
readonly lab_packages="
    qemu-system-x86 debootstrap debian-archive-keyring util-linux xz-utils"

stop() {
    printf '%s\n' "$*" >&2
    exit 1
}

require_root() {
    [ "$(id -u)" = 0 ] ||
        stop "This makes a guest's file system and uses mounts, which only root may do:" \
            "run it with sudo."
}

require_swift() {
    local answer version
    command -v swift > /dev/null || stop "No Swift toolchain is on PATH: get 6.2 or newer from" \
        "swift.org/install (or with 'swiftly install latest'), and put it on PATH" \
        "(with sudo: sudo env PATH=\"\$PATH\" ...)."
    # The package manager's version and not the compiler's: it needs more libraries to start.
    answer=$(swift build --version 2>&1) ||
        stop "The Swift toolchain on PATH does not start (${answer##*$'\n'}): install the" \
            "packages that swift.org/install lists for this distribution."
    version=$(sed -nE 's/.*Swift (version )?([0-9]+\.[0-9]+).*/\2/p' <<< "$answer" | head -n 1)
    printf '%s\n' 6.2 "$version" | sort --check=quiet --version-sort ||
        stop "Swift ${version:-of an unknown version} is on PATH, but 6.2 or newer is needed:" \
            "get it from swift.org/install (or with 'swiftly install latest')."
}

install_packages() {
    # shellcheck disable=SC2086
    install_build_packages $lab_packages "$@"
}

install_build_packages() {
    local missing
    # shellcheck disable=SC2086
    missing=$(_missing_packages $build_packages "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get > /dev/null ||
        stop "These packages are missing, and this distribution has no apt to get them with:" \
            "$missing. Use Debian 12 or 13 or Ubuntu 24.04."
    [ "$(id -u)" = 0 ] ||
        stop "These packages are missing, and only root can install them: $missing."
    echo "installing packages:" $missing >&2
    # shellcheck disable=SC2086
    ( _install $missing ) || exit
}

# Those of the named packages that are not installed.
_missing_packages() {
    local installed package missing=()
    if command -v dpkg-query > /dev/null; then
        installed=" $(dpkg-query -W -f '${Package}:${db:Status-Status} ' "$@" 2> /dev/null)"
    fi
    for package; do
        [[ ${installed-} == *" $package:installed "* ]] || missing+=("$package")
    done
    echo "${missing[*]}"
}

# Runs in a subshell of its own, so that the traps do not become the caller's.
_install() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local get=(apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
    log=$(mktemp) || exit
    trap 'rm -f "$log"' EXIT       # by then no function runs: log must not be local
    # Looking up and downloading may be broken off at any moment ...
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    { "${get[@]}" update &&
        "${get[@]}" install --no-install-recommends --download-only "$@"; } > "$log" 2>&1 ||
        _apt_failed
    # ... but a half-installed package is a broken system: from here a signal waits for the end.
    local stopped=""
    trap 'stopped=130' INT
    trap 'stopped=143' TERM
    trap 'stopped=129' HUP
    setsid --wait "${get[@]}" install --no-install-recommends --no-download "$@" \
        > "$log" 2>&1 < /dev/null &
    local child=$!
    while kill -0 "$child" 2> /dev/null; do
        wait "$child"
    done
    wait "$child" || { [ -n "$stopped" ] || _apt_failed; }
    [ -z "$stopped" ] || exit "$stopped"
}

_apt_failed() {
    tail -n 5 "$log" >&2
    stop "apt could not install the packages above: check the network and 'apt-get update'."
}
