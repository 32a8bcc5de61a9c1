# SPDX-License-Identifier: Apache-2.0
"""QEMU without root's rights, where the lab itself runs as root.

It then runs as `nobody`, and of root's rights keeps the one to read files (CAP_DAC_READ_SEARCH):
the guest's root and this checkout are read at their places, whoever owns them. What it writes to is
made over to it. It stays root where it has to write to what is not the lab's (directories shared
for writing, drives of the user's own), and where /dev/kvm is for root alone.
"""
import functools
import os
import pwd
import stat
import subprocess

_CAPABILITIES = "-all,+dac_read_search"


def words(outside, accelerator):
    """What stands before QEMU's command line, or nothing where it has to stay what we are.

    `outside`: whether it writes to files or directories that are not of this run.
    """
    if os.geteuid() != 0 or outside:
        return []
    groups = _kvm_groups() if accelerator == "kvm" else ["--clear-groups"]
    user = _user()
    if user is None or groups is None:
        return []
    # The kernel forgets the signal for a parent's death when the user changes: it is asked for again.
    command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", *groups,
               f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}",
               f"--bounding-set={_CAPABILITIES}", "--no-new-privs", "--pdeathsig=KILL"]
    return command if _works(tuple(command)) else []


def hand_over(paths):
    """Give what QEMU writes to to the user that it runs as."""
    user = _user()
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _user():
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        return None


def _kvm_groups():
    """How a user other than root gets at /dev/kvm, or None if that is for root alone."""
    try:
        found = os.stat("/dev/kvm")
    except OSError:
        return None
    both = stat.S_IROTH | stat.S_IWOTH
    if found.st_mode & both == both:
        return ["--clear-groups"]
    both = stat.S_IRGRP | stat.S_IWGRP
    return [f"--groups={found.st_gid}"] if found.st_mode & both == both and found.st_gid else None


@functools.cache
def _works(command):
    """Whether this machine lets us: a container may lack the right that QEMU is to keep."""
    try:
        return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
