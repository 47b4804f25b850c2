"""Simulates a 3-D head by physics: the default data set, made from a seed when it is needed.

A head is a set of implicit surfaces shaped by random parameters and smooth random fields. Every
voxel gets tissue fractions, every tissue a spin-echo signal; mixed, they give an exactly paired
T1-weighted and T2-weighted volume. Head coordinates are in mm: x to the patient's left, y to the
front, z to the top, origin near the anterior commissure; point sets `p` are float32 [3, n]. Shapes
are functions of continuous coordinates: `size` and `slices` only sample a fixed head.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

FIELD_OF_VIEW = 230.0  # mm; a few percent of it stay free around the largest heads
FULL_SIGNAL = 1000.0  # signal of PD = 1 without any relaxation, arbitrary scanner units
T1_WEIGHTED = (350.0, 10.0)  # TR, TE in ms of the spin echo
T2_WEIGHTED = (4000.0, 100.0)

# Proton density (1 = water), T1 and T2 in ms at 1.5 T.
#   CSF, grey, white, muscle/skin, MS lesion: BrainWeb (Kwan, Evans, Pike, IEEE TMI 18:1085, 1999).
#   Marrow: T1 and T2 of de Bazelaire et al., Radiology 230:652, 2004; half its volume is bone.
#   Deep grey (T2 shortened by iron) and scalp (fat and skin mixed) are chosen, not measured.
_PROPERTIES: dict[str, tuple[float, float, float]] = {
    "air": (0.0, 1.0, 1.0),
    "csf": (1.0, 2569.0, 329.0),
    "grey_matter": (0.86, 833.0, 83.0),
    "white_matter": (0.77, 500.0, 70.0),
    "deep_grey_matter": (0.83, 720.0, 75.0),
    "scalp": (0.9, 500.0, 60.0),
    "skull": (0.03, 500.0, 10.0),  # cortical bone: next to no mobile protons
    "muscle": (1.0, 900.0, 47.0),  # temporal muscle and skin, one class in BrainWeb too
    "lesion": (0.76, 752.0, 237.0),
    "marrow": (0.5, 549.0, 49.0),
}
TISSUES: tuple[str, ...] = tuple(_PROPERTIES)  # index = label value
BRAIN_TISSUES = ("csf", "grey_matter", "white_matter", "deep_grey_matter", "lesion")
_Layers = list[tuple[str, np.ndarray]]  # tissue, depth [n] in mm; each covers those before it


@dataclasses.dataclass(frozen=True)
class Phantom:
    """One head: slices from inferior to superior, row 0 anterior, column 0 patient's right."""

    t1: np.ndarray  # float32 [slices, size, size], signal >= 0, white matter about 335
    t2: np.ndarray  # float32 [slices, size, size], signal >= 0, white matter about 185
    labels: np.ndarray  # uint8 [slices, size, size], tissue with the largest fraction


class _Field:
    """Smooth random field, mean 0, variance 1: a sum of plane waves of similar length (mm)."""

    def __init__(self, rng: np.random.Generator, wavelength: float, count: int = 6) -> None:
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        magnitude = 2 * np.pi / wavelength * rng.uniform(0.8, 1.25, size=(count, 1))
        self.vectors = (direction * magnitude).astype(np.float32)  # [count, 3], radians per mm
        self.phases = rng.uniform(0, 2 * np.pi, size=(count, 1)).astype(np.float32)
        self.scale = float(np.sqrt(2 / count))

    def value(self, p: np.ndarray) -> np.ndarray:
        """Returns the field [n]."""
        return self.scale * np.cos(self.vectors @ p + self.phases).sum(axis=0)

    def gradient(self, p: np.ndarray) -> np.ndarray:
        """Returns the gradient [3, n] per mm."""
        return -self.scale * (self.vectors.T @ np.sin(self.vectors @ p + self.phases))


class _Head:
    """The random parameters of one anatomy: adult ranges, lengths in mm."""

    def __init__(self, rng: np.random.Generator, lesions: bool) -> None:
        age = rng.uniform()  # older: wider ventricles and sulci, together
        self.angles = np.deg2rad(rng.uniform(-1, 1, size=3) * (5, 3, 5))  # pitch, roll, yaw
        self.shift = rng.uniform(-1.5, 1.5, size=(3, 1))
        self.axes = (rng.uniform(62, 69), rng.uniform(78, 86), rng.uniform(64, 70))  # of the hull
        self.centre, self.lowest = rng.uniform(6, 10), rng.uniform(-2, 3)  # z: hull, first slice
        self.egg = rng.uniform(0.02, 0.12)  # relative widening towards the back
        self.warp = [_Field(rng, 110) for _ in range(3)]  # deformation of the whole head
        self.wobble = [_Field(rng, 32) for _ in range(3)]  # deformation inside the brain
        self.layers = _Field(rng, 70)  # variation of the thickness of skull and scalp
        self.folds = _Field(rng, rng.uniform(19, 23), 16)  # zero at the middle of the sulci
        self.reach = _Field(rng, 40)  # variation of their depth
        self.texture = _Field(rng, 18, 10)  # variation of the proton density
        self.sulcus, self.depth = 0.25 + 0.5 * age, rng.uniform(15, 20)  # half width and depth
        self.cortex = rng.uniform(3.3, 4.1)
        self.csf = 1.0 + 1.4 * age  # between brain and skull
        self.skull, self.fat, self.muscle = rng.uniform((5, 2.5, 3), (8, 6, 7)).tolist()
        self.calibre = 0.8 + 0.5 * age + rng.uniform(-0.12, 0.12, size=2)  # right, left ventricle
        self.nuclei = rng.uniform(-0.8, 0.8)  # growth of the deep grey matter
        count = int(rng.integers(8, 17)) if lesions else 0  # drawn last: same head without them
        x = rng.choice((-1, 1), size=count) * rng.uniform(12, 34, size=count)
        y, z = rng.uniform(-48, 38, size=count), rng.uniform(8, 46, size=count)
        # [count, 6]: centre and semi-axes
        self.lesions = np.stack([x, y, z, *rng.uniform(2.5, 6.5, size=(3, count))], axis=1)


def _ellipsoid(p: np.ndarray, centre: Sequence[float], axes: Sequence[float]) -> np.ndarray:
    """Returns the signed distance (mm, negative inside, first order) to an aligned ellipsoid."""
    scale = np.array(axes, np.float32)[:, None]
    q = (p - np.array(centre, np.float32)[:, None]) / scale
    radius = np.sqrt((q**2).sum(axis=0)) + 1e-3
    return (radius - 1) * radius / (np.sqrt(((q / scale) ** 2).sum(axis=0)) + 1e-4)


def _tube(p: np.ndarray, nodes: Sequence[tuple[float, float, float, float]]) -> np.ndarray:
    """Returns the signed distance (mm, negative inside) to round cones.

    Their nodes are (x, y, z, radius).
    """
    result = np.full(p.shape[1], np.inf, np.float32)
    for a, b in itertools.pairwise(np.array(nodes, np.float32)):
        step, d = b[:3] - a[:3], p - a[:3, None]
        along = np.clip(step @ d / (step @ step), 0, 1)
        distance = np.sqrt(((d - along * step[:, None]) ** 2).sum(axis=0))
        result = np.minimum(result, distance - a[3] - along * (b[3] - a[3]))
    return result


def _hull_depth(head: _Head, p: np.ndarray) -> np.ndarray:
    """Returns the depth (mm, negative outside, first order) below the brain's smooth hull."""
    power = 2.3  # between an ellipsoid and a box: the fullness of a skull
    axes = np.array(head.axes, np.float32)[:, None]
    q = np.stack([p[0] * (1 + head.egg / head.axes[1] * p[1]), p[1], p[2] - head.centre])
    q = np.maximum(np.abs(q) / axes, 1e-3)
    low = q ** (power - 1)
    total = (low * q).sum(axis=0)  # radius ** power
    return (total ** (1 - 1 / power) - total) / np.sqrt(((low / axes) ** 2).sum(axis=0))


def _sulcal_distance(head: _Head, p: np.ndarray) -> np.ndarray:
    """Returns the distance (mm, first order: |f| / |grad f|) to the middle of the nearest sulcus.

    The fold field is read at u = p (|p| / 55)^(a - 1), p from the middle of the hemisphere. It
    changes slowly along the rays: its zero set is sheets at right angles to the surface, as sulci
    are. Its gradient in p is that in u times (|p| / 55)^(a - 1), the radial part also by a.
    """
    a = 0.35
    q = p - np.stack([18 * np.sign(p[0]), 0 * p[1], np.full_like(p[2], head.centre)])
    square = (q**2).sum(axis=0) + 1
    stretch = (square / 55**2) ** ((a - 1) / 2)
    u = q * stretch
    gradient = head.folds.gradient(u)
    radial = (gradient * q).sum(axis=0) ** 2 / square
    slope = (gradient**2).sum(axis=0) - (1 - a * a) * radial
    least = 0.2 * float((head.folds.vectors**2).mean())  # else saddles turn into lakes
    return np.abs(head.folds.value(u)) / (stretch * np.sqrt(slope + least))


def _pial_depth(head: _Head, p: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """Returns the depth (mm) below the folded surface of the brain; it is negative in CSF."""
    x, (_, y, z) = np.abs(p[0]), p
    # Fissure between the hemispheres, closed by the corpus callosum and what lies below it.
    callosum = -_ellipsoid(p, (0, -8, 0), (60, 38, 29))
    fissure = np.hypot(x, np.maximum(callosum, 0))
    # Sylvian fissure: the insula's plane and a stem that climbs backwards to the surface.
    insula = np.hypot(x - 39 - 0.006 * (y - 2) ** 2, np.maximum(np.abs(y - 2) - 18, 0))
    stem = np.hypot(y - 10 + 0.8 * z, np.maximum(40 - x, 0))
    sylvian = np.hypot(np.minimum(insula, stem), np.maximum(z - 16, 0))
    # Sulci start from any of these surfaces and end at a varying depth, outside the core.
    outer = np.minimum(hull, np.minimum(1.8 * fissure, 2 * sylvian))
    reach = head.depth + 7 * head.reach.value(p)
    sulci = np.hypot(_sulcal_distance(head, p), np.maximum(outer - reach, 0))
    sulci = np.maximum(sulci, -_ellipsoid(p, (0, -8, 2), (34, 40, 31)))
    width = head.sulcus * (1 + np.exp(-np.maximum(hull, 0) / 5))
    crevice = np.minimum(np.minimum(sulci, fissure - 0.3), sylvian - 0.5) - width
    crease = np.maximum(3 - np.abs(hull - crevice), 0)  # gyri are round: smooth minimum, 3 mm
    return np.minimum(hull, crevice) - crease**2 / 12


def _ventricles(head: _Head, p: np.ndarray) -> np.ndarray:
    """Returns the signed distance (mm, negative inside) to the ventricles and a cistern."""
    front = ((15, 34, 2, 2.5), (9.5, 22, 6.5, 4.5), (9, 2, 10.5, 4.5), (12, -18, 11.5, 5))
    back = ((20, -36, 8, 6), (24, -48, 4, 4), (24, -62, 3, 2))
    # The lateral ventricle is twice as tall as wide: a tube, from horn to horn, in halved z.
    lateral = _tube(np.stack([np.abs(p[0]), p[1], p[2] / 2]), front + back)
    lateral -= 3.5 * (np.where(p[0] < 0, *head.calibre.astype(np.float32)) - 1)
    third = _ellipsoid(p, (0, -9, -2), (0.8 + float(head.calibre.mean()), 13, 11))
    cistern = _ellipsoid(p, (0, -36, -2), (9, 4, 7))  # behind the midbrain
    return np.minimum(np.minimum(lateral, third), cistern)


def _brain_layers(head: _Head, p: np.ndarray, hull: np.ndarray) -> _Layers:
    """Returns what lies below the hull: folded cortex, deep nuclei, lesions, ventricles."""
    p = p + 1.2 * np.stack([field.value(p) for field in head.wobble])
    pial = _pial_depth(head, p, hull)
    x, (_, y, z) = np.abs(p[0]), p
    tilted = np.stack([x * 0.94 + y * 0.34, y * 0.94 - x * 0.34, z])  # 20 degrees, front medial
    lentiform = _ellipsoid(tilted, (26, -8, 2), (8, 20, 14))
    thalamus = _ellipsoid(tilted, (6, -19, 7), (9, 14, 12))
    caudate = _tube(np.stack([x, y, z]), ((14, 20, 4, 6.5), (17, 4, 18, 5), (21, -18, 23, 2)))
    deep = head.nuclei - np.minimum(caudate, np.minimum(lentiform, thalamus))
    layers = [("grey_matter", pial), ("white_matter", pial - head.cortex)]
    layers.append(("deep_grey_matter", deep))
    for lesion in head.lesions:
        inside = -_ellipsoid(p, lesion[:3], lesion[3:])
        layers.append(("lesion", np.minimum(np.minimum(inside, pial - head.cortex), -deep)))
    return [*layers, ("csf", -_ventricles(head, p))]


def _outer_layers(head: _Head, p: np.ndarray, hull: np.ndarray) -> _Layers:
    """Returns what lies around the brain: skin, fat, muscle, two tables of bone, CSF."""
    vary = np.clip(head.layers.value(p), -2, 2)
    temple = np.exp(-(((p[1] - 18) / 30) ** 2) - (np.maximum(p[2] - 2, 0) / 22) ** 2)
    temple *= np.clip(np.abs(p[0]) / 40 - 0.6, 0, 1)
    skull = hull + head.csf * (1 + 0.2 * vary)
    marrow = skull + head.skull * np.clip(0.58 + 0.24 * vary, 0.5, 0.8)
    bone = skull + head.skull * (1 + 0.12 * vary)
    muscle = bone + head.muscle * temple
    fat = muscle + head.fat * (1 - 0.2 * vary) * (1 - 0.5 * temple)
    layers = [("muscle", fat + 1.8), ("scalp", fat), ("muscle", muscle), ("skull", bone)]
    return [*layers, ("marrow", marrow), ("skull", skull + 0.42 * head.skull), ("csf", skull)]


def _paint(fractions: np.ndarray, layers: _Layers, h: float) -> None:
    """Lays tissues over fractions [tissues, n] in turn, edges blurred over the voxel, h mm."""
    for tissue, depth in layers:
        inside = np.clip(depth / h + 0.5, 0, 1)
        fractions *= 1 - inside
        fractions[TISSUES.index(tissue)] += inside


def _slice(head: _Head, z: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tissue fractions [tissues, size^2] and relative density [size^2] of a slice."""
    h = FIELD_OF_VIEW / size
    centres = ((np.arange(size) + 0.5) * h - FIELD_OF_VIEW / 2).astype(np.float32)
    x, y = (c.ravel() for c in np.meshgrid(centres, -centres))
    p = np.stack([x, y, np.full_like(x, z)]) - head.shift.astype(np.float32)
    for angle, (i, j) in zip(head.angles, ((1, 2), (2, 0), (0, 1)), strict=True):
        c, s = float(np.cos(angle)), float(np.sin(angle))
        p[i], p[j] = c * p[i] - s * p[j], s * p[i] + c * p[j]
    p = p + 1.5 * np.stack([field.value(p) for field in head.warp])
    hull = _hull_depth(head, p)
    fractions = np.zeros((len(TISSUES), size * size), np.float32)
    fractions[0] = 1
    _paint(fractions, _outer_layers(head, p, hull), h)
    brain = np.flatnonzero(hull > -h)
    part = fractions[:, brain]
    _paint(part, _brain_layers(head, p[:, brain], hull[brain]), h)
    fractions[:, brain] = part
    return fractions, 1 + 0.025 * head.texture.value(p)


def spin_echo(pd: np.ndarray, t1: np.ndarray, t2: np.ndarray, tr: float, te: float) -> np.ndarray:
    """Returns the spin-echo signal for TE << TR, times in ms (Haacke et al., MRI, Wiley 1999)."""
    return pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)


def tissue_signal(tissue: str, sequence: tuple[float, float]) -> float:
    """Returns the signal of one of `TISSUES` in a spin echo of the given TR and TE in ms."""
    pd, t1, t2 = np.array(_PROPERTIES[tissue])
    return float(spin_echo(pd, t1, t2, *sequence))


def _scan(rng: np.random.Generator, clean: np.ndarray, noise: float, bias: float) -> np.ndarray:
    """Applies coil shading and noise to a volume [slices, size, size] of signal >= 0.

    Shading is 1 + s w, w very smooth, |w| <= 1, s from 0.3 to 1 times `bias`. The magnitude of two
    channels with noise of standard deviation `noise` is Rician (Gudbjartsson, MRM 34:910, 1995).
    """
    strength = bias * rng.uniform(0.3, 1)
    waves = rng.uniform(-1.5, 1.5, size=(3, 3)) * np.pi  # at most 3/4 period across the volume
    phases = rng.uniform(0, 2 * np.pi, size=3)
    z, y, x = np.ix_(*((np.arange(n) + 0.5) / n for n in clean.shape))
    angles = (a * z + b * y + c * x + d for (a, b, c), d in zip(waves, phases, strict=True))
    shade = sum(map(np.cos, angles)) / 3
    real = clean * (1 + strength * shade) + rng.normal(scale=noise, size=clean.shape)
    return np.hypot(real, rng.normal(scale=noise, size=clean.shape)).astype(np.float32)


def make_phantom(
    seed: int,
    *,
    size: int,
    slices: int,
    lesions: bool = False,
    noise: float = 0.03,
    bias: float = 0.15,
) -> Phantom:
    """Makes the head of a seed; equal arguments give equal bits.

    Args:
        seed: chooses the anatomy, which is the same whatever the other arguments are.
        size: rows and columns of the slices, over a fixed field of view.
        slices: equally spaced from the basal ganglia to near the vertex.
        lesions: adds white-matter lesions.
        noise: standard deviation of the noise over the signal of white matter.
        bias: largest relative coil shading.
    """
    seeds = np.random.SeedSequence(seed).spawn(4)
    anatomy, chemistry, *scanners = (np.random.default_rng(s) for s in seeds)
    head = _Head(anatomy, lesions)
    variation = np.exp(0.02 * chemistry.normal(size=(3, len(TISSUES))))
    pd, t1, t2 = np.transpose(list(_PROPERTIES.values())) * variation
    weights = np.stack([spin_echo(pd, t1, t2, *s) for s in (T1_WEIGHTED, T2_WEIGHTED)])
    weights = (FULL_SIGNAL * weights).astype(np.float32)
    signals = np.empty((2, slices, size, size), np.float32)
    labels = np.empty((slices, size, size), np.uint8)
    fine = 2 if size <= 128 else 1  # sulci are thinner than a voxel: sample more densely
    levels = np.linspace(head.lowest, head.centre + 0.72 * head.axes[2], slices)
    for i, level in enumerate(levels):  # one by one: bounds the memory
        fractions, density = _slice(head, float(level), size * fine)
        block = (-1, size, fine, size, fine)
        labels[i] = fractions.reshape(block).mean(axis=(2, 4)).argmax(axis=0)
        signals[:, i] = (weights @ fractions * density).reshape(block).mean(axis=(2, 4))
    white = noise * weights[:, TISSUES.index("white_matter")].astype(float)
    t1w, t2w = (_scan(r, s, w, bias) for r, s, w in zip(scanners, signals, white, strict=True))
    return Phantom(t1w, t2w, labels)
