"""Who is trained on, validated on and tested on: scans divided by subject, without a leak."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError

DECLARED = ("train", "val", "test")
LONGEST_NAME = 200  # characters; with a slice's number it is shown on pictures and pages
_CONTRAST = {"x": "T1", "y": "T2"}
_NAMED = 3  # subjects that a note names


@dataclasses.dataclass(frozen=True)
class Item:
    """A scan as it was declared: `domain` is "x" or "y", `split` "train", "val" or "test".

    `where` says in messages what declared it: the file, or the line of a CSV.
    """

    path: Path
    subject: str
    domain: str
    split: str
    where: str


@dataclasses.dataclass(frozen=True)
class Division:
    """Items for each split and domain ("train_x", …); subjects in both training sets; notes."""

    splits: dict[str, list[Item]]
    in_both: int
    notes: list[str]


_Domains = dict[str, list[Item]]


def divide(
    items: Sequence[Item], *, holdout: str = "", validation: str = "", unpaired: str = "disjoint"
) -> Division:
    """Divides scans by subject, so that no subject is in two splits.

    Args:
      items: the scans; those declared for "val" and "test" pair up by subject, and those without a
        partner are left out with a note.
      holdout: Python slice `start:stop:step` over the sorted subjects that train in both domains;
        those become the test pairs and are trained on in neither domain.
      validation: the same over the subjects that are left; those become the validation pairs.
      unpaired: "disjoint" divides training subjects that are in both domains between the domains,
        so that no anatomy trains in both; "shared" trains both domains on them.

    Raises:
      InputError: a subject in two splits, a slice over subjects beside scans declared for the same
        split, or nothing left to train on or to pair.
    """
    for item in items:
        if "#" in item.subject:
            raise InputError(
                f"{item.where}: subject {item.subject!r} has a '#', which parts subject and slice; "
                "rename it"
            )
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
            if first := next((i for d in "xy" for i in own[d]), None):
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
        splits["train"] = {d: [i for i in train[d] if i.subject not in away[d]] for d in "xy"}
    for domain, kept in splits["train"].items():
        if not kept:
            raise InputError(
                f"no {_CONTRAST[domain]} training scan is left of "
                f"{len(declared['train'][domain])} after --holdout={holdout!r}, --validation="
                f"{validation!r} and --unpaired={unpaired}; hold out fewer, add scans"
                + (", or give --unpaired=shared" if train[domain] else "")
            )
    return Division(
        {f"{split}_{d}": group[d] for split, group in splits.items() for d in "xy"},
        len(both),
        notes,
    )


def _by_domain(items: Sequence[Item]) -> _Domains:
    return {d: [i for i in items if i.domain == d] for d in "xy"}


def _subjects(scans: _Domains) -> set[str]:
    return {i.subject for group in scans.values() for i in group}


def _common(scans: _Domains) -> set[str]:
    return {i.subject for i in scans["x"]} & {i.subject for i in scans["y"]}


def _only(scans: _Domains, subjects: set[str]) -> _Domains:
    return {d: [i for i in scans[d] if i.subject in subjects] for d in "xy"}


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
        first = next(i for d in "xy" for i in scans[d])
        raise InputError(
            f"no {split} scan has a partner in the other domain, first {first.where}; the scans "
            "of a pair must have one subject: equal file names apart from suffix and a trailing "
            "_T1 or _T2, or an equal subject in the CSV"
        )
    lone = {
        i.subject: f"{i.subject!r} ({_CONTRAST[d]} only)"
        for d in "xy"
        for i in scans[d]
        if i.subject not in common
    }
    if lone:
        named = ", ".join([*lone.values()][:_NAMED]) + (", …" if len(lone) > _NAMED else "")
        notes.append(
            f"{split}: {len(lone)} of {len(lone) + len(common)} subjects are left out, they have "
            f"no partner in the other domain: {named}"
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
