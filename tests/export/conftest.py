"""What the tests of the exports share."""

import re
import subprocess
import sys

import numpy as np
import pytest

from cyclegan_jax.data.phantom.head import make_phantom

# Packages that a program of the page must not need.
_ALONE = "import sys; sys.modules |= dict.fromkeys(('cyclegan_jax', 'flax'{}))\n"


@pytest.fixture
def page_program(request, tmp_path, environment):
    """Runs the program below a title of docs/export.md on slices of a head, 16x16.

    Returns the slices and their translations, `[N, 16, 16]`.
    """

    def run(title: str, without: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
        page = (request.config.rootpath / "docs" / "export.md").read_text()
        section = page.split(f"\n## {title}\n")[1]
        code = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]
        slices = make_phantom(0, size=16, slices=3).t1
        np.save(tmp_path / "slices.npy", slices)
        blocked = "".join(f", {name!r}" for name in without)
        done = subprocess.run(
            [sys.executable, "-c", _ALONE.format(blocked) + code],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return slices, np.load(tmp_path / "translation.npy")

    return run
