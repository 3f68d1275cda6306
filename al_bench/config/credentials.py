"""Passwords in a tracking address, kept out of configs, records and messages.

A command's address gets `***` for them before anything reads it. The address itself stays in the environment, from
which the jobs of every launcher have it.
"""

import os
import re
from collections.abc import Iterable

from al_bench.errors import without_secrets

VARIABLE = "AL_BENCH_TRACKING"
ADDRESS = re.compile(r"""(?:\+{0,2}tracking=|--tracking=|)["']?([a-z][a-z0-9+.-]*://.*?)["']?""")


def conceal_all(words: Iterable[str]) -> list[str]:
    """A command line without the credentials of its tracking address."""
    return [word.replace(m[1], conceal(m[1])) if (m := ADDRESS.fullmatch(word)) else word for word in words]


def conceal(uri: str) -> str:
    """The address with `***` for its credentials, which `full_address` puts back."""
    safe = without_secrets(uri)
    if safe != uri:
        os.environ[VARIABLE] = uri
    return safe


def full_address(uri: str) -> str:
    """The address to connect to: with its credentials where they are known, else without any."""
    secret = os.environ.get(VARIABLE, "")
    return secret if address(secret) == address(uri) else address(uri)


def address(uri: str) -> str:
    """What is the same whoever logs in."""
    return without_secrets(uri).replace("://***@", "://")
