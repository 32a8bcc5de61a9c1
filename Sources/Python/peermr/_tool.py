# SPDX-License-Identifier: Apache-2.0
"""What the program peermr finds out about a machine, as its JSON has it: the library has no call for that."""
import json
import subprocess
from typing import Any, Dict, List, Optional

from ._errors import PeerMRError, Status

# The codes of errors, as the program has them.
_STATUSES = {"notFound": Status.NOT_FOUND, "notSupported": Status.NOT_SUPPORTED, "unsafeHere": Status.UNSAFE_HERE,
             "invalidArgument": Status.INVALID_ARGUMENT, "resourceLimit": Status.RESOURCE_LIMIT, "busy": Status.BUSY,
             "notPermitted": Status.NOT_PERMITTED, "peerLost": Status.PEER_LOST}


def _ask(words: List[str], root: Optional[str], statuses: List[int]) -> Dict[str, Any]:
    words = ["peermr", *words, "--json", *(["--root", root] if root else [])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerMRError(Status.NOT_FOUND, f"the program peermr cannot be started: {error}",
                          "install the package peermr, or put the directory of the program into PATH") from error
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {}
    if done.returncode not in statuses or not isinstance(said, dict) or "error" in said:
        reason = said.get("error") if isinstance(said, dict) else None
        if isinstance(reason, dict):
            code = _STATUSES.get(str(reason.get("code")), Status.SYSTEM)
            raise PeerMRError(code, str(reason.get("reason", reason)), str(reason.get("remedy") or ""))
        raise PeerMRError(Status.SYSTEM, (done.stderr.strip() or done.stdout.strip() or f"{' '.join(words)} ended with "
                                          f"{done.returncode}"))
    return said


def doctor(root: Optional[str] = None) -> List[Dict[str, Any]]:
    """Why NICs cannot use peer memory here, worst first: dictionaries with weight, code, device, detail and remedy.

    root: another machine, a directory or an archive of `peermr snapshot`. Empty where nothing was found.
    """
    return _ask(["doctor"], root, [0, 1])["ailments"]


def nvmet_check(root: Optional[str] = None, device: Optional[str] = None) -> List[Dict[str, Any]]:
    """Whether the kernel's NVMe over Fabrics target will use p2pmem, for each namespace, port and RDMA device."""
    return _ask(["nvmet", "check", *(["--device", device] if device else [])], root, [0, 1, 3])["answers"]
