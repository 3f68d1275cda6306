"""Files inside installed packages, which a config names as "module:path/inside/it"."""

from importlib.util import find_spec
from pathlib import Path

from al_bench.errors import reject


def in_package(key: str, name: str) -> Path | None:
    """The file or folder; None where the package is not installed, which is not imported. key: of the config

    Raises `UserError` where the name has another form, or the package has no such file.
    """
    module, _, inside = name.partition(":")
    if not (module and inside):
        raise reject(key, name, "must be MODULE:PATH", "give the path inside the package, or . for its own folder")
    top, *below = module.split(".")  # find_spec would import the parents of a dotted name
    if top == "__main__":
        raise reject(key, name, "is the running program and no package", "give the module of an installed package")
    spec = find_spec(top)
    if spec is None:
        return None
    # A package without __init__.py has no origin, a module in one file no search locations.
    places = spec.submodule_search_locations or [str(Path(str(spec.origin)).parent)]
    path = Path(places[0]).joinpath(*below, inside)
    if not path.exists():
        raise reject(key, name, f"{top} has no {inside}", "check the path, and which release is installed")
    return path
