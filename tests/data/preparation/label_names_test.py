"""Tests of the TSV with the names of labels."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.label_names import read_label_names

ROOT = Path(__file__).parents[3]


def test_a_name_may_stand_for_several_labels(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("index\tname\tcolor\n51\tventricle\tred\n82\twhite\t\n52\tventricle\t\n")
    assert read_label_names(path) == {"ventricle": [51, 52], "white": [82]}


@pytest.mark.parametrize("file", [ROOT / "configs" / "dlmuse.tsv", "dlmuse", "dlmuse.tsv"])
def test_the_names_that_come_with_the_project(file):
    names = read_label_names(file)
    assert list(names) == ["ventricle", "white", "cortex"]
    assert {51, 52} <= set(names["ventricle"])
    assert min(names["cortex"]) == 100


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
        ("index\tname\n1\ta\n1\tb\n", ("lines 2 and 3", "index 1", "remove one")),
    ],
)
def test_what_is_refused(tmp_path, fails, text, words):
    path = tmp_path / "names.tsv"
    path.write_text(text)
    with fails(path, *words):
        read_label_names(path)


def test_a_missing_file_is_named(tmp_path, fails):
    with fails(tmp_path / "gone.tsv", "cannot be read", "give a TSV", "shipped name: dlmuse"):
        read_label_names(tmp_path / "gone.tsv")
