"""What arrays are taken for, by flags and without, from the file to the clips."""

import numpy as np

from tests.data.case import SMALL, PrepareTest, clips_by_source, prepared
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, numbers
from tfvideogan.config import UsageError
from tfvideogan.data import layouts
from tfvideogan.data.folder import ClipFolder
from tfvideogan.data.inputs import find_inputs
from tfvideogan.data.layouts import Form
from tfvideogan.files.arrays import Header


def sequences(shape: tuple[int, ...], dtype: type = np.uint8, **form) -> list[tuple[str, str, int | None]]:
    found = layouts.parts(Header("", shape, np.dtype(dtype)), Form(**form))
    return [(part.layout, part.values, part.index) for part in found]


class RulesTest(PrepareTest):
    def test_the_rule_looks_at_shape_and_type(self):
        for shape, dtype, expected in (
            ((9, 8, 8), np.uint8, [("THW", "0:255", None)]),
            ((9, 8, 8, 3), np.uint16, [("THWC", "0:65535", None)]),
            ((2, 9, 8, 8), np.bool_, [("NTHW", "0:1", 0), ("NTHW", "0:1", 1)]),
            ((1, 9, 8, 8, 1), np.uint8, [("NTHWC", "0:255", 0)]),
        ):
            self.assertEqual(sequences(shape, dtype), expected)

    def test_flags_say_otherwise(self):
        self.assertEqual(sequences((20, 2, 8, 8), layout="TNHW"), [("TNHW", "0:255", 0), ("TNHW", "0:255", 1)])
        self.assertEqual(sequences((9, 8, 8), np.float32, values="-1:1"), [("THW", "-1:1", None)])

    def test_what_nothing_tells_is_refused_and_not_guessed(self):
        for shape, dtype, form, message in (
            ((9, 8, 8), np.float32, {}, "black and white in float32: --array_range=0:1, -1:1"),
            ((9, 8, 8), np.int64, {}, "black and white in int64"),
            ((9, 8, 8), np.uint8, {"layout": "NTHW"}, r"\\[9, 8, 8\\] does not fit --array_layout=NTHW"),
            ((9, 8), np.uint8, {}, "2 axes"),
            ((2, 9, 8, 8, 5), np.uint8, {}, "5 channels"),
            ((9, 0, 8), np.uint8, {}, "its shape is"),
            ((2, 9, 8, 8), np.uint8, {"least": 10}, "has 9 frames, fewer than 10"),
            ((10**9, 1, 1, 8), np.uint8, {}, "its shape is"),
        ):
            with self.assertRaisesRegex(ValueError, message.replace("\\\\", "\\")):
                sequences(shape, dtype, **form)

    def test_a_folder_of_arrays(self):
        """Two digits of six frames, a float clip, labels, and what is none."""
        grey = np.stack([numbered(range(6))[..., 0], numbered(range(6, 12))[..., 0]])
        np.savez_compressed(self.root / "set.npz", digits=grey, labels=np.arange(2))
        np.save(self.root / "clip.npy", numbered(range(4)) / 255)
        (self.root / "bad.npy").write_bytes(b"no array")
        with self.assertLogs("tfvideogan", "INFO") as logs:
            contents = find_inputs(str(self.root))
        self.assertEqual([(i.name, i.kind, i.group) for i in contents.inputs],
                         [(f"set.npz/digits/{k}", "array", f"set.npz/digits/{k}") for k in (0, 1)])  # fmt: skip
        self.assertEqual(contents.ignored, ["set.npz/labels"])
        self.assertEqual([name for name, _ in contents.unusable], ["bad.npy", "clip.npy"])
        self.assertRegex(logs.output[0], r"set.npz/digits/0 are read as \[N, T, H, W\], black to white as 0:255")
        np.save(self.root / "short.npy", grey[:, :3])
        source = ClipFolder(self.root, 16, 4)
        self.assertEqual([numbers(clip) for clip in source], [[0, 1, 2, 3], [6, 7, 8, 9]])
        self.assertLen(source.skipped, 3)

    def test_floats_with_their_range(self):
        np.save(self.root / "clip.npy", numbered(range(4)) / 127.5 - 1)
        (clip,) = ClipFolder(self.root / "clip.npy", 16, 4, form=Form(values="-1:1"))
        self.assertAllEqual(clip, numbered(range(4)))
        with self.assertRaisesRegex(UsageError, "nothing usable in .*clip.npy.*the first: clip.npy: .*--array_range"):
            ClipFolder(self.root / "clip.npy", 16, 4)


class RecordsTest(PrepareTest):
    def test_moving_mnist_by_a_flag(self):
        """[T, N, H, W]; the sequences are divided among the splits, and each clip is of one of them."""
        grey = np.stack([numbered(range(k % 9, k % 9 + 4))[..., 0] for k in range(12)], axis=1)
        np.save(self.root / "mnist_test_seq.npy", grey)
        flags = [f"--input={self.root / 'mnist_test_seq.npy'}", "--workers=1", "--split=train:0.5,test:0.5", *SMALL]
        done = run("prepare_data", "--array_layout=TNHW", f"--output={self.output}", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("are read as [T, N, H, W]", done.stderr)
        self.assertStartsWith(done.stdout, "read      12 inputs")
        self.assertLen(list(self.output.glob("train-*")), 1)
        self.assertLen(list(self.output.glob("test-*")), 1)
        expected = {f"mnist_test_seq.npy/{k}": [(0, list(range(k % 9, k % 9 + 4)))] for k in range(12)}
        self.assertEqual(clips_by_source(self.output), expected)

    def test_the_description_tells_how_they_were_read(self):
        np.save(self.root / "clip.npy", numbered(range(8)) / 255)
        dataset = prepared(self.output, self.root / "clip.npy", form=Form(values="0:1"))
        (source,) = dataset["sources"]
        self.assertEqual([source[key] for key in ("kind", "layout", "range", "clips")], ["array", "THWC", "0:1", 2])
        self.assertLen(source["sha256"], 64)
