"""Files that are damaged, or meant to harm: each ends in a UsageError, in 5 s and 512 MB, and nothing in it is run."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.data.case import FolderTest
from tests.helpers import ROOT
from tests.helpers import published_files as files
from tests.helpers.commands import run
from tests.helpers.fuzzing import fuzz
from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.models import mdgan, vgan
from tfvideogan.weights import i3d_files, mapping, mdgan_files, torch7, torch_file

TENSORS = {f"layer{i}.weight": np.full([2, 3], i, np.float32) for i in range(4)}
LIMITED = """
import json, sys, time
from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.weights import mdgan_files, torch7, torch_file, vgan_files
for name in sys.argv[1:]:
    path, begin = paths.path(name), time.process_time()
    try:
        if name.endswith(".t7"):
            vgan_files.networks(torch7.read(path))
        else:
            mdgan_files.network(torch_file.read(path))
        said = None
    except UsageError as error:
        said = str(error)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    mb = int(status["VmHWM"].split()[0]) / 1024
    print(json.dumps([name, said, time.process_time() - begin, mb]))
"""


class Canary:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def nested(opcode: bytes, count: int) -> bytes:
    return b"\x80\x02" + opcode * count + b"."


def deep_table(count: int) -> bytes:
    """A table in a table, and so on."""
    return b"".join(struct.pack("<iiiid", 3, i + 1, 1, 1, 1.0) for i in range(count))


def with_storage(count: int) -> bytes:
    """A Torch7 storage that tells more values than there are."""
    return (
        struct.pack("<ii", 4, 1)
        + b"".join(map(files._lua_string, ("V 1", "torch.FloatStorage")))
        + struct.pack("<q", count)
    )


def cyclic() -> bytes:
    """A module that holds itself."""
    head = struct.pack("<ii", 4, 1) + files._lua_string("V 1") + files._lua_string("nn.Sequential")
    modules = struct.pack("<iii", 3, 3, 1) + struct.pack("<id", 1, 1.0) + struct.pack("<ii", 4, 1)
    return head + struct.pack("<iii", 3, 2, 1) + struct.pack("<i", 2) + files._lua_string("modules") + modules


def hostile(canary: Path) -> dict[str, bytes]:
    """Files by name. That of a pickle is written as PyTorch's zip and legacy files."""
    code = pickle.dumps({"a": Canary(canary)}, 2)
    pickles = {
        "code": code,
        "code_first": code[:-1] + b"0" + files.pickle_of(TENSORS)[2:],
        "eval": b"\x80\x02c__builtin__\neval\nX\x05\x00\x00\x001 + 1\x85R.",
        "lists": nested(b"]", 1_000_000),
        "tuples": b"\x80\x02)" + b"\x85" * 1_000_000 + b".",
        "marks": nested(b"(", 1_000_000),
        "nested_key": b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.",
        "large_storage": b"\x80\x02}" + files._text("a") + files.tensor("0", (2**20, 2**20), 2**40) + b"s.",
        "outside": b"\x80\x02}" + files._text("a") + files.tensor("0", (2, 3), 6, offset=1) + b"s.",
        "number": b"\x80\x02K\x01.",
        "no_stack": b"\x80\x02s.",
        "long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    }
    made = {f"{name}.zip.pth": files.zipped(TENSORS, content) for name, content in pickles.items()}
    made |= {f"{name}.legacy.pth": files.legacy(TENSORS, content) for name, content in pickles.items()}
    whole = {
        "zip.pth": files.zipped(TENSORS),
        "legacy.pth": files.legacy(TENSORS),
        "t7": files.torch7({"a": {"b": next(iter(TENSORS.values()))}}),
    }
    for kind, content in whole.items():
        made[f"cut.{kind}"] = content[: len(content) * 2 // 3]
        made[f"empty.{kind}"] = b""
        made[f"other.{kind}"] = content  # This is whole, and another network.
        made[f"zeros.{kind}"] = bytes(1000)
    return made | {
        "bare.pth": code,
        "bomb.pth": files.zipped({"a": np.zeros(2**26, np.float32)}, compression=zipfile.ZIP_DEFLATED),
        "deep.t7": deep_table(1_000_000),
        "large.t7": with_storage(2**40),
        "negative.t7": with_storage(-1),
        "cyclic.t7": cyclic(),
        "many.t7": struct.pack("<iii", 3, 1, 2**31 - 1) + struct.pack("<idid", 1, 1.0, 1, 1.0) * 500_000,
        "text.t7": struct.pack("<ii", 2, 2**31 - 1) + b"x" * 100,
    }


MEASURED = """
import atexit, re, runpy, sys
from pathlib import Path
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def limited(module: str, *arguments: str) -> tuple[str, float, float]:
    """What a command that is to end with status 2 says, its processor time in seconds, and its largest memory in MB.

    The system's own figure of a child's memory (`ru_maxrss`) would begin with that of this process.
    """
    with subprocess.Popen(
        [sys.executable, "-c", MEASURED, module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as run:  # fmt: skip
        said, peak = run.stderr.read(), run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 2, said
    return said, usage.ru_utime + usage.ru_stime, int(peak) / 1024


class HostileFilesTest(FolderTest, parameterized.TestCase):
    def test_each_is_refused_in_time_and_memory(self):
        canary = self.root / "canary"
        for name, content in (made := hostile(canary)).items():
            (self.root / name).write_bytes(content)
        done = subprocess.run([sys.executable, "-c", LIMITED, *(str(self.root / name) for name in made)], cwd=ROOT,
                              capture_output=True, text=True, check=False)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertLen(lines, len(made))
        for name, said, seconds, megabytes in lines:
            with self.subTest(Path(name).name):
                self.assertIsNotNone(said)
                self.assertLess(len(said), 2000)
                self.assertLess(seconds, 5)
                self.assertLess(megabytes, 512)
        self.assertFalse(canary.exists())
        said = {Path(name).name: text for name, text, *_ in lines}
        self.assertIn("names posix.mkdir, which is not loaded", said["code.zip.pth"])
        self.assertIn("names __builtin__.eval, which is not loaded", said["eval.legacy.pth"])
        self.assertIn("lies outside of its storage", said["outside.zip.pth"])
        self.assertIn("another network than MD-GAN's: layer0.weight, layer1.weight", said["other.zip.pth"])
        self.assertIn("compressed", said["bomb.pth"])

    def test_the_command_refuses_weights_of_i3d_in_time_and_memory(self):
        """Each in a process of its own, before TensorFlow is loaded, which takes more memory than that."""
        canary, shapes = self.root / "canary", i3d_files.listed()["rgb_scratch"]
        code = pickle.dumps({"a": Canary(canary)}, 2)
        whole = {name: np.zeros(tensor["shape"], np.float32) for name, tensor in shapes.items()}
        np.savez(self.root / "zeros.npz", **whole)
        np.savez(
            self.root / "kinetics-600.npz",
            **{"RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/w": np.zeros([1, 600], np.float32)},
        )
        np.savez(self.root / "pickled.npz", **dict.fromkeys(shapes, np.array([Canary(canary)], object)))
        content = (self.root / "zeros.npz").read_bytes()
        (self.root / "cut.npz").write_bytes(content[: len(content) // 2])
        (self.root / "code.pth").write_bytes(files.zipped(TENSORS, code))
        (self.root / "other.pt").write_bytes(files.zipped(TENSORS))
        for name, expected in (
            ("zeros.npz", "an I3D of unknown weights; FVD is defined on rgb_scratch"),
            ("kinetics-600.npz", "this is an I3D of Kinetics-600; FVD is defined on rgb_scratch"),
            ("pickled.npz", "an array of object"),
            ("cut.npz", "not a whole zip file"),
            ("code.pth", "names posix.mkdir, which is not loaded"),
            ("other.pt", "no weights of I3D: "),
        ):
            with self.subTest(name):
                arguments = "--weights=mdgan-skies-64", "--metrics=fvd2_16f", f"--i3d={self.root / name}"
                said, seconds, megabytes = limited("tfvideogan.evaluate", *arguments)
                self.assertLen(said.splitlines(), 1)
                self.assertIn(f"evaluate: error: --i3d: {self.root / name}", said)
                self.assertIn(expected, said)
                self.assertLess(seconds, 5)
                self.assertLess(megabytes, 512)
        self.assertFalse(canary.exists())

    def test_the_canary_sings(self):
        pickle.loads(pickle.dumps(Canary(self.root / "canary")))
        self.assertTrue((self.root / "canary").exists())

    def test_the_command_ends_with_status_2_and_one_line(self):
        path = self.root / "code.pth"
        path.write_bytes(files.legacy(TENSORS, pickle.dumps({"a": Canary(self.root / "canary")}, 2)))
        done = run("import_weights", f"--source={path}", f"--output={self.root / 'out'}")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(
            done.stderr, r"^import_weights: error: --source: .*code.pth is damaged or no PyTorch file: [^\n]*\n$"
        )
        self.assertEqual([file.name for file in self.root.iterdir()], ["code.pth"])

    def test_flipped_bits_of_a_zip_are_found(self):
        content = bytearray(files.zipped(TENSORS))
        content[content.index(TENSORS["layer2.weight"].tobytes())] ^= 1
        (self.root / "net.pth").write_bytes(content)
        with self.assertRaisesRegex(UsageError, "storage 2 is damaged"):
            torch_file.read(paths.path(self.root / "net.pth"))

    def test_storages_that_tell_encryption_or_patches_are_damaged(self):
        whole = files.zipped(TENSORS)
        place = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"data/2")) + 8  # the flags in the central directory
        for bit in (5, 6):
            content = bytearray(whole)
            content[place] |= 1 << bit
            (self.root / "net.pth").write_bytes(content)
            with self.subTest(bit), self.assertRaisesRegex(UsageError, "storage 2 is damaged"):
                torch_file.read(paths.path(self.root / "net.pth"))

    def test_values_that_are_not_finite_are_named(self):
        arrays = {"a/kernel": np.float32([1, np.nan]), "b/moving_variance": np.float32([-1])}
        published = mapping.Published("generator", {}, arrays, {"a/kernel": "x.weight", "b/moving_variance": "y.var"})
        with self.assertRaisesRegex(UsageError, "x.weight has values that are not finite; y.var has variances below"):
            published.check()

    def test_values_that_a_flipped_bit_has_made_huge_are_named(self):
        """Legacy and Torch7 files have no checksum, and a flipped exponent is what would ruin a network."""
        network = mdgan.base_generator(2, 32, 4)
        content = bytearray(files.legacy(files.state_dict(network)))
        values = network.get_layer("up_conv4").kernel.numpy()
        first = content.index(files.torch_layout(values).tobytes())
        content[first + 3] ^= 0x40
        (self.root / "net.pth").write_bytes(content)
        published = mdgan_files.network(torch_file.read(paths.path(self.root / "net.pth")))
        with self.assertRaisesRegex(UsageError, r"^upConv4.weight has values up to \de\+3\d, as damage makes them$"):
            published.check()

    def test_a_width_that_the_file_does_not_bear_out_is_refused(self):
        thin = {f"downConv{n}.weight": np.zeros([1, 1, 4, 4, 4], np.float32) for n in range(1, 5)}
        thin["downConv1.weight"] = np.zeros([1024, 3, 3, 4, 4], np.float32)
        thin |= {key: np.zeros([1] * (5 if "Conv" in key else 1), np.float32)
                 for key in mdgan_files.keys_of(3, "generator").values() if key not in thin}  # fmt: skip
        thin["downConv4.weight"] = np.zeros([1, 4096, 1, 1, 1], np.float32)
        with self.assertRaisesRegex(UsageError, "no generator of .*: downConv1.weight has shape"):
            mdgan_files.network(thin)

    def test_the_command_refuses_a_wrong_shape_in_time_and_memory(self):
        """At the papers' sizes, and before TensorFlow is loaded, which takes more memory than that."""
        tensors = files.state_dict(mdgan.base_generator())
        tensors["upConv2.weight"] = tensors["upConv3.weight"]
        modules = files.Torch7Network(vgan.two_stream_generator()).generator()
        second = modules["modules"][1]["modules"][1]["modules"][5]
        second["weight"] = np.ascontiguousarray(second["weight"][:, :255])
        for name, content, expected in (
            ("G1.pth", files.legacy(tensors), "no generator of model mdgan, base_width 32, frame_size 128, num_frames "
             "32: upConv2.weight has shape [256, 128, 4, 4, 4] and should have [512, 256, 4, 4, 4]"),
            ("net.t7", files.torch7(modules), "no generator of model vgan, base_width 64, frame_size 64, num_frames "
             "32: module 1.1.5 (cudnn.VolumetricFullConvolution).weight has shape [512, 255, 4, 4, 4] and should have "
             "[512, 256, 4, 4, 4]"),
        ):  # fmt: skip
            with self.subTest(name):
                (self.root / name).write_bytes(content)
                arguments = f"--source={self.root / name}", f"--output={self.root / 'run'}"
                said, seconds, megabytes = limited("tfvideogan.import_weights", *arguments)
                self.assertEqual(said, f"import_weights: error: --source: {expected}\n")
                self.assertLess(seconds, 5)
                self.assertLess(megabytes, 512)
        self.assertFalse((self.root / "run").exists())

    @parameterized.parameters("zip.pth", "legacy.pth", "t7")
    def test_fuzzed_files_are_read_or_refused(self, kind):
        table = {"modules": {1: files.Module("nn.ReLU", weight=TENSORS["layer1.weight"])}, "on": True}
        whole = {"zip.pth": files.zipped, "legacy.pth": files.legacy}.get(kind, lambda _: files.torch7(table))(TENSORS)
        path, read = self.root / f"net.{kind}", torch7.read if kind == "t7" else torch_file.read
        path.write_bytes(whole)
        self.assertGreaterEqual(fuzz(lambda path: read(paths.path(path)), path, kinds=1 if kind == "t7" else 2), 80)


if __name__ == "__main__":
    tf.test.main()
