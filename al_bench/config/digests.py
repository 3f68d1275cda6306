"""Hashes of identities and of files, and what differs between two identities."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from al_bench.errors import reject


def digest(identity: Any, length: int = 12) -> str:
    """A short hash of an identity, whatever the order of its keys."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def file_name(text: str) -> str:
    """The text as a part of a file's name: no separator, nothing that a shell or a system refuses, not too long."""
    return re.sub(r"[^\w.+-]", "_", text).lstrip(".").encode(errors="replace")[:180].decode(errors="ignore")


def differences(recorded: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """The dotted keys at which two identities differ; 1 (a count) differs from 1.0 (a share)."""
    old, new = dict(flat(recorded)), dict(flat(current))
    return [key for key in sorted(old | new) if json.dumps(old.get(key)) != json.dumps(new.get(key))]


def flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        rows += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return rows


def file_hash(key: str, path: str) -> str:
    """sha256 of a file that a key names, ~ being the home folder."""
    try:
        whole = Path(path).expanduser()
        facts = whole.stat()
        return _sha256(whole, facts.st_size, facts.st_mtime_ns)
    except RuntimeError as error:
        raise reject(key, path, "no such home folder", "write the whole path") from error
    except OSError as error:
        raise reject(key, path, f"cannot be read ({error.strerror})", "give a file") from error


def file_hashes(names: Iterable[str], params: Mapping[str, Any], key: str) -> dict[str, str]:
    """`file_hash` of those of a component's settings that are files, where they are set. key: of the settings"""
    return {name: file_hash(f"{key}.{name}", params[name]) for name in names if params.get(name) is not None}


@cache  # a run asks for its identity often, and word vectors are gigabytes
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(source: Path) -> str:
    """sha256 of what a replay reads: a trajectory's ledger, or a file of ids."""
    path = source / "ledger.jsonl" if source.is_dir() else source
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        remedy = "give a trajectory's folder (with ledger.jsonl) or a file of ids"
        raise reject("replay", source, f"cannot be read ({error.strerror})", remedy) from error
