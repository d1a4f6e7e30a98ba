"""I3D's features of sets of clips, and the distances between them, each with its protocol.

All clips are treated alike, wherever they come from: their first frames are rounded to 8 bits, as files have them, and
resized to 224 x 224. What a data set's features depend on is the key under which they are kept.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfvideogan
from tfvideogan.config import UsageError
from tfvideogan.data import clips as clip_values
from tfvideogan.data.inputs import find_inputs
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.sources import ClipSource, Records
from tfvideogan.files import atomic, paths
from tfvideogan.metrics import i3d
from tfvideogan.metrics.fvd import Distance, frechet_distance
from tfvideogan.metrics.kvd import kernel_distance
from tfvideogan.weights import i3d_files

logger = logging.getLogger(__name__)

RESIZE = f"bilinear to {i3d.FRAME_SIZE}x{i3d.FRAME_SIZE}, centres of pixels, not antialiased"
# What the README of the reference tool (common_metrics_on_video_quality, its StyleGAN-V form) prints for black against
# white clips of 64 x 64 pixels, by their frames.
SELFCHECK_REFERENCE = {"10f": 569.230, "16f": 152.918, "30f": 151.256}
_SELFCHECK_SHAPE = (2, 30, 64, 64, 3)  # Clips that are equal have no covariance, so that two do for any number.
_AGREES = 0.01  # The tool's own figures of several versions of PyTorch differ by up to 0.2 %.
_TOLERANCE = 1e-3  # Float32 rounds values near 1 to above it.
_DISTANCES = {"fvd": frechet_distance, "kvd": kernel_distance}


class Extractor:
    """I3D as a function of batches of clips.

    Args:
        network: clips [N, T, 224, 224, 3] in [-1, 1] -> features [N, D].
        sha256: the checksum of its weights.
    """

    def __init__(self, network: keras.Model, sha256: str):
        self.sha256 = sha256
        self._forward = tf.function(lambda clips: network(i3d.resized(clips), training=False), reduce_retracing=True)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Extractor:
        """I3D with the tensors that `i3d_files.read` gives."""
        network = i3d.build_i3d()
        i3d.set_weights(network, arrays)
        digest = hashlib.sha256(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))
        return cls(network, digest.hexdigest())

    def features(self, batches: Iterable[np.ndarray], num_frames: int) -> np.ndarray:
        """Features [N, D] of the first `num_frames` frames of all clips of batches [n, T, H, W, 3] in [-1, 1].

        Raises:
            UsageError: clips are shorter, or have values that are not in [-1, 1].
        """
        features, lowest = [], np.inf
        for clips in batches:
            lowest = min(lowest, float(clips.min()))
            features.append(self.of_batch(clips, num_frames))
        if lowest >= 0:
            logger.warning("all values of the clips lie in [0, 1], and I3D takes clips in [-1, 1]")
        return np.concatenate(features)

    def of_batch(self, clips: np.ndarray, num_frames: int) -> np.ndarray:
        """The features of one batch; arguments and errors as for `features`."""
        low, high = float(clips.min()), float(clips.max())
        if not (low >= -1 - _TOLERANCE and high <= 1 + _TOLERANCE) or clips.shape[1] < num_frames:
            raise UsageError(f"clips must have {num_frames} frames or more, and values in [-1, 1]. Received: "
                             f"{clips.shape[1]} frames, values from {low:g} to {high:g}")  # fmt: skip
        rounded = clip_values.to_float(clip_values.to_uint8(clips[:, :num_frames]))
        return self._forward(tf.constant(rounded)).numpy()


def between(wanted: Sequence[Distance], generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """The distances of two sets of features by their names.

    Raises:
        UsageError: the sets have not as many clips as the names say, or features are no finite numbers.
    """
    for name, features in (("generated", generated), ("real", real)):
        if bad := int((~np.isfinite(features).all(axis=1)).sum()):
            raise UsageError(f"--metrics: no distance is defined where features are no finite numbers. Received: those "
                             f"of {bad} of {len(features)} {name} clips")  # fmt: skip
    for distance in wanted:
        if not len(generated) == len(real) == distance.num_clips:
            raise UsageError(f"--metrics: {distance.name} is of {distance.num_clips} clips of each. Received: "
                             f"{len(generated)} generated, {len(real)} real ones")  # fmt: skip
    return {distance.name: _DISTANCES[distance.kind](generated, real) for distance in wanted}


def check_counts(wanted: Sequence[Distance], counts: Mapping[str, int]) -> None:
    """Raises UsageError if one of these sets has too few clips. It is called before anything is computed."""
    for distance in wanted:
        for name, count in counts.items():
            if count < distance.num_clips:
                fewer = dataclasses.replace(distance, num_clips=count).name
                raise UsageError(f"--metrics: {distance.name} wants {distance.num_clips} clips of each set, and {name} "
                                 f"has {count}; of as many is {fewer}")  # fmt: skip


def protocol(distance: Distance, size: int, extractor: Extractor) -> dict[str, Any]:
    """What a distance depends on, for the JSON line. The data, their split and the seed stand in the line itself."""
    return {
        "clips_of_each": distance.num_clips,
        "frames": f"the first {distance.num_frames}, stride 1",
        "values": "rounded to 8 bits, then [-1, 1]",
        "size_before_resize": size,
        "resize": RESIZE,
        "features": f"I3D {i3d_files.VARIANT}, logits averaged over time",
        "i3d_sha256": extractor.sha256,
        "estimator": "covariances over N - 1" if distance.kind == "fvd" else "unbiased MMD^2, (x.y / 400 + 1)^3",
    }


def selfcheck(extractor: Extractor) -> dict[str, Any]:
    """The FVD of clips that are all black against clips that are all white, beside what the reference tool prints."""
    black, white = (np.full(_SELFCHECK_SHAPE, value, np.float32) for value in (-1, 1))
    distances = {}
    for name in SELFCHECK_REFERENCE:
        num_frames = int(name.removesuffix("f"))
        distances[name] = frechet_distance(*(extractor.of_batch(clips, num_frames) for clips in (black, white)))
    agrees = all(abs(distances[name] / of - 1) < _AGREES for name, of in SELFCHECK_REFERENCE.items())
    if not agrees:
        logger.warning("FVD is not what the reference tool gives; please report it, with this line")
    return {
        "selfcheck": "FVD of black against white clips of 64 x 64, by their frames",
        "fvd": distances,
        "reference": SELFCHECK_REFERENCE,
        "reference_of": "common_metrics_on_video_quality",
        "agrees": agrees,
        "i3d_sha256": extractor.sha256,
    }


@dataclasses.dataclass(frozen=True)
class Known:
    """A source of clips, and what it was opened with.

    Attributes:
        data: its name.
        size: pixels a side of its clips.
        num_frames: frames of its clips, by which videos are cut, also where a distance takes the first ones alone.
        seed: of clips that are made on the fly.
        form: how arrays are read.
        allow_outside: whether a list may name files outside of its own folder.
    """

    data: str
    source: ClipSource
    size: int
    num_frames: int
    seed: int = 0
    form: Form = BY_RULE
    allow_outside: bool = False


def features_of(
    known: Known, extractor: Extractor, folder: str | None, distance: Distance, batches: Iterable[np.ndarray]
) -> np.ndarray:
    """The features that a distance takes of a source, from the cache, or of `batches` of its clips.

    Args:
        folder: the cache; None or empty for none.
        batches: clips [n, T, H, W, 3] in [-1, 1], which are not looked at if the features are kept.
    """
    compute = functools.partial(extractor.features, batches, distance.num_frames)
    key = _key(known, distance, extractor) if folder else None
    return compute() if key is None else _cached(paths.path(folder), key, compute)


def _cached(folder: paths.Path, key: dict[str, Any], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Features by the key of all that they depend on, read from a folder, or computed and kept there."""
    text = json.dumps(key, sort_keys=True)
    file = folder / f"i3d-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    if file.is_file():
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
                features, of = kept["features"], str(kept["key"])
            if of == text and features.ndim == 2 and len(features) == key["num_clips"] and np.isfinite(features).all():
                logger.info("the features of %s are those of %s", key["data"], file)
                return features
            raise ValueError("other features")
        except Exception as error:  # Whatever a damaged archive raises, the features can be computed again.
            logger.warning("%s is damaged and written anew: %s", file, paths.first_line(error))
    features, content = compute(), io.BytesIO()
    np.savez(content, features=features, key=text)
    try:
        atomic.write_bytes(file, content.getvalue())
    except OSError as error:
        logger.warning("the features are not kept: %s", paths.first_line(error))
    return features


def _key(known: Known, distance: Distance, extractor: Extractor) -> dict[str, Any] | None:
    """What the features of a source's clips depend on; None for remote data, whose files would all have to be asked."""
    if paths.is_remote(known.data):
        return None
    files: list[str] = []
    if isinstance(known.source, Records):
        files = known.source.shards
    elif not known.data.startswith("synthetic:"):
        files = [
            file for item in find_inputs(known.data, known.allow_outside, known.form).inputs for file in item.files
        ]
    stats = [(file, stat.st_size, stat.st_mtime_ns) for file in files if (stat := Path(paths.path(file)).stat())]
    return {
        "data": known.data,
        "files_sha256": hashlib.sha256(json.dumps(stats).encode()).hexdigest(),
        "num_clips": distance.num_clips,
        "chosen": f"evenly of {len(known.source)}",  # The more clips are wanted, the more of a folder are decoded.
        "num_frames": distance.num_frames,
        "cut_to_frames": known.num_frames,
        "size_before_resize": known.size,
        "seed": known.seed,
        "arrays": dataclasses.asdict(known.form),
        "resize": RESIZE,
        "i3d_sha256": extractor.sha256,
        "versions": [tfvideogan.__version__, tf.__version__],
    }
