"""The page's prose: `sentences.yaml` and `captions.yaml`."""

from pathlib import Path
from typing import Any

import yaml

from al_bench.costs import HARD


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return content


SENTENCES, CAPTIONS = _read("sentences.yaml"), _read("captions.yaml")


def fill(topic: str, key: str, **phrases: Any) -> str:
    """A sentence with what stands between its braces."""
    return str(SENTENCES[topic][key]).format(**phrases).replace(" %", f"{HARD}%")
