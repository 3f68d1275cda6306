"""One line of ours for each exception of Hydra, OmegaConf and YAML about a config that does not compose."""

import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import errors
from yaml import MarkedYAMLError

from al_bench.config.catalog import CHOICES
from al_bench.config.roles import ROLES, SCHEDULED
from al_bench.config.schema import RunConfig
from al_bench.errors import TYPES, UserError, did_you_mean, known, not_one_of, rule, shown

MODELS = [CHOICES[role] for role in ROLES]
LAUNCHERS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm"}  # of extras of this project
KINDS = TYPES | {list: "a list such as [a,b]", dict: "pairs such as {a: b}"}


def explain(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """The line for the first mistake. overrides: those of the command line, which hold the values"""
    chain, text = [error], str(error)
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if ours := [one for one in chain if isinstance(one, UserError)]:
        return str(ours[0])
    if of_key := [one for one in chain if isinstance(one, errors.OmegaConfBaseException) and one.full_key]:
        return _of_key(of_key[0], text, overrides)
    if isinstance(error, MissingConfigException):
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        if group == "hydra/launcher" and option in LAUNCHERS:
            extra = LAUNCHERS[option]
            return rule(group, option, f"needs the extra {extra}", f"pip install 'al-bench[{extra}]'")
        return rule(group or "config", option, *not_one_of(option, list(error.options or [])))
    if isinstance(error, OverrideParseException):
        lines = error.message.splitlines()
        reason = lines[1] if lines[0].startswith("Error") else lines[0]
        key, _, value = str(error.override).partition("=")
        if not re.fullmatch("[!-~]*", key):
            remedy = "set it in an option file, see --config-dir"
            return f"{shown(error.override)}: a key has ASCII signs and no blank here; {remedy}"
        if called := re.fullmatch(r"(\w+)\((.+)\)", value):  # such as glob, with a pattern
            example = f'{key}={called[1]}("{called[2]}")'
        else:
            has_parts = set(value) & set("[]{}()'\"")
            example = 'KEY=["VALUE"]' if has_parts else f'{key}="{shown(value) or "VALUE"}"'
        return f"{shown(error.override)}: is no KEY=VALUE ({reason}); quote what is special: '{example}'"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}: line {mark.line + 1} is no valid YAML ({error.problem}); mend the file"
    parts = dict.fromkeys(line.strip().rstrip(".") for line in text.splitlines() if line.strip())
    return _of_text(text, overrides) or "; ".join(parts) or type(error).__name__


def culprit(error: BaseException, overrides: Sequence[str]) -> str | None:
    """The override that caused the error; None where the error does not tell."""
    if isinstance(error, OverrideParseException):
        return error.override if error.override in overrides else None
    text = str(error)
    if match := re.match(r"Error merging override (.*)|Ambiguous value for argument '(.*)'", text):
        return next((word for word in overrides if word in match.groups()), None)
    if match := re.match(r"Could not (?:override|delete from config\.) '(.+?)'", text):
        return _override_of(match[1], overrides)
    if isinstance(error, MissingConfigException):
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        key = re.compile(rf"\+*{re.escape(group)}(@.+)?={re.escape(option)}")
        return next((word for word in overrides if key.fullmatch(word)), None)
    return None


def _override_of(field: str, overrides: Sequence[str]) -> str | None:
    same = (word for word in reversed(overrides) if word.lstrip("+~").partition("=")[0] == field)
    return next(same, None)  # the last one counts


def _of_key(error: errors.OmegaConfBaseException, text: str, overrides: Sequence[str], field: str | None = None) -> str:
    """A key that does not exist, or holds a value that it cannot. field: the key; None: as the error names it"""
    field = field or str(error.full_key)
    if scheduled := re.match(rf"{SCHEDULED}\.\d+(?=\.)", field):  # a model with the same keys as any other
        model, words = ROLES[0], [word.replace(f"{scheduled[0]}.", f"{ROLES[0]}.") for word in overrides]
        line = _of_key(error, text, words, field.replace(scheduled[0], model, 1))
        return line.replace(f"{model}.", f"{scheduled[0]}.")
    word = _override_of(field, overrides)
    given = word.partition("=")[2] if word and "=" in word else None
    match = re.search(r"In '(.+?)'", text)
    if re.fullmatch(rf"{SCHEDULED}(\.\w+)?", field) or f"override +{SCHEDULED}." in text:
        return _of_schedule(error, f"{SCHEDULED}.{field}" if field.isdigit() else field, match[1] if match else "")
    where = f" (in the option file {match[1]}.yaml)" if match else ""
    if isinstance(error, errors.InterpolationResolutionError | errors.UnsupportedInterpolationType):
        reason = str(error).splitlines()[0]
        if field.startswith("hydra.overrides"):  # Hydra keeps a copy of the command line, and reads it first
            word = next((word for word in overrides if "${" in word), None)
        name, _, given = (word or f"{field}=${{...}}").partition("=")
        return rule(name, given, reason, r"write \${ for the characters themselves")
    if isinstance(error, errors.ConfigKeyError | errors.ConfigAttributeError) and "not in" in str(error):
        head = field if given is None else f"{field}={given}"
        return f"{head}: no such key{where}; {_near_key(field, match[1] if match else '')}"
    value = given if error.value is None else error.value
    kind = _kind(KEYS.get(field))
    if kind.startswith("a group"):
        group = CHOICES.get(field, field)
        option = value if isinstance(value, str) and value != "null" else "NAME"
        remedy = f"to choose an option write {group}={option}" if field in CHOICES else "set the keys in it"
        return rule(field, value, f"is {kind}{where}", remedy)
    if kind.startswith("a list") and isinstance(value, str):
        return rule(field, value, f"must be {kind}{where}", f"write '{field}=[{value.strip('[]')}]'")
    default: Any = RunConfig()
    for key in field.split("."):
        default = getattr(default, key, None)
    remedy = "leave it out for its default" if default in (None, "???") else f"the default is {default}"
    if re.fullmatch(r"[\d.]+(\*\*|\^)\d+", str(value)):
        remedy = "write it in digits"
    return rule(field, value, f"must be {kind}{where}", remedy)


def _of_schedule(error: errors.OmegaConfBaseException, field: str, file: str) -> str:
    """A model of the acquisition schedule that stands under no cycle, or is set before it is chosen."""
    cycle = next(iter(re.findall(r"\d+", field)), "CYCLE")
    if isinstance(error, errors.KeyValidationError):
        return f"{field}: a cycle is text in a file (in the option file {file}.yaml); write '{cycle}' in quotes"
    option = file.removeprefix("model/") if file.startswith("model/") else "NAME"
    broken = "no model is chosen there" if cycle.isdigit() else "names no cycle"
    return f"{field}: {broken}; write +model@{SCHEDULED}.{cycle}={option}"


def _near_key(field: str, file: str = "") -> str:
    """The remedy for a key that does not exist. file: the option file that sets it"""
    if file.partition("/")[0] == field:
        return f"let the file begin with the line `# @package _global_`, as every {field} must"
    if file.startswith("model/"):
        return f"use it as {', '.join(MODELS[:-1])} or {MODELS[-1]}"
    if field.startswith("hydra."):
        return "see `al-bench run --cfg hydra`"
    parent, _, last = field.rpartition(".")
    if _kind(KEYS.get(parent)).startswith("pairs"):
        return f"to add it to {parent} write +{field}=VALUE"
    keys = [key.rpartition(".") for key in KEYS]
    siblings = [name for group, _, name in keys if group == parent]
    near = [f"{parent}.{name}".lstrip(".") for name in difflib.get_close_matches(last, siblings, n=2)]
    near = near or ["".join(key) for key in keys if key[2] == last][:2]
    if not (near or parent):
        near = difflib.get_close_matches(field, [*KEYS, *CHOICES.values()], n=2)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"the keys {f'in {parent}' if parent else 'here'} are {known(siblings) or 'none'}"


def _of_text(text: str, overrides: Sequence[str]) -> str | None:
    """Hydra's errors that carry nothing but a text."""

    def value(field: str) -> str:
        return (_override_of(field, overrides) or "").partition("=")[2]

    if match := re.search(r"Ambiguous value for argument '(.+?)=(.+)'", text):
        key, values = match.groups()
        hint = KEYS.get(key, "")
        takes_lists = hint is Any or _kind(hint).startswith("a list")
        remedy = "add -m to run each of them" + f", or write '{key}=[{values}]' for a list" * takes_lists
        return rule(key, values, "holds several values", remedy)
    if "Could not override 'experiment'" in text:
        name, broken = value("experiment"), "no such key, since none is chosen yet"
        return rule("experiment", name, broken, f"add one: +experiment={name}")
    if match := re.search(r"In '(.+?)': ValidationError(?s:.+)Merge error: (\w+) is not", text):
        return f"{match[1]}.yaml: holds a {match[2]}; write keys and values, such as `name: my_data`"
    if match := re.search(r"In '(.+?)': Could not override '(.+?)'", text):
        hint = did_you_mean(match[2], [*CHOICES.values()], f"the groups are {known(CHOICES.values())}")
        return f"{match[2]}: no such group (in the option file {match[1]}.yaml); {hint}"
    if match := re.search(rf"Could not override '(model@{SCHEDULED}\..+?)'", text):
        broken = "no model is chosen there so far"
        return rule(match[1], value(match[1]), broken, f"write +{match[1]}={value(match[1]) or 'NAME'}")
    if match := re.search(r"Could not override '(.+?)'\.\nDid you mean to override (one of )?(.+?)\?", text):
        return rule(match[1], value(match[1]), "no such group", f"did you mean {match[3].replace(', ', ' or ')}?")
    if match := re.search(r"Could not delete from config\. '(.+?)'", text):
        return f"~{match[1]}: no such key; {_near_key(match[1])}"
    pairs = [word.lstrip("+").partition("=")[::2] for word in overrides]
    if match := re.search(r"Config group override must be a string or a list\. Got (\w+)", text):
        for key, option in pairs:
            if key in CHOICES.values() and (option in ("null", "true", "false") or not re.match("[a-zA-Z_]", option)):
                remedy = f"see `al-bench ls`, or write ~{key} for none"
                return rule(key, option, "must be the name of an option", remedy)
        return f"a group has {match[1]} for its option; give the name of one, see `al-bench ls`"
    if "Unexpected type for root: NoneType" in text:  # a key in a role that is null
        for key, given in pairs:
            role = key.partition(".")[0]
            if role in ROLES and role != key:
                remedy = f"leave this out, or add model@{role}=NAME"
                return rule(key, given, f"there is no {role.replace('_', '-')}", remedy)
        return "a key is set in a group that is null; leave it out, or choose an option of the group"
    return None


def _keys(schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of the schema, and its type; for a group of keys its class, also where it may be null."""
    for name, hint in typing.get_type_hints(schema).items():
        if isinstance(hint, types.UnionType):
            hint = next((part for part in typing.get_args(hint) if is_dataclass(part)), hint)
        yield prefix + name, hint
        if is_dataclass(hint):
            yield from _keys(hint, f"{prefix}{name}.")


KEYS: dict[str, Any] = dict(_keys(RunConfig))


def _kind(hint: Any) -> str:
    """A type in words."""
    if is_dataclass(hint):
        return f"a group of keys ({known(f.name for f in fields(hint))})"
    if isinstance(hint, types.UnionType):
        kinds = [_kind(part) for part in typing.get_args(hint)]
        return " or ".join(kind for kind in kinds if kind != TYPES[int] or TYPES[float] not in kinds)
    return KINDS.get(typing.get_origin(hint) or hint, "of another kind")
