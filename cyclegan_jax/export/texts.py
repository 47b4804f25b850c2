"""Checks the texts that a user gives for an export: its name, its data and their licence."""

from collections.abc import Mapping

from cyclegan_jax import InputError
from cyclegan_jax.trained.model_folder import check_text


def check_texts(texts: Mapping[str, str]) -> None:
    """Raises `InputError` for a text that is not one short line.

    Args:
      texts: by the name of their flag: "name", "data", "license".
    """
    for flag, text in texts.items():
        try:
            check_text("text", text, 100 if flag == "name" else 1000)
        except ValueError as error:
            raise InputError(f"--{flag}: {error}, in one line") from error
