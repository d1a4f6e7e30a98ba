"""NumPy's files on disk, healthy, damaged and hostile."""

import io
import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import made_files
from tfvideogan.config import UsageError
from tfvideogan.files import arrays, pictures
from tfvideogan.files.arrays import Part


class ArraysTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def saved(self, array: np.ndarray, name: str = "a.npy") -> Path:
        np.save(self.folder / name, array)
        return self.folder / name

    def read(self, path: Path, layout: str, values: str = "0:255", index: int | None = None, member: str = ""):
        def fit(width: int, height: int) -> tuple[int, int]:
            return width, height

        return np.stack(list(arrays.read_frames(path, Part(member, layout, values, index), fit)))

    def refused(self, path: Path, message: str) -> None:
        with self.assertRaisesRegex(UsageError, f"^{path}: .*{message}"):
            arrays.headers(path)

    def test_every_order_of_axes_gives_the_same_frames(self):
        clips = np.random.default_rng(0).integers(0, 256, [2, 3, 4, 5, 3], np.uint8)  # N, T, H, W, C
        for layout in ("NTHWC", "TNHWC", "NTCHW", "TNCHW", "NCTHW"):
            path = self.saved(clips.transpose(["NTHWC".index(axis) for axis in layout]), f"{layout}.npy")
            self.assertAllEqual(self.read(path, layout, index=1), clips[1])
        for layout in ("THWC", "TCHW", "CTHW"):
            path = self.saved(np.asfortranarray(clips[0].transpose(["THWC".index(axis) for axis in layout])))
            self.assertAllEqual(self.read(path, layout), clips[0])
        grey = np.repeat(clips[..., :1], 3, -1)
        self.assertAllEqual(self.read(self.saved(clips[..., 0]), "NTHW", index=0), grey[0])
        moving_mnist = self.saved(clips[..., 0].swapaxes(0, 1), "mnist_test_seq.npy")
        self.assertAllEqual(self.read(moving_mnist, "TNHW", index=1), grey[1])

    def test_black_and_white_of_every_type(self):
        shares = np.array([0, 0.2, 1.0])[:, None, None]  # of white: the levels 0, 51, 255
        for values, array in (
            ("0:1", np.float32(shares)),
            ("0:1", np.float64(shares).astype(">f8")),
            ("-1:1", np.float16(2 * shares - 1)),
            ("0:255", np.int64(shares * 255)),
            ("0:65535", np.uint16(shares * 65535)),
            ("0:1", np.float32(shares * 1.04 - 0.001)),  # as a filter leaves them: clipped
        ):
            frames = self.read(self.saved(array), "THW", values)
            self.assertAllClose(frames[:, 0, 0, 0].astype(int), [0, 51, 255], atol=2, msg=values)
        self.assertAllEqual(self.read(self.saved(shares > 0.5), "THW", "0:1")[:, 0, 0, 0], [0, 0, 255])
        for values, array, message in (
            ("0:1", shares * 255, "frame 1 has values from 51 to 51, beyond 0 to 1"),
            ("0:1", shares * 2 - 1, "frame 0 has values from -1 to -1"),
            ("-1:1", np.where(shares > 0.5, np.nan, shares), "frame 2 holds values that are no finite numbers"),
        ):
            path = self.saved(array)
            with self.assertRaisesRegex(UsageError, f"^{path}: {message}"):
                self.read(path, "THW", values)

    def test_opacity_lies_on_paper(self):
        path = self.saved(np.array([[[[200, 0, 0, 0], [0, 0, 200, 255]]]], np.uint8))
        self.assertAllEqual(self.read(path, "THWC")[0, 0], [[255, 255, 255], [0, 0, 200]])

    def test_a_file_of_several_arrays(self):
        clips = np.random.default_rng(0).integers(0, 256, [2, 3, 4, 5], np.uint8)
        for save in (np.savez, np.savez_compressed):
            path = self.folder / f"{save.__name__}.npz"
            save(path, clips=clips, labels=np.arange(2))
            self.assertEqual([(h.member, h.shape) for h in arrays.headers(path)],
                             [("clips", (2, 3, 4, 5)), ("labels", (2,))])  # fmt: skip
            self.assertAllEqual(self.read(path, "NTHW", index=1, member="clips")[..., 2], clips[1])

    def test_only_the_frames_that_are_asked_for_are_read(self):
        """The file has a gigabyte that the disk does not hold; to read it would take longer, and as much memory."""
        path = self.saved(np.zeros([1, 2, 4, 4], np.uint8))
        header = path.read_bytes()[:128].replace(b"(1, 2, 4, 4)", b"(1, 2**26, 4, 4)"[:1] + b"1,67108864,4,4)")
        header = header[:127].ljust(127)[:127] + b"\n"
        path.write_bytes(header)
        os.truncate(path, 128 + 2**30)
        before = made_files.process_status()["VmRSS"]
        frames = arrays.read_frames(path, Part("", "NTHW", "0:255", 0), pictures.squash(4))
        self.assertAllEqual(next(frames), np.zeros([4, 4, 3]))
        self.assertLess(made_files.process_status()["VmRSS"] - before, 100_000)

    def test_what_would_run_code_stays_closed(self):
        canary = self.folder / "canary"

        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(canary),)

        hostile = np.empty(1, object)
        hostile[0] = Hostile()
        self.refused(self.saved(hostile, "hostile.npy"), "pickled Python objects, which are never read")
        np.savez(self.folder / "hostile.npz", clips=hostile)
        self.refused(self.folder / "hostile.npz", "pickled Python objects")
        (self.folder / "bare.npy").write_bytes(pickle.dumps(Hostile()))
        self.refused(self.folder / "bare.npy", "magic string")
        self.assertFalse(canary.exists())

    def test_damaged_and_hostile_files(self):
        whole = self.saved(np.zeros([4, 8, 8], np.uint8)).read_bytes()
        packed = io.BytesIO()
        np.savez_compressed(packed, clips=np.random.default_rng(0).integers(0, 256, [4, 8, 8], np.uint8))
        packed = packed.getvalue()
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w") as archive:
            for number in range(1001):
                archive.writestr(f"{number}.npy", b"")
        for content, message in (
            (b"", "magic|EOF|expected"),
            (b"\x93NUMPY\x01\x00", "EOF|expected"),
            (whole[:200], "cut off after 200 of 384 bytes"),
            (whole.replace(b"(4, 8, 8)", b"(9**9**9)"), "."),
            (whole.replace(b"(4, 8, 8), }", b"(4, 8, 10**9}"), "."),
            (whole.replace(b"(4, 8, 8), }", b"(-4, 8, 8),}"), "."),
            (whole.replace(b"|u1", b"|V9"), "no numbers of a picture"),
            (whole.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"), "version"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"(" * 9000, "."),
            (b"\x93NUMPY\x01\x00\xf0\x20" + b"(" * 0x20F0, "."),
            (whole.replace(b"'descr': '|u1'", b"'descr': ()   "), "."),
            (packed[:150], "zip"),
            (bomb.getvalue(), "1001 arrays in it"),
            (b"Once upon a time\n" * 50, "magic string"),
        ):
            for name in ("a.npy", "a.npz"):
                (self.folder / name).write_bytes(content)
                with self.subTest(content[:80], name=name):
                    self.refused(self.folder / name, message)
        long = io.BytesIO()
        with zipfile.ZipFile(long, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x0f" + b" " * 2**27)
        (self.folder / "long.npz").write_bytes(long.getvalue())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.refused(self.folder / "long.npz", ".")
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 64 * 1024)
        flipped = bytearray(packed)
        flipped[packed.index(b"clips.npy") + 200] ^= 255
        (self.folder / "flipped.npz").write_bytes(flipped)
        with self.assertRaisesRegex(UsageError, "flipped.npz: "):
            self.read(self.folder / "flipped.npz", "THW", member="clips")
        with self.assertRaisesRegex(UsageError, "gone.npy: no such file"):
            arrays.headers(self.folder / "gone.npy")
