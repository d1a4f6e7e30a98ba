// Pictures at another size, as Pillow scales them, so that a model sees in a browser what it sees in Python.

/** Filters: how far they reach, and their weight at a distance. */
export const BILINEAR = [1, (x) => Math.max(0, 1 - Math.abs(x))];
export const BICUBIC = [2, (x) => {
  const a = Math.abs(x);
  if (a < 1) return (1.5 * a - 2.5) * a * a + 1;
  return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
}];

/**
 * Pixels [height * width * channels] at the size [columns, rows]. Each filter covers all old pixels that a new one
 * stands for. Both passes are rounded by `round`, as Pillow does with bytes.
 */
export function resized(pixels, [width, height], [columns, rows], filter, round = (value) => value) {
  const channels = pixels.length / (width * height);
  const wide = columns === width ? pixels : new Float32Array(height * columns * channels);
  if (wide !== pixels) pass(pixels, wide, width, filter, { count: height, columns, channels, round });
  if (rows === height) return wide;
  const made = new Float32Array(rows * columns * channels);
  const row = columns * channels;
  pass(wide, made, height, filter, { count: 1, columns: rows, channels: row, round });
  return made;
}

/** Scales lines of `length` positions, each of `channels` values that lie together, to `columns` positions. */
function pass(from, to, length, [support, weight], { count, columns, channels, round }) {
  const scale = length / columns;
  const stretch = Math.max(scale, 1);
  for (let column = 0; column < columns; column++) {
    const centre = (column + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const end = Math.min(length, Math.trunc(centre + support * stretch + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) => weight((first + i - centre + 0.5) / stretch));
    const sum = weights.reduce((total, one) => total + one, 0);
    for (let line = 0; line < count; line++) {
      const [source, target] = [(line * length + first) * channels, (line * columns + column) * channels];
      for (let c = 0; c < channels; c++) {
        let value = 0;
        for (let i = 0; i < weights.length; i++) value += weights[i] * from[source + i * channels + c];
        to[target + c] = round(value / sum);
      }
    }
  }
}
