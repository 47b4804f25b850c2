"""Reads the contrast that the name of a file says."""

import re
from pathlib import Path

from cyclegan_jax.data.formats.readers import stem
from cyclegan_jax.domains import CONTRASTS

SEPARATORS = " _.#-"
_X, _Y = CONTRASTS["x"], CONTRASTS["y"]
OTHER = "another contrast"  # such as FLAIR, or T1 after a contrast agent
# BraTS calls T1 before and after the agent "t1n" and "t1c", and FLAIR "t2f"; SynDiff's stacks end
# in "_contrast1" and "_contrast2".
_CONTRAST_OF = (
    dict.fromkeys(("t1", "t1w", "t1n", "t1pre", "t1mprage", "contrast1"), _X)
    | dict.fromkeys(("t2", "t2w", "t2n", "t2tse", "contrast2"), _Y)
    | dict.fromkeys(("t1c", "t1ce", "t1gd", "t1post", "t2f", "t2flair", "flair"), OTHER)
)
# Words that stand beside a contrast and name a sequence or a step of processing, not a person.
_PROCESSING = re.compile(
    r"mprage|mp2rage|f?spgr|tfe|ffe|tse|fse|space|blade|brain|bet|n4|stripped|skullstripped|ss|"
    r"masked|deface|defaced|reg|registered|coreg|warped|to|in|mni(152)?|norm|normali[sz]ed|"
    r"resampled|reoriented|cropped|restore|preproc|bias|biascorr|corrected|anon|acpc|dc|[12]mm|"
    r"iso|[23]d|image|scan|vol|volume|raw|orig"
)
_TRAILING = re.compile(r"([ _.-]+t[12]w?|_contrast[12])$", re.IGNORECASE)


def without_trailing_contrast(path: Path) -> str:
    """Returns a file's name without suffix and trailing contrast (`_T1w`, `-t2`, `_contrast1`).

    If nothing is left of it, the result is the name without its suffix.
    """
    name = stem(path)
    return _TRAILING.sub("", name) or name


def contrast_of(name: str) -> str:
    """Returns the contrast that a name without suffix says: "T1", "T2", `OTHER`, or "".

    The result is "" for a name that says none or several, such as `a_T2_in_T1`. "FLAIR" beside a
    contrast makes it another one. The name of a standard (BIDS) says its contrast at its end.
    """
    if name.startswith("sub-"):  # "space-T1w" and the like describe a grid
        if "_ce-" in name:
            return OTHER
        name = re.sub(r"_[A-Za-z]+-[^_]*(?=_)", "", name)
    said = {_CONTRAST_OF[w] for w in words(name) if w in _CONTRAST_OF}
    if OTHER in said:
        return OTHER
    return said.pop() if len(said) == 1 else ""


def without_contrast(name: str) -> str:
    """Returns a name without suffix, without its contrast wherever that stands, or "".

    Known words of processing after the contrast go as well: `sub-01_T1w_brain` gives `sub-01`,
    `T1_001` gives `001`, `a_T1_slice_5` gives `a_slice_5`.
    """
    parts = re.split(f"([{SEPARATORS}]+)", name)  # words at even places
    if not any(w.lower() in _CONTRAST_OF for w in parts[::2]):
        return name
    kept, found = "", False
    for separator, word in zip(["", *parts[1::2]], parts[::2], strict=True):
        if word.lower() in _CONTRAST_OF:
            found = True
        elif not (found and _PROCESSING.fullmatch(word.lower())):
            kept += (separator if kept else "") + word
    return kept


def is_contrast(name: str) -> bool:
    """Returns whether a name has no words but a contrast, such as the folders `t1` and `T2w`."""
    return without_contrast(name) == ""


def words(name: str) -> list[str]:
    """Returns the words of a name in lower case, as `SEPARATORS` and "+" divide them."""
    return [w for w in re.split(f"[+{SEPARATORS}]+", name.lower()) if w]
