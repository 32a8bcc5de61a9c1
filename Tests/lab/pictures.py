# SPDX-License-Identifier: Apache-2.0
"""Pictures of what a guest has measured. Guests have no gnuplot: the host draws, by the programs' own script."""
import subprocess
import xml.etree.ElementTree as tree
from pathlib import Path

from checks import check

_SCRIPT = Path(__file__).resolve().parents[2] / "Sources" / "CommandSupport" / "latency.gp"


def drawn(csv, hgrm=None):
    """The texts in the picture of a table, which must be SVG and drawn without a warning."""
    variables = f"csv = '{csv}'" + (f"; hgrm = '{hgrm}'" if hgrm else "")
    result = subprocess.run(["gnuplot", "-d", "-e", variables, _SCRIPT], capture_output=True, text=True, check=False)
    check(result.returncode == 0 and not result.stderr, f"gnuplot: {result.stderr}")
    root = tree.fromstring(result.stdout)
    check(root.tag.endswith("svg"), "the picture is no SVG")
    return " ".join("".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("text"))
