"""Text files, decoded as the config says."""

from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.raw import bad
from al_bench.errors import reject


def read_text(path: Path, config: DatasetConfig) -> str:
    """The whole file, without a byte order mark, line ends as they are; `UserError` where that fails."""
    # A byte order mark would become part of the first column's name or of the first word.
    encoding = (
        "utf-8-sig" if config.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else config.encoding
    )
    try:
        return path.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        broken = f"byte {error.start} of {path} is not {config.encoding}"
        raise reject("dataset.encoding", config.encoding, broken, "try dataset.encoding=latin-1") from None
    except OSError as error:
        raise bad(
            config, f"{path} cannot be read ({error.strerror})", "check the file and its rights"
        ) from None
