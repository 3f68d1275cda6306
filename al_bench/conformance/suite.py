"""A suite: what a kind of component promises, and who keeps it."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_bench.errors import UserError, first_line
from al_bench.plugins import Registry

OURS = Path(__file__).parent.parent


class Broken(Exception):
    """A promise is not kept."""

    def __init__(self, how: str, remedy: str) -> None:
        super().__init__(f"{how}; {remedy}")


@dataclass(frozen=True)
class Suite:
    """prepare: (name, params) -> what is tried out; raises `UserError` where it cannot be used at all
    promises: functions of it, which raise `Broken`, and whose docstring says what is promised
    """

    registry: Registry[Any]
    prepare: Callable[[str, Mapping[str, Any]], Any]
    promises: tuple[Callable[[Any], None], ...]

    def outcomes(self, name: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """(promise, how it is broken, or nothing). Where a component cannot even be used, the rest is left out."""
        tried = self.prepare(name, params)
        for promise in self.promises:
            broken = breach(promise, tried)
            yield title(promise), broken
            if broken and promise is self.promises[0]:
                return


def title(promise: Callable[[Any], None]) -> str:
    return (promise.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def breach(promise: Callable[[Any], None], tried: Any) -> str:
    """How the promise is broken, with the remedy; empty where it is kept."""
    try:
        promise(tried)
    except (Broken, UserError) as error:
        return first_line(error)
    except Exception as error:  # whatever somebody else's code raises
        frames = [f for f in traceback.extract_tb(error.__traceback__) if OURS not in Path(f.filename).parents]
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        if "read-only" in str(error):
            return f"changes what it was given{where}; copy the array before you write to it"
        return f"raises {type(error).__name__}: {first_line(error)}{where}; mend it there"
    return ""
