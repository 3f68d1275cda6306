"""Ctrl-C and SIGTERM, which schedulers and containers send: both end a process soon, and lose nothing."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from al_bench.errors import UserError

if TYPE_CHECKING:
    from al_bench.ledger.rundir import RunDirectory

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds for what cannot stop at once: a gradient step, the jobs of a sweep, a tracking server's answer.
PATIENCE = 3.0


class Interrupted(KeyboardInterrupt):
    """So that whatever lets Ctrl-C pass, Hydra and joblib among them, lets SIGTERM pass too."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Interrupts:
    """What to do when a signal comes; one per process.

    run: the directory of the run in progress, whose state is `interrupted` even where the process has to be ended
    """

    run: "RunDirectory | None" = None

    @contextmanager
    def handled(self, *, of_a_sweep: bool = False) -> Iterator[None]:
        """Raise `Interrupted` in the main thread at the first signal; end the process soon, at a second one at once.

        of_a_sweep: this process has a job of a sweep, whose first process speaks to the user and repeats signals
        """
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler != signal.SIG_IGN:  # as a shell asks of what runs in its background
                signal.signal(number, self._raise)
        # Python runs handlers between two steps of the main thread. A socket is told at once, and a thread waits at it.
        bell, ring = socket.socketpair()
        ring.setblocking(False)
        previous = signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(bell, of_a_sweep), daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            ring.close()

    def _raise(self, number: int, frame: FrameType | None) -> None:
        for other in SIGNALS:
            signal.signal(other, lambda *_: None)  # the thread sees to a second one
        end_children()
        raise Interrupted(number)

    def _wait(self, bell: socket.socket, of_a_sweep: bool) -> None:
        """Speak to the user at the first signal, and end the process once its time is over. Raises nothing."""
        with bell:
            number = _next_signal(bell)
            if number is None:
                return
            if not of_a_sweep:
                words = f"interrupted: ending within {PATIENCE + 1:.0f} s, or at once if interrupted again"
                with suppress(OSError):  # whoever read it may be gone
                    print(f"al-bench: {words}; the same command continues", file=sys.stderr, flush=True)
            # A job's process ends before its sweep's patience does.
            end = time.monotonic() + PATIENCE + (-1 if of_a_sweep else 1)
            while (left := end - time.monotonic()) > 0:
                bell.settimeout(left)
                try:
                    again = _next_signal(bell)
                except TimeoutError:
                    break
                if again is None and of_a_sweep:  # the process goes on, with another job
                    return
                if again is None:  # the rest of the time is the interpreter's, which may wait for other threads
                    time.sleep(left)
                elif not of_a_sweep:
                    break
        try:
            if self.run is not None:
                self.run.leave_interrupted()
        except (OSError, UserError):  # the lock tells too that nobody computes here
            pass
        finally:
            os._exit(128 + number)


def _next_signal(bell: socket.socket) -> int | None:
    """None where the main thread is through."""
    while word := bell.recv(1):
        if word[0] in SIGNALS:
            return word[0]
    return None


def end_children() -> None:
    """End the processes of a sweep's jobs, which joblib would kill: first the job, then the process, in good time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (children := multiprocessing.active_children()):
        for child in children:
            child.terminate()
        children[0].join(0.1)


interrupts = Interrupts()
