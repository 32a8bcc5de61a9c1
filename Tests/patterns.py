# SPDX-License-Identifier: Apache-2.0
"""Names of tests on command lines."""
import argparse
import re


def pattern(text):
    """The type of an argument that is a regular expression: the text, or a sentence."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no regular expression ({error}): put \\ before what is to mean itself") from None
    return text
