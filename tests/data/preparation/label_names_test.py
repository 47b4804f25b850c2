"""Tests of the TSV with the names of labels."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.label_names import read_label_names

ROOT = Path(__file__).parents[3]


def test_a_name_may_stand_for_several_labels(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("index\tname\tcolor\n51\tventricle\tred\n82\twhite\t\n52\tventricle\t\n")
    assert read_label_names(path) == ({"ventricle": [51, 52], "white": [82]}, {})


def test_a_region_has_a_name_of_its_own_and_may_belong_to_no_tissue(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("index\tregion\tname\n51\tright\tventricle\n52\tleft\tventricle\n")
    with path.open("a") as file:
        file.write("23\taccumbens\t\n82\t\twhite\n")
    tissues, regions = read_label_names(path)
    assert tissues == {"ventricle": [51, 52], "white": [82]}
    assert regions == {51: "right", 52: "left", 23: "accumbens"}


@pytest.mark.parametrize("file", [ROOT / "configs" / "dlmuse.tsv", "dlmuse", "dlmuse.tsv"])
def test_the_names_that_come_with_the_project(file):
    names, regions = read_label_names(file)
    assert list(names) == ["ventricle", "white", "cortex"]
    assert names["ventricle"] == [4, 11, 51, 52]
    assert min(names["cortex"]) == 100
    assert (len(regions), regions[51], regions[23]) == (
        145,
        "right lateral ventricle",
        "right accumbens area",
    )


def test_the_names_of_freesurfer():
    names, regions = read_label_names("freesurfer")
    assert set(names) == {"ventricle", "white", "cortex", "deep grey"}
    assert (regions[4], regions[43]) == ("Left-Lateral-Ventricle", "Right-Lateral-Ventricle")
    assert {3, 42, 1035, 2035} <= set(names["cortex"])
    assert {10, 49} <= set(names["deep grey"])
    assert len(set(regions.values())) == len(regions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("must have lines", "index and name")),
        ("index,name\n1,a\n", ("columns index and name", "tabs")),
        ("index\tname\n1.5\ta\n", ("line 2", "'1.5'", "whole number")),
        ("index\tname\n-1\ta\n", ("line 2", "'-1'")),
        ("index\tname\n1\ta\n0\tb\n", ("line 3", "index 0", "1 to 65535")),
        ("index\tname\n1\t\n", ("line 2", "name ''")),
        ("index\tname\n1\n", ("line 2", "name ''")),
        ("index\tname\tregion\n1\t\t\n", ("line 2", "name ''", "1 to 40")),
        (f"index\tname\tregion\n1\ta\t{'b' * 41}\n", ("line 2", "region 'b", "0 to 40")),
        ("index\tname\n1\ta\n1\tb\n", ("lines 2 and 3", "index 1", "remove one")),
    ],
)
def test_what_is_refused(tmp_path, fails, text, words):
    path = tmp_path / "names.tsv"
    path.write_text(text)
    with fails(path, *words):
        read_label_names(path)


def test_a_missing_file_is_named(tmp_path, fails):
    with fails(
        tmp_path / "gone.tsv", "cannot be read", "give a TSV", "shipped name: dlmuse, freesurfer"
    ):
        read_label_names(tmp_path / "gone.tsv")
