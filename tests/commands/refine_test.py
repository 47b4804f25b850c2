"""The command `refine`: what it prints, and flags that it refuses."""

import json

from cyclegan_jax.export.model import export_model


def test_it_needs_a_model_and_writes_a_new_one(script, tmp_path, tiny_run):
    done = script(tmp_path, "refine", "--out=new")
    assert done.returncode == 1
    assert done.stderr.startswith("error: give --model, the folder of an exported model")
    data = json.loads((tiny_run / "config.json").read_text())["data"]["dir"]
    export_model(tiny_run, "latest", tmp_path / "a")
    done = script(tmp_path, "refine", "--model=a", f"--data_dir={data}", "--steps=1", "--out=new")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("refined model written to new; look at new/README.md\n")
    assert (tmp_path / "new" / "README.md").is_file()
