"""Tests of who is trained on, validated on and tested on; above all that nothing leaks."""

import csv
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_jax import InputError
from cyclegan_jax.data.preparation.csv_list import COLUMNS, read_listing
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.splits import Division, Item, divide, without_hashes

NAMES = [f"s{i}" for i in range(12)]
SORTED = sorted(NAMES)  # s0, s1, s10, s11, s2, …


def items(domain: str, split: str, *names: str) -> list[Item]:
    path = Path(f"{split}_{domain}")
    return [Item(path / n, n, domain, split, f"{path}/{n}") for n in names]


def both(split: str, *names: str) -> list[Item]:
    return items("x", split, *names) + items("y", split, *names)


def subjects(division: Division, split: str) -> list[str]:
    return [item.subject for item in division.splits[split]]


def test_holdout_takes_positions_in_the_sorted_common_names():
    declared = items("x", "train", *NAMES, "only_x") + items("y", "train", *NAMES, "a_only_y")
    division = divide(declared, holdout="2::5", unpaired="shared")
    held = [SORTED[2], SORTED[7]]
    assert sorted(subjects(division, "test_x")) == sorted(subjects(division, "test_y")) == held
    trained = [n for n in SORTED if n not in held]
    assert sorted(subjects(division, "train_x")) == sorted([*trained, "only_x"])
    assert sorted(subjects(division, "train_y")) == sorted([*trained, "a_only_y"])


@pytest.mark.parametrize(
    ("holdout", "held"), [(":2", SORTED[:2]), ("-1:", SORTED[-1:]), ("1:6:2", SORTED[1:6:2])]
)
def test_holdout_is_any_slice(holdout, held):
    assert subjects(divide(both("train", *SORTED), holdout=holdout), "test_x") == held


def test_validation_is_taken_from_what_the_holdout_leaves():
    division = divide(both("train", *SORTED), holdout="::4", validation="::4", unpaired="shared")
    tests, rest = SORTED[::4], [n for n in SORTED if n not in SORTED[::4]]
    for domain in "xy":
        assert subjects(division, f"test_{domain}") == tests
        assert subjects(division, f"val_{domain}") == rest[::4]
        assert subjects(division, f"train_{domain}") == [n for n in rest if n not in rest[::4]]


def test_disjoint_trains_no_subject_in_both_domains():
    declared = items("x", "train", *NAMES, "only_x") + items("y", "train", *NAMES, "only_y")
    division = divide(declared, holdout="2::5")
    of_x, of_y = subjects(division, "train_x"), subjects(division, "train_y")
    assert not set(of_x) & set(of_y)
    assert sorted([*of_x, *of_y]) == sorted(
        [n for n in NAMES if n not in (SORTED[2], SORTED[7])] + ["only_x", "only_y"]
    )
    assert len(of_x) == len(of_y) == 6
    assert division.in_both == 10


def test_shared_trains_both_domains_on_all():
    division = divide(both("train", *SORTED), unpaired="shared")
    assert subjects(division, "train_x") == subjects(division, "train_y") == SORTED
    assert set(division.splits) == {"train_x", "train_y"}


def test_declared_pairs_go_by_subject_and_the_others_are_noted():
    declared = items("x", "train", "a") + items("y", "train", "b")
    declared += items("x", "test", "q", "lone", "p") + items("y", "test", "p", "other", "q")
    division = divide(declared + both("val", "v"))
    assert subjects(division, "test_x") == ["q", "p"]
    assert subjects(division, "test_y") == ["p", "q"]
    assert subjects(division, "val_x") == subjects(division, "val_y") == ["v"]
    assert division.notes == [
        "test: 2 of 4 subjects are left out, because they have no partner in the other "
        "domain: 'lone' (T1 only), 'other' (T2 only)"
    ]


def test_a_note_names_three_subjects():
    declared = both("train", "a", "b") + both("val", "v") + items("x", "val", *"cdefg")
    (note,) = divide(declared).notes
    assert note.startswith("val: 5 of 6 subjects")
    assert note.endswith("'c' (T1 only), 'd' (T1 only), 'e' (T1 only), …")


def test_own_scans_of_one_split_and_a_slice_for_the_other_combine():
    division = divide(both("train", *NAMES) + both("val", "v"), holdout=":1")
    assert (subjects(division, "val_x"), subjects(division, "test_y")) == (["v"], ["s0"])
    division = divide(both("train", *NAMES) + both("test", "t"), validation=":1")
    assert (subjects(division, "test_x"), subjects(division, "val_y")) == (["t"], ["s0"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"holdout": "every fifth"}, ("--holdout='every fifth'", "no Python slice", "2::5")),
        ({"holdout": "2"}, ("--holdout='2'", "no Python slice", "2::5")),
        ({"holdout": "1:2:3:4"}, ("--holdout='1:2:3:4'", "no Python slice")),
        ({"validation": "::0"}, ("--validation='::0'", "no Python slice")),
        ({"holdout": "12:"}, ("--holdout=12:", "none of the 12 subjects", "equal names")),
        ({"holdout": "::"}, ("no T1 training scan", "--holdout='::'", "hold out fewer")),
        ({"holdout": "1:"}, ("no T2 training scan is left of 12", "give --unpaired=shared")),
    ],
)
def test_slices_that_cannot_be_are_refused(fails, arguments, words):
    with fails(*words):
        divide(both("train", *NAMES), **arguments)


@pytest.mark.parametrize(
    ("declared", "arguments", "words"),
    [
        (both("test", "p"), {"holdout": "::2"}, ("--holdout=::2", "test_x/p", "give one")),
        (both("val", "p"), {"validation": "::2"}, ("--validation=::2", "val_x/p", "give one")),
        (
            items("x", "test", "p") + items("y", "test", "q"),
            {},
            ("no test scan has a partner", "test_x/p", "equal file names"),
        ),
        (items("y", "val", "p"), {}, ("no val scan has a partner", "val_y/p")),
        (
            both("test", "p", "s10", "s3"),
            {},
            ("two splits: 2", "'s10' in train (train_x/s10) and test (test_x/s10)", "keep each"),
        ),
        (both("val", "p") + items("y", "test", "p"), {}, ("'p' in val", "and test (test_y/p)")),
        (items("y", "val", "s3"), {"holdout": ":5"}, ("'s3' in train", "val (val_y/s3)")),
    ],
)
def test_splits_that_cannot_be_are_refused(fails, declared, arguments, words):
    with fails(*words):
        divide(both("train", *NAMES) + declared, **arguments)


def test_a_hash_in_a_subject_is_spelled():
    declared = both("train", "Image #1", "Image #10", "anna")
    assert [i.subject for i in without_hashes(declared)] == [
        "Image no.1",
        "Image no.10",
        "anna",
    ] * 2


def test_two_subjects_never_get_one_name(fails):
    declared = items("x", "train", "a#1") + items("y", "train", "ano.1")
    with fails(
        "train_y/ano.1", "'ano.1' cannot be distinguished from 'a#1'", "train_x/a#1", "rename one"
    ):
        without_hashes(declared)


# ---------------------------------------------------------------- nothing leaks, whatever is given

# every name in which the rule may find more than the person has a digit after a separator
SUBJECTS = st.from_regex(r"[ab1][ab1]{0,2}([_-][ab])?", fullmatch=True)
PLACES = [
    ("train", "x"),
    ("train", "y"),
    ("train", "xy"),
    ("val", "xy"),
    ("test", "xy"),
    ("val", "x"),
]
# Most subjects stay in one split; sometimes one is put into a second, which must be refused.
DECLARED = st.tuples(
    st.dictionaries(SUBJECTS, st.sampled_from(PLACES), min_size=4, max_size=14),
    st.sampled_from([{}, {}, {}, {"aa": ("test", "y")}, {"aa": ("val", "xy")}]),
)
CONTRASTS = {
    "x": ["{}", "{}_T1", "{}-t1w", "{}.T1", "{}_contrast1", "T1_{}", "{}-t1n", "{}_T1w_brain"],
    "y": ["{}", "{}_T2", "{}-t2w", "{}.t2", "T2w-{}", "{}_t2_tse_reg"],
}
OPTIONS = st.fixed_dictionaries(
    {
        "holdout": st.sampled_from(["", "", "::2", "1::3", ":1", "-2:"]),
        "validation": st.sampled_from(["", "", "::2", ":1", "-1:"]),
        "unpaired": st.sampled_from(["disjoint", "shared"]),
    }
)
Declared = tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]


def rows(declared: Declared) -> list[tuple[str, str, str]]:
    """Subject, domain and split of each scan, with one lone subject to train each domain on."""
    places = [("x0", ("train", "x")), ("y0", ("train", "y")), *declared[0].items()]
    places += declared[1].items()
    return sorted({(name, d, split) for name, (split, domains) in places for d in domains})


def check(declared: list[Item], truth: dict[Path, str], options: dict[str, str]) -> None:
    """`truth` is the subject of each file as it was made, not as the package reads it."""
    splits_of: dict[str, set[str]] = {}
    for item in declared:
        splits_of.setdefault(truth[item.path], set()).add(item.split)
    if any(len(splits) > 1 for splits in splits_of.values()):
        with pytest.raises(InputError, match="in two splits"):
            divide(declared, **options)
        return
    try:
        division = divide(declared, **options)
    except InputError:
        return  # a slice that holds out too much, or beside scans of their own
    of = {split: [truth[i.path] for i in found] for split, found in division.splits.items()}
    sets = {s: {*of.get(f"{s}_x", []), *of.get(f"{s}_y", [])} for s in ("train", "val", "test")}
    for one, other in itertools.combinations(sets, 2):
        assert not sets[one] & sets[other]
    if options["unpaired"] == "disjoint":
        assert not set(of["train_x"]) & set(of["train_y"])
    for split in ("val", "test"):
        assert set(of.get(f"{split}_x", [])) == set(of.get(f"{split}_y", []))


@settings(deadline=None)
@given(
    declared=DECLARED,
    contrasts=st.fixed_dictionaries({d: st.sampled_from(c) for d, c in CONTRASTS.items()}),
    options=OPTIONS,
)
def test_no_subject_of_folders_leaks(declared, contrasts, options):
    truth, folders = {}, {}
    with tempfile.TemporaryDirectory() as place:
        for subject, domain, split in rows(declared):
            folder = Path(place, f"{split}_{domain}")
            folder.mkdir(exist_ok=True)
            folders[domain if split == "train" else folder.name] = folder
            path = folder / f"{contrasts[domain].format(subject)}.png"
            path.touch()
            truth[path] = subject
        if all((f"{s}_x" in folders) == (f"{s}_y" in folders) for s in ("val", "test")):
            check(list_folders(**folders), truth, options)


@settings(deadline=None)
@given(declared=DECLARED, options=OPTIONS)
def test_no_subject_of_a_csv_leaks(declared, options):
    truth = {}
    with tempfile.TemporaryDirectory() as place:
        listing = Path(place, "list.csv")
        with listing.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for i, row in enumerate(rows(declared)):
                path = Path(place, f"{i}.png")  # the name says nothing
                path.touch()
                truth[path] = row[0]
                writer.writerow([path.name, *row])
        check(read_listing(listing), truth, options)
