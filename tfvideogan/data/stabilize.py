"""Makes hand-held clips stand still, as Video-GAN's authors did off-line (arXiv 1609.02612, section 3).

Like theirs, this takes SIFT keypoints, Lowe's ratio 0.7, at least 10 good matches, and homographies by RANSAC, which it
accumulates; it fills holes (found by a mask eroded 5x5) from the frame before, and drops clips on which this fails.

It deviates in this: RANSAC's 5 pixels are 1/120 of the short side. Keypoints are found in frames shrunk to a short side
of 256 pixels, evenly over the frame, as a sharp thing that moves would otherwise outvote the background. They are
matched with the first frame too, against drift, and by brute force, as kd-trees are random. A homography has to be
plausible. A clip that stands still already, or would not move less, is left as it is.
"""

from __future__ import annotations

import numpy as np

from tfvideogan.files import optional

_WORKING_SIDE = 256  # Motion is found in frames of this short side, in pixels.
_CELLS, _KEYPOINTS_A_CELL = 9, 4  # The first counts cells along the short side.
_LOWE_RATIO, _MIN_MATCHES, _RANSAC = 0.7, 10, 1 / 120  # RANSAC's distance is in short sides.
_MOST_SCALE = 2  # A plausible homography scales by no more than this, up or down.
_LEAST_SHARED = 0.25  # Each frame has to show this share of the first frame's area.
_MIN_GRADIENT = 1  # Where grey levels differ by less from pixel to pixel, motion cannot be seen.
_STILL = 1 / 300  # A place that moves by less, in short sides, stands still; half a pixel of the authors' 128.
_STILL_SHARE = 0.15  # A clip stands still if this share of what has texture does.
_Keypoints = tuple[np.ndarray, np.ndarray]  # positions [N, 2] and SIFT descriptors [N, 128]


class StabilizationError(ValueError):
    """A clip that cannot be stabilised; the message says why."""


def stabilize(frames: np.ndarray) -> np.ndarray:
    """Every frame of uint8 [T, H, W, 3] warped into the coordinates of the first.

    Raises:
        StabilizationError: frames do not match, or move as no camera does.
        UsageError: OpenCV is missing.
    """
    cv2 = _opencv()
    size = [round(side * min(1, _WORKING_SIDE / min(frames.shape[1:3]))) for side in frames.shape[2:0:-1]]
    greys = [cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for x in frames]
    flows = (_flow(greys[0], grey) for grey in greys[1:])
    if all(np.sum((flow < _STILL * min(size)) & a & b) >= _STILL_SHARE * np.sum(a | b) for flow, a, b in flows):
        return frames
    stable = _warp(frames, _homographies([_keypoints(grey, frames.shape) for grey in greys], *frames.shape[1:3]))
    sampled = range(0, len(frames) - 1, 4)  # Every fourth pair of frames is enough to see which clip moves less.
    return min(frames, stable, key=lambda clip: np.mean([_motion(*clip[t : t + 2], skip_holes=False) for t in sampled]))


def is_cut(previous: np.ndarray, frame: np.ndarray) -> bool:
    """Whether a scene ends between two frames uint8 [H, W, 3], as neither the colours nor the structure stay.

    A flash keeps the structure. A fast pan keeps the colours, and the structure up to a shift by a fifth of the frame.
    """
    cv2 = _opencv()
    images = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in (previous, frame)]
    colours = [cv2.calcHist([image], [0, 1, 2], None, [6] * 3, [0, 256] * 3) / 64**2 for image in images]
    a, b = (image - cv2.GaussianBlur(image, (0, 0), 6) for image in np.float32(images))
    structure = [cv2.matchTemplate(x, y[13:-13, 13:-13], cv2.TM_CCOEFF_NORMED).max() for x, y in ((a, b), (b, a))]
    return bool(min(structure) < 0.5 and np.minimum(*colours).sum() < 0.75)  # Tuned on splices, pans and flashes.


def background_motion(frames: np.ndarray) -> float:
    """Pixels a frame by which the background of uint8 [T, H, W, 3] moves, 0.0 if no place has texture.

    This is the median over pairs of frames of the median optical flow (DIS) where there is texture, most of which is
    background. Patches that repeat the frame before to the bit are filled holes, and do not count.
    """
    return float(np.median([*map(_motion, frames, frames[1:])] or 0.0))


def _opencv():
    return optional.package("cv2", "OpenCV", "data")


def _motion(previous: np.ndarray, frame: np.ndarray, skip_holes: bool = True) -> float:
    """The median flow between two frames in pixels, where there is texture and no filled hole."""
    cv2 = _opencv()
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (previous, frame)]
    flow, before, after = _flow(*greys)
    seen = before | after
    repeated = cv2.erode(np.uint8(greys[0] == greys[1]), np.ones((5, 5)))
    if skip_holes and repeated.mean() < 1 - _LEAST_SHARED:  # A larger part is no hole but a picture that stands still.
        seen &= cv2.dilate(repeated, np.ones((15, 15))) == 0
    return float(np.median(flow[seen])) if seen.any() else 0.0


def _flow(previous: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [H, W] by which each place of a grey frame moves, and whether it has texture before and after."""
    cv2 = _opencv()
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(previous, frame, None)
    slopes = [np.float32(cv2.spatialGradient(cv2.GaussianBlur(grey, (5, 5), 1))) / 8 for grey in (previous, frame)]
    return np.linalg.norm(flow, axis=-1), *(cv2.blur(x * x + y * y, (9, 9)) > _MIN_GRADIENT**2 for x, y in slopes)


def _keypoints(grey: np.ndarray, shape: tuple[int, ...]) -> _Keypoints:
    """The strongest keypoints of each cell, at their positions in a frame of this shape."""
    sift = _opencv().SIFT_create(contrastThreshold=0.01)
    cells: dict[tuple[int, ...], list] = {}
    for keypoint in sorted(sift.detect(grey), key=lambda keypoint: -keypoint.response):
        cells.setdefault(tuple(int(x * _CELLS / min(grey.shape)) for x in keypoint.pt), []).append(keypoint)
    chosen, descriptors = sift.compute(grey, [point for cell in cells.values() for point in cell[:_KEYPOINTS_A_CELL]])
    positions = np.array([keypoint.pt for keypoint in chosen]).reshape(-1, 2) * shape[2:0:-1] / grey.shape[::-1]
    return positions, descriptors if chosen else np.empty((0, 128), np.float32)


def _matches(here: _Keypoints, there: _Keypoints) -> np.ndarray:
    """Positions [M, 2, 2] of the same points in both frames."""
    pairs = _opencv().BFMatcher().knnMatch(here[1], there[1], k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _LOWE_RATIO * pair[1].distance]
    return np.stack([here[0][[m.queryIdx for m in good]], there[0][[m.trainIdx for m in good]]], axis=1)


def _homographies(keypoints: list[_Keypoints], height: int, width: int) -> list[np.ndarray]:
    """The homography [3, 3] of each frame into the first.

    Matches with the frame before keep it steady, and those with the first frame keep it in place.
    """
    cv2 = _opencv()
    homographies, first, before = [np.eye(3)], keypoints[0], keypoints[0]
    for t in range(1, len(keypoints)):
        matches = [_matches(keypoints[t], placed) for placed in (before, first)[:t]]
        if (count := len(matches[0])) < _MIN_MATCHES:
            raise StabilizationError(f"too few matches: {count} of {_MIN_MATCHES} between frames {t - 1} and {t}")
        source, target = np.concatenate(matches).swapaxes(0, 1)
        homography, inliers = cv2.findHomography(source, target, cv2.RANSAC, _RANSAC * min(height, width))
        if homography is None or inliers.sum() < _MIN_MATCHES or not _is_plausible(homography, height, width):
            raise StabilizationError(f"no plausible camera motion between frames {t - 1} and {t}")
        homographies.append(homography)
        before = cv2.perspectiveTransform(keypoints[t][0][None], homography)[0], keypoints[t][1]
    return homographies


def _is_plausible(homography: np.ndarray, height: int, width: int) -> bool:
    """Whether the frame is not folded, and its sides and diagonals are scaled by no more than `_MOST_SCALE`."""
    corners = np.array([(x, y) for x in (0.0, width) for y in (0.0, height)])
    mapped = _opencv().perspectiveTransform(corners[None], homography)[0]
    i, j = np.triu_indices(4, 1)
    scales = np.linalg.norm(mapped[i] - mapped[j], axis=1) / np.linalg.norm(corners[i] - corners[j], axis=1)
    in_front = (corners @ homography[2, :2] + homography[2, 2]).min() > 0 and np.linalg.det(homography) > 0
    return bool(in_front and scales.min() > 1 / _MOST_SCALE and scales.max() < _MOST_SCALE)


def _warp(frames: np.ndarray, homographies: list[np.ndarray]) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] in the coordinates of the first; holes show the frame before."""
    cv2 = _opencv()
    size, everywhere = frames.shape[2:0:-1], np.full(frames.shape[1:3], 255, np.uint8)
    stable = frames.copy()
    for t, homography in enumerate(homographies[1:], 1):
        seen = cv2.erode(cv2.warpPerspective(everywhere, homography, size), np.ones((5, 5)))[..., None] == 255
        if seen.mean() < _LEAST_SHARED:
            raise StabilizationError(f"the camera turns away: frame {t} shows {seen.mean():.0%} of the first")
        warped = cv2.warpPerspective(frames[t], homography, size, flags=cv2.INTER_CUBIC)
        stable[t] = np.where(seen, warped, stable[t - 1])
    return stable
