"""Published files become run folders whose networks are the papers', by float64 NumPy, and go back to PyTorch."""

import functools
import json
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.data.case import FolderTest
from tests.helpers import published_files as files
from tests.helpers import tiny
from tests.helpers.commands import run
from tests.models import reference
from tests.models.test_forward_pass import randomise
from tfvideogan.config import Config, UsageError
from tfvideogan.files import paths
from tfvideogan.models import mdgan, registry, vgan
from tfvideogan.runs import loading, run_folder, state
from tfvideogan.training import estimation
from tfvideogan.weights import mapping, mdgan_files, torch7, torch_file, vgan_files

G1 = functools.partial(reference.mdgan_generator, skips=(1, 2, 3, 4, 5))
G2 = functools.partial(reference.mdgan_generator, skips=(3, 4, 5))
VGAN = {
    "vgan": (vgan.two_stream_generator, files.Torch7Network.generator, reference.vgan_two_stream),
    "vgan_one_stream": (vgan.one_stream_generator, files.Torch7Network.one_stream, reference.vgan_one_stream),
    "vgan_conditional": (vgan.conditional_generator, files.Torch7Network.conditional, reference.vgan_conditional),
}


def random(build, width: int = 2, **sizes) -> keras.Model:
    network = build(base_width=width, **sizes)
    randomise(network)
    return network


class ImportTest(FolderTest, parameterized.TestCase):
    def file(self, name: str, content: bytes) -> Path:
        (self.root / name).write_bytes(content)
        return self.root / name

    def imported(self, **flags) -> Path:
        done = run("import_weights", f"--output={self.root / 'run'}", *(f"--{k}={v}" for k, v in flags.items()))
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.root / "run"

    def test_mdgan_of_both_stages_is_the_papers(self):
        networks = [random(mdgan.base_generator), random(mdgan.refine_generator), random(mdgan.discriminator)]
        names = ["source", "source2", "discriminator"]
        writers = [files.legacy, files.zipped, files.legacy]
        flags = {
            name: self.file(f"{name}.pth", write(files.state_dict(network)))
            for name, write, network in zip(names, writers, networks, strict=True)
        }
        run_dir = self.imported(**flags)
        model, checkpoint = loading.load_model(run_dir)
        self.assertEqual((checkpoint.stage, model.clip_shape), (2, (32, 128, 128, 3)))
        frame = np.random.default_rng(1).uniform(-1, 1, [1, 128, 128, 3])
        base = G1(reference.Weights(networks[0]), np.repeat(frame[:, None], 32, 1))["clip"]
        outputs = model(frame.astype(np.float32))
        self.assertAllClose(outputs["base"], base, atol=1e-5, rtol=0)
        refined = G2(reference.Weights(networks[1]), base)["clip"]
        self.assertAllClose(outputs["clip"], refined, atol=1e-5, rtol=0)
        reader = tf.train.load_checkpoint(str(checkpoint.path / "variables"))
        key = next(k for k in reader.get_variable_to_shape_map() if k.startswith("discriminator/logits_conv"))
        stored = reader.get_tensor(key)
        self.assertAllEqual(stored, networks[2].get_layer("logits_conv").kernel)

    @parameterized.parameters(
        ("vgan", "torch.Cuda"), ("vgan_one_stream", "torch.Float"), ("vgan_conditional", "torch.Cuda")
    )
    def test_video_gan_is_the_papers(self, name, tensors):
        build, modules, expected = VGAN[name]
        network = random(build)
        package = "cudnn" if "Cuda" in tensors else "nn"
        content = files.torch7(modules(files.Torch7Network(network, package)), tensors)
        (published,) = vgan_files.networks(torch7.read(paths.path(self.file("net.t7", content))))
        sizes = {"base_width": 2, "frame_size": 64, "num_frames": 32}
        self.assertEqual((published.role, published.options), ("generator", {"model": name, **sizes}))
        copy = build(base_width=2)
        fill(copy, published)
        inputs = np.random.default_rng(2).uniform(-1, 1, [2, *network.input_shape[1:]])
        outputs = copy(inputs.astype(np.float32), training=False)
        for key, value in expected(reference.Weights(network), inputs).items():
            self.assertAllClose(outputs[key], value, atol=1e-5, rtol=0, msg=key)

    def test_discriminators_are_the_papers(self):
        clip = np.random.default_rng(3).uniform(-1, 1, [1, 32, 64, 64, 3])
        network, copy = random(vgan.discriminator), vgan.discriminator(2)
        content = files.torch7({"netD": files.Torch7Network(network).discriminator(), "epoch": 3})
        (published,) = vgan_files.networks(torch7.read(paths.path(self.file("net.t7", content))))
        fill(copy, published)
        expected = reference.vgan_discriminator(reference.Weights(network), clip)["logits"]
        self.assertAllClose(copy(clip.astype(np.float32), training=False), expected, atol=1e-5, rtol=1e-5)

    def test_widths_and_sizes_are_told_by_the_shapes(self):
        for size, frames, width in ((32, 4, 2), (32, 2, 3), (64, 16, 4), (256, 8, 1)):
            options = {"model": "mdgan", "base_width": width, "frame_size": size, "num_frames": frames}
            network = mdgan.base_generator(width, size, frames)
            self.assertEqual(mdgan_files.network(files.state_dict(network)).options, options)
        for build, modules, _ in VGAN.values():
            network = build(4, 32, 4)
            content = files.torch7(modules(files.Torch7Network(network)))
            (published,) = vgan_files.networks(torch7.read(paths.path(self.file("net.t7", content))))
            del published.options["model"]
            self.assertEqual(published.options, {"base_width": 4, "frame_size": 32, "num_frames": 4})

    def test_shapes_of_files_are_those_of_the_networks(self):
        """Files are held to tables, since no network is there yet; so these are to be as what would be built."""
        for size, frames in ((32, 2), (64, 32), (256, 8)):
            sizes = {"base_width": 1, "frame_size": size, "num_frames": frames}
            for model in (*VGAN, "mdgan"):
                built = registry.build_model(Config.create(model=model, **sizes).model, registry.num_stages(model))
                for name, network in built.networks.items():
                    role = "discriminator" if name == "discriminator" else "generator"
                    told = vgan_files.shapes_of(model if role == "generator" else None, **sizes)
                    if model == "mdgan":
                        told = mdgan_files.shapes_of(role, **sizes)
                        self.assertCountEqual(told, mdgan_files.keys_of(len(bin(size)) - 5, role))
                    has = {key: tuple(variable.shape) for key, variable in state.of_network(network).items()}
                    self.assertEqual(told, has, f"{model} {name} {sizes}")

    def test_the_run_generates_evaluates_and_goes_back(self):
        network = random(mdgan.base_generator, frame_size=32, num_frames=4)
        keys = {f"module.{key}": values for key, values in files.state_dict(network).items()}
        clips = "synthetic:sky"
        run_dir = self.imported(source=self.file("G1.pth", files.zipped(keys)), recalibrate_bn=clips, num_clips=16)
        done = run("evaluate", f"--run_dir={run_dir}", "--num_clips=4", "--batch_statistics")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["batch_norm"], "batches of 8")
        done = run("import_weights", "--to=state_dict", f"--run_dir={run_dir}", f"--output={self.root / 'back'}")
        self.assertEqual(done.returncode, 0, done.stderr)
        back = torch_file.read(paths.path(self.root / "back" / "netG_S1.pth"))
        for key, values in files.state_dict(network).items():
            same = np.array_equal(back[key], values)
            self.assertEqual(same, "running" not in key, key)  # These are those of the clips now.

    def test_a_training_can_go_on_from_it(self):
        network = random(mdgan.base_generator, frame_size=32, num_frames=4)
        run_dir = self.imported(source=self.file("G1.pth", files.zipped(files.state_dict(network))))
        run = run_folder.RunFolder.open(run_dir)
        model = registry.build_model(run.config().model)
        model.compile()
        loading.restore(run.latest(), state.for_training(model))
        self.assertAllEqual(model.generator.get_layer("up_conv4").kernel, network.get_layer("up_conv4").kernel)
        self.assertEqual(model.step.numpy(), 0)

    def test_recalibrated_statistics_are_those_of_the_clips(self):
        model = tiny.shaken("mdgan", 2)
        clips = tiny.clips("mdgan", 4)
        expected = model(clips[:, 0], training=True)["clip"]  # One batch is normalised by its own statistics.
        self.assertNotAllClose(model(clips[:, 0])["clip"], expected, atol=1e-3)
        estimation.recalibrate(model, tf.data.Dataset.from_tensors(clips))
        self.assertAllClose(model(clips[:, 0])["clip"], expected, atol=1e-4)

    def test_what_does_not_fit_is_named_key_by_key(self):
        good = files.state_dict(mdgan.base_generator(2, 32, 4))
        bad = {key: values for key, values in good.items() if key not in ("upBN2.bias", "downConv3.weight")}
        bad |= {"fc.weight": np.zeros([2, 2], np.float32)}
        with self.assertRaisesRegex(UsageError, "downConv|upBN2.bias is missing; .*fc.weight has no place"):
            mdgan_files.network(bad)
        with self.assertRaisesRegex(UsageError, r"5 axes: downConv2.weight has .*\[2\]; downConv4.weight has .*\[\]"):
            mdgan_files.network(good | {"downConv2.weight": np.zeros(2), "downConv4.weight": np.zeros([])})
        wrong = {"downConv1.weight": (5, 3, 3, 4, 4), "upBN1.bias": (3,), "upConv2.weight": (4, 2, 4, 4, 4)}
        for key, shape in wrong.items():
            expected = f"4: {key} has shape {list(shape)} and should have {list(good[key].shape)}"
            with self.assertRaisesRegex(UsageError, f"^no generator of model mdgan, .*{re.escape(expected)}$"):
                mdgan_files.network(good | {key: np.zeros(shape, np.float32)})

    def test_networks_that_do_not_belong_together_are_refused(self):
        one, other = (mdgan.base_generator(width, 32, 4) for width in (2, 4))
        names = [self.file(f"{i}.pth", files.zipped(files.state_dict(net))) for i, net in enumerate((one, other))]
        done = run("import_weights", f"--source={names[0]}", f"--source2={names[1]}", f"--output={self.root / 'run'}")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--source2 does not belong to --source", done.stderr)


def fill(network: keras.Model, published: mapping.Published) -> None:
    variables = {f"{layer.name}/{v.name}": v for layer in network.layers for v in layer.variables}
    for name, variable in variables.items():
        variable.assign(published.arrays[name])


if __name__ == "__main__":
    tf.test.main()
