"""Spectral normalisation: the layer against NumPy in float64, and how both papers' discriminators train with it."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models import reference
from tests.models.case import PolicyTest
from tests.models.steps import state, trained
from tfvideogan import losses
from tfvideogan.models import blocks, registry, updates
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.batch_norm import frozen_statistics
from tfvideogan.models.spectral import SpectralConv3D
from tfvideogan.training import runtime


def spectral(name: str, stage: int = 1) -> AdversarialModel:
    keras.utils.set_random_seed(7)
    return registry.build_model(tiny.config(name, discriminator_norm="spectral").model, stage, seed=3)


def matrix(layer: SpectralConv3D) -> np.ndarray:
    return layer.kernel.numpy().astype(np.float64).reshape(-1, layer.filters)


def iterated(layer: SpectralConv3D) -> np.ndarray:
    """The layer's vector after one iteration of the power method."""
    w = matrix(layer)
    moved = w.T @ (w @ layer.u.numpy())
    return moved / np.linalg.norm(moved)


class LayerTest(PolicyTest):
    def layer(self) -> SpectralConv3D:
        keras.utils.set_random_seed(3)
        layer = SpectralConv3D(5, (2, 4, 4), strides=(1, 2, 2), bias_initializer="normal", name="layer")
        layer.build([None, 3, 8, 8, 2])
        return layer

    def clips(self) -> tf.Tensor:
        return tf.random.stateless_uniform([2, 3, 8, 8, 2], [0, 1], -1.0, 1.0)

    def test_it_convolves_by_the_kernel_over_its_largest_singular_value(self):
        layer, clips = self.layer(), self.clips()
        for _ in range(100):
            layer(clips, training=True)
        sigma = np.linalg.svd(matrix(layer), compute_uv=False)[0]
        kernel = layer.kernel.numpy().astype(np.float64) / sigma
        expected = reference.convolution(clips.numpy(), kernel, (1, 2, 2), (0, 0, 0)) + layer.bias.numpy()
        self.assertAllClose(layer(clips), expected, atol=1e-5)

    def test_the_gradient_passes_through_sigma_and_not_through_u(self):
        """Of sum(c * W / sigma), sigma = |W u|: c / sigma - sum(c * W) / sigma^2 * v u^T with v = W u / sigma."""
        layer = self.layer()
        c = np.random.default_rng(0).normal(size=matrix(layer).shape)
        with tf.GradientTape() as tape:
            # Clips of the kernel's own size, each 1 in one place, give the kernel's rows.
            rows = layer.convolution_op(tf.reshape(tf.eye(len(c)), [-1, 2, 4, 4, 2]), layer.kernel)
            objective = tf.reduce_sum(tf.reshape(rows, c.shape) * c.astype(np.float32))
        gradient = tape.gradient(objective, layer.kernel.value).numpy().reshape(c.shape)
        w, u = matrix(layer), layer.u.numpy() / np.linalg.norm(layer.u.numpy())
        sigma = np.linalg.norm(w @ u)
        expected = c / sigma - (c * w).sum() / sigma**2 * np.outer(w @ u / sigma, u)
        self.assertAllClose(gradient, expected, rtol=1e-4, atol=1e-4)

    def test_u_moves_by_one_iteration_in_a_training_pass_that_is_not_frozen(self):
        layer, clips = self.layer(), self.clips()
        before, expected = layer.u.numpy(), iterated(layer)
        layer(clips, training=False)
        with frozen_statistics():
            layer(clips, training=True)
        self.assertAllEqual(layer.u, before)
        layer(clips, training=True)
        self.assertAllClose(layer.u, expected, atol=1e-6)

    def test_a_kernel_of_zeros_gives_zeros_and_finite_gradients(self):
        layer = self.layer()
        layer.kernel.assign(tf.zeros_like(layer.kernel))
        with tf.GradientTape() as tape:
            outputs = layer(self.clips(), training=True) - layer.bias
        self.assertAllEqual(outputs, tf.zeros_like(outputs))
        self.assertAllEqual(tf.math.is_finite(tape.gradient(outputs, layer.kernel.value)), tf.ones(layer.kernel.shape))

    def test_float16_gives_the_outputs_of_float32(self):
        outputs = []
        for policy in ("float32", "mixed_float16"):
            self.use_policy(policy)
            layer = self.layer()
            layer(self.clips(), training=True)
            self.assertEqual(layer.u.dtype, "float32")
            outputs.append(layer(self.clips()))
        self.assertEqual(outputs[1].dtype, tf.float16)
        self.assertAllClose(*outputs, atol=5e-3)


class TrainingTest(PolicyTest):
    def test_a_step_takes_one_iteration_and_trains_every_convolution(self):
        for name, stage in (("vgan", 1), ("mdgan", 2)):
            with self.subTest(name):
                model = spectral(name, stage)
                self.assertEmpty(blocks.batch_norms(model.discriminator))
                layers = [layer for layer in model.discriminator.layers if hasattr(layer, "kernel")]
                self.assertEqual({type(layer) for layer in layers}, {SpectralConv3D})
                expected = [iterated(layer) for layer in layers]
                model.compile(run_eagerly=True)
                before = trained(model)
                model.train_step(tiny.clips(name, 2))
                for layer, u in zip(layers, expected, strict=True):
                    self.assertAllClose(layer.u, u, atol=1e-5)
                self.assertAllGreater(np.abs(trained(model) - before), 0.0)

    def test_a_skipped_step_leaves_u_as_it_was(self):
        model = spectral("vgan")
        model.compile(run_eagerly=True)
        before = tiny.weights(model)
        model.train_step(tiny.clips("vgan", 2) * float("nan"))
        self.assertEqual(int(model.skipped), 1)
        self.assertEqual(tiny.weights(model).tobytes(), before.tobytes())

    def test_xla_and_two_replicas_give_the_weights_of_plain_graphs(self):
        """No statistics depend on the clips of a replica, so a discriminator alone is the same on any number."""
        found = []
        for replicas, xla in ((1, False), (1, True), (2, False), (2, True)):
            strategy = runtime.make_strategy("mirrored") if replicas > 1 else tf.distribute.get_strategy()
            with strategy.scope():
                keras.utils.set_random_seed(7)
                network = tiny.network("vgan_spectral_discriminator")
                update = updates.Update(network, keras.optimizers.SGD(0.1))
            self.learn(network, update, strategy, xla)
            copies = [strategy.experimental_local_results(v.value) for v in network.variables]
            found += [np.concatenate([np.ravel(copy[i]) for copy in copies]) for i in range(replicas)]
        for weights in found[1:]:
            self.assertAllClose(weights, found[0], atol=1e-6)

    def learn(self, network, update, strategy, xla: bool) -> None:
        """Two steps on clips that are real."""

        def gradients(clips):
            with tf.GradientTape() as tape:
                terms = {"d_real": losses.softmax_adversarial(network(clips, training=True), losses.REAL)}
                objective = update.objective(terms)
            return tape.gradient(objective, update.trained)

        compiled = tf.function(gradients, jit_compile=xla, autograph=False)
        step = tf.function(lambda c: strategy.run(lambda c: update.apply(compiled(c), []), args=(c,)))
        for seed in range(2):
            parts = tf.split(tiny.clips("vgan", 4, seed), strategy.num_replicas_in_sync)
            own = strategy.experimental_distribute_values_from_function
            step(own(lambda context, parts=parts: parts[context.replica_id_in_sync_group]))

    def test_float16_trains(self):
        self.use_policy("mixed_float16")
        model = spectral("vgan")
        model.compile(run_eagerly=True)
        for update in model.updates:
            update.scale.assign(2.0**8)
        before = trained(model)
        model.train_step(tiny.clips("vgan", 2))
        self.assertEqual(int(model.skipped), 0)
        self.assertAllGreater(np.abs(trained(model) - before), 0.0)

    def test_a_file_holds_u_and_trains_on(self):
        model = spectral("mdgan")
        model.compile(run_eagerly=True)
        model.train_on_batch(tiny.clips("mdgan", 2))
        path = str(Path(self.create_tempdir().full_path) / "model.keras")
        model.save(path)
        loaded = keras.saving.load_model(path)
        for one in (model, loaded):
            one.train_on_batch(tiny.clips("mdgan", 2, seed=1))
        self.assertEqual(state(loaded).tobytes(), state(model).tobytes())


if __name__ == "__main__":
    tf.test.main()
