"""The tree's shape: what lies at the top, and that imports go one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "al_bench"

# From low to high: a module imports rooms below its own, and its own. A room is a file or a folder; the longest
# name that fits a module is its room.
ROOMS = (
    "errors",
    "seeds",
    "costs",
    "plugins",
    "config.schema",  # apart from the rest of config: all rooms read it, and the rest of config reads rooms
    "config.roles",
    "data",
    "oracles",
    "learners",
    "acquisition.aggregates",  # apart from the rest of acquisition: filters read them, and the loop may ask filters
    "acquisition.strategies.uncertainty",
    "filters",
    "acquisition",
    "config",  # the rules and the identity of a run ask the strategies what they need
    "ledger",
    "successor",
    "planning",
    "workbench",
    "run",
    "conformance",
    "analysis",
    "tables",
    "report",
    "front",
)
TOP = {"__init__", "__main__", "costs", "errors", "plugins", "run", "seeds", "workbench"}


def modules() -> dict[str, Path]:
    """Every module but the entry points `al_bench` and `al_bench.__main__`, by its name in the package."""
    paths = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py")}
    named = {".".join(part for part in parts if part != "__init__"): path for path, parts in paths.items()}
    return {name: path for name, path in named.items() if name not in ("", "__main__")}


def room_of(module: str) -> str:
    """Raises `ValueError` for a module in no room."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


def imports(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("al_bench.") for name in names if name.startswith("al_bench."))


def test_only_what_every_room_needs_lies_at_the_top():
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP


def test_every_room_has_modules():
    assert {room_of(name) for name in modules()} == set(ROOMS)


def test_imports_go_one_way():
    upward = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        for imported in imports(path)
        if imported != "__version__" and ROOMS.index(room_of(imported)) > ROOMS.index(room_of(name))
    ]
    assert not upward, "\n".join(upward)
