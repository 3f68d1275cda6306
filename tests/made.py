"""Reviews and sentences made by rule, so that a model can learn them in seconds; and ledgers made at once."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from al_bench.ledger.ledger import sealed

POSITIVE, NEGATIVE = ("good", "great", "fine", "happy"), ("bad", "poor", "sad", "awful")
NEUTRAL = ("the", "film", "was", "and", "very", "plot", "actor", "it", "a", "story")
NAMES = {"PER": ("Anna", "Boris", "Carla"), "LOC": ("Berlin", "Oslo", "Lima")}


def reviews(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) pairs that a bag of words can tell apart."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        tell = rng.choice(POSITIVE if i % 2 else NEGATIVE)
        words = [*rng.choices(NEUTRAL, k=rng.randint(2, 12)), tell]
        rng.shuffle(words)
        rows.append((" ".join(words), "pos" if i % 2 else "neg"))
    return rows


def sentences(n: int, seed: int = 0) -> list[list[tuple[str, str]]]:
    """(word, IOB2 tag) lists with names of people and places."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        sentence = [(word, "O") for word in rng.choices(NEUTRAL, k=rng.randint(1, 8))]
        for kind in rng.sample(list(NAMES), k=rng.randint(0, 2)):
            names = [(rng.choice(NAMES[kind]), f"{prefix}-{kind}") for prefix in ("B", "I")[: rng.randint(1, 2)]]
            place = rng.randint(0, len(sentence))
            if place == len(sentence) or not sentence[place][1].startswith("I-"):
                sentence[place:place] = names
            else:
                sentence += names
        rows.append(sentence)
    return rows


def write_ledger(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """As if each had been put, without the time that so many commits take."""
    path.write_bytes(b"".join(sealed(json.dumps(record, ensure_ascii=False).encode() for record in records)))


def decided(outputs: Path) -> dict[str, bytes]:
    """Every file of a run that says what was decided, none that says what it cost."""
    names = ("runs/**/ledger.jsonl", "trajectories/*/ledger.jsonl", "trajectories/*/*/*.npy")
    names += ("steps/*/values.json", "steps/*/*.npy")
    return {str(p.relative_to(outputs)): p.read_bytes() for name in names for p in sorted(outputs.glob(name))}
