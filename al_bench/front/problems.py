"""All that is wrong with a command line that does not compose, not only what Hydra stumbles over first."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from al_bench.config.schema import shipped_configs
from al_bench.errors import UserError
from al_bench.front.job import checked
from al_bench.front.messages import culprit, explain


def problems(error: Exception, options: Any) -> list[str]:
    """A line for the error, and for each that shows once the override to blame for the last is left out.

    options: Hydra's command line, parsed
    """
    words = list(options.overrides)
    lines = [explain(error, words)]
    if options.multirun or options.config_name or options.config_path:
        return lines
    if options.config_dir:
        words.append(f"hydra.searchpath=[file://{Path(options.config_dir).absolute()}]")
    while (wrong := culprit(error, words)) is not None:
        words.remove(wrong)
        try:
            with initialize_config_dir(str(shipped_configs()), version_base="1.3"):
                composed = compose("config", words, return_hydra_config=True)
            checked(composed, words)
        except UserError as more:
            return [*lines, *str(more).splitlines()]
        except Exception as more:  # whatever Hydra, OmegaConf or YAML make of the next mistake
            error = more
            lines.append(explain(error, words))
            continue
        break
    return list(dict.fromkeys(lines))
