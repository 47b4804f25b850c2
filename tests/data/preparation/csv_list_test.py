"""Tests of the CSV that declares scans: what it may say and all that is refused, by line."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.csv_list import read_listing

HEADER = "file,subject,domain,split\n"
GOOD = HEADER + "a.png,anna,x,train\nb.png,bert,y,train\n"


def listing(folder: Path, text: str | bytes) -> Path:
    """A CSV in `folder` beside the images a.png to f.png."""
    for name in "abcdef":
        (folder / f"{name}.png").touch()
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_declare_scans_relative_to_the_csv(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "k.nii").touch()
    rows = "sub/k.nii,kurt,T1,train\na.png, anna ,t2,train\nb.png,bert,y,val\n"
    found = read_listing(listing(tmp_path, HEADER + rows + f"{tmp_path}/c.png,bert,X,val\n"))
    assert [(i.path, i.subject, i.domain, i.split) for i in found] == [
        (tmp_path / "sub" / "k.nii", "kurt", "x", "train"),
        (tmp_path / "a.png", "anna", "y", "train"),
        (tmp_path / "b.png", "bert", "y", "val"),
        (tmp_path / "c.png", "bert", "x", "val"),
    ]
    assert found[2].where == f"{tmp_path}/list.csv line 4"


def test_columns_in_any_order_with_quotes_and_the_mark_of_excel(tmp_path):
    (tmp_path / "f,g.png").touch()
    text = '\ufeffsplit,domain,subject,file\r\ntrain,x,anna,"f,g.png"\r\ntrain,y,bert,b.png\r\n'
    assert [i.path.name for i in read_listing(listing(tmp_path, text))] == ["f,g.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("line 1", "the columns are ''", "'file,subject,domain,split'")),
        ("file;subject;domain;split\n", ("line 1", "'file;subject;domain;split'", "they must be")),
        ("file,subject,domain\na.png,anna,x\n", ("line 1", "file,subject,domain")),
        ("file,subject,domain,split,age\n", ("line 1", "'file,subject,domain,split,age'")),
        (GOOD + "c.png,carl,flair,train\n", ("line 4", "domain 'flair'", "x or T1")),
        (GOOD + "c.png,carl,x,testing\n", ("line 4", "split 'testing'", "train, val, test")),
        (GOOD + "c.png,,x,train\n", ("line 4", "subject is empty", "fill it in")),
        (GOOD + ",carl,x,train\n", ("line 4", "file is empty", "fill it in")),
        (GOOD + "c.png,carl,x\n", ("line 4", "4 fields", "quotes")),
        (GOOD + "c.png,carl,x,train,\n", ("line 4", "4 fields", "quotes")),
        (GOOD + "c.png,carl,x,train\na.png,anna,x,train\n", ("lines 2 and 5", "a.png", "remove")),
        (GOOD + "./a.png,other,y,train\n", ("lines 2 and 4", "the same file", "remove")),
        (
            GOOD + "gone.png,carl,x,train\ngone2.png,carl,y,test\n",
            ("2 of 4 files do not exist", "gone.png' (line 4)", "relative to the CSV's folder"),
        ),
        (GOOD + "\x1b[2J.png,carl,x,train\n", ("1 of 3", r"\x1b[2J.png' (line 4)")),
        (GOOD + "\x1b,carl,x,train\n" * 2, ("lines 4 and 5", r"the same file '\x1b'")),
        (GOOD + ".,carl,x,train\n", ("line 4", "is a folder", "one scan in each line")),
        (GOOD + "list.csv,carl,x,train\n", ("list.csv", "no supported scan")),
        (HEADER, ("no train row of domain x (T1)",)),
        (HEADER + "a.png,anna,T1,train\nb.png,bert,T2,val\n", ("no train row of domain y (T2)",)),
        (b"file,subject\xff", ("cannot be read", "give a CSV in UTF-8")),
        (GOOD + 'c.png,"carl,x,train\n', ("cannot be read", "unexpected end of data")),
    ],
)
def test_what_a_csv_must_not_say(tmp_path, fails, text, words):
    path = listing(tmp_path, text)
    with fails(path, *words) if words[0] != "list.csv" else fails(*words):
        read_listing(path)


def test_files_that_are_not_fetched_yet(tmp_path, fails):
    path = listing(tmp_path, GOOD + "g.png,carl,x,train\n")
    (tmp_path / "g.png").symlink_to(".git/annex/objects/Zx/g.png")
    with fails(path, "line 4", "not fetched yet", "datalad get"):
        read_listing(path)


def test_a_csv_that_is_not_there(tmp_path, fails):
    with fails(tmp_path / "gone.csv", "No such file", "give a CSV"):
        read_listing(tmp_path / "gone.csv")
