# SPDX-License-Identifier: Apache-2.0
"""Which archive to fetch from. The project names none: it takes what the machine already uses."""
import os
import re
import subprocess


def mirror():
    """The mirror's URL, or None for debootstrap's own default."""
    if named := os.environ.get("PEERMR_LAB_MIRROR"):
        return named
    lines = _ask(["apt-get", "indextargets", "--format",
                  "$(ORIGIN) $(LABEL) $(CREATED_BY) $(REPO_URI)"]).splitlines()
    for line in lines:
        match = re.fullmatch(r"Debian Debian Packages (https?://\S+)", line.strip())
        if match:
            return match.group(1).rstrip("/")
    return None


def proxy_environment():
    """The proxies of apt's configuration, in the form that debootstrap's wget understands."""
    found = {}
    for scheme in ("http", "https"):
        answer = _ask(["apt-config", "shell", "P", f"Acquire::{scheme}::Proxy"])
        match = re.fullmatch(r"P='([^']+)'", answer.strip())
        if match and match.group(1) != "DIRECT" and f"{scheme}_proxy" not in os.environ:
            found[f"{scheme}_proxy"] = match.group(1)
    return found


def _ask(argv):
    """The output of an apt query, empty where there is no apt."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
