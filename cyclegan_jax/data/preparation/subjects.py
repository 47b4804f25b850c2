"""Finds the person in the names of files: the one rule, which docs/data.md describes.

Whoever is counted as two people may train and be tested at once, so where names leave a doubt, a
note shows how they were read.
"""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax.data.preparation import notes
from cyclegan_jax.data.preparation.contrast_names import SEPARATORS, without_contrast
from cyclegan_jax.domains import CONTRASTS, DOMAINS

_S = f"[{SEPARATORS}]"
# Names of public standards and data sets: the person, then the session if there is one.
_STANDARDS = [
    re.compile(pattern)
    for pattern in (
        r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?=_|$)",  # BIDS
        r"(BraTS-[A-Za-z]+-\d{5})(?:-(\d{3}))?(?=\D|$)",
        r"(IXI\d{3}-[A-Za-z]+-\d{4})(?=\D|$)()",
        r"(OAS1_\d{4})(?:_(MR\d))?(?=\D|$)",
        r"(OAS3\d{4})(?:_(?:MR_)?(d\d{4}))?(?=\D|$)",
        r"(?:ADNI_)?(\d{3}_S_\d{4})(?=\D|$)()",
    )
]
_SESSION = re.compile(
    rf"{_S}+((?:ses(?:sion)?|visit|run|tp|timepoint|wave){_S}?\d+|ses-[A-Za-z0-9]+"
    rf"|baseline|followup{_S}?\d*)(?={_S}|$)",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_SLICE_WORDS = "slices?|slc|sl|images?|img|im|frame|axial|ax|coronal|cor|sagittal|sag|z"
_BEFORE_NUMBER = re.compile(rf"(?:(?:^|{_S}+)(?:{_SLICE_WORDS}))*{_S}*$", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?:^|{_S}+)(?:{_SLICE_WORDS}){_S}*(\d+)(?={_S}|$)", re.IGNORECASE)
_ORIENTATION = re.compile(rf"{_S}+(?:{_SLICE_WORDS})$", re.IGNORECASE)
# "patient_001": the number is the person's
_PERSON = re.compile(
    r"(?:p|pt|pat|patient|s|sub|subj|subject|case|control|id|person|volunteer|participant)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class File:
    """A scan, before its person is known.

    Attributes:
      path: the file, or the folder of a DICOM series.
      name: what is read: its name without suffix, after the folders of a person if there are any.
      domain: "x" or "y".
      split: "train", "val" or "test".
      is_image: whether it is one slice.
      folder: the name of the person's own folder, or "".
    """

    path: Path
    name: str
    domain: str
    split: str
    is_image: bool
    folder: str = ""


@dataclasses.dataclass(frozen=True)
class Reading:
    """The person in a name, and what sets this scan apart from others of the same person.

    Attributes:
      subject: the name of the person.
      session: of the person, or the number of a slice; "" if the name has none.
      scan: the name without its contrast.
    """

    subject: str
    session: str
    scan: str


def read_names(files: Sequence[File]) -> tuple[list[Reading], list[str]]:
    """Returns how each file's name is read, and notes of what may be wrong in it.

    In this order: the channel of nnU-Net, the contrast and words of processing after it, the number
    of a slice, and the session are no part of the person. Names of public standards (BIDS, BraTS,
    IXI, OASIS, ADNI) have their person where the standard says.
    """
    channels = _channels(files)
    names = []
    for file in files:
        name = file.name
        if (channel := channels.get(file.domain)) is not None:
            name = name.removesuffix(channel)
        names.append(without_contrast(name) or name)
    readings = [_read(f.folder, n) for f, n in zip(files, names, strict=True)]
    people = _people_of_slices(files, names)
    for i, (file, name) in enumerate(zip(files, names, strict=True)):
        person, _ = _slice(name)
        if file.is_image and not file.folder and person in people and _standard(name) is None:
            readings[i] = Reading(_read("", person).subject, name.removeprefix(person), name)
    readings = _shortened(files, readings)
    return readings, [n for n in _doubts(files, readings, people) if n]


def read_name(folder: str, name: str) -> Reading:
    """Returns how one name is read, whatever other files there are.

    Args:
      folder: the name of the person's own folder, or "".
      name: without suffix, see `File.name`.
    """
    return _read(folder, without_contrast(name) or name)


def _read(folder: str, name: str) -> Reading:
    """Reads one name without its contrast; if the person has a folder, its name is the person's."""
    if folder:
        return dataclasses.replace(_read("", name), subject=_read("", folder).subject)
    if (found := _standard(name)) is not None:
        return Reading(found[1], found[2] or "", name)
    sessions = [m[1] for m in _SESSION.finditer(name)]
    return Reading(_SESSION.sub("", name) or name, "_".join(sessions), name)


def _standard(name: str) -> re.Match[str] | None:
    return next((m for pattern in _STANDARDS if (m := pattern.match(name))), None)


def _channels(files: Sequence[File]) -> dict[str, str]:
    """Returns the channel that ends all names of each domain, such as "_0000", or nothing.

    It is one number in all names of a domain, another in the other domain, and some names are equal
    without it; then nnU-Net's way to name files is certain.
    """
    found = {}
    stems: dict[str, set[str]] = {d: set() for d in DOMAINS}
    for domain in DOMAINS:
        matches = [_CHANNEL.fullmatch(f.name) for f in files if f.domain == domain]
        ends = {m[2] if m else "" for m in matches}
        if len(ends) != 1 or "" in ends:
            return {}
        found[domain] = f"_{ends.pop()}"
        stems[domain] = {m[1] for m in matches if m}
    same = found["x"] == found["y"] or not stems["x"] & stems["y"]
    return {} if same else found


def _slice(name: str) -> tuple[str, str]:
    """Returns what stands before the number of a slice, and the number; or the name and ""."""
    if explicit := [*_NUMBERED.finditer(name)]:
        found = explicit[-1]
        start = _BEFORE_NUMBER.sub("", name[: found.start()], count=1)
        person, number = (
            (start + _ORIENTATION.sub("", name[found.end() :])).lstrip(SEPARATORS),
            found[1],
        )
    elif match := re.fullmatch(r"(.+?)(\d+)", name):
        person, number = _BEFORE_NUMBER.sub("", match[1], count=1), match[2]
        if person == match[1]:  # nothing stands between them: "s012"
            return name, ""
    else:
        return name, ""
    return (name, "") if not person or _PERSON.fullmatch(person) else (person, number)


def _people_of_slices(files: Sequence[File], names: Sequence[str]) -> set[str]:
    """Returns the beginnings of names that stand for people of whom there are several slices.

    If all images of a data set, or all of each split, begin alike, the beginning names no person
    from another, and every image counts as its own subject.
    """
    by_domain: Counter[tuple[str, str]] = Counter()
    of_split: dict[str, set[str]] = defaultdict(set)
    for file, name in zip(files, names, strict=True):
        if file.is_image:
            person, number = _slice(name)
            of_split[file.split].add(person)
            by_domain[person, file.domain] += bool(number)
    everyone = [person for people in of_split.values() for person in people]
    several = {p for (p, _), count in by_domain.items() if count > 1}
    one_each = all(len(people) == 1 for people in of_split.values())
    if len(set(everyone)) < 2 or (one_each and len(set(everyone)) == len(everyone)):
        return set()
    return several


def _shortened(files: Sequence[File], readings: Sequence[Reading]) -> list[Reading]:
    """Returns the readings with subject and session as the scan's name, where these set it apart.

    So scans of one session pair up, however their names end ("acq-mprage", "acq-tse").
    """
    counts = Counter((f.domain, r.subject, r.session) for f, r in zip(files, readings, strict=True))
    twice = {(subject, session) for (_, subject, session), n in counts.items() if n > 1}
    return [
        r
        if (r.subject, r.session) in twice or not r.session or not _standard(r.subject)
        else dataclasses.replace(r, scan=f"{r.subject}_{r.session}")
        for r in readings
    ]


def _doubts(files: Sequence[File], readings: Sequence[Reading], people: set[str]) -> list[str]:
    """Returns a note for each reason to think that names were read wrongly."""
    shown: dict[str, dict[str, str]] = {d: {} for d in DOMAINS}  # subject to a file
    numbers: dict[str, dict[tuple[str, ...], str]] = {d: {} for d in DOMAINS}  # to a subject
    for file, reading in zip(files, readings, strict=True):
        shown[file.domain].setdefault(reading.subject, file.path.name)
        bare = re.sub("t[12]", "", without_contrast(file.name), flags=re.IGNORECASE)
        if digits := tuple(str(int(d)) for d in re.findall(r"\d+", bare)):
            numbers[file.domain].setdefault(digits, reading.subject)
    x, y = shown["x"], shown["y"]
    if people:
        images = sum(file.is_image for file in files)
        subject = next(r.subject for f, r in zip(files, readings, strict=True) if f.is_image)
        return [notes.slices_of_people(images, len(x | y), (x | y)[subject], subject)]
    agree = [n for n in numbers["x"] if n in numbers["y"]]
    if not x.keys() & y.keys() and 2 * len(agree) >= max(1, min(len(x), len(y))):
        a, b = (numbers[d][agree[0]] for d in DOMAINS)
        return [notes.nobody_in_both(x[a], a, y[b], b)]
    for domain, subjects in shown.items():
        # people with a folder of their own, and names of standards, leave no doubt
        of = [(f, r) for f, r in zip(files, readings, strict=True) if f.domain == domain]
        read = {r.subject for f, r in of if not f.folder}
        unsure = {s: f for s, f in subjects.items() if s in read and not _standard(s)}
        starts = Counter(re.sub(r"\d+$", "", subject) for subject in unsure)
        if unsure and min(starts.values()) > 1 and all(s[-1].isdigit() for s in unsure):
            return [notes.only_numbers(CONTRASTS[domain], list(unsure.items())[:2])]
    return []
