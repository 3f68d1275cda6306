"""The files of a model: a folder, an installed package or the hub, and the check that they are the pinned ones."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers.utils import cached_file

from al_bench.config.schema import ModelConfig
from al_bench.data.packages import in_package
from al_bench.errors import UserError, reject

WEIGHTS = "model.safetensors"


def identify(role: str, model: ModelConfig) -> str:
    """sha256 of a model's weights, checked against the config's; downloads if need be.

    Of hub models without safetensors, name and revision.
    """
    source, revision = locate(role, model)
    with readable(role, source, revision):
        path: Any = Path(source) / WEIGHTS
        if not Path(source).is_dir():
            path = cached_file(
                source, WEIGHTS, revision=revision, _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )  # fmt: skip
            if not path:
                return f"{source}@{revision}"
        elif not path.exists():
            raise reject(role, source, f"the folder has no {WEIGHTS}", "save the model with save_pretrained")
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if model.sha256 not in (None, digest):
        raise UserError(
            f"{role}.sha256={model.sha256}: {path} has {digest}; "
            f"{model.name} names other weights than these, so get the right file or set {role}.sha256=null"
        )
    return digest


def locate(role: str, model: ModelConfig) -> tuple[str, str | None]:
    """(folder or hub name, revision) of a model: `path`, else its package where installed, else the hub."""
    if model.path is not None:
        return str(Path(model.path).expanduser()), None
    folder = None if model.package is None else in_package(f"{role}.package", model.package)
    if folder is not None:
        if not folder.is_dir():
            raise reject(f"{role}.package", model.package, "is a file", "name the folder around it")
        return str(folder), None
    if model.hub is None:
        assert model.package is not None, "a rule of the config"
        module = model.package.partition(":")[0].partition(".")[0]
        remedy = f"pip install {module.replace('_', '-')}, or set {role}.path=FOLDER"
        raise reject(f"{role}.package", model.package, f"the package {module} is not installed", remedy)
    return model.hub, model.revision


@contextlib.contextmanager
def readable(role: str, source: str, revision: str | None) -> Iterator[None]:
    """Load without reports and bars; a library's error about a bad model becomes one line."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # tokenizers, safetensors and transformers share no class of errors
        where = source if revision is None else f"{source}@{revision}"
        reason = re.sub(r"\s+", " ", str(error)).strip()[:300]
        remedy = f"check the name and the network, or set {role}.path to a folder with the model"
        raise reject(role, where, f"cannot be loaded ({reason})", remedy) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
