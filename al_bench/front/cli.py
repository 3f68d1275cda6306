"""The command line: chooses the command and prints every error as one line. Heavy modules are imported on demand."""

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from al_bench import __version__
from al_bench.errors import UserError, of_disk

DESCRIPTION = "Simulate active learning for text: what each iteration costs, and what a successor loses."

EPILOG = """
`al-bench COMMAND --help` explains a command. A killed run continues where it was: give the same command again.
"""

Settings = dict[str, dict[str, Any]]
OUTPUT_DIR: Settings = {
    "--output-dir": {"default": "outputs", "help": "where the runs were written (default: outputs)"}
}

# Command: (help, examples, arguments as argparse takes them). Hydra defines the arguments of `run` and `plan`.
COMMANDS: dict[str, tuple[str, str, Settings]] = {
    "run": (
        "run an experiment, or a sweep with -m (Hydra's options and overrides)",
        """\
  al-bench run +experiment=demo                     a real result on a CPU in minutes, without downloads
  al-bench run +experiment=conll_distil             the paper's CoNLL-2003 setting
  al-bench run -m +experiment=demo seed=1,2,3       a sweep
""",
        {},
    ),
    "plan": (
        "show what a run or a sweep will train, and what is done already",
        """\
  al-bench plan +experiment=paper/conll2003/plasm   what it will train, and how long that may take
  al-bench plan -m +experiment=demo seed=1,2,3
  al-bench plan '+experiment=paper/*'               several experiments, each with its own sweep

The arguments are those of `al-bench run`. Nothing is loaded, nothing is trained.
""",
        {},
    ),
    "ls": (
        "list datasets, models, strategies and all else that can be composed",
        """\
  al-bench ls models                                what can be composed
  al-bench ls experiments --config-dir my_configs   with your own
""",
        {
            "kind": {"nargs": "?", "help": "such as datasets, models or strategies (default: all)"},
            "--config-dir": {"help": "also list the options of your own config folder"},
        },
    ),
    "sync": (
        "log finished run directories to MLflow",
        """\
  al-bench sync                                     log all runs under outputs/ to MLflow
  al-bench sync outputs/runs/demo                   some of them
  al-bench sync --tracking http://localhost:5000    to a server
""",
        {
            "directories": {
                "nargs": "*",
                "help": "run directories or their folders (default: OUTPUT_DIR/runs)",
            },
            "--tracking": {"default": "sqlite", "help": "MLflow URI (default: sqlite, under OUTPUT_DIR)"},
            **OUTPUT_DIR,
        },
    ),
    "tables": (
        "write the tables of a paper, with intervals, tests and what is missing",
        """\
  al-bench tables                                   all tables that the runs under outputs/ can fill
  al-bench tables mismatch ups outputs/runs/paper   two of them, of some runs
  al-bench tables ups --format latex --output paper/tables
  al-bench tables my_table.yaml                     your own; see docs/tables.md
""",
        {
            "words": {
                "nargs": "*",
                "metavar": "NAME|PATH",
                "help": "tables, your own YAML files, and folders of runs (default: all tables, OUTPUT_DIR)",
            },
            "--format": {"choices": ("markdown", "latex", "csv"), "default": "markdown"},
            "--output": {"metavar": "DIR", "help": "write a file per table there, instead of printing"},
            **OUTPUT_DIR,
            "--config-dir": {"help": "also use the tables of your own config folder"},
        },
    ),
    "report": (
        "write one HTML page of answers, tables, figures and queried texts",
        """\
  al-bench report                                   one page of all runs under outputs/
  al-bench report outputs/runs/demo                 some of them
  al-bench report --figures figures                 every figure also as PNG and SVG, for a paper
""",
        {
            "paths": {"nargs": "*", "help": "output directories or run directories (default: OUTPUT_DIR)"},
            "--output": {"metavar": "FILE", "help": "the page (default: OUTPUT_DIR/report.html)"},
            **OUTPUT_DIR,
            "--figures": {"metavar": "FOLDER", "help": "also save every figure there, as PNG and SVG"},
            "--tracking": {
                "metavar": "URI",
                "help": "MLflow store to log the page to: a URI, sqlite or none (default: that of each sweep)",
            },
        },
    ),
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line that names the help, in place of a usage text."""
        _stop(f"{message}; see `{self.prog} --help`", 2)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0].startswith("-sc"):  # Hydra's completion asks the program's first word
        arguments = ["run", *arguments]
    try:
        if arguments[:1] == ["run"]:  # Hydra reads the rest itself, --help included
            run(arguments[1:])
        elif arguments[:1] == ["plan"] and not {"-h", "--help"} & set(arguments):
            plan(arguments[1:])
        else:
            _call(_parser().parse_args(arguments))
    except UserError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted; the same command continues", 130)
    except BrokenPipeError:  # the reader, such as `| head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("al-bench", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"al-bench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser.epilog = "examples:\n"
    for name, (text, examples, arguments) in COMMANDS.items():
        lines = examples.splitlines(keepends=True)
        parser.epilog += "".join(lines if name == "run" else lines[:1])
        command = commands.add_parser(name, help=text, epilog=f"examples:\n{examples}", formatter_class=raw)
        for argument, settings in arguments.items():
            command.add_argument(argument, **settings)
    parser.epilog += EPILOG
    return parser


def _call(options: argparse.Namespace) -> None:
    if options.command == "ls":
        from al_bench.config.catalog import show

        show(options.kind, options.config_dir)
    elif options.command == "sync":
        from al_bench.front.sync import sync

        sync(options.directories, options.tracking, options.output_dir)
    elif options.command == "tables":
        from al_bench.tables.publish import publish

        publish(options.words, options.format, options.output, options.output_dir, options.config_dir)
    elif options.command == "report":
        from al_bench.report.build import report

        report(options.paths, options.output, options.output_dir, options.figures, options.tracking)


def _stop(message: str, code: int = 1) -> NoReturn:
    for line in message.splitlines():
        print(f"al-bench: {line}", file=sys.stderr)
    sys.exit(code)


def run(words: list[str]) -> None:
    """Let Hydra run the words after `run`. Raises `UserError` for what the user can mend."""
    import hydra

    from al_bench.config.schema import register_schema, shipped_configs
    from al_bench.front.job import register_resolvers, run_job

    options = hydra_options(words)
    sys.argv = ["al-bench run", *_multirun_first(words)]
    if "COMP_LINE" in os.environ:
        _complete_without_our_word()
    register_schema()
    register_resolvers()
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, rather than prints and exits
    try:
        hydra.main(version_base="1.3", config_path=str(shipped_configs()), config_name="config")(run_job)()
    except BaseException as error:
        _close_sweep()
        if before == "1" or not isinstance(error, Exception):
            raise
        raise _for_user(error, options) from error
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or "0"
    _close_sweep()


def plan(words: list[str]) -> None:
    """Print what `al-bench run` with the same words would do."""
    options = hydra_options(words, "plan")
    from al_bench.config.schema import register_schema
    from al_bench.front.job import register_resolvers
    from al_bench.front.jobs import jobs_of
    from al_bench.planning.show import show
    from al_bench.planning.units import Job, job_of

    register_schema()
    register_resolvers()
    configs = list(jobs_of(options))
    from al_bench.learners.engine.device import resolve_device, resolve_precision  # imports torch

    jobs = []
    for overrides, config in configs:
        if isinstance(config, UserError):
            jobs.append(Job(tuple(overrides), refused="; ".join(str(config).splitlines())))
        else:
            precision = resolve_precision(config.precision, resolve_device(config.device))
            jobs.append(job_of(overrides, config, precision))
    show(jobs, _multirun_first(words))
    refused = sum(job.refused is not None for job in jobs)
    if refused:
        raise UserError(f"{refused} of {len(jobs)} jobs refused; mend them before you run")


def hydra_options(words: list[str], command: str = "run") -> argparse.Namespace:
    """Hydra's options and overrides; where Hydra would print a page of usage, one line is printed instead."""
    from hydra._internal.utils import get_args_parser

    parser = Parser(f"al-bench {command}", parents=[get_args_parser()], add_help=False)
    return parser.parse_args(_multirun_first(words))


def _multirun_first(words: list[str]) -> list[str]:
    """Hydra 1.3 refuses overrides on both sides of -m."""
    flags = [word for word in words if word in ("-m", "--multirun")]
    return [*flags[:1], *(word for word in words if word not in flags)]


def _for_user(error: Exception, options: argparse.Namespace) -> Exception:
    """The error as a line, or itself where it is not the user's mistake."""
    if isinstance(error, UserError):
        return error
    of_the_disk = of_disk(error)  # Hydra writes into the run's directory, too
    if of_the_disk is None and _of_config(error):
        from al_bench.front.jobs import problems

        return UserError("\n".join(problems(error, options)))
    return of_the_disk or error


def _of_config(error: Exception) -> bool:
    """Whether composing the config failed, rather than anything that ran on it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    innermost = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    raised_there = not {"hydra", "omegaconf"}.isdisjoint(innermost.parts)
    return raised_there or isinstance(error, HydraException | OmegaConfBaseException | YAMLError)


def _close_sweep() -> None:
    """Summarise the sweep that ran, if one did. Raises `UserError` with a line for every job that did not finish."""
    from al_bench.front import sweep
    from al_bench.ledger.tracking import finish_sweep

    if not sweep.started:
        return
    folder, expected = sweep.started.pop()
    if not (folder / sweep.CARDS).exists():  # refused before its first job
        return
    failures = sweep.summarise(folder, expected)
    finish_sweep(folder, failed=bool(failures))
    if failures:
        raise UserError("\n".join(failures))


def _complete_without_our_word() -> None:
    """Hydra's completion reads every word after the program as an override, so `run` is cut from its line."""
    line = os.environ["COMP_LINE"]
    shorter = re.sub(r"^(\s*\S+\s+)run\s", r"\1", line, count=1)
    os.environ["COMP_LINE"] = shorter
    if "COMP_POINT" in os.environ:
        os.environ["COMP_POINT"] = str(int(os.environ["COMP_POINT"]) - (len(line) - len(shorter)))
