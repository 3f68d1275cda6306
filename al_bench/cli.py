"""The front: which command. Nothing heavy is imported before a command needs it; errors become one line."""

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from al_bench import __version__
from al_bench.errors import UserError

DESCRIPTION = "Simulate active learning for text: what each iteration costs, and what a successor loses."

EXAMPLES = """\
examples:
  al-bench run +experiment=demo                     a real result on a CPU in minutes, without downloads
  al-bench run +experiment=conll_distil             the paper's CoNLL-2003 setting
  al-bench run -m +experiment=demo seed=1,2,3       a sweep
  al-bench ls models                                what can be composed
  al-bench sync                                     log finished run directories to MLflow

`al-bench COMMAND --help` tells more. A killed run continues where it was: give the same command again.
"""

SYNC_EXAMPLES = """\
examples:
  al-bench sync                                     all runs under outputs/
  al-bench sync outputs/runs/demo                   some of them
  al-bench sync --tracking http://localhost:5000    to a server
"""

LS_EXAMPLES = """\
examples:
  al-bench ls
  al-bench ls models
  al-bench ls experiments --config-dir my_configs   with your own
"""


def main() -> None:
    if sys.argv[1:2] and sys.argv[1].startswith("-sc"):  # Hydra's shell completion asks the program's first word
        sys.argv.insert(1, "run")
    parser = _parser()
    if sys.argv[1:2] == ["run"]:  # Hydra reads the rest itself, --help included
        command, arguments = "run", sys.argv[2:]
    else:
        options = parser.parse_args()
        command = options.command
    try:
        if command == "run":
            run(arguments)
        elif command == "ls":
            from al_bench.catalog import show

            show(options.kind, options.config_dir)
        elif command == "sync":
            from al_bench.sync import sync

            sync(options.directories, options.tracking, options.output_dir)
    except UserError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted; the same command continues", 130)
    except BrokenPipeError:  # somebody closed the pipe behind us, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("al-bench", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"al-bench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run an experiment, or a sweep with -m (Hydra's options and overrides)")
    ls = commands.add_parser("ls", help="list datasets, models, strategies, subsamplings, experiments",
                             epilog=LS_EXAMPLES, formatter_class=raw)  # fmt: skip
    ls.add_argument("kind", nargs="?", help="datasets, models, strategies, subsamplings, schedules or experiments")
    ls.add_argument("--config-dir", help="also list the options of your own config folder")
    sync = commands.add_parser("sync", help="log finished run directories to MLflow",
                               epilog=SYNC_EXAMPLES, formatter_class=raw)  # fmt: skip
    sync.add_argument("directories", nargs="*", help="run directories, or folders of them (default: OUTPUT_DIR/runs)")
    sync.add_argument("--tracking", default="sqlite", help="MLflow URI (default: sqlite, under OUTPUT_DIR)")
    sync.add_argument("--output-dir", default="outputs", help="where the runs were written (default: outputs)")
    return parser


def _stop(message: str, code: int = 1) -> NoReturn:
    for line in message.splitlines():
        print(f"al-bench: {line}", file=sys.stderr)
    sys.exit(code)


def run(arguments: list[str]) -> None:
    """Hand over to Hydra, and turn what it raises into one line."""
    import hydra

    from al_bench.config import register_schema, shipped_configs
    from al_bench.task import register_resolvers, task

    # Hydra 1.3 refuses overrides on both sides of -m.
    flags = [word for word in arguments if word in ("-m", "--multirun")]
    sys.argv = ["al-bench run", *flags[:1], *(word for word in arguments if word not in flags)]
    if "COMP_LINE" in os.environ:
        _complete_without_our_word()
    register_schema()
    register_resolvers()
    traced = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise to us, rather than print and exit
    entry = hydra.main(version_base="1.3", config_path=str(shipped_configs()), config_name="config")(task)
    try:
        entry()
    except Exception as error:
        _close_sweep()
        if traced or isinstance(error, UserError) or not _of_config(error):
            raise
        raise UserError(one_line(error)) from error
    except BaseException:
        _close_sweep()
        raise
    if not _close_sweep():
        sys.exit(1)


def _of_config(error: Exception) -> bool:
    """Whether composing the config failed, rather than anything that ran on it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, HydraException | OmegaConfBaseException) or "hydra" in Path(innermost).parts


def _close_sweep() -> bool:
    """Summarise the sweep that ran, if one did; returns whether all its jobs finished."""
    from al_bench import sweep
    from al_bench.ledger.tracking import finish_sweep

    if not sweep.started:
        return True
    folder, expected = sweep.started.pop()
    done = sweep.summarise(folder, expected)
    finish_sweep(folder, failed=not done)
    return done


def _complete_without_our_word() -> None:
    """Hydra's completion takes all words after the program for overrides."""
    line = os.environ["COMP_LINE"]
    shorter = re.sub(r"^(\s*\S+\s+)run\s", r"\1", line, count=1)
    os.environ["COMP_LINE"] = shorter
    if "COMP_POINT" in os.environ:
        os.environ["COMP_POINT"] = str(int(os.environ["COMP_POINT"]) - (len(line) - len(shorter)))


def one_line(error: BaseException) -> str:
    """What Hydra and OmegaConf say over several lines, without what only their authors need."""
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    by_resolver = re.match(r"(\w+) raised while resolving interpolation: ", text)
    if by_resolver:  # OmegaConf keeps the message of what a resolver raised, but not the exception
        text = text[by_resolver.end() :]
        if by_resolver[1] == UserError.__name__:
            return text.partition("\n    full_key: ")[0]
    told = text.partition("Config search path:")[0]
    told = re.sub(r"(Available options in '\S+'):\n((?:\t.*\n?)+)", _in_a_row, told)
    inner = re.compile(r"\s*(full_key:|object_type=|reference_type=|To append to your config)")
    lines = [line.strip().rstrip(".") for line in told.splitlines() if line.strip() and not inner.match(line)]
    return "; ".join(dict.fromkeys(lines)) + _near(text)


def _in_a_row(found: re.Match[str]) -> str:
    return f"{found[1]}: {', '.join(found[2].split())}\n"


def _near(text: str) -> str:
    """The known keys closest to one that is not there."""
    import difflib

    from omegaconf import OmegaConf

    from al_bench.config import RunConfig
    from al_bench.identity import flat

    found = re.search(r"Could not override '([\w.]+)'|full_key: ([\w.]+)", text)
    if found is None or "not in" not in text:
        return ""
    tree: Any = OmegaConf.to_container(OmegaConf.structured(RunConfig))
    tree["successor"] = tree["acquisition"]
    keys = [key for key, _ in flat(tree)]
    near = difflib.get_close_matches(found[1] or found[2], [*keys, *tree], n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


if __name__ == "__main__":
    main()
