"""What property tests draw. One strategy for each kind of value, so that every test meets the same hard ones."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any, Final

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from renalmap.imaging.volume import Box

settings.register_profile("renalmap", deadline=None)  # how long an example takes depends on the machine
settings.load_profile("renalmap")

ORIENTATIONS: Final = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]
"""All 48 ways in which a file may store its axes, as nibabel writes them."""

seeds: Final = st.integers(0, 2**32 - 1)
"""Of a NumPy Generator, for what Hypothesis would be too slow to draw element by element."""

shares: Final = st.floats(0.0, 1.0, width=32)
spacing_mm: Final = st.floats(0.25, 6.0, width=32)
spacings_yx_mm: Final = st.tuples(spacing_mm, spacing_mm)
spacings_zyx_mm: Final = st.tuples(spacing_mm, spacing_mm, spacing_mm)
origins_mm: Final = st.tuples(*[st.floats(-500.0, 500.0, width=32)] * 3)
orientations: Final = st.sampled_from(ORIENTATIONS)
small_shapes_zyx: Final = st.tuples(*[st.integers(1, 6)] * 3)

mask_pairs: Final = arrays.array_shapes(min_dims=3, max_dims=3, max_side=4).flatmap(
    lambda shape: st.tuples(arrays.arrays(np.bool_, shape), arrays.arrays(np.bool_, shape))
)
"""Two masks of one small shape, empty ones and equal ones among them."""

lattice_points: Final = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40
)
"""Points in a plane, many of them equal or in line."""


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> Box:
    """Boxes within a shape that hold at least one voxel."""
    starts = [draw(st.integers(0, size - 1)) for size in shape]
    stops = [draw(st.integers(start + 1, size)) for start, size in zip(starts, shape, strict=True)]
    return Box(tuple(starts), tuple(stops))


@st.composite
def noise(draw: st.DrawFn, shape: tuple[int, ...], densities: tuple[float, ...]) -> NDArray[np.bool_]:
    """Masks of scattered voxels, of which a density is foreground."""
    generator = np.random.default_rng(draw(seeds))
    mask: NDArray[np.bool_] = generator.random(shape) < draw(st.sampled_from(densities))
    return mask


@st.composite
def kidneys_with_tumours(
    draw: st.DrawFn, shape: tuple[int, ...], densities: tuple[float, ...]
) -> NDArray[np.uint8]:
    """Label maps of scattered foreground, half of it tumour."""
    foreground = draw(noise(shape, densities))
    tumour = np.random.default_rng(draw(seeds)).random(shape) < 0.5
    labels: NDArray[Any] = foreground.astype(np.uint8)
    labels[foreground & tumour] = 2
    return labels
