"""I3D's weights from every kind of file, and files that are other weights, damaged, or no weights at all.

The true weights cannot be had here. So these tests list the CRCs of three small tensors of each variant in place of the
230 true ones; the true list is held against the network and the indexes of the published checkpoints.
"""

import io
import json
import zipfile
from pathlib import Path
from unittest import mock

import google_crc32c
import numpy as np
import tensorflow as tf

from tests.helpers import REAL_CLIPS
from tests.helpers.made_files import cut, flip
from tfvideogan.config import UsageError
from tfvideogan.metrics import i3d
from tfvideogan.weights import i3d_files, torch_file

BRANCH = "Mixed_5b/Branch_2/Conv3d_0a_3x3"  # Its name breaks the rule that the others follow.
NAMES = (f"{BRANCH}/conv_3d/w", f"{BRANCH}/batch_norm/beta", "Logits/Conv3d_0c_1x1/conv_3d/b")
INDEXES = REAL_CLIPS / "i3d" / "ckpt_index"


def made(seed: int) -> dict[str, np.ndarray]:
    """Three tensors of an I3D under the names of the checkpoints."""
    random = np.random.default_rng(seed)
    shapes = ((3, 3, 3, 4, 5), (5,), (6,))
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    return {i3d_files.SCOPE + name: value for name, value in zip(NAMES, values, strict=True)}


def listed(tensors: dict[str, np.ndarray]) -> dict[str, dict]:
    return {
        name: {"shape": values.shape, "crc32c": f"{google_crc32c.value(values.tobytes()):08x}"}
        for name, values in tensors.items()
    }


class I3dFilesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.scratch, self.imagenet = made(0), made(1)
        content = {"about": "", "rgb_scratch": listed(self.scratch), "rgb_imagenet": listed(self.imagenet)}
        (self.folder / "list.json").write_text(json.dumps(content))
        patch = mock.patch.object(i3d_files, "_LIST", self.folder / "list.json")
        patch.start()
        self.addCleanup(patch.stop)

    def checkpoint(self, prefix: Path, tensors: dict[str, np.ndarray]) -> Path:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        names = list(tensors)
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names),
                          tensors=list(tensors.values()))  # fmt: skip
        return prefix

    def npz(self, name: str, tensors: dict[str, np.ndarray], compressed: bool = False) -> Path:
        (np.savez_compressed if compressed else np.savez)(self.folder / name, **tensors)
        return self.folder / name

    def pth(self, name: str, keys: tuple[str, str, str], tensors: dict[str, np.ndarray], **more: np.ndarray) -> Path:
        kernel, *others = tensors.values()
        state_dict = dict(zip(keys, (kernel.transpose(4, 3, 0, 1, 2), *others), strict=True))
        (self.folder / name).write_bytes(torch_file.content(state_dict | more))
        return self.folder / name

    def refuse(self, expected: str, path: Path) -> None:
        with self.subTest(expected), self.assertRaisesRegex(UsageError, expected):
            i3d_files.read(str(path))

    def test_every_kind_of_file_gives_the_same_tensors(self):
        self.checkpoint(self.folder / "checkpoint" / "model.ckpt", self.scratch | {"global_step": np.int64(3)})
        as_module = {n: v.reshape(1, 1, 1, 1, -1) if "beta" in n else v for n, v in self.scratch.items()}
        self.checkpoint(self.folder / "module" / "variables" / "variables", as_module)
        (self.folder / "module" / "saved_model.pb").touch()
        keys = ("Mixed_5b.b2b.conv3d.weight", "Mixed_5b.b2b.bn.bias", "logits.conv3d.bias")
        hassony = ("mixed_5b.branch_2.1.conv3d.weight", "mixed_5b.branch_2.1.batch3d.bias", "conv3d_0c_1x1.conv3d.bias")
        one = np.ones(5, np.float32)
        files = [
            "checkpoint", "checkpoint/model.ckpt", "checkpoint/model.ckpt.index",
            "checkpoint/model.ckpt.data-00000-of-00001", "module",
            self.npz("plain.npz", self.scratch), self.npz("compressed.npz", self.scratch, compressed=True),
            self.pth("a.pt", keys, self.scratch, **{"Mixed_5b.b2b.bn.weight": one, "Conv3d_1a_7x7.bn.weight": one}),
            self.pth("b.pth", hassony, self.scratch),
        ]  # fmt: skip
        for file in files:
            with self.subTest(str(file)):
                found = i3d_files.read(str(self.folder / file))
                self.assertEqual(set(found), set(NAMES))
                for name, values in found.items():
                    self.assertAllEqual(values, self.scratch[i3d_files.SCOPE + name])

    def test_other_weights_are_named(self):
        self.refuse("this is rgb_imagenet; FVD is defined on rgb_scratch", self.npz("i.npz", self.imagenet))
        self.refuse("an I3D of unknown weights", self.npz("u.npz", made(2)))
        changed = {name: values.copy() for name, values in self.scratch.items()}
        changed[i3d_files.SCOPE + NAMES[1]][2] = np.nan
        self.refuse(f"2 of 3 tensors are those of rgb_scratch, but not {NAMES[1]}", self.npz("n.npz", changed))
        flow = {name.replace("RGB", "Flow"): values for name, values in self.scratch.items()}
        self.refuse("this is an I3D of optical flow", self.npz("f.npz", flow))
        self.refuse("are missing", self.npz("e.npz", {"a": np.zeros(3, np.float32)}))
        self.refuse("are missing", self.pth("g.pth", ("a", "b", "c"), self.scratch))
        self.refuse(r"is \[3, 3, 3, 4, 4\] and should be \[3, 3, 3, 4, 5\]", self.npz(
            "s.npz", self.scratch | {i3d_files.SCOPE + NAMES[0]: np.zeros([3, 3, 3, 4, 4], np.float32)}
        ))  # fmt: skip
        keys = ("mixed_5b.branch_2.1.conv3d.weight", "mixed_5b.branch_2.1.batch3d.bias", "conv3d_0c_1x1.conv3d.bias")
        scaled = {"mixed_5b.branch_2.1.batch3d.weight": np.full(5, 1.5, np.float32)}
        self.refuse("batch normalisation with scales", self.pth("w.pth", keys, self.scratch, **scaled))

    def test_damaged_files_are_told_and_nothing_in_them_is_run(self):
        self.refuse("no such file", self.folder / "absent.npz")
        with zipfile.ZipFile(self.folder / "i3d_torchscript.pt", "w") as archive:
            archive.writestr("i3d_torchscript/code/__torch__/i3d.py", "raise SystemExit")
        self.refuse("a TorchScript program", self.folder / "i3d_torchscript.pt")
        self.refuse("is damaged or no PyTorch file", cut(self.folder / "i3d_torchscript.pt", 0.5))
        empty = self.folder / "empty"
        empty.mkdir()
        self.refuse("must hold one checkpoint", empty)
        (self.folder / "weights.h5").write_bytes(b"\x89HDF")
        self.refuse("no TF checkpoint", self.folder / "weights.h5")
        prefix = self.checkpoint(self.folder / "c" / "model.ckpt", self.scratch)
        data = prefix.with_name("model.ckpt.data-00000-of-00001")
        flip(data, 40)
        self.refuse("damaged or incomplete checkpoint", prefix)
        data.unlink()
        self.refuse("damaged or incomplete checkpoint", prefix)
        self.refuse("is damaged or no .npz file", cut(self.npz("cut.npz", self.scratch), 0.7))
        flipped = self.npz("flip.npz", self.scratch)
        self.refuse("is damaged or no .npz file", flip(flipped, 400))
        as_objects = {name: values.astype(object) for name, values in self.scratch.items()}
        self.refuse("an array of object", self.npz("o.npz", as_objects))
        self.refuse("an array of float64", self.npz("d.npz", {n: v.astype(float) for n, v in self.scratch.items()}))
        huge = io.BytesIO()
        np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (3, 3, 3, 4, 5)})
        bomb = self.npz("bomb.npz", {i3d_files.SCOPE + n: self.scratch[i3d_files.SCOPE + n] for n in NAMES[1:]})
        with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{i3d_files.SCOPE}{NAMES[0]}.npy", huge.getvalue() + bytes(64 * 2**20))
        self.refuse("bytes for 540 values", bomb)

    def test_files_with_any_bytes_changed_are_refused_or_the_same(self):
        prefix = self.checkpoint(self.folder / "model.ckpt", self.scratch)
        parts = [prefix.with_name(f"model.ckpt.{part}") for part in ("index", "data-00000-of-00001")]
        files = {self.npz("a.npz", self.scratch): None, self.npz("b.npz", self.scratch, compressed=True): None}
        files |= dict.fromkeys(parts, prefix)
        random = np.random.default_rng(3)
        refused = 0
        for file, named in files.items():
            healthy = file.read_bytes()
            for number in range(60):
                content = bytearray(healthy)
                for place in random.integers(0, len(content), 1 + number % 3):
                    content[place] = random.integers(0, 256)
                file.write_bytes(content[: random.integers(len(content))] if number % 5 == 0 else content)
                try:
                    found = i3d_files.read(str(named or file))
                except UsageError:
                    refused += 1
                else:
                    self.assertAllEqual(found[NAMES[0]], self.scratch[i3d_files.SCOPE + NAMES[0]])
            file.write_bytes(healthy)
        self.assertGreater(refused, 150)


class TrueListTest(tf.test.TestCase):
    def test_the_list_is_of_our_networks_variables(self):
        network = i3d.build_i3d()
        variables = [variable for layer in network.layers for variable in layer.variables]
        for variant, tensors in i3d_files.listed().items():
            self.assertLen(tensors, 230, variant)
            self.assertLen(variables, 230)
        asked = mock.MagicMock()
        asked.__getitem__.side_effect = lambda name: np.zeros(tensors[i3d_files.SCOPE + name]["shape"], np.float32)
        i3d.set_weights(network, asked)
        names = {call.args[0] for call in asked.__getitem__.call_args_list}
        self.assertEqual({i3d_files.SCOPE + name for name in names}, set(tensors))

    def test_every_key_of_both_pytorch_forms(self):
        """The keys as the modules of the two packages make them, block by block."""
        norms = ("bias", "running_mean", "running_var")
        stems = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
        branches = {"b0": "branch_0", "b3b": "branch_3.1"}
        branches |= {f"b{n}{letter}": f"branch_{n}.{place}" for n in (1, 2) for letter, place in (("a", 0), ("b", 1))}
        units = {stem: stem.lower() for stem in stems}
        units |= {f"{b}.{x}": f"{b.lower()}.{y}" for b in i3d.BLOCKS for x, y in branches.items()}
        shapes = {name: tensor["shape"] for name, tensor in i3d_files.listed()["rgb_scratch"].items()}
        for naming, of_units, norm, logits in (
            (i3d_files.piergiaj, units, "bn", "logits"),
            (i3d_files.hassony, units.values(), "batch3d", "conv3d_0c_1x1"),
        ):
            expected = {f"{unit}.conv3d.weight" for unit in of_units}
            expected |= {f"{unit}.{norm}.{kind}" for unit in of_units for kind in norms}
            expected |= {f"{logits}.conv3d.weight", f"{logits}.conv3d.bias"}
            found = {i3d_files.torch_key(name, naming): shapes[name] for name in shapes}
            self.assertEqual(set(found), expected)
            for block, filters in i3d.BLOCKS.items():
                for unit, count in zip(("b0", "b1a", "b1b", "b2a", "b2b", "b3b"), filters, strict=True):
                    key = unit if norm == "bn" else branches[unit]
                    shape = found[f"{block if norm == 'bn' else block.lower()}.{key}.conv3d.weight"]
                    self.assertEqual((shape[-1], shape[0]), (count, 3 if unit in ("b1b", "b2b") else 1))

    def test_published_indexes(self):
        """Names and shapes of the true checkpoints, whose data are not at hand."""
        if not INDEXES.exists():
            self.skipTest(f"the indexes are not at {INDEXES}")
        for variant, expected in (
            ("rgb_scratch", "incomplete checkpoint"),
            ("rgb_imagenet", "incomplete checkpoint"),
            ("rgb_scratch_kin600", "an I3D of Kinetics-600"),
            ("../tfhub_i3d_kinetics_400_1", "incomplete checkpoint"),
        ):
            with self.subTest(variant), self.assertRaisesRegex(UsageError, expected):
                i3d_files.read(str(INDEXES / variant))


if __name__ == "__main__":
    tf.test.main()
