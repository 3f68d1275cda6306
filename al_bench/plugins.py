"""What can come from outside: query strategies, candidate pools, oracles, readers, filters, learners and metrics.

Each kind has a `Registry` of components. A component is shipped with al-bench, given to `register`, announced by an
installed distribution as an entry point of the group `al_bench.KIND`, or named in a config as MODULE:ATTRIBUTE.
"""

import hashlib
import importlib
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, dataclass, field, fields, make_dataclass, replace
from functools import cache, cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from al_bench.errors import TYPES, UserError, did_you_mean, first_line, known, not_one_of, reject, root_cause

KINDS = ("strategy", "subsampling", "oracle", "reader", "filter", "learner", "metric")
_given: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}  # by `register`


def register(kind: str, name: str, component: Any, params: type | None = None) -> None:
    """Add a component of one of `KINDS` to this process, under a name that no other has.

    component: what the kind's registry takes: a function, or a component that one of the kind's decorators made
    params: dataclass of the function's keyword arguments; without it they are taken from its signature
    """
    if kind not in KINDS:
        raise reject("kind", kind, *not_one_of(kind, KINDS))
    _given[kind][name] = component if params is None else (component, params)


@dataclass(frozen=True)
class Component:
    """A function with settings of its own, which it takes as keyword arguments.

    function: itself, or MODULE:ATTRIBUTE, imported at its first use
    params: dataclass of its settings: types, defaults and, by `schema.between` and `schema.one_of`, limits; taken
        from the keyword-only arguments of the function unless it is given
    """

    function: Callable[..., Any] | str
    summary: str = ""
    params: type | None = None

    @classmethod
    def of(cls, thing: Any = None, params: type | None = None, **facts: Any) -> Any:
        """A component as it is; one of a function, whose docstring's first line it has; without either a decorator.

        Raises `TypeError` for anything else, and for facts that this kind of component has not.
        """
        if thing is None:
            return partial(cls.of, params=params, **facts)
        if isinstance(thing, cls):
            return thing if params is None else replace(thing, params=params)
        if not callable(thing):
            raise TypeError("neither a component nor a function")
        summary = facts.pop("summary", "") or (thing.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return cls(thing, summary, params, **facts)

    @cached_property
    def call(self) -> Callable[..., Any]:
        return attribute(self.function) if isinstance(self.function, str) else self.function

    @cached_property
    def settings(self) -> type:
        """Raises `UserError` for settings that no config can hold."""
        from omegaconf import OmegaConf  # here, so that benchmarks on a bare machine need none

        try:
            settings = self.params or settings_of(self.call)
            OmegaConf.structured(settings)
        except Exception as error:  # OmegaConf, dataclasses and typing each have their own
            name = getattr(self.call, "__name__", "a component")
            remedy = "annotate them as numbers, texts, true or false, lists or dicts of these"
            raise UserError(f"{name}: no config can hold its settings ({first_line(error)}); {remedy}") from error
        return settings

    @property
    def arguments(self) -> tuple[str, ...] | None:
        """What the function takes, in this order, beside its settings; None: each has its own."""
        return None

    def refuse_other_arguments(self) -> None:
        """Raise `TypeError` where the function cannot be called with `arguments` and all settings, and no more."""
        if self.arguments is None:
            return
        signature = inspect.signature(self.call)
        positional = [
            a for a in signature.parameters.values() if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)
        ]
        any_number = any(a.kind is a.VAR_POSITIONAL for a in signature.parameters.values())
        try:
            signature.bind(*self.arguments, **dict.fromkeys(self.parameters))
            if len(positional) != len(self.arguments) and not any_number:
                raise TypeError("a setting must be a keyword")
        except TypeError as error:
            wanted = f"({', '.join(self.arguments)}) and its settings after a *"
            raise TypeError(f"{getattr(self.call, '__name__', 'it')} takes {signature}, not {wanted}") from error

    @property
    def parameters(self) -> list[str]:
        """Names of its settings."""
        return [one.name for one in fields(self.settings)]

    @property
    def defaults(self) -> dict[str, Any]:
        """Of the settings that have one."""
        made = {f.name: f.default_factory() for f in fields(self.settings) if f.default_factory is not MISSING}
        return made | {f.name: f.default for f in fields(self.settings) if f.default is not MISSING}

    def typed(self, given: Mapping[str, Any], key: str) -> dict[str, Any]:
        """All settings, of which some are given. Raises `UserError` for those that it has not, or of another type.

        key: where the config has them, for messages
        """
        names = self.parameters
        for name, value in given.items():
            if name not in names:
                remedy = did_you_mean(name, names, f"it has {known(names)}" if names else "leave it out")
                raise reject(f"{key}.{name}", value, "no such parameter", remedy)
        for name in names:
            if name not in given and name not in self.defaults:
                raise reject(f"{key}.{name}", "???", "has no value", f"set {key}.{name}=...")
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        config = OmegaConf.structured(self.settings)
        for name, value in given.items():
            try:
                OmegaConf.update(config, name, value, merge=False)
            except OmegaConfBaseException as error:
                kind = TYPES.get(typing.get_type_hints(self.settings)[name], "of another type")
                default = self.defaults.get(name)
                remedy = "set another value" if default is None else f"the default is {default}"
                raise reject(f"{key}.{name}", value, f"must be {kind}", remedy) from error
        return {name: OmegaConf.to_container(config)[name] for name in names}  # type: ignore[index, call-overload]


def settings_of(function: Callable[..., Any]) -> type:
    """The dataclass of a function's keyword-only arguments."""
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # of an import for type checkers alone
        hints = {}
    arguments = [a for a in inspect.signature(function).parameters.values() if a.kind is a.KEYWORD_ONLY]
    columns: list[Any] = []
    for argument in arguments:
        default = argument.default
        if isinstance(default, list | dict | set):
            default = field(default_factory=partial(deepcopy, default))
        required = default is argument.empty
        columns.append((argument.name, hints.get(argument.name, Any), *([] if required else [default])))
    return make_dataclass("Settings", columns, kw_only=True)


C = TypeVar("C", bound=Component)


class Registry(Generic[C]):
    """The components of one kind by name.

    kind: one of `KINDS`; key: the config key that names one
    adopt: a component from what comes from outside: a component, or a function and its dataclass of settings or None
    """

    def __init__(self, kind: str, key: str, adopt: Callable[[Any, type | None], C], shipped: Mapping[str, C]) -> None:
        self.kind, self.key, self.shipped = kind, key, shipped
        self._adopt = adopt

    def __iter__(self) -> Iterator[str]:
        """Names of the shipped ones and of those that are registered or installed."""
        yield from self.shipped
        yield from self.outside()

    def outside(self) -> list[str]:
        return sorted((_given[self.kind].keys() | announced(self.kind).keys()) - self.shipped.keys())

    def items(self) -> Iterator[tuple[str, C]]:
        """Of all that can be imported."""
        yield from ((name, self[name]) for name in self if name in self)

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except UserError:
            return False
        return True

    def __getitem__(self, name: str) -> C:
        """Raises `UserError` where there is none, or where it cannot be imported."""
        if name in self.shipped:
            return self.shipped[name]
        thing, params = self._thing(name), None
        if isinstance(thing, tuple):
            thing, params = thing
        try:
            component = self._adopt(thing, params)
            component.refuse_other_arguments()
            return component
        except TypeError as error:
            raise reject(self.key, name, f"is no {self.kind} ({error})", "see docs/extending.md") from error

    def _thing(self, name: str) -> Any:
        if name in _given[self.kind]:
            return _given[self.kind][name]
        if name in announced(self.kind):
            return _imported(self.key, name, announced(self.kind)[name].load)
        if ":" in name:
            return _imported(self.key, name, lambda: attribute(name))
        raise reject(self.key, name, *not_one_of(name, list(self)))

    def code(self, name: str) -> str | None:
        """Which code a component from outside is; None of a shipped one, which `identity.FORMAT` stands for.

        The name and version of a published distribution that announces it, else a hash of the source files. Another
        code is another result.
        """
        if name in self.shipped:
            return None
        if name in announced(self.kind) and name not in _given[self.kind]:
            distribution = announced(self.kind)[name].dist
            if distribution is not None:
                origin = json.loads(distribution.read_text("direct_url.json") or "{}")
                if "dir_info" not in origin:  # else it is of a folder, whose files change under the same version
                    return f"{distribution.name} {distribution.version}"
        return source_hash(self[name].call, f"{self.key}={name}")


@cache
def announced(kind: str) -> dict[str, EntryPoint]:
    """By name, what installed distributions announce."""
    return {point.name: point for point in entry_points(group=f"al_bench.{kind}")}


def attribute(target: str) -> Any:
    """MODULE:ATTRIBUTE, imported."""
    module, _, name = target.partition(":")
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _imported(key: str, name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # whatever a module of somebody else's raises
        cause = root_cause(error)
        remedy = "mend it, see docs/extending.md"
        if isinstance(cause, ModuleNotFoundError | AttributeError):
            remedy = "give MODULE:ATTRIBUTE of an installed module, or of a file in this folder or of --config-dir"
        raise reject(key, name, f"cannot be imported ({type(cause).__name__}: {cause})", remedy) from error


def look_in(*folders: str | Path | None) -> None:
    """Let modules in these folders be named in a config; installed ones of the same name come first."""
    absolute = [str(Path(folder).absolute()) for folder in folders if folder is not None]
    sys.path += [folder for folder in dict.fromkeys(absolute) if folder not in sys.path]


def source_hash(function: Callable[..., Any], where: str) -> str:
    """Of the file that defines a function, or of all modules of its package. Raises `UserError` where none is there."""
    module = inspect.getmodule(inspect.unwrap(function))
    path = getattr(module, "__file__", None)
    if path is None:
        raise UserError(f"{where}: has no source file to know its code by; write it to a file")
    top = sys.modules[module.__name__.partition(".")[0]]  # type: ignore[union-attr]
    files = [Path(path)]
    if top is not module:
        files = sorted(file for folder in top.__path__ for file in Path(folder).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
