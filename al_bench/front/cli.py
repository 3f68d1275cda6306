"""The front: which command. Nothing heavy is imported before a command needs it; errors become one line."""

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from al_bench import __version__
from al_bench.errors import UserError, of_disk

DESCRIPTION = "Simulate active learning for text: what each iteration costs, and what a successor loses."

EXAMPLES = """\
examples:
  al-bench run +experiment=demo                     a real result on a CPU in minutes, without downloads
  al-bench run +experiment=conll_distil             the paper's CoNLL-2003 setting
  al-bench run -m +experiment=demo seed=1,2,3       a sweep
  al-bench plan +experiment=paper/conll2003/plasm   what it will train, and how long that may take
  al-bench ls models                                what can be composed
  al-bench sync                                     log finished run directories to MLflow
  al-bench tables mismatch                          a paper's table, with what it takes to fill its gaps
  al-bench report                                   one page that says what all runs have shown

`al-bench COMMAND --help` tells more. A killed run continues where it was: give the same command again.
"""

PLAN_EXAMPLES = """\
examples:
  al-bench plan -m +experiment=demo seed=1,2,3
  al-bench plan +experiment=paper/conll2003/plasm evaluate_at=all
  al-bench plan '+experiment=paper/*'               several experiments, each with its own sweep
"""

SYNC_EXAMPLES = """\
examples:
  al-bench sync                                     all runs under outputs/
  al-bench sync outputs/runs/demo                   some of them
  al-bench sync --tracking http://localhost:5000    to a server
"""

TABLES_EXAMPLES = """\
examples:
  al-bench tables                                   all that the runs under outputs/ can fill
  al-bench tables mismatch ups outputs/runs/paper   two of them, of some runs
  al-bench tables ups --format latex --output paper/tables
  al-bench tables my_table.yaml                     your own; see docs/tables.md
"""

REPORT_EXAMPLES = """\
examples:
  al-bench report                                   all runs under outputs/, into outputs/report.html
  al-bench report outputs/runs/demo                 some of them
  al-bench report --figures figures                 every figure also as PNG and SVG, for a paper
"""

LS_EXAMPLES = """\
examples:
  al-bench ls
  al-bench ls models
  al-bench ls experiments --config-dir my_configs   with your own
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and where to read on, in place of a usage text."""
        _stop(f"{message}; see `{self.prog} --help`", 2)


def main() -> None:
    if sys.argv[1:2] and sys.argv[1].startswith(
        "-sc"
    ):  # Hydra's shell completion asks the program's first word
        sys.argv.insert(1, "run")
    try:
        if sys.argv[1:2] == ["run"]:  # Hydra reads the rest itself, --help included
            run(sys.argv[2:])
            return
        if sys.argv[1:2] == ["plan"] and not {"-h", "--help"} & set(sys.argv[2:]):
            plan(sys.argv[2:])
            return
        options = _parser().parse_args()
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
    except UserError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted; the same command continues", 130)
    except BrokenPipeError:  # somebody closed the pipe behind us, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("al-bench", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"al-bench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run an experiment, or a sweep with -m (Hydra's options and overrides)")
    commands.add_parser(
        "plan",
        help="say what a run or a sweep will train, and what is done already",
        description="The arguments are those of `al-bench run`; nothing is loaded, nothing is trained.",
        epilog=PLAN_EXAMPLES,
        formatter_class=raw,
    )
    ls = commands.add_parser(
        "ls",
        help="list datasets, models, strategies and all else that can be composed",
        epilog=LS_EXAMPLES,
        formatter_class=raw,
    )
    ls.add_argument(
        "kind",
        nargs="?",
        help="datasets, models, strategies, subsamplings, pseudo-labelings, schedules, experiments or tables",
    )
    ls.add_argument("--config-dir", help="also list the options of your own config folder")
    sync = commands.add_parser(
        "sync", help="log finished run directories to MLflow", epilog=SYNC_EXAMPLES, formatter_class=raw
    )
    sync.add_argument(
        "directories", nargs="*", help="run directories, or folders of them (default: OUTPUT_DIR/runs)"
    )
    sync.add_argument("--tracking", default="sqlite", help="MLflow URI (default: sqlite, under OUTPUT_DIR)")
    sync.add_argument(
        "--output-dir", default="outputs", help="where the runs were written (default: outputs)"
    )
    tables = commands.add_parser(
        "tables",
        help="write the tables of a paper, with intervals, tests and what is missing",
        epilog=TABLES_EXAMPLES,
        formatter_class=raw,
    )
    tables.add_argument(
        "words",
        nargs="*",
        metavar="NAME|PATH",
        help="tables (`al-bench ls tables`) or YAML files of your own, and the folders whose runs they are of "
        "(default: all tables, OUTPUT_DIR)",
    )
    tables.add_argument("--format", choices=("markdown", "latex", "csv"), default="markdown")
    tables.add_argument("--output", metavar="DIR", help="write a file per table there, instead of printing")
    tables.add_argument(
        "--output-dir", default="outputs", help="where the runs were written (default: outputs)"
    )
    tables.add_argument("--config-dir", help="also take the tables of your own config folder")
    report = commands.add_parser(
        "report",
        help="write one HTML page of answers, tables, figures and queried texts",
        epilog=REPORT_EXAMPLES,
        formatter_class=raw,
    )
    report.add_argument(
        "paths", nargs="*", help="output directories, or run directories in them (default: OUTPUT_DIR)"
    )
    report.add_argument("--output", metavar="FILE", help="the page (default: OUTPUT_DIR/report.html)")
    report.add_argument(
        "--output-dir", default="outputs", help="where the runs were written (default: outputs)"
    )
    report.add_argument("--figures", metavar="FOLDER", help="also save every figure there, as PNG and SVG")
    report.add_argument(
        "--tracking",
        metavar="URI",
        help="log the page to the sweeps' parent runs in this MLflow store only (sqlite: under OUTPUT_DIR; "
        "none: nowhere; default: wherever each sweep was logged)",
    )
    return parser


def _stop(message: str, code: int = 1) -> NoReturn:
    for line in message.splitlines():
        print(f"al-bench: {line}", file=sys.stderr)
    sys.exit(code)


def run(arguments: list[str]) -> None:
    """Hand over to Hydra, and turn what it raises into lines of ours."""
    import hydra

    from al_bench.config.schema import register_schema, shipped_configs
    from al_bench.front.job import register_resolvers, task

    words = _multirun_first(arguments)
    options = _hydra_options(words)
    sys.argv = ["al-bench run", *words]
    if "COMP_LINE" in os.environ:
        _complete_without_our_word()
    register_schema()
    register_resolvers()
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise to us, rather than print and exit
    entry = hydra.main(version_base="1.3", config_path=str(shipped_configs()), config_name="config")(task)
    try:
        entry()
    except BaseException as error:
        failures = _close_sweep()
        if failures:
            raise UserError("\n".join(failures)) from error
        if before == "1" or not isinstance(error, Exception):
            raise
        raise _for_user(error, options) from error
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or "0"
    failures = _close_sweep()
    if failures:
        raise UserError("\n".join(failures))


def plan(words: list[str]) -> None:
    """Print what `al-bench run` with the same words would do."""
    words = _multirun_first(words)
    options = _hydra_options(words, "plan")
    from al_bench.config.schema import register_schema
    from al_bench.front.job import register_resolvers
    from al_bench.front.jobs import jobs_of
    from al_bench.planning.show import show
    from al_bench.planning.units import Job, job_of

    register_schema()
    register_resolvers()
    found = list(jobs_of(options))
    from al_bench.learners.engine.device import resolve_device, resolve_precision  # torch comes with it

    jobs = []
    for overrides, config in found:
        if isinstance(config, UserError):
            jobs.append(Job(tuple(overrides), refused="; ".join(str(config).splitlines())))
        else:
            precision = resolve_precision(config.precision, resolve_device(config.device))
            jobs.append(job_of(overrides, config, precision))
    show(jobs, words)
    refused = sum(job.refused is not None for job in jobs)
    if refused:
        raise UserError(f"{refused} of {len(jobs)} jobs refused; mend them before you run")


def _multirun_first(words: list[str]) -> list[str]:
    """Hydra 1.3 refuses overrides on both sides of -m."""
    flags = [word for word in words if word in ("-m", "--multirun")]
    return [*flags[:1], *(word for word in words if word not in flags)]


def _hydra_options(words: list[str], command: str = "run") -> argparse.Namespace:
    """What Hydra will read from the command line; what it would refuse with a page ends here, in a line."""
    from hydra._internal.utils import get_args_parser

    return Parser(f"al-bench {command}", parents=[get_args_parser()], add_help=False).parse_args(words)


def _for_user(error: Exception, options: argparse.Namespace) -> Exception:
    """The error as a line, or itself where it is no mistake of the user's."""
    if isinstance(error, UserError):
        return error
    refused = of_disk(error)  # Hydra writes into the run's directory, too
    if refused is None and _of_config(error):
        from al_bench.front.problems import problems

        return UserError("\n".join(problems(error, options)))
    return refused or error


def _of_config(error: Exception) -> bool:
    """Whether composing the config failed, rather than anything that ran on it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    innermost = Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return True
    return "hydra" in innermost or "omegaconf" in innermost


def _close_sweep() -> list[str]:
    """Summarise the sweep that ran, if one did; a line for every job that did not finish."""
    from al_bench.front import sweep
    from al_bench.ledger.tracking import finish_sweep

    if not sweep.started:
        return []
    folder, expected = sweep.started.pop()
    if not (folder / sweep.CARDS).exists():  # refused before its first job
        return []
    failures = sweep.summarise(folder, expected)
    finish_sweep(folder, failed=bool(failures))
    return failures


def _complete_without_our_word() -> None:
    """Hydra's completion takes all words after the program for overrides."""
    line = os.environ["COMP_LINE"]
    shorter = re.sub(r"^(\s*\S+\s+)run\s", r"\1", line, count=1)
    os.environ["COMP_LINE"] = shorter
    if "COMP_POINT" in os.environ:
        os.environ["COMP_POINT"] = str(int(os.environ["COMP_POINT"]) - (len(line) - len(shorter)))


if __name__ == "__main__":
    main()
