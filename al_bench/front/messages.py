"""What Hydra and OmegaConf raise for a config that does not compose, in our own one line."""

import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)
from yaml import MarkedYAMLError

from al_bench.config.identity import ROLES
from al_bench.config.schema import RunConfig
from al_bench.errors import UserError, known, rule, shown

MODELS = tuple(f"model@{role}" for role in ROLES)
GROUPS = ("dataset", "strategy", "subsampling", "pseudo_labeling", "schedule", *MODELS)
WANTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def explain(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """The line for the first thing that is wrong; overrides: the command line's, which hold the values."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, UserError):
            return str(one)
    text = str(error)
    for one in chain:
        if isinstance(one, OmegaConfBaseException) and one.full_key:
            return _of_key(one, text, overrides)
    if isinstance(error, MissingConfigException):
        return _no_option(error)
    if isinstance(error, OverrideParseException):
        reason = (
            error.message.splitlines()[1:2]
            if error.message.startswith("Error")
            else error.message.splitlines()
        )
        return (
            f"{shown(error.override)}: is no KEY=VALUE ({reason[0]}); quote what is special: 'KEY=\"VALUE\"'"
        )
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}: line {mark.line + 1} is no valid YAML ({error.problem}); mend the file"
    for pattern, say in _TEXTS:
        if found := re.search(pattern, text):
            return say(found, overrides)
    inner = re.compile(r"\s*(full_key:|object_type=|reference_type=|$)")
    lines = [line.strip().rstrip(".") for line in text.splitlines() if not inner.match(line)]
    told = "; ".join(dict.fromkeys(lines)) or type(error).__name__
    found = re.search(r"full_key: ([\w.]+)", text)
    return f"{found[1]}: must be {wanted(found[1])}, and here {told}" if found else told


def culprit(error: BaseException, overrides: Sequence[str]) -> str | None:
    """The override without which the error would not have come; None where that cannot be told."""
    if isinstance(error, OverrideParseException):
        return error.override if error.override in overrides else None
    text = str(error)
    if found := re.match(r"Error merging override (.*)|Ambiguous value for argument '(.*)'", text):
        word = found[1] or found[2]
        return word if word in overrides else None
    if found := re.match(r"Could not override '(.+?)'|Could not delete from config\. '(.+?)'", text):
        return _override_of(found[1] or found[2], overrides)
    if isinstance(error, MissingConfigException):
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        for word in overrides:
            name, _, value = word.partition("=")
            if value == option and re.fullmatch(rf"\+*{re.escape(group)}(@.+)?", name):
                return word
    return None


def keys() -> list[str]:
    """Every dotted key of the schema, groups of keys included."""
    return list(_keys(RunConfig, ""))


def wanted(field: str) -> str:
    """What a key's type asks for, in words."""
    return _in_words(_hint(field))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _override_of(field: str, overrides: Sequence[str]) -> str | None:
    for word in reversed(overrides):  # the last one counts
        if word.lstrip("+~").partition("=")[0] == field:
            return word
    return None


def _of_key(error: OmegaConfBaseException, text: str, overrides: Sequence[str]) -> str:
    """A key that is not there, or holds what it cannot."""
    field, value = str(error.full_key), error.value
    word = _override_of(field, overrides)
    file = re.search(r"In '(.+?)'", text)
    where = f" (in the option file {file[1]}.yaml)" if file else ""
    if isinstance(error, InterpolationResolutionError | UnsupportedInterpolationType):
        reason = str(error).splitlines()[0]
        if field.startswith("hydra.overrides"):  # Hydra keeps a copy of the command line, and reads it first
            word = next((word for word in overrides if "${" in word), None)
        name, _, given = (word or f"{field}=${{...}}").partition("=")
        return rule(name, given, reason, r"write \${ for the characters themselves")
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and "not in" in str(error):
        head = f"{field}={word.partition('=')[2]}" if word and "=" in word else field
        return f"{head}: no such key{where}; {_near_key(field, word, file and file[1])}"
    if value is None:
        value = word.partition("=")[2] if word else None
    must = wanted(field)
    if must.startswith("a group"):
        group = f"model@{field}" if field in ROLES else field
        option = value if isinstance(value, str) and value != "null" else "NAME"
        remedy = f"to choose an option write {group}={option}" if group in GROUPS else "set the keys in it"
        return rule(field, value, f"is {must}{where}", remedy)
    if must.startswith("a list") and isinstance(value, str):
        return rule(field, value, f"must be {must}{where}", f"write {field}=[{value}]")
    return rule(field, value, f"must be {must}{where}", _default(field))


def _near_key(field: str, word: str | None, file: str | None) -> str:
    if file and file.partition("/")[0] == field:
        return f"let the file begin with the line `# @package _global_`, as every {field} must"
    if file and file.startswith("model/"):
        return f"use it as {', '.join(MODELS[:-1])} or {MODELS[-1]}"
    if field.startswith("hydra."):
        return "see `al-bench run --cfg hydra`"
    parent, _, last = field.rpartition(".")
    if wanted(parent).startswith("pairs"):
        return f"to add it to {parent} write +{field}=VALUE"
    siblings = [key.rpartition(".")[2] for key in keys() if key.rpartition(".")[0] == parent]
    here = [f"{parent}.{key}" if parent else key for key in difflib.get_close_matches(last, siblings, n=2)]
    near = here or [key for key in keys() if key.rpartition(".")[2] == last][:2]
    near = near or [] if parent else near or difflib.get_close_matches(field, [*keys(), *GROUPS], n=2)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"the keys {f'in {parent}' if parent else 'here'} are {known(siblings) or 'none'}"


def _no_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    near = difflib.get_close_matches(option, options, n=1)
    hint = f"did you mean {near[0]}?" if near else "choose one of these"
    return rule(group or "config", option, f"must be one of {known(options)}", hint)


def _ambiguous(found: re.Match[str], overrides: Sequence[str]) -> str:
    key, _, value = found[1].partition("=")
    return rule(
        key, value, "holds several values", f"add -m to run each of them, or write {key}=[{value}] for a list"
    )


def _no_group(found: re.Match[str], overrides: Sequence[str]) -> str:
    value = (_override_of(found[1], overrides) or "").partition("=")[2]
    return rule(found[1], value, "no such group", f"did you mean {found[2].replace(', ', ' or ')}?")


def _no_default(found: re.Match[str], overrides: Sequence[str]) -> str:
    near = difflib.get_close_matches(found[2], GROUPS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the groups are {known(GROUPS)}"
    return f"{found[2]}: no such group (in the option file {found[1]}.yaml); {hint}"


def _no_plus(found: re.Match[str], overrides: Sequence[str]) -> str:
    value = (_override_of("experiment", overrides) or "").partition("=")[2]
    return rule("experiment", value, "no such key, since none is chosen yet", f"add one: +experiment={value}")


def _no_mapping(found: re.Match[str], overrides: Sequence[str]) -> str:
    return f"{found[1]}.yaml: holds a {found[2]}; write keys and values, such as `name: mine`"


def _not_there(found: re.Match[str], overrides: Sequence[str]) -> str:
    return f"~{found[1]}: no such key; {_near_key(found[1], None, None)}"


def _no_name(found: re.Match[str], overrides: Sequence[str]) -> str:
    for word in overrides:
        key, _, value = word.partition("=")
        if key in GROUPS and (value in ("null", "true", "false") or not re.match("[a-zA-Z_]", value)):
            return rule(
                key, value, "must be the name of an option", f"see `al-bench ls`, or write ~{key} for none"
            )
    return f"a group has {found[1]} for its option; give the name of one, see `al-bench ls`"


def _on_null(found: re.Match[str], overrides: Sequence[str]) -> str:
    """A role that may be null is."""
    for word in overrides:
        key, _, value = word.lstrip("+").partition("=")
        role, dot, _ = key.partition(".")
        if dot and role in ROLES:
            name = role.replace("_", "-")
            return rule(key, value, f"there is no {name}", f"leave this out, or add model@{role}=NAME")
    return "a key is set in a group that is null; leave it out, or choose an option of the group"


def _no_folder(found: re.Match[str], overrides: Sequence[str]) -> str:
    return rule("--config-dir", found[1], "no such folder", "give the folder that holds your config groups")


_TEXTS = (
    (r"Ambiguous value for argument '(.+)'", _ambiguous),
    (r"Could not override '(experiment)'", _no_plus),
    (r"In '(.+?)': ValidationError(?s:.+)Merge error: (\w+) is not", _no_mapping),
    (r"In '(.+?)': Could not override '(.+?)'", _no_default),
    (r"Could not override '(.+?)'\.\nDid you mean to override (?:one of )?(.+?)\?", _no_group),
    (r"Could not delete from config\. '(.+?)'", _not_there),
    (r"Config group override must be a string or a list\. Got (\w+)", _no_name),
    (r"Unexpected type for root: NoneType", _on_null),
    (r"Additional config directory '(.+)' not found", _no_folder),
)


def _keys(schema: Any, prefix: str) -> Iterator[str]:
    for name in typing.get_type_hints(schema):
        yield prefix + name
        hint = _hint(prefix + name)
        if is_dataclass(hint):
            yield from _keys(hint, f"{prefix}{name}.")


def _hint(field: str) -> Any:
    """A key's type; for a group of keys its class, also where it may be null."""
    hint: Any = RunConfig
    for key in field.split("."):
        hint = typing.get_type_hints(hint).get(key) if is_dataclass(hint) else None
        inner = [part for part in typing.get_args(hint) if is_dataclass(part)]
        hint = inner[0] if inner else hint
    return hint


def _in_words(hint: Any) -> str:
    if is_dataclass(hint):
        return f"a group of keys ({known(f.name for f in fields(hint))})"
    if isinstance(hint, types.UnionType):
        parts = [_in_words(part) for part in typing.get_args(hint) if part is not types.NoneType]
        told = "a number" if {"a whole number", "a number"} == set(parts) else " or ".join(parts)
        return f"{told} or null" if types.NoneType in typing.get_args(hint) else told
    if typing.get_origin(hint) is list:
        return "a list such as [a,b]"
    if typing.get_origin(hint) is dict:
        return "pairs such as {a: b}"
    return WANTED.get(hint, "of another kind")


def _default(field: str) -> str:
    value: Any = RunConfig()
    for key in field.split("."):
        value = getattr(value, key, None)
    return f"the default is {shown(value)}" if value not in (None, "???") else "leave it out for its default"
