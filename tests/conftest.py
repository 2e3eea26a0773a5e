"""For all tests here: none hangs for ever, whatever it waits for without a bound of its own."""
import os
import signal
import threading

import pytest

BOUND = 300 + int(2 * float(os.environ.get("STORM_SECS", "0")))  # a storm may be long, by name


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def over(*_):
        raise TimeoutError(f"{item.nodeid} hung for {BOUND} s")
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGALRM, over)
    signal.alarm(BOUND)
    yield
    signal.alarm(0)
