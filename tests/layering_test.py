"""The layers of the package: an import goes only to a lower rank, and some libraries stay out."""

import ast
from pathlib import Path

import cyclegan_jax

PACKAGE = Path(cyclegan_jax.__file__).parent
JAX = {"jax", "flax", "optax"}
RANKS = {
    "config": 0,
    "patches": -2,
    "minimal_filtering": -1,
    "convolution": 0,
    "digests": 1,
    "distributed": 0,
    "files": 0,
    "history": 0,
    "interruption": 0,
    "losses": 0,
    "metrics": 0,
    "page": 0,
    "ranking": 0,
    "runtime": 0,
    "tables": 0,
    "writer": 0,
    "data.intensity": 0,
    "data.dicom_elements": 0,
    "data.guard": 0,
    "data.matlab": 1,
    "data.phantom": 0,
    "data.resampling": 0,
    "cli": 1,
    "curves": 1,
    "layers": 1,
    "pictures": 1,
    "score_tables": 1,
    "data.images": 1,
    "data.manifest": 1,
    "data.pipeline": 1,
    "data.notes": 1,
    "data.sources": 1,
    "data.splits": 1,
    "data.stacks": 2,
    "data.volumes": 1,
    "models": 2,
    "preview": 2,
    "symptoms": 2,
    "data.dicom": 2,
    "data.mri_slices": 2,
    "state": 3,
    "data.loading": 3,
    "data.phantom_truth": 3,
    "data.scans": 3,
    "saved": 4,
    "workdir": 4,
    "step": 4,
    "data.folders": 4,
    "data.listing": 4,
    "divergence": 5,
    "checkpoint": 5,
    "inspection": 6,
    "parallel": 5,
    "data.scan_source": 5,
    "scoring": 6,
    "phantom_scores": 7,
    "programs": 7,
    "translator": 7,
    "unpaired": 7,
    "benchmark": 8,
    "evaluate": 8,
    "run": 8,
    "translate": 8,
    "report": 9,
    "train": 10,
    "sweeps.grammar": 1,
    "sweeps.runner": 11,
    "sweeps.results": 12,
    "sweeps.figures": 13,
    "sweeps.report": 14,
}
FORBIDDEN = {
    "config": JAX,
    "runtime": JAX,
    "cli": JAX,
    **{name: {"ml_collections", "clu", "orbax"} for name in ("models", "layers", "convolution")},
    "losses": {"ml_collections", "clu", "orbax"},
    "symptoms": JAX,
    "step": {"clu", "orbax", "ml_collections"},
    **{name: JAX for name in RANKS if name.startswith("data.")},
}
ONLY_IN = {
    "orbax": "checkpoint",
    "tensorboardX": "writer",
    "tensorflow_datasets": "data.mri_slices",
}


def modules() -> dict[str, set[str]]:
    """Each module's name below the package, and the dotted names of all that it imports."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name.endswith("__init__"):
            continue
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        found[name] = imported
    return found


def inner_imports(imported: set[str]) -> set[str]:
    below = {name.removeprefix("cyclegan_jax.") for name in imported if "cyclegan_jax." in name}
    return {module for module in RANKS if any(f"{b}.".startswith(f"{module}.") for b in below)}


def test_every_module_has_a_rank():
    assert set(modules()) == set(RANKS)


def test_imports_go_to_lower_ranks_only():
    wrong = [
        f"{name} imports {target}"
        for name, imported in modules().items()
        for target in inner_imports(imported)
        if RANKS[target] >= RANKS[name]
    ]
    assert not wrong


def test_the_check_sees_imports():
    assert inner_imports(modules()["step"]) == {"losses", "history", "state"}


def test_libraries_stay_in_their_rooms():
    wrong = []
    for name, imported in modules().items():
        roots = {i.split(".")[0] for i in imported}
        wrong += [f"{name} imports {bad}" for bad in roots & FORBIDDEN.get(name, set())]
        wrong += [f"{name} imports {lib}" for lib in roots & ONLY_IN.keys() if ONLY_IN[lib] != name]
    assert not wrong


def test_pmap_is_called_in_one_place():
    users = [p.stem for p in PACKAGE.rglob("*.py") if "jax.pmap" in p.read_text()]
    assert users == ["parallel"]
