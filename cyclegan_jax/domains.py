"""The two domains and the two directions: their names, their labels, and the network of each.

No other module defines the labels of contrasts or the names of directions.
"""

import enum

DOMAINS = ("x", "y")
CONTRASTS = {"x": "T1", "y": "T2"}  # of each domain; the short names of radiology
DOMAIN_OF = {"x": "x", "y": "y", "t1": "x", "t2": "y"}  # of what users write, in lower case


class Direction(enum.StrEnum):
    """A direction of translation. Its value is its name in flags, in files and in dictionaries."""

    T1_TO_T2 = "t1_to_t2"
    T2_TO_T1 = "t2_to_t1"

    @property
    def source(self) -> str:
        """The domain that is translated, "x" or "y"."""
        return "x" if self is Direction.T1_TO_T2 else "y"

    @property
    def target(self) -> str:
        """The domain of the translation, "x" or "y"."""
        return self.back.source

    @property
    def back(self) -> "Direction":
        """The opposite direction."""
        return Direction.T2_TO_T1 if self is Direction.T1_TO_T2 else Direction.T1_TO_T2

    @property
    def generator(self) -> str:
        """The name of the network that translates, a field of `models.networks.Networks`."""
        return "generator_g" if self is Direction.T1_TO_T2 else "generator_f"

    @property
    def baseline(self) -> str:
        """The name of the untranslated source, scored as if it were the translation."""
        return "_as_".join(CONTRASTS[domain].lower() for domain in (self.source, self.target))

    @property
    def cycle(self) -> str:
        """The name of a translation there and back."""
        return f"{self.value}_to_{CONTRASTS[self.source].lower()}"


DIRECTIONS = tuple(Direction)
BASELINES = tuple(direction.baseline for direction in DIRECTIONS)
TARGETS = {  # the domain of the truth of each direction's and each baseline's images
    name: direction.target
    for direction in DIRECTIONS
    for name in (direction.value, direction.baseline)
}


def label(name: str) -> str:
    """Returns the words that tables and figures show for a direction, a baseline or a cycle.

    "t1_to_t2" gives "T1→T2", "t1_as_t2" gives "T1 as T2", "t1_to_t2_to_t1" gives "T1→T2→T1". Any
    other name comes back as it is.
    """
    known = {n for d in DIRECTIONS for n in (d.value, d.baseline, d.cycle)}
    if name not in known:
        return name
    words = name.replace("_to_", "→").replace("_as_", " as ")
    return words.replace("t1", CONTRASTS["x"]).replace("t2", CONTRASTS["y"])
