// Pictures that drift with a wind, for models trained with `--drift`: `models/drift.py` in JavaScript.

/** Pixels [size * size * 3] -> the clip [frames * size * size * 3] whose frame t is moved by t times the wind [u, v]. */
export function driftingClip(pixels, size, [u, v], frames) {
  const clip = new Float32Array(frames * pixels.length);
  for (let t = 0; t < frames; t++) clip.set(moved(pixels, size, size, [u * t, v * t]), t * pixels.length);
  return clip;
}

/** Pixels [height * width * 3] moved by so many widths to the right and heights downwards. The edges are mirrors. */
export function moved(pixels, width, height, [right, down]) {
  if (right === 0 && down === 0) return pixels;
  const [columns, rows] = [sources(right * width, width), sources(down * height, height)];
  const made = new Float32Array(pixels.length);
  for (let y = 0, i = 0; y < height; y++) {
    const [above, below, low] = [rows.first[y] * width, rows.second[y] * width, rows.share[y]];
    for (let x = 0; x < width; x++) {
      const [left, next, far] = [columns.first[x], columns.second[x], columns.share[x]];
      const [a, b, c, d] = [3 * (above + left), 3 * (above + next), 3 * (below + left), 3 * (below + next)];
      for (let k = 0; k < 3; k++, i++) {
        const top = pixels[a + k] + far * (pixels[b + k] - pixels[a + k]);
        made[i] = top + low * (pixels[c + k] + far * (pixels[d + k] - pixels[c + k]) - top);
      }
    }
  }
  return made;
}

/** For each pixel of an axis, the two old ones that it lies between, and the share of the second. */
function sources(shift, size) {
  const last = Math.max(size - 1, 1);
  const [first, second, share] = [new Int32Array(size), new Int32Array(size), new Float32Array(size)];
  for (let pixel = 0; pixel < size; pixel++) {
    const place = pixel - shift;
    const source = last - Math.abs(last - place + 2 * last * Math.floor(place / (2 * last)));
    first[pixel] = Math.min(Math.floor(source), last - 1);
    second[pixel] = Math.min(first[pixel] + 1, size - 1);
    share[pixel] = source - first[pixel];
  }
  return { first, second, share };
}
