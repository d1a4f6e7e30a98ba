"""Our files and our readers held against PyTorch itself, where it is installed."""

import functools
import importlib.util
import io
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import published_files as files
from tests.models.test_forward_pass import randomise
from tfvideogan.files import optional, paths
from tfvideogan.models import mdgan
from tfvideogan.weights import mdgan_files, torch_file

torch = optional.torch() if importlib.util.find_spec("torch") else None


class TorchTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        if torch is None:
            self.skipTest("PyTorch is not installed")
        self.network = mdgan.base_generator(2, 32, 4)
        randomise(self.network)
        self.tensors = files.state_dict(self.network)

    def test_pytorch_reads_what_we_write(self):
        ours = torch_file.content(mdgan_files.state_dict(variables(self.network), "generator"))
        for content in (ours, files.legacy(self.tensors), files.zipped(self.tensors)):
            loaded = torch.load(io.BytesIO(content), weights_only=True)
            for name, values in self.tensors.items():
                self.assertAllEqual(loaded[name].numpy(), values)

    def test_we_read_what_pytorch_writes(self):
        state_dict = OrderedDict((name, torch.from_numpy(values)) for name, values in self.tensors.items())
        state_dict["half"] = torch.arange(6).reshape(2, 3).half()
        state_dict["transposed"] = torch.arange(24.0).reshape(2, 3, 4)[1:].transpose(0, 2)
        expected = {name: tensor.numpy() for name, tensor in state_dict.items()}
        for options in ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}):
            with tempfile.TemporaryDirectory() as folder:
                torch.save(state_dict, Path(folder) / "net.pth", **options)
                found = torch_file.read(paths.path(Path(folder) / "net.pth"))
                self.assertEqual(found.keys(), expected.keys())
                for name, values in expected.items():
                    self.assertAllEqual(found[name], values)

    def test_a_network_of_the_authors_modules_loads_our_file_and_computes_the_same(self):
        content = torch_file.content(mdgan_files.state_dict(variables(self.network), "generator"))
        clip = np.random.default_rng(0).uniform(-1, 1, [1, 4, 32, 32, 3]).astype(np.float32)
        network = authors_network().eval()
        network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True), strict=True)
        with torch.inference_mode():
            expected = network(torch.from_numpy(clip).permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1).numpy()
        self.assertAllClose(self.network(clip, training=False), expected, atol=1e-5)

    def test_what_is_no_state_dict_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            torch.save(torch.nn.Linear(2, 2), Path(folder) / "net.pth")
            with self.assertRaisesRegex(ValueError, "names torch.nn.modules.linear.Linear, which is not loaded"):
                torch_file.read(paths.path(Path(folder) / "net.pth"))


def variables(network) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{v.name}": v.numpy() for layer in network.layers for v in layer.variables}


def authors_network():
    """G1 for clips of 4 frames of 32x32, from the tables of mdgan.md."""
    conv, deconv = (functools.partial(layer, bias=False) for layer in (torch.nn.Conv3d, torch.nn.ConvTranspose3d))
    fine, cube = ((3, 4, 4), (1, 2, 2), 1), (4, 2, 1)
    seed = ((1, 4, 4), 1, 0)
    layers = {
        "downConv1": conv(3, 2, *fine), "downConv2": conv(2, 4, *cube), "downConv3": conv(4, 8, *cube),
        "downConv4": conv(8, 8, *seed), "upConv1": deconv(8, 8, *seed), "upConv2": deconv(8, 4, *cube),
        "upConv3": deconv(4, 2, *cube), "upConv4": deconv(2, 3, *fine),
    }  # fmt: skip
    norms = {"downBN2": 4, "downBN3": 8, "upBN1": 8, "upBN2": 4, "upBN3": 2}
    layers |= {name: torch.nn.BatchNorm3d(channels) for name, channels in norms.items()}

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, layer in layers.items():
                self.add_module(name, layer)

        def forward(self, x):
            x = first = self.downConv1(x)
            x = second = torch.nn.functional.leaky_relu(self.downBN2(self.downConv2(x)), 0.2)
            x = third = torch.nn.functional.leaky_relu(self.downBN3(self.downConv3(x)), 0.2)
            x = torch.relu(self.upBN1(self.upConv1(self.downConv4(x)))) + third
            x = torch.relu(self.upBN2(self.upConv2(x))) + second
            x = torch.relu(self.upBN3(self.upConv3(x))) + first
            return torch.tanh(self.upConv4(x))

    return Network()


if __name__ == "__main__":
    tf.test.main()
