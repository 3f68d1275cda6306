"""The command line: chooses the command and prints every error as one line. Heavy modules are imported on demand."""

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

import yaml

from al_bench import __version__
from al_bench.config.credentials import conceal_all
from al_bench.errors import UserError, first_line, of_disk, without_secrets
from al_bench.front.interrupts import Interrupted, interrupts

# Command: its help, examples and arguments, and the function that gets them. Hydra reads those of `run` and `plan`.
COMMANDS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_bytes())


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line that names the help, in place of a usage text."""
        stop(f"{message}; see `{self.prog} --help`", 2)


def main() -> None:
    arguments = sys.argv[1:] = conceal_all(sys.argv[1:])
    if arguments and arguments[0].startswith("-sc"):  # Hydra's completion asks the program's first word
        if (words := _completions(os.environ.get("COMP_LINE", ""))) is not None:
            print(" ".join(words))
            return
        arguments = ["run", *arguments]
    try:
        with interrupts.handled():
            _command(arguments)
            sys.stdout.flush()  # here, where a closed pipe is no error
    except UserError as error:
        stop(str(error))
    except Interrupted as interrupt:  # said when the signal came
        sys.exit(interrupt.code)
    except KeyboardInterrupt:
        stop("interrupted; the same command continues", 130)
    except BrokenPipeError:  # the reader, such as `| head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if (on_disk := of_disk(error)) is None:
            raise
        stop(str(on_disk))


def _command(arguments: list[str]) -> None:
    if arguments[:1] == ["run"]:  # Hydra reads the rest itself, --help included
        run(arguments[1:])
    elif arguments[:1] == ["plan"] and not {"-h", "--help"} & set(arguments):
        plan(arguments[1:])
    else:
        parser, commands = _parsers()
        if arguments[:1] and arguments[0] in commands:  # of whose words some may stand behind options
            name, options = arguments[0], vars(commands[arguments[0]].parse_intermixed_args(arguments[1:]))
        else:
            options = vars(parser.parse_args(arguments))
            name = options.pop("command")
        from al_bench.plugins import look_in

        look_in(Path.cwd(), options.get("config_dir"))
        resolve_name(COMMANDS[name]["function"])(**options)


def _completions(line: str) -> list[str] | None:
    """The words that may end a command line; None where Hydra knows them."""
    words = [*line.split()[1:], *([""] if line.endswith(" ") else [])]
    if len(words) < 2:
        return [*COMMANDS] if words else None
    command, *_, before, _ = [words[0], *words]
    if command in ("run", "plan"):
        return None
    arguments = COMMANDS.get(command, {}).get("arguments", {})
    if "choices" in arguments.get(before, {}):
        return list(arguments[before]["choices"])
    from al_bench.config.catalog import LISTED, listing

    names = {"ls": [*LISTED], "tables": [*listing("tables", None)]}
    if command == "check":
        from al_bench.conformance.suites import SUITES

        names["check"] = sorted({name for suite in SUITES.values() for name in suite.registry})
    return [*names.get(command, []), *(argument for argument in arguments if argument.startswith("--"))]


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Of all commands, and of each."""
    raw = argparse.RawDescriptionHelpFormatter
    about = "Simulate active learning for text: what each iteration costs, and what a successor loses."
    parser = Parser("al-bench", description=about, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"al-bench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser.epilog = "examples:\n"
    for name, command in COMMANDS.items():
        lines = command["examples"].splitlines(keepends=True)
        parser.epilog += "".join(lines if name == "run" else lines[:1])
        epilog = f"examples:\n{command['examples']}"
        added = commands.add_parser(name, help=command["help"], epilog=epilog, formatter_class=raw)
        for argument, settings in command.get("arguments", {}).items():
            added.add_argument(argument, **settings)
    parser.epilog += "\n`al-bench COMMAND --help` explains a command. "
    parser.epilog += "A killed run continues where it was: give the same command again.\n"
    return parser, commands.choices


def stop(message: str, code: int = 1) -> NoReturn:
    for line in message.splitlines():
        print(f"al-bench: {without_secrets(line)}", file=sys.stderr)
    sys.exit(code)


def run(words: list[str]) -> None:
    """Let Hydra run the words after `run`. Raises `UserError` for what the user can mend."""
    import hydra

    from al_bench.config.schema import shipped_configs
    from al_bench.front import sweep
    from al_bench.front.jobs import register, run_job
    from al_bench.plugins import look_in

    again = "--force" in words
    words = [word for word in words if word != "--force"]
    options = hydra_options(words)
    sys.argv = ["al-bench run", *hydra_words(words)]
    if "COMP_LINE" in os.environ:  # Hydra's completion takes every word after the program for an override
        os.environ["COMP_LINE"] = re.sub(r"^(\s*\S+\s+)(run|plan)\s", r"\1", os.environ["COMP_LINE"])
    look_in(Path.cwd(), options.config_dir)
    register(options.overrides)
    shows = options.cfg or options.info or options.help or options.hydra_help or options.shell_completion
    if again and not shows:
        _remove(options)
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, rather than prints and exits
    try:
        hydra.main(version_base="1.3", config_path=str(shipped_configs()), config_name="config")(run_job)()
    except KeyboardInterrupt:
        sweep.close(interrupted=True)
        raise
    except Exception as error:
        if before == "1":
            raise
        raise _for_user(error, options) from error
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or "0"
        sweep.close()  # its error, with a line for every job, replaces the first job's


def _remove(options: argparse.Namespace) -> None:
    """Remove the runs of a command line; a job that is refused has none."""
    from al_bench.config.identity import run_folder
    from al_bench.front.jobs import jobs_of
    from al_bench.front.removal import force

    configs = [config for _, config in jobs_of(options) if not isinstance(config, UserError)]
    for folder in {config.output_dir for config in configs}:
        root = Path(folder).absolute()
        force({root / run_folder(config): config for config in configs if config.output_dir == folder}, root)


def plan(words: list[str]) -> None:
    """Print what `al-bench run` with the same words would do."""
    options = hydra_options(words, "plan")
    from al_bench.front.jobs import jobs_of, register
    from al_bench.planning.show import show
    from al_bench.planning.units import Job, job_of
    from al_bench.plugins import look_in

    look_in(Path.cwd(), options.config_dir)
    register(options.overrides)
    configs = list(jobs_of(options))
    from al_bench.learners.engine.device import resolve_device, resolve_precision  # imports torch

    jobs = []
    for overrides, config in configs:
        if isinstance(config, UserError):
            jobs.append(Job(tuple(overrides), refused="; ".join(str(config).splitlines()), state="refused"))
        else:
            precision = resolve_precision(config.precision, resolve_device(config.device))
            jobs.append(job_of(overrides, config, precision))
    show(jobs, hydra_words(words))
    if refused := sum(job.refused is not None for job in jobs):
        raise UserError(f"{refused} of {len(jobs)} jobs refused; mend them before you run")


def hydra_options(words: list[str], command: str = "run") -> argparse.Namespace:
    """Hydra's options and overrides; where Hydra would print a page of usage, one line is printed instead."""
    from hydra._internal.utils import get_args_parser

    parser = Parser(f"al-bench {command}", parents=[get_args_parser()], add_help=False)
    return parser.parse_args(hydra_words(words))


def hydra_words(words: list[str]) -> list[str]:
    """As Hydra 1.3 takes them: no option behind an override (KEY=VALUE or ~KEY), and quotes where it needs them."""
    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    options = [word for word in words if word not in overrides]
    if options[-1:] in (["--info"], ["-i"]):  # whose topic may be left out, and is no override
        options[-1] = "--info=all"
    return [*options, *map(_quoted, overrides)]


def _quoted(override: str) -> str:
    """Quote what Hydra's grammar knows in quotes only: letters outside ASCII, and a home folder's ~."""
    key, equals, value = override.partition("=")

    def quote(match: re.Match[str]) -> str:
        text = match[0].strip()
        plain = text[:1] in ("'", '"') or (text.isascii() and not text.startswith("~"))
        return match[0] if plain else match[0].replace(text, f"'{text}'")

    ends = ",\\[\\]{}()'\"" + (":" if "{" in value else "")  # elsewhere a colon is part of a text
    return key + equals + re.sub(rf"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^{ends}]+", quote, value)


def _for_user(error: Exception, options: argparse.Namespace) -> Exception:
    """The error as a line, or itself where it is not the user's mistake."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError | BrokenPipeError):
        return error
    if on_disk := of_disk(error):  # Hydra writes into the run's directory, too
        return on_disk
    if isinstance(error, RuntimeError) and 'Could not detect "srun"' in str(error):  # submitit's
        remedy = "run this on a Slurm cluster, or with hydra/launcher=submitit_local"
        return UserError(f"hydra/launcher: Slurm is not here ({first_line(error)}); {remedy}")
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts
    of_config = isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError)
    # Whether composing the config failed, rather than anything that ran on it.
    if of_config or "hydra" in raised_in or "omegaconf" in raised_in:
        from al_bench.front.jobs import problems

        return UserError("\n".join(problems(error, options)))
    return error
