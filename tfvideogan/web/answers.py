"""What a request of the page asks for, checked, and the bytes that answer it. Nothing here knows HTTP."""

from __future__ import annotations

import io
import math
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tfvideogan.config import UsageError
from tfvideogan.files import encoders, picture_reader, pictures
from tfvideogan.inference import visuals
from tfvideogan.web.players import Films, Player, check_wind

Query = dict[str, str]
Answer = tuple[str, bytes]  # the type of the content, and the content

LONGEST_SIDE = 720  # Photos are scaled down to this.
FPS = 12
FOLD = 4  # The page knows it, too.
_SMALLEST_SIDE = 256  # The pixels of smaller clips are repeated when they are saved, as players do not enlarge them.
_LARGEST_SIDE = 4096  # pixels; thin clips are not enlarged beyond it
SAVED = {"mp4": "video/mp4", "webp": "image/webp", "gif": "image/gif"}
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1", b"ftypheim", b"ftypheis")


def clip(player: Player, query: Query) -> Answer:
    """The films of `seed`, or of the latents at a `share` of the way from it `to` another seed, as a strip.

    With `save` it is the clip alone, in a format of `SAVED`.
    """
    if player.about.predicts:
        raise UsageError("this model makes clips from photos")
    seed = _integer(query, "seed")
    to, share = (_integer(query, "to"), _number(query, "share")) if "to" in query else (seed, 0.0)
    if not 0 <= share <= 1:
        raise UsageError(f"share must be a number from 0 to 1. Received: {share}")
    return _answer(player.generate(seed, to, share), query)


def photo(content: bytes) -> tuple[Answer, str]:
    """An uploaded photo as the page shows it: upright, on white, as a JPEG of LONGEST_SIDE at most; and a note.

    Raises:
        UsageError: it is no picture, it is damaged, or it declares too many pixels; the error says which.
    """
    with tempfile.TemporaryDirectory(prefix="tfvideogan-demo-") as folder:
        file = Path(folder, "photo.heic" if content[4:12] in _HEIC else "photo")
        file.write_bytes(content)
        try:
            frame = picture_reader.read_image(file, pictures.at_most(LONGEST_SIDE))
        except UsageError as error:
            raise UsageError(str(error).removeprefix(f"{file}: ").removeprefix(f"{file}: ")) from error
        pages = picture_reader.count_pages(file)
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=92)
    return ("image/jpeg", buffer.getvalue()), f"It has {pages} pictures, of which the first is taken." * (pages > 1)


def prediction(player: Player, query: Query, content: bytes) -> Answer:
    """The films of a photo that `photo` has prepared, as a strip, or saved; with `own_size` at the photo's size."""
    if not player.about.predicts:
        raise UsageError("this model makes clips from seeds")
    wind = check_wind(_number(query, "u"), _number(query, "v"))
    try:
        image = Image.open(io.BytesIO(content), formats=["JPEG"])
        picture = np.asarray(image.convert("RGB")) if max(image.size) <= LONGEST_SIDE else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError("not a photo that this server has prepared") from error
    if picture is None:
        raise UsageError(f"a photo must have {LONGEST_SIDE} pixels at most a side. Received: {max(image.size)}")
    if "own_size" in query:
        return _answer({"clip": player.enlarge(picture, wind)}, query)
    return _answer(player.predict(picture, wind), query)


def _answer(films: Films, query: Query) -> Answer:
    """All films in one strip, or the last stage's clip in the format that the query asks to save it in."""
    save = query.get("save")
    if save is None:
        return _sheet(films["clip"]) if "own_size" in query else _strip(films)
    if save not in SAVED:
        raise UsageError(f"save must be one of {', '.join(SAVED)}. Received: {save[:40]!r}")
    name = next(name for name in ("clip", "stage 2", "stage 1") if name in films)
    sides = films[name].shape[1:3]
    frames = visuals.enlarge(films[name], max(1, min(_SMALLEST_SIDE // min(sides), _LARGEST_SIDE // max(sides))))
    return SAVED[save], encoders.encode_clip(frames, f".{save}", FPS)


def _strip(films: Films) -> Answer:
    """One PNG: the frames below each other, and the films side by side."""
    wide = np.concatenate(list(films.values()), axis=2)
    buffer = io.BytesIO()  # A person waits while it is made, so that it is compressed the fastest way.
    Image.fromarray(wide.reshape(-1, *wide.shape[2:])).save(buffer, "PNG", compress_level=1)
    return "image/png", buffer.getvalue()


def _sheet(frames: np.ndarray) -> Answer:
    """One JPEG of large frames, FOLD in a row, since browsers draw no picture that is as long as a strip of them.

    What is left of the last row is black.
    """
    frames = np.pad(frames, [(0, -len(frames) % FOLD), (0, 0), (0, 0), (0, 0)])
    rows = [np.concatenate(list(frames[start : start + FOLD]), axis=1) for start in range(0, len(frames), FOLD)]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "JPEG", quality=90)
    return "image/jpeg", buffer.getvalue()


def _integer(query: Query, name: str) -> int:
    try:
        value = int(query[name])
        if not -(2**63) <= value < 2**63:
            raise ValueError(value)
    except (KeyError, ValueError) as error:
        received = query.get(name, "nothing")[:40]
        raise UsageError(f"{name} must be an integer of 64 bits. Received: {received}") from error
    return value


def _number(query: Query, name: str) -> float:
    """A finite number, by default 0."""
    try:
        value = float(query.get(name, "0"))
        if not math.isfinite(value):
            raise ValueError(value)
    except ValueError as error:
        raise UsageError(f"{name} must be a number. Received: {query[name][:40]}") from error
    return value
