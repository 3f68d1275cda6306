"""Files on this machine: their names, their bytes, and the text in these."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import source_error
from al_bench.errors import reject

SHARD = re.compile(r"-(\d{5})-of-(\d{5})(-[0-9a-f]+)?$")  # as `datasets` names the parts of a split
BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip


def _unzipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"it holds {len(names)} files, not one")
        return archive.read(names[0])


def _of_zstandard(content: bytes) -> bytes:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.BufferReader(content), "zstd").read()


DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress, ".zip": _unzipped, ".zst": _of_zstandard,
}  # fmt: skip
# What these raise for other content; a password of a ZIP file is a RuntimeError.
DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def visible(folder: Path, config: DatasetConfig) -> list[Path]:
    """What a folder holds, sorted, without what programs hide there (.ipynb_checkpoints, ._train.csv).

    Raises `UserError`.
    """
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as error:
        raise source_error(config, f"{folder} cannot be read ({error.strerror})", "check its rights") from None


def name_of(path: Path) -> tuple[str, str]:
    """(stem, extension in lower case), without the extension of a compressed file: ("train", ".csv")."""
    uncompressed = Path(path.stem) if path.suffix.lower() in DECOMPRESS else path
    return uncompressed.stem, uncompressed.suffix.lower()


def data_name(path: Path, splits: Sequence[str]) -> str:
    """What data are called: a folder's name, or a file's without extensions; the folder's for the file of a split."""
    path = path.expanduser().absolute()
    stem = path.name if path.is_dir() else name_of(path)[0]
    return path.parent.name if stem in splits else stem


def require_file(path: Path, config: DatasetConfig) -> None:
    """Raise `UserError` for a link without its target, and for what would be waited for, such as a named pipe."""
    if path.is_symlink() and not path.exists():
        broken = f"{path} is a link to {path.readlink()}, which is not there"
        raise source_error(config, broken, "fetch the file (git annex get, dvc pull), or mend the link")
    if path.exists() and not path.is_file():
        raise source_error(config, f"{path} is no regular file", "give a file")


def read_bytes(path: Path, config: DatasetConfig) -> bytes:
    """The whole file, decompressed where its name says that it is compressed. Raises `UserError`."""
    require_file(path, config)
    try:
        content = path.read_bytes()
    except OSError as error:
        broken = f"{path} cannot be read ({error.strerror})"
        raise source_error(config, broken, "check the file and its rights") from None
    if content.startswith(b"version https://git-lfs.github.com/"):
        raise source_error(config, f"{path} is a pointer of Git LFS, not the file itself", "fetch it with git lfs pull")
    decompress = DECOMPRESS.get(path.suffix.lower())
    try:
        return content if decompress is None else decompress(content)
    except DAMAGED as error:
        broken = f"{path} cannot be decompressed ({error or type(error).__name__})"
        raise source_error(config, broken, "write it again, one file in each archive") from None


def read_text(path: Path, config: DatasetConfig) -> str:
    """The whole file, decoded, with its line ends and without a byte order mark. Raises `UserError`."""
    content = read_bytes(path, config)
    try:
        # A byte order mark would join the first column's name or the first word.
        return content.decode(config.encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        place = f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else "the content"
        broken, remedy = f"{place} of {path} is not {config.encoding}", f"try dataset.encoding={_likely(content)}"
        raise reject("dataset.encoding", config.encoding, broken, remedy) from None


def _likely(content: bytes) -> str:
    """An encoding to try. Windows-1252 is Latin-1 with quotes and dashes in place of control characters."""
    if marked := [name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)]:
        return marked[0]
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(number, line), counted from 1. Not splitlines: texts may hold other line separators, such as U+2028."""
    return enumerate(re.split("\r\n|\n|\r", text), start=1)
