# SPDX-License-Identifier: Apache-2.0
"""The one error that the lab raises on purpose."""


class LabError(Exception):
    """What went wrong, why, and what to do about it, in words for the person at the terminal."""
