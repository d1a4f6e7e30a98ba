"""Our train step against the same step written in PyTorch: the losses of three steps."""

import importlib.util
import unittest

import keras
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import UsageError
from tfvideogan.files import optional
from tfvideogan.models import registry
from tfvideogan.training import torch_step


@unittest.skipUnless(importlib.util.find_spec("torch"), "PyTorch is not installed; the extra [bench] has it")
class TorchStepTest(tf.test.TestCase):
    def test_it_is_our_step(self):
        torch = optional.torch()
        models = {f"{name} {stage}": tiny.shaken(name, stage) for name, stage in tiny.DISTINCT}
        for name, model in (models | {"mdgan, residual": tiny.changing()}).items():
            with self.subTest(name):
                # Keras and PyTorch add epsilon in different places: one that is nothing shows no difference.
                model.compile(*(keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-12) for _ in range(2)))
                theirs = torch_step.TorchStep(torch, model)
                for step in range(3):  # The second and third losses show that the weights are the same, too.
                    clips = tf.random.stateless_uniform([4, *model.clip_shape], [step, 2], -1.0, 1.0)
                    model.reset_metrics()
                    losses = theirs(clips.numpy())
                    ours = {key: float(value) for key, value in model.train_step(clips).items()}
                    self.assertAllClose({key: ours[key] for key in losses}, losses, rtol=1e-3 if step else 1e-5)

    def test_spectral_normalisation_is_refused(self):
        torch = optional.torch()
        model = registry.build_model(tiny.config("vgan", discriminator_norm="spectral").model)
        model.compile()
        with self.assertRaisesRegex(UsageError, "--discriminator_norm must be batch"):
            torch_step.TorchStep(torch, model)


if __name__ == "__main__":
    tf.test.main()
