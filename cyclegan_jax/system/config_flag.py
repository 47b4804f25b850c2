"""What users write after --config: a shipped recipe, a file, or the config of a run or a model.

The keys that follow are checked early.

`config_flags` of ml_collections runs a Python file and calls `get_config()` in it, or
`get_config("x")` for `--config=file.py:x`. So this file serves as the recipe of every saved config.
"""

import json
import re
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.system import shipped
from cyclegan_jax.system.workdir import MODEL

RECIPE = ".py"
HELP = (
    "Name of a shipped recipe, for example quickstart, a file that defines get_config(), or the "
    "config.json of a run."
)
_FLAG = re.compile(r"--?config(=(?P<value>.*))?", re.DOTALL)
_OVERRIDE = re.compile(r"--?(no)?config\.(?P<key>[^=]*)(=.*)?", re.DOTALL)


def get_config(path: str) -> config_lib.Config:
    """Returns the config of a run or a model, in its file `config.json` or `model.json`."""
    text = Path(path).read_text()
    if Path(path).name == MODEL:
        facts = json.loads(text)
        text = json.dumps(facts.get("config") if isinstance(facts, dict) else facts)
    return config_lib.from_json(text)


def resolve(arguments: list[str]) -> list[str]:
    """Returns a command line in which the config is named as `config_flags` takes it.

    Raises:
      InputError: the file that --config names is missing or holds no config, or a key after it is
        not one of a config.
    """
    resolved = []
    for argument in arguments:
        if resolved and (flag := _FLAG.fullmatch(resolved[-1])) and flag["value"] is None:
            argument = _file(argument)
        elif (flag := _FLAG.fullmatch(argument)) and flag["value"] is not None:
            argument = f"--config={_file(flag['value'])}"
        elif override := _OVERRIDE.fullmatch(argument):
            _check_key(override["key"])
        resolved.append(argument)
    return resolved


def named(filename: str) -> str:
    """Returns what the user may write after --config, of what `config_flags` was given."""
    if Path(filename).parent == shipped.folder():
        return Path(filename).stem
    return filename.removeprefix(f"{__file__}:")


def _file(value: str) -> str:
    path = Path(value)
    if path.suffix == ".json" and path.is_file():
        try:
            get_config(value)
        except ValueError as error:  # an InputError, or text that is not UTF-8
            raise InputError(f"--config={value}: {error}") from error
        return f"{__file__}:{value}"
    name, colon, argument = value.partition(":")
    path = Path(name)
    if path.is_file():
        return value
    beside = Path(f"{path}{RECIPE}")
    if recipe := shipped.find(name, RECIPE):
        if beside.is_file() and not beside.samefile(recipe):
            print(f"note: --config={value} is the shipped recipe, not the file {beside} here")
        return f"{recipe}{colon}{argument}"
    likely = [str(file) for file in (beside, path / "config.json", path / MODEL) if file.is_file()]
    if shipped.find(path.name, RECIPE):
        likely.append(path.stem)
    what = "is a folder" if path.is_dir() else "there is no such file"
    advice = (
        f"did you mean --config={likely[0]}?"
        if likely
        else f"give a file, or one of the shipped recipes {', '.join(shipped.names(RECIPE))}"
    )
    raise InputError(f"--config={value}: {what}; {advice}")


def _check_key(key: str) -> None:
    known = config_lib.flatten(config_lib.base_config())
    is_section = any(name.startswith(f"{key}.") for name in known)
    if not is_section and "[" not in key:  # of a list, one entry can be given
        config_lib.check_known([key])
