# SPDX-License-Identifier: Apache-2.0
"""Signals as orderly ends: the stack unwinds, every `finally` runs, and the exit code says why."""
import contextlib
import signal
import threading

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(number, _frame):
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _handlers(handler):
    """Put `handler` on the ending signals; outside of the main thread Python cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What started us may have switched hang-ups off (nohup): that stays so.
    numbers = [number for number in _ENDING
               if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def orderly():
    """While this lasts SIGINT, SIGTERM and SIGHUP raise SystemExit with 130, 143, 129."""
    return _handlers(_leave)


def shielded():
    """While this lasts the ending signals are ignored: for tidying up, which must be short."""
    return _handlers(signal.SIG_IGN)
