#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `Tests/run` does with tests that hang: it names them, ends them, and goes on."""
import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Examples" / "lab"))

import hung  # noqa: E402
import jobs  # noqa: E402
from hosttests import check, run_tests, test  # noqa: E402

# It ends at once, and leaves a child behind that keeps its output open.
_LEAVES_A_CHILD = "echo '◇ Test one() started.'; sleep 1000 & exit 0"


@test
def a_child_that_keeps_the_output_open():
    """The output is at its end soon after the limit, and the child is gone."""
    child = subprocess.Popen(["sh", "-c", _LEAVES_A_CHILD], stdout=subprocess.PIPE, text=True, start_new_session=True)
    places = []
    with hung.Silence(1, lambda: places.extend(hung.end(child.pid))) as silence:
        began = time.monotonic()
        text = child.stdout.read()
    child.wait()
    check(text.startswith("◇ Test one()"), f"it printed {text!r}")
    check(silence.is_broken and time.monotonic() - began < 60, "it was not ended in time")
    check(any("sleep 1000" in line for line in places), f"the child is not named: {places}")
    deadline = time.monotonic() + 5
    while hung.session(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    check(not hung.session(child.pid), "the child lives on")


@test
def what_speaks_is_left_alone():
    """A line now and then is enough."""
    child = subprocess.Popen(["sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.5; done"], stdout=subprocess.PIPE,
                             text=True, start_new_session=True)
    with hung.Silence(1.5, lambda: hung.end(child.pid)) as silence:
        for _ in child.stdout:
            silence.hear()
    check(child.wait() == 0 and not silence.is_broken, "it was ended")


@test
def tests_that_have_begun_and_not_ended():
    """By the lines of Swift Testing, those with arguments among them."""
    unfinished = hung.Unfinished()
    for line in ["◇ Test run started.", "◇ Test a() started.", "◇ Test b(_:) started.", "◇ Test c() started.",
                 "◇ Test case passing 1 argument x → 1 to b(_:) started.", "✔ Test a() passed after 0.1 seconds.",
                 "✔ Test b(_:) with 2 test cases passed after 0.1 seconds.", "✘ Test d() failed after 1 seconds."]:
        unfinished.hear(line)
    check(list(unfinished.names) == ["c()"], f"found {list(unfinished.names)}")


@test
def a_job_that_takes_for_ever():
    """It has failed, the others count, and it says where it was."""
    jobs.HUNG_SECONDS, usual = 2, jobs.HUNG_SECONDS
    said = []
    try:
        endless = jobs.Job("endless", ["sh", "-c", "echo begun; sleep 1000"])
        other = jobs.Job("other", ["sh", "-c", "echo 3 passed, 0 failed"])
        found = jobs.run_jobs([endless, other], 2, said.append)
    finally:
        jobs.HUNG_SECONDS = usual
    check(list(found) == [3, 1], f"counted {found}")
    check("begun" in said and "FAIL endless: not at its end after 2 s" in said, f"said {said}")
    check(any("sleep 1000" in line for line in said), f"said {said}")


def main():
    parser = argparse.ArgumentParser(description="Tests of what Tests/run does with tests that hang.")
    parser.add_argument("--programs", type=Path, help="not needed; as the others have it")
    parser.add_argument("--only", default="", help="only the tests with this word in their names")
    return run_tests(parser.parse_args().only)


if __name__ == "__main__":
    sys.exit(main())
