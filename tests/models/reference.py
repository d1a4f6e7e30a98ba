"""The papers' networks in float64 NumPy, from the definitions of their operations and the sizes of the papers alone.

Weights are taken from a Keras network by the names of its convolutions. Tensors are [N, (T,) H, W, C].
"""

import itertools

import keras
import numpy as np


def convolution(x: np.ndarray, kernel: np.ndarray, stride: tuple[int, ...], pad: tuple[int, ...]) -> np.ndarray:
    """y[o] = sum over taps k of x[stride * o + k - pad] @ kernel[k], zeros outside; kernel [*K, C in, C out]."""
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    x = np.pad(x, [(0, 0), *((p, p) for p in pad), (0, 0)])
    out = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, taps, stride, pad, strict=True)]
    y = np.zeros([len(x), *out, kernel.shape[-1]])
    for tap in itertools.product(*map(range, taps)):
        window = tuple(slice(k, k + s * (o - 1) + 1, s) for k, s, o in zip(tap, stride, out, strict=True))
        y += x[(slice(None), *window)] @ kernel[tap]
    return y


def transposed_convolution(
    x: np.ndarray, kernel: np.ndarray, stride: tuple[int, ...], pad: tuple[int, ...]
) -> np.ndarray:
    """Input i adds x[i] @ kernel[k] to output stride * i + k - pad, for each tap k; kernel [*K, C out, C in]."""
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    whole = [s * (n - 1) + k for n, k, s in zip(sizes, taps, stride, strict=True)]
    y = np.zeros([len(x), *whole, kernel.shape[-2]])
    for tap in itertools.product(*map(range, taps)):
        window = tuple(slice(k, k + s * (n - 1) + 1, s) for k, s, n in zip(tap, stride, sizes, strict=True))
        y[(slice(None), *window)] += x @ kernel[tap].T
    return y[(slice(None), *(slice(p, n - p) for p, n in zip(pad, whole, strict=True)))]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def leaky(x: np.ndarray, slope: float = 0.2) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class Weights:
    """A Keras network's convolutions by name, each with the batch normalisation behind it."""

    def __init__(self, network: keras.Model):
        self._layers = {layer.name: layer for layer in network.layers}
        norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        self._norms = {id(norm.input): norm for norm in norms}

    def conv(self, x: np.ndarray, name: str, stride: int | tuple[int, ...] = 1, pad: int | tuple[int, ...] = 0):
        return self._apply(convolution, x, name, stride, pad)

    def deconv(self, x: np.ndarray, name: str, stride: int | tuple[int, ...] = 1, pad: int | tuple[int, ...] = 0):
        return self._apply(transposed_convolution, x, name, stride, pad)

    def _apply(self, function, x: np.ndarray, name: str, stride, pad) -> np.ndarray:
        layer, rank = self._layers[name], x.ndim - 2
        stride, pad = ((n,) * rank if isinstance(n, int) else n for n in (stride, pad))
        y = function(x, layer.kernel.numpy().astype(np.float64), stride, pad)
        return y + layer.bias.numpy() if layer.bias is not None else y

    def norm(self, x: np.ndarray, name: str, epsilon: float) -> np.ndarray:
        """The batch normalisation behind convolution `name`, by its moving statistics."""
        norm = self._norms[id(self._layers[name].output)]
        mean, variance, gamma, beta = (
            v.numpy().astype(np.float64) for v in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def vgan_video_stream(w: Weights, x: np.ndarray) -> np.ndarray:
    """[N, 2, 4, 4, 512] before its normalisation -> [N, 16, 32, 32, 64]."""
    x = relu(w.norm(x, "f_conv1", 1e-5))
    for name in ("f_conv2", "f_conv3", "f_conv4"):
        x = relu(w.norm(w.deconv(x, name, 2, 1), name, 1e-5))
    return x


def vgan_heads(w: Weights, trunk: np.ndarray, background: np.ndarray) -> dict[str, np.ndarray]:
    """Equation 2."""
    foreground, mask = np.tanh(w.deconv(trunk, "f_head", 2, 1)), sigmoid(w.deconv(trunk, "m_head", 2, 1))
    background = np.tanh(w.deconv(background, "b_head", 2, 1))[:, np.newaxis]
    clip = mask * foreground + (1 - mask) * background
    return {"clip": clip, "foreground": foreground, "mask": mask, "background": background}


def vgan_two_stream(w: Weights, latents: np.ndarray) -> dict[str, np.ndarray]:
    trunk = vgan_video_stream(w, w.deconv(latents[:, None, None, None], "f_conv1"))
    x = relu(w.norm(w.deconv(latents[:, None, None], "b_conv1"), "b_conv1", 1e-5))
    for name in ("b_conv2", "b_conv3", "b_conv4"):
        x = relu(w.norm(w.deconv(x, name, 2, 1), name, 1e-5))
    return vgan_heads(w, trunk, x)


def vgan_one_stream(w: Weights, latents: np.ndarray) -> dict[str, np.ndarray]:
    trunk = vgan_video_stream(w, w.deconv(latents[:, None, None, None], "f_conv1"))
    return {"clip": np.tanh(w.deconv(trunk, "f_head", 2, 1))}


def vgan_conditional(w: Weights, frame: np.ndarray) -> dict[str, np.ndarray]:
    x = relu(w.conv(frame, "e_conv1", 2, 1))
    for name in ("e_conv2", "e_conv3", "e_conv4"):
        x = relu(w.norm(w.conv(x, name, 2, 1), name, 1e-3))
    trunk = vgan_video_stream(w, w.deconv(x[:, np.newaxis], "f_conv1"))
    for name in ("b_conv2", "b_conv3", "b_conv4"):
        x = relu(w.norm(w.deconv(x, name, 2, 1), name, 1e-5))
    return vgan_heads(w, trunk, x)


def vgan_discriminator(w: Weights, clip: np.ndarray) -> dict[str, np.ndarray]:
    x = leaky(w.conv(clip, "conv1", 2, 1))
    for name in ("conv2", "conv3", "conv4"):
        x = leaky(w.norm(w.conv(x, name, 2, 1), name, 1e-3))
    return {"logits": w.conv(x, "logits_conv").reshape(len(clip), 2)}


def mdgan_generator(w: Weights, clip: np.ndarray, skips: tuple[int, ...]) -> dict[str, np.ndarray]:
    """G1 with `skips` (1, 2, 3, 4, 5), G2 with (3, 4, 5): the convolutions whose outputs are added in the decoder."""
    x = w.conv(clip, "down_conv1", (1, 2, 2), 1)  # Neither normalisation nor activation.
    outputs = [x]
    for name in ("down_conv2", "down_conv3", "down_conv4", "down_conv5"):
        x = leaky(w.norm(w.conv(x, name, 2, 1), name, 1e-5))
        outputs.append(x)
    x = w.deconv(w.conv(x, "down_conv6"), "up_conv1")
    for number in (1, 2, 3, 4, 5):
        x = w.deconv(x, f"up_conv{number}", 2, 1) if number > 1 else x
        x = relu(w.norm(x, f"up_conv{number}", 1e-5))
        x = x + outputs[5 - number] if 6 - number in skips else x
    return {"clip": np.tanh(w.deconv(x, "up_conv6", (1, 2, 2), 1))}


def mdgan_discriminator(w: Weights, clip: np.ndarray) -> dict[str, np.ndarray]:
    x = features = leaky(w.conv(clip, "conv1", (1, 2, 2), 1))
    found = {"conv1": features}
    for name, slope in (("conv2", 0.2), ("conv3", 0.2), ("conv4", 0.2), ("conv5", 0.01)):
        x = found[name] = leaky(w.norm(w.conv(x, name, 2, 1), name, 1e-5), slope)
    logits = w.conv(x, "logits_conv").reshape(len(clip), 1)
    return {"logits": logits, "conv1": found["conv1"], "conv3": found["conv3"]}
