"""The settings of the process, each tested in a process of its own."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cyclegan_jax.system import runtime

REPORT = """
import json, resource
from cyclegan_jax.system import runtime
runtime.tune_process()
import jax
import cyclegan_jax.parallel.data_parallel

def faults_of_an_array():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * 2**26
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first, second = faults_of_an_array(), faults_of_an_array()
runtime.release_memory()
third = faults_of_an_array()
matrix = jax.numpy.ones((2048, 2048))
power = jax.jit(lambda a: a @ a @ a @ a).lower(matrix).compile()
print(json.dumps({
    "cache": jax.config.jax_compilation_cache_dir,
    "faults": [first, second, third],
    "ready": power(matrix).is_ready(),
}))
"""


def report(**variables):
    unset = ("JAX_COMPILATION_CACHE_DIR", "GLIBC_TUNABLES")
    environment = {k: v for k, v in os.environ.items() if k not in unset} | variables
    run = subprocess.run(
        [sys.executable, "-c", REPORT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_programs_are_kept_in_the_cache_folder(tmp_path):
    found = report(XDG_CACHE_HOME=str(tmp_path))["cache"]
    assert found == str(tmp_path / "cyclegan_jax" / "compiled")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library is tuned")
def test_freed_memory_stays_until_released_unless_malloc_is_set_already(tmp_path):
    first, second, released = report(XDG_CACHE_HOME=str(tmp_path))["faults"]
    assert first > 1000  # 64 MiB are 16384 pages of 4 KiB; fewer if they are huge
    assert second < first / 10
    assert released > 1000
    _, second, _ = report(XDG_CACHE_HOME=str(tmp_path), GLIBC_TUNABLES="glibc.malloc.check=0")[
        "faults"
    ]
    assert second > 1000


def test_a_cache_folder_in_the_environment_stays(tmp_path):
    assert report(JAX_COMPILATION_CACHE_DIR=str(tmp_path))["cache"] == str(tmp_path)
    assert not report(JAX_COMPILATION_CACHE_DIR="")["cache"]


def test_a_cpu_computes_where_it_is_called(tmp_path):
    assert report(XDG_CACHE_HOME=str(tmp_path))["ready"]


@pytest.fixture
def _no_home(monkeypatch, tmp_path):
    def unknown(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("_no_home")
def test_without_a_home_the_cache_is_a_temporary_folder_of_the_user_alone(tmp_path):
    folder = runtime.cache_folder()
    assert folder.parent.parent == tmp_path
    assert folder.parent.stat().st_mode & 0o077 == 0
    assert runtime.cache_folder() == folder


@pytest.mark.usefixtures("_no_home")
def test_a_temporary_cache_that_is_a_link_is_not_used(tmp_path):
    (tmp_path / "others").mkdir()
    (tmp_path / f"cache-of-user-{os.getuid()}").symlink_to(tmp_path / "others")
    assert runtime.cache_folder().parent.resolve() != tmp_path / "others"
