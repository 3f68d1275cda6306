"""A suite: what a kind of component promises, and who keeps it."""

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from al_bench.config.schema import TASKS
from al_bench.errors import UserError, first_line, known
from al_bench.plugins import Component, Registry

T = TypeVar("T")
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
        subject = self.prepare(name, params)
        for promise in self.promises:
            broken = breach(promise, subject)
            yield title(promise), broken
            if broken and promise is self.promises[0]:
                return


def require_description(component: Component, settings: Any, tasks: Sequence[str] | None = None) -> None:
    """Raise `Broken` without a summary, for settings that no file can hold, and for tasks that nobody has."""
    if tasks is not None and (not tasks or set(tasks) - set(TASKS)):
        raise Broken(f"tasks={tuple(tasks)}", f"give some of {known(TASKS)}")
    if not component.summary:
        raise Broken("has no summary", "give its function a docstring whose first line says what it is")
    try:
        json.dumps(settings)
    except TypeError as error:
        raise Broken(f"has settings that are no JSON ({error})", "use numbers, texts, lists and dicts") from error


def usable(items: Iterable[T], attempt: Callable[[T], Any]) -> list[T]:
    """Those that a component works on; it refuses others, by their task for example, with a `UserError`.

    Raises the first refusal where it works on none.
    """
    works, refusals = [], []
    for item in items:
        try:
            attempt(item)
        except UserError as error:
            refusals.append(error)
        else:
            works.append(item)
    if refusals and not works:
        raise refusals[0]
    return works


def title(promise: Callable[[Any], None]) -> str:
    return (promise.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def breach(promise: Callable[[Any], None], subject: Any) -> str:
    """How the promise is broken, with the remedy; empty where it is kept."""
    try:
        promise(subject)
    except (Broken, UserError) as error:
        return first_line(error)
    except Exception as error:  # whatever somebody else's code raises
        frames = [f for f in traceback.extract_tb(error.__traceback__) if OURS not in Path(f.filename).parents]
        frames = [f for f in frames if f.filename == frames[0].filename]  # not those of numpy that it calls
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        if "read-only" in str(error):
            return f"changes what it was given{where}; copy the array before you write to it"
        return f"raises {type(error).__name__}: {first_line(error)}{where}; mend it there"
    return ""
