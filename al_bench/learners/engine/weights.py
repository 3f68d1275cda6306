"""The files of a model: where they are, what they are, and the check that they are the pinned ones."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import transformers
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open

from al_bench.config.schema import ModelConfig
from al_bench.data.network import hub_or_cache
from al_bench.data.packages import in_package
from al_bench.errors import UserError, reject

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files, the shards
TABLE = {"embeddings", "weights", "mapping"}  # tensors of a table
PICKLED = "pytorch_model.bin"  # of hub models alone; torch reads it without running what is in it
CONFIG = "config.json"
ADAPTERS = "adapter_config.json"  # of peft; where that is installed, transformers loads adapters with the weights
VOCABULARIES = (  # a tokenizer has one of these at least
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "spm.model",
    "sentencepiece.bpe.model",
)  # fmt: skip
TOKENIZER = (*VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
SUBFOLDER = "tokenizer"  # where some exports put all of these
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
        return _has(self.folder, names)

    @property
    def weights(self) -> tuple[Path, ...]:
        """One file, or the shards in the order of their names. Raises `ValueError` where their index is broken."""
        if self.has(WEIGHTS) or not self.has(INDEX):
            return (self.folder / (WEIGHTS if self.has(WEIGHTS) else PICKLED),)
        return tuple(self.folder / name for name in _shards(self.folder))

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer's files."""
        beside, within = self.folder, self.folder / SUBFOLDER
        return within if _has(within, VOCABULARIES) and not _has(beside, VOCABULARIES) else beside

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
    weights: tuple[str, ...] = (WEIGHTS, INDEX)
    if folder is not None:
        source, remedy = Source(role, str(folder), folder), "save the model with save_pretrained"
    else:
        assert model.hub is not None, "a rule of the config"
        name = model.hub if model.revision is None else f"{model.hub}@{model.revision}"
        # Whoever gives a folder can give it with weights that need no unpickling.
        weights, remedy = (WEIGHTS, INDEX, PICKLED), _elsewhere(role, model)
        with readable(role, name, remedy):
            source = Source(role, name, _snapshot(model.hub, model.revision))
    for names in (weights, (CONFIG,)):
        if not source.has(*names):
            raise reject(role, source.name, f"the folder has no {names[0]}", remedy)
    if broken := _broken(source):
        raise reject(role, source.name, broken, remedy)
    if source.has(ADAPTERS):
        broken = f"the folder has adapters ({ADAPTERS}) beside the weights, which are without them"
        raise reject(role, source.name, broken, "save the model alone, after merge_and_unload() if it is to have them")
    return source


def _has(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).is_file() for name in names)


def _shards(folder: Path) -> list[str]:
    """Names of the files among which an index spreads the weights. Raises `ValueError` where it does not."""
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        # Nothing outside the folder, and no pickles.
        is_index = bool(names) and all(re.fullmatch(r"[^/\\]+\.safetensors", name) for name in names)
    except (AttributeError, KeyError, TypeError, ValueError):
        is_index = False
    if not is_index:
        raise ValueError(f"{INDEX} names no .safetensors files")
    return names


def _broken(source: Source) -> str:
    """What is wrong with the files of the weights, of which it reads no more than their tables; empty if nothing is."""
    try:
        files = source.weights
    except ValueError as error:
        return f"cannot be loaded ({error})"
    for path in files:
        if not path.is_file():
            return f"lacks {path.name}, which {INDEX} names"
        if path.name != PICKLED:
            try:
                with safe_open(path, framework="numpy"):
                    pass  # a file that was cut is refused
            except SafetensorError as error:
                return f"{path.name} cannot be loaded ({error})"
    return ""


def _elsewhere(role: str, model: ModelConfig) -> str:
    """What to do where the hub does not give a model."""
    package = "" if model.package is None else f", {_installing(model.package)}"
    return f"check the name and the network{package}, or set {role}.path to a folder with the model"


def _installing(package: str) -> str:
    """The command for a config's package; the distributions of this project's options are called like their modules."""
    return f"pip install {re.split('[.:]', package)[0].replace('_', '-')}"


@cache  # so that a process that loads twice gets the same files, even if the branch has moved
def _snapshot(hub: str, revision: str | None) -> Path:
    tokenizer = [*TOKENIZER, *(f"{SUBFOLDER}/{name}" for name in TOKENIZER)]
    with hub_or_cache():
        folder = Path(snapshot_download(hub, revision=revision, allow_patterns=[CONFIG, WEIGHTS, INDEX, *tokenizer]))
        if not (folder / WEIGHTS).is_file():
            others = _shards(folder) if (folder / INDEX).is_file() else [PICKLED]
            # The folder is called by its commit: the branch may have moved meanwhile.
            snapshot_download(hub, revision=folder.name, allow_patterns=others)
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
    files = source.weights
    facts = [(path, path.stat()) for path in files]
    weights = _sha256(*((path, fact.st_size, fact.st_mtime_ns) for path, fact in facts))
    if model.sha256 not in (None, weights):
        shards = f"the {len(files)} files of {source.folder / INDEX} together have"
        has = f"{files[0]} has" if len(files) == 1 else shards
        raise UserError(
            f"{role}.sha256={model.sha256}: {has} {weights}; "
            f"{model.name} names other weights than these, so get the right file or set {role}.sha256=null"
        )
    config, tokenizer = _digest(source.folder, CONFIG), _digest(source.tokenizer, *TOKENIZER)
    return {"weights": weights, "config": config, "tokenizer": tokenizer}


@cache  # the jobs of a sweep ask for the same large files
def _sha256(*files: tuple[Path, int, int]) -> str:
    """Of files (each with its size and time of change) one after another, as `cat FILES | sha256sum` gives it."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _digest(folder: Path, *names: str) -> str:
    """A hash of those of the files that are there, without what is immaterial in them."""
    digest = hashlib.sha256()
    for path in (folder / name for name in names):
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
