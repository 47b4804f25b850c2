"""The models that come with the package: what they hold, how large they are, that they work."""

import numpy as np
import pytest

from cyclegan_jax import config as config_lib
from cyclegan_jax import load_model
from cyclegan_jax.config import flatten
from cyclegan_jax.data import slicing
from cyclegan_jax.data.phantom.head import BRAIN_TISSUES, FIELD_OF_VIEW, TISSUES, make_phantom
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.system.shipped import find
from cyclegan_jax.trained.model_folder import read_model
from cyclegan_jax.trained.shipped import find_model, models

RECIPES = {
    "brainweb": "brainweb43_best",
    "ixi-2mm": "ixi_small",
    "ixi-brain-2mm": "ixi_brain",
    "phantom": "quickstart",
}


def test_the_models_are_these():
    assert models() == sorted(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_has_the_networks_of_its_recipe_a_card_and_at_most_10_mb(name):
    folder = find_model(name)
    saved = read_model(folder)
    assert saved.meta["name"] == folder.name == name
    recipe = config_lib.load_file(find(RECIPES[name], ".py")).get_config()
    ours, theirs = (flatten(c.to_dict()) for c in (recipe, saved.config))
    for key in (*(k for k in ours if k.startswith("generator.")), "image_size", "average_mirrored"):
        assert theirs[key] == ours[key], key
    assert saved.step == recipe.steps
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10e6
    card = (folder / "README.md").read_text()
    for words in ("**Not for diagnosis.**", f"--model={name} ", "protocol fixed", "(worst.png)"):
        assert words in card
    assert "not given" not in card
    assert not [line for line in saved.meta["failures"] if "inverted" in line]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_phantom_model_translates_a_new_phantom(direction):
    head = make_phantom(1234, size=64, slices=6, lesions=False, noise=0.0, bias=0.0)
    given, true = (head.t1, head.t2) if direction == "t1_to_t2" else (head.t2, head.t1)
    pixel = FIELD_OF_VIEW / 64
    scan = slicing.from_slices(given, "axial")
    made = load_model("phantom").translate(scan, direction, spacing=(pixel, pixel, 12.0))
    inside = np.isin(head.labels, [TISSUES.index(tissue) for tissue in BRAIN_TISSUES])
    before, after = (
        np.corrcoef(image[inside], true[inside])[0, 1]
        for image in (given, slicing.to_slices(made, "axial"))
    )
    assert before < 0 < 0.8 < after
