"""The page's prose: `sentences.yaml` and `captions.yaml`."""

from pathlib import Path
from typing import Any

import yaml

from al_bench.costs import HARD

PROSE = (Path(__file__).with_name(f"{name}.yaml") for name in ("sentences", "captions"))
SENTENCES, CAPTIONS = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in PROSE)


def fill(topic: str, key: str, case: str = "", **phrases: Any) -> str:
    """A sentence with what stands between its braces; case: of a sentence that has several"""
    text = SENTENCES[topic][key]
    return str(text[case] if case else text).format(**phrases).replace(" %", f"{HARD}%")
