"""The size that the header of a JPEG or PNG declares, read inside a graph before anything is decoded.

A few bytes can declare gigabytes of pixels, and TensorFlow's decoders would make them.
"""

from __future__ import annotations

import tensorflow as tf

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def require(value: tf.Tensor, condition: tf.Tensor, text: str, received: tf.Tensor) -> tf.Tensor:
    """`value`, which can be read only once `condition` is known to hold.

    Where it does not, the step or request ends with INVALID_ARGUMENT, and its message holds `text` and `received`.
    """
    with tf.control_dependencies([tf.debugging.Assert(condition, [text, received])]):
        return tf.identity(value)


def shape(content: tf.Tensor, what: str) -> tf.Tensor:
    """Height and width of a picture by the header of its file, int64 [2]; they may be anything.

    INVALID_ARGUMENT, which says `what` it should be, if the content is neither a JPEG nor a PNG.
    """
    return tf.cond(is_jpeg(content), lambda: _jpeg_shape(content), lambda: _png_shape(content, what))


def is_jpeg(content: tf.Tensor) -> tf.Tensor:
    return _starts_with(content, _JPEG)


def _starts_with(content: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(content, 0, len(magic)) == magic


def _begins_with_ihdr(content: tf.Tensor) -> tf.Tensor:
    """Whether the first chunk of a PNG is its header, which holds its size.

    libpng would skip other chunks before the header, and so take the size from elsewhere than `_png_shape`.
    """
    padded = tf.strings.join([tf.strings.substr(content, 0, 16), tf.constant(bytes(16))])
    return tf.strings.substr(padded, len(_PNG) + 4, 4) == b"IHDR"


def _jpeg_shape(content: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64)


def _png_shape(content: tf.Tensor, what: str) -> tf.Tensor:
    is_png = _starts_with(content, _PNG) & _begins_with_ihdr(content)
    content = require(content, is_png, f"{what} must be JPEGs or PNGs. Received, in bytes:", tf.strings.length(content))
    width_and_height = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)
    return tf.cast(tf.reverse(tf.ensure_shape(width_and_height, [2]), [0]), tf.int64)
