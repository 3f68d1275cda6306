"""What a piece of work cost: seconds per named phase, and whatever else was counted along the way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str], None]


class Clock:
    """Adds up wall seconds per phase.

    synchronise: waits for the device; called at the edges of a phase only, so that work inside stays
    asynchronous. listener: told the name of each phase as it begins.
    """

    def __init__(self, synchronise: Callable[[], None], listener: Listener | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronise = synchronise
        self._listener = listener

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if self._listener is not None:
            self._listener(name)
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
            self._synchronise()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
