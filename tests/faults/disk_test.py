"""A disk that is full or turns read-only ends training with one message; what is saved is intact.

The disks are real: small ones in memory, mounted in a namespace of the test's own.
"""

import shutil
import subprocess

import pytest

from cyclegan_jax.checkpoints.manager import Checkpoints

CONFIG = """
from cyclegan_jax.config import base_config

def get_config():
    c = base_config()
    c.image_size, c.batch_size, c.steps = 16, 2, 5000
    c.data.phantom.subjects, c.data.phantom.slices = 4, 2
    c.generator.features = c.discriminator.features = (4, 8)
    c.discriminator.strides = (2, 2)
    c.log_every, c.save_every, c.eval_every, c.sample_every = 1, 4, 20, {sample_every}
    return c
"""
# What is on the disk leaves the namespace at its end.
SCRIPT = """
mkdir disk && mount -t tmpfs -o size={size} none disk
timeout 200 {train} --workdir=disk/run > out.log 2>&1 &
{then}
wait $!
echo $? > status
mkdir left && cp -r disk/run left/run
"""
# All of a disk cannot turn while a file on it is open for writing, such as metrics.jsonl.
READ_ONLY = """
while kill -0 $! && ! ls disk/run/checkpoints | grep -qx '[0-9]*'; do sleep 0.1; done
mount --bind disk/run/checkpoints disk/run/checkpoints
# nor while a save is being written: again until it has turned
until mount -o remount,ro,bind disk/run/checkpoints; do kill -0 $! && sleep 0.1 || break; done
"""


def has_namespaces():
    if not shutil.which("unshare"):
        return False
    mount = "mkdir -p disk && mount -t tmpfs none disk"
    tried = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"cd $(mktemp -d) && {mount}"], capture_output=True
    )
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(not has_namespaces(), reason="no right to mount a disk in memory")


@pytest.fixture
def train(tmp_path, command, environment):
    def run(size, then="", sample_every=1000):
        (tmp_path / "config.py").write_text(CONFIG.format(sample_every=sample_every))
        line = " ".join(command("train", "--config=config.py"))
        subprocess.run(
            ["unshare", "-rm", "sh", "-c", SCRIPT.format(size=size, train=line, then=then)],
            cwd=tmp_path,
            env=environment(tmp_path),
            check=True,
            timeout=300,
        )
        last_line = (tmp_path / "out.log").read_text().splitlines()[-1]
        return (tmp_path / "status").read_text().strip(), last_line

    return run


def check_saved(workdir):
    """What is complete is intact; returns the newest step."""
    with Checkpoints(workdir) as checkpoints:
        steps = checkpoints.steps()
        assert steps
        for step in steps:
            checkpoints.read(step)
    return steps[-1]


# by the pictures or by the checkpoints, whichever is the last to have room
@pytest.mark.parametrize(
    ("size", "sample_every"), [("1500k", 1), ("3000k", 4), ("1200k", 1000), ("900k", 1000)]
)
def test_a_full_disk(train, tmp_path, size, sample_every, full):
    if not full and size != "1500k":
        pytest.skip("with --full")
    status, last_line = train(size, sample_every=sample_every)
    assert status == "1"
    assert last_line.startswith("error: ")
    assert "cannot be written" in last_line or "could not be written" in last_line
    assert "make room" in last_line
    if size != "900k":  # which has no room for a single one
        assert check_saved(tmp_path / "left" / "run") % 4 == 0


def test_a_disk_that_turns_read_only(train, tmp_path):
    status, last_line = train("64m", READ_ONLY)
    assert status == "1"
    assert last_line.startswith("error: ")
    assert "fix the permissions" in last_line
    check_saved(tmp_path / "left" / "run")
