# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What Tests/address-sanitizer and Tests/thread-sanitizer begin with; sourced by them.

# Reads the command line of the script that calls it, and sets `scratch` and the `options` of swift build.
sanitizer_begins() {
    local kind=$1
    shift
    case ${1-} in
    --help | -h) sed -n '4,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
    -*) set -- "$1" "has no option '$1'" ;;
    *) [ $# -le 1 ] || set -- "$1" "takes one directory, and got $#" ;;
    esac
    if [ $# -gt 1 ]; then
        printf 'Tests/%s-sanitizer %s: name the directory to build in, or none.\n' "$kind" "$2" >&2
        exit 2
    fi
    scratch=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/peermr/$kind-sanitizer}
    options=(--package-path "$tests/.." --scratch-path "$scratch" --sanitize="$kind")
}
