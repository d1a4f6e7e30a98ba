"""Picture files decoded inside a graph, as `pictures.read_image` decodes them outside: JPEG and PNG, upright, squashed.

A served graph must not trust what it is sent. Every file is checked by its header before it is decoded, and
a file that fails the check ends the request with INVALID_ARGUMENT.
"""

from __future__ import annotations

import tensorflow as tf

from tfvideogan.files import declared
from tfvideogan.files.flatten import PAPER

MAX_PIXELS = 2**25  # A picture of this size takes 100 MB when it is decoded.
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
_EXIF_WITHIN, _MOST_TAGS = 2**17, 64  # The orientation is searched in so many bytes of a file, and in so many tags.


def decode_images(image_bytes: tf.Tensor, size: int) -> tf.Tensor:
    """Contents of JPEG or PNG files [B], of any size -> uint8 [B, size, size, 3].

    They are decoded one by one, so that only one picture at a time takes memory. INVALID_ARGUMENT if one of them is
    neither a JPEG nor a PNG, has no pixel or more than MAX_PIXELS by its header, or is damaged.
    """
    return tf.map_fn(
        lambda content: _decode_image(content, size),
        image_bytes,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        parallel_iterations=1,
    )


def _decode_image(content: tf.Tensor, size: int) -> tf.Tensor:
    is_jpeg, shape = declared.is_jpeg(content), declared.shape(content, "image_bytes")
    fits = tf.reduce_all(shape >= 1) & (tf.reduce_prod(shape) <= MAX_PIXELS)
    limit = f"a picture has 1 to {MAX_PIXELS:,} pixels. Received height and width:"
    content = declared.require(content, fits, limit, shape)
    image = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE"),  # Pillow decodes in the same way.
        lambda: _on_paper(_decode_png(content)),
    )
    # Pillow's bilinear filter and TensorFlow's round differently.
    resized = tf.image.resize(image, [size, size], antialias=True)
    frame = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    return tf.cond(is_jpeg, lambda: _upright(frame, _orientation(content)), lambda: frame)


def _decode_png(content: tf.Tensor) -> tf.Tensor:
    """A PNG as RGBA [H, W, 4].

    TensorFlow fills the alpha of a PNG that has none with 2**bits - 1, which is opaque from 8 bits a sample on only. A
    picture whose own alpha is that faint everywhere would show nothing.
    """
    image = tf.io.decode_png(content, 4)
    bits = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 24, 1), tf.uint8)[0], tf.int32)
    filler = tf.gather([2**count - 1 for count in range(17)], tf.minimum(bits, 16))
    is_filled = tf.reduce_all(tf.cast(image[..., 3], tf.int32) == filler)
    alpha = tf.where(is_filled, tf.constant(255, tf.uint8), image[..., 3:])
    return tf.concat([image[..., :3], alpha], axis=-1)


def _on_paper(image: tf.Tensor) -> tf.Tensor:
    """RGBA [H, W, 4] -> RGB, with PAPER behind what is transparent, as `pictures.read_image` has it."""
    values = tf.cast(image, tf.float32)
    share = values[..., 3:] / 255.0
    mixed = tf.round(values[..., :3] * share + tf.constant(PAPER, tf.float32) * (1.0 - share))
    return tf.cast(mixed, tf.uint8)


def _upright(frame: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """A square frame turned as the camera was held. Turning after squashing gives the same as turning before."""

    def one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == list(values))

    frame = tf.where(one_of(5, 6, 7, 8), tf.transpose(frame, [1, 0, 2]), frame)
    frame = tf.where(one_of(2, 3, 6, 7), frame[:, ::-1], frame)
    return tf.where(one_of(3, 4, 7, 8), frame[::-1], frame)


def _orientation(content: tf.Tensor) -> tf.Tensor:
    """The Exif orientation of a JPEG, 1 to 8, or another number if the file has none."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 0, _EXIF_WITHIN), tf.uint8), tf.int64)
    windows = tf.size(head, tf.int64) - len(_EXIF) + 1
    is_match = tf.reduce_all([head[i : windows + i] == byte for i, byte in enumerate(_EXIF)], axis=0)
    tiff = tf.argmax(is_match) + len(_EXIF)  # The TIFF header: II or MM, the number 42, the place of the tags.
    is_little = _byte(head, tiff) == ord("I")
    tags = tiff + _number(head, tiff + 4, 4, is_little)
    entries = tags + 2 + 12 * tf.range(tf.minimum(_number(head, tags, 2, is_little), _MOST_TAGS))
    wanted = tf.reduce_any(is_match) & (_number(head, entries, 2, is_little) == _ORIENTATION)
    return tf.reduce_max(tf.where(wanted, _number(head, entries + 8, 2, is_little), 0))


def _number(head: tf.Tensor, position: tf.Tensor, length: int, is_little: tf.Tensor) -> tf.Tensor:
    """The unsigned numbers of `length` bytes at these positions."""
    digits = [_byte(head, position + i) for i in range(length)]
    big = sum(digit * 256 ** (length - 1 - i) for i, digit in enumerate(digits))
    little = sum(digit * 256**i for i, digit in enumerate(digits))
    return tf.where(is_little, little, big)


def _byte(head: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Bytes as int64. A position outside gives the nearest byte, so that a damaged file cannot fail here."""
    return tf.gather(head, tf.clip_by_value(position, 0, tf.size(head, tf.int64) - 1))
