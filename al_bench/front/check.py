"""`al-bench check`: whether a component keeps what its kind promises."""

from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al_bench.conformance.suites import SUITES
from al_bench.errors import UserError, did_you_mean, known, not_one_of, reject
from al_bench.plugins import Component, attribute


def check(name: str, params: Sequence[str], kind: str | None, config_dir: str | None) -> None:
    """Print a line for every promise. Raises `UserError` where one is broken, or where there is no such component."""
    kind = kind_of(name) if kind is None else kind
    if kind not in SUITES:
        raise reject("--kind", kind, *not_one_of(kind, [*SUITES]))
    suite = SUITES[kind]
    settings = _settings(params)
    print(f"{kind} {name}: {suite.registry[name].summary}")
    broken = 0
    for promise, breach in suite.outcomes(name, settings):
        broken += bool(breach)
        print(f"  {'BROKEN' if breach else 'ok':<6}  {promise}" + f"\n{'':10}{breach}" * bool(breach), flush=True)
    if broken:
        raise UserError(f"check {name}: {broken} broken; see docs/extending.md")
    print(f"all {len(suite.promises)} kept")


def kind_of(name: str) -> str:
    """Raises `UserError` where no kind, or more than one, has a component of the name."""
    if ":" in name:
        kinds = [kind for kind, suite in SUITES.items() if name in suite.registry]
        SUITES[kinds[0] if kinds else "strategy"].registry[name]  # what cannot be imported says why
        if not isinstance(attribute(name), Component) and kinds != ["learner"]:  # its arguments may fit several
            raise reject("check", name, "is no component yet", "decorate it as docs/extending.md shows, or add --kind")
    else:
        kinds = [kind for kind, suite in SUITES.items() if name in [*suite.registry]]
        names = sorted({name for suite in SUITES.values() for name in suite.registry})
        if not kinds:
            remedy = did_you_mean(name, names, "see `al-bench ls`, or give MODULE:ATTRIBUTE")
            raise reject("check", name, "no such component", remedy)
    if len(kinds) > 1:
        raise reject("check", name, f"may be one of several kinds ({known(kinds)})", f"add --kind {kinds[0]}")
    return kinds[0]


def _settings(words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        if "=" not in word:
            raise UserError(f"check: {word} is no setting; write KEY=VALUE")
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([*words]))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(f"check: the settings cannot be read ({error}); write KEY=VALUE") from error
