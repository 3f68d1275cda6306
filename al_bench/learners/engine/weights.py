"""The files of a model: where they are, what they are, and the check that they are the pinned ones."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import transformers
from huggingface_hub import snapshot_download
from safetensors import safe_open

from al_bench.config.schema import ModelConfig
from al_bench.data.network import hub_or_cache
from al_bench.data.packages import in_package
from al_bench.errors import UserError, reject

WEIGHTS = "model.safetensors"
TABLE = {"embeddings", "weights", "mapping"}  # tensors of a table
PICKLED = "pytorch_model.bin"  # of hub models alone; torch reads it without running what is in it
CONFIG = "config.json"
VOCABULARIES = (  # a tokenizer has one of these at least
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "spm.model",
    "sentencepiece.bpe.model",
)  # fmt: skip
TOKENIZER = (*VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Keys of config.json and tokenizer_config.json on which nothing depends that is computed here.
IMMATERIAL = {
    # who wrote the file, from where, and with what
    "_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "tokenizer_file",
    # replaced here: the type of the weights, the class around the encoder, its labels and loss, the length
    "dtype", "torch_dtype", "architectures", "id2label", "label2id", "problem_type", "finetuning_task",
    "model_max_length",
    # of text that a model writes
    "use_cache", "task_specific_params", "clean_up_tokenization_spaces", "chat_template",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A model's files in a folder. name: what the config calls it, for messages"""

    role: str
    name: str
    folder: Path

    def has(self, *names: str) -> bool:
        """Whether the model has one of these files."""
        return any((self.folder / name).is_file() for name in names)

    @property
    def weights(self) -> Path:
        return self.folder / (WEIGHTS if self.has(WEIGHTS) else PICKLED)

    @property
    def is_table(self) -> bool:
        """Whether its weights are a table of sub-words' vectors, as model2vec saves them, instead of a network's."""
        if not self.has(WEIGHTS):
            return False
        with safe_open(self.folder / WEIGHTS, framework="numpy") as file:
            return "embeddings" in file.keys() and TABLE.issuperset(file.keys())  # noqa: SIM118

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        remedy = f"check that {CONFIG}, {WEIGHTS} and the tokenizer are there and of one model, as save_pretrained does"
        with readable(self.role, self.name, remedy):
            yield


def fetch(role: str, model: ModelConfig) -> Source:
    """The model's files, downloaded if need be. Raises `UserError` where it lacks its configuration or its weights."""
    folder = folder_of(role, model)
    weights: tuple[str, ...] = (WEIGHTS,)
    if folder is not None:
        source, remedy = Source(role, str(folder), folder), "save the model with save_pretrained"
    else:
        assert model.hub is not None, "a rule of the config"
        name = model.hub if model.revision is None else f"{model.hub}@{model.revision}"
        # Whoever gives a folder can give it with weights that need no unpickling.
        weights, remedy = (WEIGHTS, PICKLED), _elsewhere(role, model)
        with readable(role, name, remedy):
            source = Source(role, name, _snapshot(model.hub, model.revision))
    for names in (weights, (CONFIG,)):
        if not source.has(*names):
            raise reject(role, source.name, f"the folder has no {names[0]}", remedy)
    return source


def _elsewhere(role: str, model: ModelConfig) -> str:
    """What to do where the hub does not give a model."""
    package = "" if model.package is None else f", {_installing(model.package)}"
    return f"check the name and the network{package}, or set {role}.path to a folder with the model"


def _installing(package: str) -> str:
    """The command for a config's package; the distributions of this project's options are called like their modules."""
    return f"pip install {re.split('[.:]', package)[0].replace('_', '-')}"


@cache  # so that a process that loads twice gets the same files, even if the branch has moved
def _snapshot(hub: str, revision: str | None) -> Path:
    with hub_or_cache():
        folder = Path(snapshot_download(hub, revision=revision, allow_patterns=[CONFIG, WEIGHTS, *TOKENIZER]))
        if not (folder / WEIGHTS).is_file():
            snapshot_download(hub, revision=revision, allow_patterns=[PICKLED])
    return folder


def folder_of(role: str, model: ModelConfig) -> Path | None:
    """The folder of a model: `path`, else inside its package where that is installed; None for the hub."""
    if model.path is not None:
        return Path(model.path).expanduser()
    folder = None if model.package is None else in_package(f"{role}.package", model.package)
    if folder is not None and not folder.is_dir():
        raise reject(f"{role}.package", model.package, "is a file", "name the folder around it")
    if folder is None and model.hub is None:
        assert model.package is not None, "a rule of the config"
        missing = f"the package {model.package.partition(':')[0].partition('.')[0]} is not installed"
        remedy = f"{_installing(model.package)}, or set {role}.path=FOLDER"
        raise reject(f"{role}.package", model.package, missing, remedy)
    return folder


def identify(role: str, model: ModelConfig) -> dict[str, str]:
    """Hashes of all that decides what a model computes; of the weights checked against the config's."""
    source = fetch(role, model)
    path = source.weights
    facts = path.stat()
    weights = _sha256(path, facts.st_size, facts.st_mtime_ns)
    if model.sha256 not in (None, weights):
        raise UserError(
            f"{role}.sha256={model.sha256}: {path} has {weights}; "
            f"{model.name} names other weights than these, so get the right file or set {role}.sha256=null"
        )
    return {"weights": weights, "config": _digest(source, CONFIG), "tokenizer": _digest(source, *TOKENIZER)}


@cache  # the jobs of a sweep ask for the same large files
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(source: Source, *names: str) -> str:
    """A hash of those of the files that are there, without what is immaterial in them."""
    digest = hashlib.sha256()
    for path in (source.folder / name for name in names):
        if path.is_file():
            content = path.read_bytes()
            if path.name in (CONFIG, "tokenizer_config.json"):
                content = _material(content)
            digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _material(content: bytes) -> bytes:
    try:
        settings = json.loads(content)
    except ValueError:
        return content  # loading it will say more
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if key not in IMMATERIAL}
    return json.dumps(settings, sort_keys=True).encode()


@contextlib.contextmanager
def readable(role: str, name: str, remedy: str) -> Iterator[None]:
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
        reason = re.sub(r"\s+", " ", str(error)).strip()
        broken = f"cannot be loaded ({reason[:300]})"
        if "trust_remote_code" in reason:  # the library's remedy is to run it
            broken, remedy = "comes with code of its own (auto_map), which is not run", "choose another model"
        raise reject(role, name, broken, remedy) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
