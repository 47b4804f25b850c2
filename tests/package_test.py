"""What is installed and what is imported: no TensorFlow, no torch."""

import importlib.util
import subprocess
import sys

import cyclegan_jax


def test_neither_tensorflow_nor_torch_is_installed():
    assert importlib.util.find_spec("tensorflow") is None
    assert importlib.util.find_spec("torch") is None


def test_importing_the_package_imports_no_jax():
    code = "import sys, cyclegan_jax; print('jax' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_version_is_one():
    assert cyclegan_jax.__version__.count(".") == 2
