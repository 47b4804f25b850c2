"""Tests of the table of translations: names of any kind, several processes, what cannot be read."""

import csv
import io
import os
from pathlib import Path

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.translation.record import DONE, FAILED, TABLE, Record, record_of


@pytest.fixture
def record(tmp_path, translator) -> Record:
    return record_of(tmp_path, translator(), "frame=None", None)


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    source, target = folder / name, folder / f"{name}_T2"
    source.write_text(name.encode(errors="replace").decode())
    target.write_text("made")
    return source, target


@pytest.mark.parametrize("name", ["a", "a\tb", 'a "b"', "a\nb", "ü", os.fsdecode(b"a\xff")])
def test_names_and_notes_of_any_kind_are_found_again(tmp_path, record, name):
    source, target = pair(tmp_path, name)
    assert not record.is_made(source, target)
    record.add(source, target, DONE, 1.23, ["a\tnote", "with\nlines", "λ"])
    record.add(*pair(tmp_path, "z"), FAILED, 0, ["why"])
    assert record.is_made(source, target)
    assert not record.is_made(tmp_path / "z", tmp_path / "z_T2")
    text = (tmp_path / TABLE).read_bytes().decode(errors="surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    found = {row["source"]: row for row in rows}
    assert found.keys() == {str(source), str(tmp_path / "z")}
    assert found[str(source)]["seconds"] == "1.2"
    assert found[str(source)]["notes"] == "a\tnote; with\nlines; λ"


def test_the_rows_of_another_process_stay(tmp_path, record):
    other = Record(record.out, record.made_by)
    one, two = pair(tmp_path, "one"), pair(tmp_path, "two")
    record.add(*one, DONE, 1, [])
    other.add(*two, DONE, 1, [])
    record.add(*one, DONE, 1, [])
    assert record.is_made(*two)
    assert record.summary().endswith(
        f"2 translated, 0 there already, 0 failed; {tmp_path / TABLE} has the notes"
    )


def test_sources_can_be_named_relative_to_a_folder(tmp_path, record):
    source, target = pair(tmp_path, "a")
    Record(tmp_path, record.made_by, tmp_path).add(source, target, DONE, 1, [])
    assert (tmp_path / TABLE).read_text().splitlines()[1].startswith("a\ta_T2\ttranslated\t")
    assert record.is_made(source, target)


def test_a_table_that_cannot_be_written_is_named(tmp_path, record):
    source, target = pair(tmp_path, "a")
    (tmp_path / "gone").mkdir()
    there = Record(tmp_path / "gone", record.made_by)
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match=r"translations.tsv: cannot write .*; check folder and"):
        there.add(source, tmp_path / "gone" / "x", FAILED, 1, [])
    assert target.exists()
