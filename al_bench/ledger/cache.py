"""Arrays that many runs need, computed once. OUTPUT_DIR/cache/encodings/<key>/ has a folder for each computation:

*.npy       the arrays, which readers map into memory
index.json  their hashes; written last, it makes the folder count
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from al_bench.errors import UserError
from al_bench.learners.base import Arrays
from al_bench.ledger.ledger import locked, read_json, sync_folder, temporary_beside, write_json
from al_bench.ledger.store import save_array

LARGE = 10**9  # bytes of what is written without being asked for


@dataclass(frozen=True)
class ArrayCache:
    """A `learners.base.Cache` in a folder; note: called with what was damaged, and is computed again, or is large"""

    root: Path
    note: Callable[[str], None]

    def __call__(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        folder = self.root / key
        if not _is_whole(folder):
            self.root.mkdir(parents=True, exist_ok=True)
            with locked(self.root / f"{key}.lock"):  # whoever comes second waits instead of computing it, too
                if not _is_whole(folder):
                    if folder.exists():
                        self.note(f"note: {folder} is damaged; it is computed again")
                    size = _write(folder, compute())
                    if size >= LARGE:
                        self.note(f"note: {folder} takes {size / 1e9:.1f} GB; al-bench rm --orphans removes the cache")
        # Written as files and mapped for reading only: a write to a map of a full disk ends the process.
        paths = [folder / name for name in read_json(folder / "index.json")]
        return {path.stem: np.load(path, mmap_mode="r") for path in paths}


def _is_whole(folder: Path) -> bool:
    try:
        return all(_sha256(folder / name) == sha256 for name, sha256 in read_json(folder / "index.json").items())
    except (UserError, FileNotFoundError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, arrays: Arrays) -> int:
    """Readers see all arrays or none. Returns the bytes of the arrays."""
    temporary = temporary_beside(folder)
    try:
        temporary.mkdir()  # with the permissions that the user's other folders get
        hashes = {f"{name}.npy": save_array(temporary / f"{name}.npy", array) for name, array in arrays.items()}
        write_json(temporary / "index.json", hashes)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync_folder(folder.parent)
        return sum(array.nbytes for array in arrays.values())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
