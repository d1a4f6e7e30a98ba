"""The papers' train steps in PyTorch, to time ours beside: the same networks, weights, losses and Adams.

    step = TorchStep(torch, model)      # of a compiled Keras model
    losses = step(clips)                # float32 [N, T, H, W, 3] in [-1, 1]

PyTorch is an optional package, so the caller imports it and hands it over.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np

from tfvideogan import losses as keras_losses
from tfvideogan.config import UsageError
from tfvideogan.models import blocks
from tfvideogan.models.adversarial import AdversarialModel

MOMENTUM = 0.1  # PyTorch's momentum of batch normalisation is 1 minus that of Keras.


class TorchNetwork:
    """A functional Keras network of this package layer by layer, with channels before time and space.

    Args:
        layout: how its weights lie in memory, which its activations follow: `torch.contiguous_format` or
            `torch.channels_last_3d`.
    """

    def __init__(self, torch: Any, network: keras.Model, layout: Any):
        self._torch, self._network = torch, network
        self.parameters: list[Any] = []
        self._functions = {layer.name: self._function(layer, layout) for layer in network.layers[1:]}

    def __call__(self, x: Any, training: bool) -> dict[str, Any]:
        """Latents, frames or clips, channels first -> the network's outputs by name (`clip` if it has only one)."""
        values = {id(self._network.inputs[0]): x}
        for layer in self._network.layers[1:]:
            function = self._functions[layer.name]
            if function is None:  # Arithmetic on the heads is computed below.
                continue
            sources = layer.input if isinstance(layer.input, list) else [layer.input]
            values[id(layer.output)] = function(*(values[id(source)] for source in sources), training=training)
        symbolic = self._network.output
        named = symbolic if isinstance(symbolic, dict) else {"clip": symbolic}
        outputs = {name: values[id(tensor)] for name, tensor in named.items() if id(tensor) in values}
        if "mask" in outputs:  # Equation 2 of Video-GAN is no layer.
            mask = outputs["mask"]
            outputs["clip"] = mask * outputs["foreground"] + (1 - mask) * outputs["background"]
        return outputs if isinstance(symbolic, dict) else outputs | {"logits": outputs["clip"]}

    def _parameter(self, value: Any) -> Any:
        parameter = self._torch.nn.Parameter(value)
        self.parameters.append(parameter)
        return parameter

    def _function(self, layer: Any, layout: Any) -> Any:
        """What does in PyTorch what a Keras layer does."""
        functional, kind = self._torch.nn.functional, type(layer).__name__
        if kind == "SpectralConv3D":
            raise UsageError("PyTorch's copy knows no spectral normalisation: --discriminator_norm must be batch")
        if kind.startswith("Conv"):
            return self._convolution(layer, layout)
        if kind == "BatchNormalization":
            return self._batch_norm(layer)
        if kind == "Reshape":
            return lambda x, training: _reshape(x, len(layer.target_shape))  # noqa: ARG005
        if kind == "Residual":
            torch, limit = self._torch, 1.0 - blocks.RESIDUAL_MARGIN
            return lambda x, y, training: torch.tanh(torch.atanh(x.clip(-limit, limit)) + y.float())  # noqa: ARG005
        if kind == "Activation":
            activation = getattr(self._torch, layer.activation.__name__)
            return lambda x, training: activation(x.float())  # noqa: ARG005
        plain = {
            "ReLU": lambda x, training: functional.relu(x),  # noqa: ARG005
            "LeakyReLU": lambda x, training: functional.leaky_relu(x, layer.negative_slope),  # noqa: ARG005
            "Add": lambda x, y, training: x + y,  # noqa: ARG005
        }
        return plain.get(kind)

    def _convolution(self, layer: Any, layout: Any) -> Any:
        torch, kernel = self._torch, layer.kernel.numpy()
        dimensions = kernel.ndim - 2
        transposed = "Transpose" in type(layer).__name__
        weight = torch.from_numpy(np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1))))
        if layout is not torch.contiguous_format:
            weight = weight.contiguous(memory_format=layout if dimensions == 3 else torch.channels_last)
        weight = self._parameter(weight)
        bias = self._parameter(torch.from_numpy(layer.bias.numpy())) if layer.use_bias else None
        name = f"conv_transpose{dimensions}d" if transposed else f"conv{dimensions}d"
        function = getattr(torch.nn.functional, name)
        same = layer.padding == "same"
        padding = [(k - s) // 2 if same else 0 for k, s in zip(kernel.shape, layer.strides, strict=False)]
        strides = layer.strides
        return lambda x, training: function(x, weight, bias, stride=strides, padding=padding)  # noqa: ARG005

    def _batch_norm(self, layer: Any) -> Any:
        torch = self._torch
        gamma, beta = (self._parameter(torch.from_numpy(v.numpy())) for v in (layer.gamma, layer.beta))
        statistics = [torch.from_numpy(v.numpy().copy()) for v in (layer.moving_mean, layer.moving_variance)]
        epsilon = layer.epsilon

        def normalise(x: Any, training: bool) -> Any:
            batch_norm = torch.nn.functional.batch_norm
            return batch_norm(x, *statistics, gamma, beta, training=training, momentum=MOMENTUM, eps=epsilon)

        return normalise


def _reshape(x: Any, rank: int) -> Any:
    """Latents become maps of one position, maps of one position logits, images clips of one frame."""
    if x.ndim == 2:
        return x.reshape(*x.shape, *[1] * (rank - 1))
    return x.flatten(1).float() if rank == 1 else x[:, :, None]


class TorchStep:
    """A training step as one writes it in PyTorch: autograd, both players' Adams, batch statistics.

    Args:
        model: compiled; its weights and its optimizers' options are copied.
        precision: `float32`, or `mixed_bfloat16` by autocast.
        channels_last: the layout of weights and activations.
    """

    def __init__(self, torch: Any, model: AdversarialModel, precision: str = "float32", channels_last: bool = False):
        self._torch, self._model, self._precision = torch, model, precision
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        self._layout = layout
        self.generator = TorchNetwork(torch, model.generator, layout)
        self.discriminator = TorchNetwork(torch, model.discriminator, layout)
        self._base = TorchNetwork(torch, model.base_generator, layout) if model.stage == 2 else None
        self._adams = [
            torch.optim.Adam(
                network.parameters,
                lr=float(adam.learning_rate.numpy()),
                betas=(adam.beta_1, adam.beta_2),
                eps=adam.epsilon,
            )
            for network, adam in zip((self.generator, self.discriminator), model.optimizers, strict=True)
        ]
        self._step = 0

    def __call__(self, clips: np.ndarray) -> dict[str, float]:
        """Takes a step on clips float32 [N, T, H, W, 3]; returns the mean of each loss term."""
        torch = self._torch
        inputs = np.array(self._model.generator_inputs(clips, self._step))
        self._step += 1
        real = torch.from_numpy(clips).permute(0, 4, 1, 2, 3)
        real = real.contiguous(memory_format=self._layout)
        generated = self._generate(torch.from_numpy(inputs), real.shape[2])
        held = {name: value.detach() for name, value in generated.items()}
        d_terms = self._discriminator_terms(real, held)
        self._update(1, self.discriminator, sum(d_terms.values()))
        g_terms = self._generator_terms(real, generated)
        self._update(0, self.generator, sum(g_terms.values()))
        return {name: value.detach().item() for name, value in (d_terms | g_terms).items()}

    def _update(self, number: int, network: TorchNetwork, objective: Any) -> None:
        gradients = self._torch.autograd.grad(objective, network.parameters)
        for parameter, gradient in zip(network.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._adams[number].step()

    def _arithmetic(self) -> Any:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return self._torch.autocast("cpu", dtype=self._torch.bfloat16)

    def _generate(self, inputs: Any, num_frames: int) -> dict[str, Any]:
        if inputs.ndim == 4:
            inputs = inputs.permute(0, 3, 1, 2)
        with self._arithmetic():
            if not self._model.repeats_frame:
                return self.generator(inputs, training=True)
            clip = inputs[:, :, None].expand(-1, -1, num_frames, -1, -1)
            if self._base is None:
                return {"clip": self.generator(clip, training=True)["clip"]}
            with self._torch.no_grad():
                base = self._base(clip, training=False)["clip"]
            return {"clip": self.generator(base, training=True)["clip"], "base": base}

    def _judge(self, clips: Any) -> dict[str, Any]:
        with self._arithmetic():
            return self.discriminator(clips, training=True)

    def _discriminator_terms(self, real: Any, generated: dict[str, Any]) -> dict[str, Any]:
        of_real, of_fake = self._judge(real), self._judge(generated["clip"])
        terms = {
            "d_real": self._adversarial(of_real, keras_losses.REAL),
            "d_fake": self._adversarial(of_fake, keras_losses.FAKE),
        }
        if self._base is not None:
            ranking = self._ranking(of_fake, of_real, self._judge(generated["base"]))
            terms["d_ranking"] = -self._model.ranking_weight * ranking
        return terms

    def _generator_terms(self, real: Any, generated: dict[str, Any]) -> dict[str, Any]:
        model, of_fake = self._model, self._judge(generated["clip"])
        adversarial = self._adversarial(of_fake, keras_losses.REAL)
        if not model.repeats_frame:
            terms = {"g_adversarial": adversarial}
            if model.mask_prior:
                terms["g_mask_prior"] = model.mask_prior * generated["mask"].mean()
            if model.predicts:
                first = (generated["clip"][:, :, 0] - real[:, :, 0]).abs().mean()
                terms["g_first_frame"] = model.first_frame_weight * first
            return terms
        terms = {
            "g_adversarial": model.adversarial_weight * adversarial,
            "g_content": (generated["clip"] - real).abs().mean(),
        }
        if self._base is not None:
            with self._torch.no_grad():
                of_real, of_base = self._judge(real), self._judge(generated["base"])
            terms["g_ranking"] = model.ranking_weight * self._ranking(of_fake, of_real, of_base)
        return terms

    def _adversarial(self, judged: dict[str, Any], target: int) -> Any:
        logits, functional = judged["logits"].float(), self._torch.nn.functional
        if logits.shape[1] == 2:
            return -functional.log_softmax(logits, dim=1)[:, target].mean()
        return functional.softplus(-logits if target == keras_losses.REAL else logits).mean()

    def _ranking(self, refined: dict[str, Any], real: dict[str, Any], base: dict[str, Any]) -> Any:
        total = 0.0
        for layer in ("conv1", "conv3"):
            grams = [_gram(branch[layer].float()) for branch in (refined, real, base)]
            distances = [(grams[0] - gram).abs().sum(dim=(1, 2)) for gram in grams[1:]]
            total = total + self._torch.nn.functional.softplus(distances[0] - distances[1]).mean()
        return total


def _gram(features: Any) -> Any:
    """[N, C, T, H, W] -> [N, M, M], M = C * T."""
    rows, pixels = features.shape[1] * features.shape[2], features.shape[3] * features.shape[4]
    features = features.reshape(-1, rows, pixels)
    return features @ features.transpose(1, 2) / (rows * pixels)
