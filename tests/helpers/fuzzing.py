"""Reads damaged copies of a good file, first those of a fixed list, then random ones as long as the time allows.

`FUZZ_SECONDS` is the time for each reader, over all kinds of its files, and `FUZZ_SEED` repeats a run. The file of a
failure is kept, and named; if a reader hangs or takes the process down, the file is the one at its path.
"""

import faulthandler
import os
import random
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.helpers import ROOT
from tfvideogan.config import UsageError

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0.2"))
KEPT = ROOT / "runs" / "fuzzed"  # Temporary files end with the tests.
LONGEST = 5.0  # seconds for a file
MOST = 512  # megabytes beyond what the process had
_HANGS = 60  # After so many seconds the process is ended.
_PLACES = 12


def fuzz(
    read: Callable[[Path], object], path: Path, refused: tuple[type[Exception], ...] = (UsageError,), kinds: int = 1
) -> int:
    """Reads damaged copies of the file at `path`, which are written in its place, and returns how many they were.

    Args:
        refused: what a reader may raise.
        kinds: how many kinds of files share the time of their reader.

    Raises:
        AssertionError: one ended in another error than `refused`, took longer than 5 s, or more than 512 MB.
    """
    whole, seed = path.read_bytes(), int(os.environ.get("FUZZ_SEED", time.time_ns()))
    draw, end, count = random.Random(seed), time.monotonic() + SECONDS / kinds, 0
    fixed, before = systematic(whole), _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak is counted anew.
    while True:
        damaged = next(fixed, None)
        if damaged is None and time.monotonic() > end:
            break
        path.write_bytes(mutated(whole, draw) if damaged is None else damaged)
        count += 1
        try:
            _read_one(read, path, refused)
        except AssertionError as error:
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = shutil.copy(path, KEPT / f"{seed}-{count}{path.suffix}")
            raise AssertionError(f"seed {seed}, file {count}, kept as {kept}: {error}") from error
    path.write_bytes(whole)
    grown = _memory("VmHWM") - before
    assert grown < MOST, f"seed {seed}: {grown} MB more"
    return count


def _read_one(read: Callable[[Path], object], path: Path, refused: tuple[type[Exception], ...]) -> None:
    begin = time.monotonic()
    faulthandler.dump_traceback_later(_HANGS, exit=True)
    try:
        read(path)
    except refused as error:
        assert len(str(error)) < 5000, f"an error of {len(str(error))} letters"
    except Exception as error:
        raise AssertionError(repr(error)) from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    took = time.monotonic() - begin
    assert took < LONGEST, f"took {took:.1f} s"


def systematic(whole: bytes) -> Iterator[bytes]:
    """Eighty copies: cut off, emptied, parts of zeros or ones, parts twice or missing, and numbers that are huge."""
    step = max(len(whole) // _PLACES, 1)
    places = [min(step * i, len(whole) - 1) for i in range(_PLACES)]
    yield from (b"", b"\0", whole[:-1], whole + whole, b"[" * 100_000, b"\n" * 9)
    yield from (bytes(len(whole)), b"\xff" * len(whole))
    for at in places:
        yield whole[:at]
        yield whole[:at] + whole[at + step :]
        yield whole[: at + step] + whole[at:]
        for number in (struct.pack("<q", 2**40), struct.pack(">I", 2**31 - 1), b"\xff" * 8):
            yield whole[:at] + number + whole[at + len(number) :]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A file with up to 8 bytes replaced, and at times a part cut out, doubled, or the rest cut off."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        made[draw.randrange(len(made))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
    start, stop = sorted(draw.randrange(len(made)) for _ in range(2))
    what = draw.randrange(6)
    if what == 0:
        del made[start:stop]
    elif what == 1:
        made[start:start] = made[start:stop]
    elif what == 2:
        del made[start:]
    return bytes(made)


def _memory(what: str) -> int:
    """Megabytes of this process: VmRSS those of now, VmHWM the most since the count began."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(status[what].split()[0]) // 1024
