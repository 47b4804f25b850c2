"""The random order in which training records are read, and the random numbers for each of them.

Both are those of Grain 0.2 (`source(...).seed(seed).shuffle().repeat(n)[:n].random_map(...)`), so
that older runs resume exactly. Grain finds the place of each record by itself: it encrypts the
record's number in a block of at least 16 bits, again and again until the result is the number of a
record (a cycle-walking cipher: Black and Rogaway 2002,
https://www.cs.ucdavis.edu/~rogaway/papers/subset.pdf). In a small set of N records that takes
milliseconds for each, 65,536 / N encryptions. Here a table of all encryptions is made once for an
epoch, and all records walk through it together.
"""

import dataclasses
import functools

import numpy as np

_LEAST_BITS = 16  # of a block
_ROUNDS = 4
_WORD = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class RandomOrder:
    """An endless random order of `count` records, in epochs that have each record once."""

    count: int
    seed: int

    def record(self, position: int) -> int:
        """Returns the number of the record at a position of the order."""
        epoch, place = divmod(position, self.count)
        return int(shuffled(self.count, (_derived(self.seed, 1) + epoch) % 2**32)[place])

    def generator(self, position: int) -> np.random.Generator:
        """Returns the random numbers for the record at a position of the order."""
        key = _philox_key(_derived(self.seed, 4))
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, position]))


@functools.cache
def _derived(seed: int, depth: int) -> int:
    """Returns the seed that Grain gives to the step that stands `depth` steps after `seed(...)`."""
    return int(np.random.SeedSequence([seed, depth]).generate_state(1)[0])


@functools.cache
def _philox_key(seed: int) -> np.ndarray:
    return np.random.Philox(seed).state["state"]["key"]


@functools.lru_cache(maxsize=16)  # both domains, and the epochs that a large batch spans
def shuffled(count: int, seed: int) -> np.ndarray:
    """Returns the numbers 0 to `count` - 1 in a random order, as uint32 `[count]`.

    Args:
      count: at least 1.
      seed: of one epoch, from 0 to 2**32 - 1.
    """
    if count == 1:
        return np.zeros(1, np.uint32)
    bits = max((count - 2).bit_length(), _LEAST_BITS)
    bits += bits % 2
    numbers = np.arange(2**bits)
    table = _encrypted(numbers, _round_keys(seed), bits // 2)
    places = table[np.arange(count) % len(table)]
    # `table` leads 1, 2, 4, ... encryptions on, but stays at the number of a record
    table[:count] = numbers[:count]
    while (places >= count).any():
        places = table[places]
        table = table[table]
    places = places.astype(np.uint32)
    places.flags.writeable = False
    return places


def _encrypted(values: np.ndarray, keys: list[int], width: int) -> np.ndarray:
    """Encrypts blocks of two words of `width` bits by the rounds of the cipher Simon.

    Beaulieu et al. 2013, https://eprint.iacr.org/2013/404.
    """
    words, mask = np.arange(2**width), 2**width - 1

    def turned(by: int) -> np.ndarray:
        return (words << by | words >> (width - by)) & mask

    mixed = (turned(1) & turned(8)) ^ turned(2)  # of each word
    left, right = values >> width & mask, values & mask
    for key in keys:  # each round changes the word that the last one did not
        left, right = right, left ^ (mixed ^ key & mask)[right]
    return left << width | right


def _round_keys(seed: int) -> list[int]:
    """Returns the key of each round: four numbers of the C++ standard's `std::seed_seq{seed}`."""
    keys = [0x8B8B8B8B] * _ROUNDS

    def mixed(x: int) -> int:
        return x ^ (x >> 27)

    def at(index: int) -> int:
        return keys[index % _ROUNDS]

    def put(index: int, value: int) -> None:
        keys[index % _ROUNDS] = value & _WORD

    # of ISO/IEC 14882, [rand.util.seedseq], for four numbers from one seed
    for k in range(_ROUNDS):
        first = 1664525 * mixed(at(k) ^ at(k + 1) ^ at(k - 1)) & _WORD
        second = first + (1, 1 + seed, 2, 3)[k]
        put(k + 1, at(k + 1) + first)
        put(k + 2, at(k + 2) + second)
        put(k, second)
    for k in range(_ROUNDS, 2 * _ROUNDS):
        first = 1566083941 * mixed((at(k) + at(k + 1) + at(k - 1)) & _WORD) & _WORD
        second = first - k % _ROUNDS
        put(k + 1, at(k + 1) ^ first)
        put(k + 2, at(k + 2) ^ (second & _WORD))
        put(k, second)
    return keys
