"""docs/extending.md, followed to the letter in a copy of the package, trains."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

CONFIG = """
from cyclegan_jax.config import base_config

def get_config():
    c = base_config()
    c.image_size, c.batch_size, c.steps = 16, 2, 2
    c.data.phantom.subjects, c.data.phantom.held_out, c.data.phantom.slices = 4, 1, 2
    c.generator.type, c.generator.features, c.generator.blocks = "resnet", (4, 8, 8), 1
    c.discriminator.features, c.discriminator.strides = (4, 8), (2, 2)
    c.loss.gradient_weight = 2.0
    c.log_every = 1
    c.sample_every = c.eval_every = c.save_every = 2
    return c
"""


@pytest.fixture(scope="module")
def blocks(request):
    """The page's blocks of code, `(language, text)`, in order."""
    page = (request.config.rootpath / "docs" / "extending.md").read_text()
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path, request):
    """A copy of the package and its scripts."""
    root = request.config.rootpath
    shutil.copytree(root / "cyclegan_jax", tmp_path / "cyclegan_jax")
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    (tmp_path / "config.py").write_text(CONFIG)
    return tmp_path


def train(copy, environment):
    line = [sys.executable, "scripts/train.py", "--config=config.py", "--workdir=run"]
    variables = environment(copy) | {"PYTHONPATH": str(copy)}
    return subprocess.run(
        line, cwd=copy, env=variables, capture_output=True, text=True, check=False
    )


def test_the_page_names_two_files_for_each(blocks):
    text = "".join(block for _, block in blocks)
    touched = set(re.findall(r"^(?:\+\+\+ b/|# )(cyclegan_jax/\S+\.py)$", text, re.MULTILINE))
    assert touched == {f"cyclegan_jax/{name}.py" for name in ("losses", "config", "models/resnet")}


def test_a_package_extended_as_the_page_says_trains(blocks, copy, environment):
    refused = train(copy, environment)
    assert refused.returncode == 1
    for language, block in blocks:
        if language == "diff":
            apply = ["git", "apply", "--recount", "--unidiff-zero", "-"]
            outside = os.environ | {"GIT_CEILING_DIRECTORIES": str(copy.parent)}
            subprocess.run(apply, cwd=copy, input=block, text=True, check=True, env=outside)
        elif language == "python":
            path, code = re.fullmatch(r"# (\S+)\n(.*)", block, re.DOTALL).groups()
            (copy / path).write_text(code)
    done = train(copy, environment)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (copy / "run/metrics.jsonl").read_text().splitlines()]
    losses = next(line for line in lines if "loss/gradient_x" in line)
    named = ("adversarial", "cycle", "identity", "gradient")
    weights = dict(zip(named, (1, 15, 0.25 * 15, 2.0), strict=True))
    total = sum(
        weights[kind] * losses[f"loss/{kind}_{part}"]
        for kind in named
        for part in ("gf" if kind == "adversarial" else "xy")
    )
    assert losses["loss/generators_total"] == pytest.approx(total, rel=1e-4)
    assert losses["loss/gradient_x"] > 0
    assert "resnet" in (copy / "run/config.json").read_text()
    assert "gradient_x" in (copy / "run/report.html").read_text()
