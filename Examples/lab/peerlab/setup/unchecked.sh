#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the lab's kernel `unchecked` from the one linux-source package that is installed. It runs in the root that
# ../unchecked.py makes, in the directory that gets vmlinux, its config, lib/modules, and in headers what modules are
# built with; unchecked.config is there. The source is unpacked in /tmp, which is memory. Says "version: RELEASE".
set -eu
work=$PWD
mkdir /tmp/linux
cd /tmp/linux
# Of what is switched off the Kconfig and Makefile files are enough: two thirds of the source are other files of these.
# shellcheck disable=SC2046
tar -xf /usr/src/linux-source-*.tar.xz --strip-components=1 \
    --exclude='*/Documentation/*.*' --exclude='*/Documentation/ABI/*' --exclude='*/tools/perf/*' \
    --exclude='*/tools/testing/*' --exclude='*/arch/[!x]*/*.[chS]' --exclude='*/arch/[!x]*/*.dts*' \
    --exclude='*/sound/*.[ch]' $(printf -- '--exclude=*/drivers/%s/*.[ch] ' \
        accel clk gpu iio media net/ethernet net/wireless pinctrl scsi staging usb)
make -s tinyconfig > /dev/null
scripts/kconfig/merge_config.sh -m .config "$work/unchecked.config" > /dev/null
make -s olddefconfig
# An option that lacks something it depends on is dropped without a word.
! grep '^CONFIG_' "$work/unchecked.config" | grep -vxFf .config ||
    { echo "error: this source does not take the options above"; exit 1; }
! sed -nE 's/^# (CONFIG_[A-Z0-9_]+) is not set$/\1=y/p' "$work/unchecked.config" | grep -xFf - .config ||
    { echo "error: this source insists on the options above"; exit 1; }

make -s -j"$(nproc)" vmlinux modules modules_prepare
make -s modules_install INSTALL_MOD_PATH="$work" INSTALL_MOD_STRIP=1
# shellcheck disable=SC2016
make -s run-command KBUILD_RUN_COMMAND='$(srctree)/scripts/package/install-extmod-build '"$work/headers"
rm -f "$work"/lib/modules/*/build
strip -o "$work/vmlinux" vmlinux
cp .config "$work/config"
echo "version: $(make -s kernelrelease)"
