"""The command `export`: its formats, and flags that do not fit them."""

import pytest

from cyclegan_jax.export.onnx import OnnxFile

RUN = "--workdir=run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RUN, "--format=onnx"], "--format=onnx holds one direction; give --direction"),
        ([RUN, "--format=stablehlo"], "--format=stablehlo holds one direction; give --direction"),
        ([], "give --workdir, the folder of a run"),
        (["--model=m"], "--model=m: --format=model has no use for it; omit it, or give --format="),
        ([RUN, "--direction=t1_to_t2"], "--direction=t1_to_t2: --format=model has no use for it"),
        (
            [RUN, "--format=stablehlo", "--direction=t1_to_t2", "--image_size=64"],
            "--image_size=64: --format=stablehlo has no use for it; omit it, or give --format=onnx",
        ),
        (
            ["--format=onnx", "--direction=t1_to_t2"],
            "give --workdir, the folder of a run, or --model, an exported model",
        ),
    ],
    ids=str,
)
def test_a_flag_that_does_not_fit_is_one_line(script, tmp_path, arguments, message):
    done = script(tmp_path, "export", "--out=out.onnx", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_format_is_made_from_a_run_or_a_model(script, tmp_path, tiny_run):
    def export(*arguments):
        done = script(tmp_path, "export", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = export(f"--workdir={tiny_run}", "--checkpoint=latest", "--out=model", "--name=heads")
    assert made.startswith("model of step 4 written to model; ")
    one = ("--model=model", "--direction=t2_to_t1")
    made = export(*one, "--format=onnx", "--image_size=24", "--batch=2", "--out=a.onnx")
    assert "t2_to_t1 written to a.onnx; it differs from cyclegan_jax by at most " in made
    file = OnnxFile(tmp_path / "a.onnx")
    assert (file.size, file.batch, file.facts["model"]) == (24, 2, "heads")
    made = export(*one, "--format=stablehlo", "--out=a.stablehlo")
    assert "t2_to_t1 written to a.stablehlo; " in made
