"""Where a result comes from: versions, code, hardware; and the machine that its seconds belong to."""

import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import al_bench

RECORDED = (
    "torch", "transformers", "tokenizers", "datasets", "numpy", "pandas", "scikit-learn", "seqeval",
    "hydra-core", "omegaconf", "mlflow",
)  # fmt: skip


def machine(hardware: dict[str, Any], precision: str, engine: str, jobs: int) -> dict[str, Any]:
    """All that makes seconds comparable; recorded with every cost.

    hardware: as `device.hardware` gives it; engine: fast | plain; jobs: how many a launcher runs side by side here
    """
    return {
        "processor": processor(),
        "device": hardware.get("gpu", hardware["device"]),
        "threads": hardware["threads"],
        "precision": precision,
        "engine": engine,
        "jobs": jobs,
    }


def provenance(hardware: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    return {
        **machine,
        "al_bench": al_bench.__version__,
        "git": git_commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in RECORDED},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "host": platform.node(),
        "hardware": hardware,
        "command": sys.argv,
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, "+changes" where it was edited; None when installed."""
    folder = Path(al_bench.__file__).parent

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(folder), *arguments]
        with suppress(OSError, subprocess.SubprocessError):  # no git, no checkout, or no answer in time
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        return None

    commit = git("rev-parse", "HEAD")
    # A package installed into some other project's checkout is not that project's code.
    if commit is None or git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no", ".") else "")


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
