"""A command stops at the next safe point once a signal asks it to."""

from __future__ import annotations

import signal
import threading

import pytest

from kpis.management.stopping import STOPPING, Stopped, stoppable, stopping


@pytest.fixture
def handlers():
    """A function that gives the handlers of the signals to stop; they are restored after the test."""
    former = {one: signal.getsignal(one) for one in STOPPING}
    for one in STOPPING:
        signal.signal(one, signal.SIG_DFL)
    yield lambda: {one: signal.getsignal(one) for one in STOPPING}
    for one, handler in former.items():
        signal.signal(one, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_the_work_by_its_name(handlers, number):
    before, done = handlers(), []

    def work() -> None:
        try:
            signal.raise_signal(number)
            done.append("went on")
        finally:
            # What is still tidied up is not interrupted again.
            signal.raise_signal(number)
            done.append("tidied up")

    with pytest.raises(Stopped) as stopped, stoppable():
        work()
    assert (str(stopped.value), stopped.value.signal) == (f"Stopped by {number.name}.", number)
    assert done == ["tidied up"]
    assert handlers() == before


def test_an_error_of_the_interrupted_work_is_the_reason_of_the_stop(handlers):
    error = ValueError("interrupted")

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            raise error from None

    with pytest.raises(Stopped, match=r"^Stopped by SIGTERM\.$") as stopped, stoppable():
        work()
    assert stopped.value.__cause__ is error


def test_an_error_without_a_signal_stays_what_it_is(handlers):
    before = handlers()
    with pytest.raises(ValueError, match=r"^of the work$"), stoppable():
        raise ValueError("of the work")
    assert handlers() == before


@pytest.mark.parametrize("context", [stoppable, stopping])
def test_a_signal_that_the_parent_process_ignored_stays_ignored(handlers, context):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with context() as is_stopped:
        signal.raise_signal(signal.SIGHUP)
        assert is_stopped is None or not is_stopped()
    assert handlers()[signal.SIGHUP] == signal.SIG_IGN


def test_another_thread_leaves_the_signals_alone(handlers):
    before, within = handlers(), []

    def work() -> None:
        with stoppable():
            within.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert within == [before]


@pytest.mark.parametrize("number", STOPPING)
def test_work_that_asks_learns_of_a_signal_and_is_not_interrupted(handlers, number):
    before = handlers()
    with stopping() as is_stopped:
        assert not is_stopped()
        signal.raise_signal(number)
        assert is_stopped()
    assert handlers() == before
