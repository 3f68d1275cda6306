"""Whether the Hugging Face hub answers: asked briefly, since its libraries try for half a minute, for every file."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Thread
from typing import Any

from al_bench.errors import first_line

# Seconds for the name, the connection and the answer; with a slow network, set the hub's own variable.
PATIENCE = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 3)


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within, libraries may ask the hub; where it does not answer, they look into their caches alone.

    Raises `ConnectionError` with the reason where they then lack something.
    """
    import huggingface_hub

    constants: Any = huggingface_hub.constants
    silence = None if constants.HF_HUB_OFFLINE else _silence(int(time.monotonic() // 60))
    if silence is None:
        yield
        return
    # `datasets` has a copy of the variable.
    offline = [constants, *(sys.modules[name] for name in ["datasets.config"] if name in sys.modules)]
    for module in offline:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:
        raise ConnectionError(f"{constants.ENDPOINT} {silence}, and there is no whole copy in the cache") from error
    finally:
        for module in offline:
            module.HF_HUB_OFFLINE = False


@lru_cache(maxsize=1)
def _silence(minute: int) -> str | None:
    """Why the hub cannot be asked, None where it answers; known for a minute.

    Any answer but a server's error counts, as mirrors and proxies have their own.
    """
    outcome: list[str | None] = [f"did not answer within {PATIENCE:g} s"]

    def ask() -> None:
        from huggingface_hub import constants, get_session

        try:
            status = get_session().head(constants.ENDPOINT, timeout=PATIENCE).status_code
            outcome.append(f"answered with error {status}" if status >= 500 else None)
        except Exception as error:  # of the HTTP client, of its proxies, or of an address that is none
            outcome.append(f"cannot be reached ({first_line(error)})")

    # Nothing else bounds the look-up of a name.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return outcome[-1]
