"""Divides scans by subject into training, validation and test scans, without a leak."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.domains import CONTRASTS, DOMAINS

DECLARED = ("train", "val", "test")
LONGEST_NAME = 200  # characters; pictures and pages show it, with the number of a slice
_NAMED = 3  # subjects that a note names at most


@dataclasses.dataclass(frozen=True)
class Item:
    """A scan as it was declared by its folder and file name, or by a line of a CSV.

    Attributes:
      path: the file, or the folder of a DICOM series.
      subject: the name of the person.
      domain: "x" or "y".
      split: "train", "val" or "test".
      where: says in messages what declared the scan: the file, or the line of a CSV.
      scan: the scan's own name, if the person has several; "" takes the file's.
      session: of the person; scans of two sessions are no pair.
      labels: the scan's label map, if it has one.
    """

    path: Path
    subject: str
    domain: str
    split: str
    where: str
    scan: str = ""
    session: str = ""
    labels: Path | None = None


@dataclasses.dataclass(frozen=True)
class Division:
    """The result of `divide`.

    Attributes:
      splits: the items of each split and domain, for example "train_x".
      in_both: number of subjects that were declared for training in both domains and not held out.
      notes: lines that a user must know and that are no errors.
    """

    splits: dict[str, list[Item]]
    in_both: int
    notes: list[str]


_Domains = dict[str, list[Item]]


def without_hashes(items: Sequence[Item]) -> list[Item]:
    """Returns the items with "no." for each "#" in their subjects: "Image #1" is "Image no.1".

    In the names of slices, "#" separates the subject from the rest.

    Raises:
      InputError: two subjects would get one name.
    """
    spelled: dict[str, Item] = {}
    result = []
    for item in items:
        subject = item.subject.replace("#", "no.")
        first = spelled.setdefault(subject, item)
        if first.subject != item.subject:
            raise InputError(
                f"{item.where}: subject {item.subject!r} cannot be distinguished from "
                f"{first.subject!r} ({first.where}), since '#' is written as 'no.'; rename one"
            )
        result.append(dataclasses.replace(item, subject=subject))
    return result


def divide(
    items: Sequence[Item], *, holdout: str = "", validation: str = "", unpaired: str = "disjoint"
) -> Division:
    """Divides scans by subject, so that no subject is in two splits.

    Args:
      items: the scans, see `without_hashes`. Those declared for "val" and "test" pair up by
        subject, and those without a partner are left out with a note.
      holdout: a Python slice `start:stop:step` over the sorted subjects that train in both domains.
        It selects the test pairs, and neither domain is trained on these subjects.
      validation: the same over the subjects that are left; it selects the validation pairs.
      unpaired: "disjoint" divides the training subjects that are in both domains between the
        domains, so that no anatomy trains in both; "shared" trains both domains on all of them.

    Raises:
      InputError: a subject is in two splits, a slice over subjects is given beside scans declared
        for the same split, or nothing is left to train on or to pair.
    """
    for item in items:
        if not item.subject.isprintable() or len(item.subject) > LONGEST_NAME:
            raise InputError(
                f"{item.where}: subject {item.subject[:LONGEST_NAME]!r} has characters that cannot "
                f"be printed, or more than {LONGEST_NAME}; rename it"
            )
    _refuse_leaks(items)
    declared = {s: _by_domain([i for i in items if i.split == s]) for s in DECLARED}
    train, pairs, notes = declared["train"], {}, []
    for split, flag, chosen in (
        ("test", "--holdout", holdout),
        ("val", "--validation", validation),
    ):
        own = declared[split]
        if chosen:
            if first := next((i for d in DOMAINS for i in own[d]), None):
                raise InputError(
                    f"{flag}={chosen} and {split} scans of their own ({first.where}) exclude each "
                    "other; give one of them"
                )
            held = _hold_out(sorted(_common(train)), flag, chosen)
            pairs[split] = _only(train, held)
            train = _only(train, _subjects(train) - held)
        elif own["x"] or own["y"]:
            pairs[split] = _partners(own, split, notes)
    both = sorted(_common(train))
    splits = {"train": train, **pairs}
    if unpaired == "disjoint":
        away = {"x": set(both[1::2]), "y": set(both[0::2])}
        splits["train"] = {d: [i for i in train[d] if i.subject not in away[d]] for d in DOMAINS}
    for domain, kept in splits["train"].items():
        if not kept:
            raise InputError(
                f"no {CONTRASTS[domain]} training scan is left of "
                f"{len(declared['train'][domain])} after --holdout={holdout!r}, --validation="
                f"{validation!r} and --unpaired={unpaired}; hold out fewer, add scans"
                + (", or give --unpaired=shared" if train[domain] else "")
            )
    return Division(
        {f"{split}_{d}": group[d] for split, group in splits.items() for d in DOMAINS},
        len(both),
        notes,
    )


def _by_domain(items: Sequence[Item]) -> _Domains:
    return {d: [i for i in items if i.domain == d] for d in DOMAINS}


def _subjects(scans: _Domains) -> set[str]:
    return {i.subject for group in scans.values() for i in group}


def _common(scans: _Domains) -> set[str]:
    return {i.subject for i in scans["x"]} & {i.subject for i in scans["y"]}


def _only(scans: _Domains, subjects: set[str]) -> _Domains:
    return {d: [i for i in scans[d] if i.subject in subjects] for d in DOMAINS}


def _refuse_leaks(items: Sequence[Item]) -> None:
    seen: dict[str, Item] = {}
    leaks: dict[str, Item] = {}
    for item in items:
        if seen.setdefault(item.subject, item).split != item.split:
            leaks.setdefault(item.subject, item)
    if leaks:
        subject, second = next(iter(leaks.items()))
        first = seen[subject]
        raise InputError(
            f"subjects in two splits: {len(leaks)}, first {subject!r} in {first.split} "
            f"({first.where}) and {second.split} ({second.where}); keep each in one split, or "
            "divide one set with --holdout and --validation"
        )


def _partners(scans: _Domains, split: str, notes: list[str]) -> _Domains:
    common = _common(scans)
    if not common:
        first = next(i for d in DOMAINS for i in scans[d])
        raise InputError(
            f"no {split} scan has a partner in the other domain, first {first.where}; the scans "
            "of a pair must have one subject: equal file names apart from suffix and contrast, "
            "or an equal subject in the CSV"
        )
    lone = {
        i.subject: f"{i.subject!r} ({CONTRASTS[d]} only)"
        for d in DOMAINS
        for i in scans[d]
        if i.subject not in common
    }
    if lone:
        named = ", ".join([*lone.values()][:_NAMED]) + (", …" if len(lone) > _NAMED else "")
        notes.append(
            f"{split}: {len(lone)} of {len(lone) + len(common)} subjects are left out, because "
            f"they have no partner in the other domain: {named}"
        )
    return _only(scans, common)


def _hold_out(subjects: list[str], flag: str, chosen: str) -> set[str]:
    parts = chosen.split(":")
    try:
        if len(parts) not in (2, 3):
            raise ValueError
        held = subjects[slice(*(int(p) if p else None for p in parts))]
    except ValueError:
        raise InputError(
            f"{flag}={chosen!r} is no Python slice; 2::5 takes every fifth pair"
        ) from None
    if not held:
        raise InputError(
            f"{flag}={chosen} selects none of the {len(subjects)} subjects that are in both "
            "domains; pairs must have equal names"
        )
    return set(held)
