// The first frame drifting with a wind, for models trained with `--drift`: `models/drift.py` in JavaScript.

/** Pixels [size * size * 3] -> the clip [frames * size * size * 3] whose frame t is moved by t times the wind [u, v]. */
export function driftingClip(pixels, size, [u, v], frames) {
  const clip = new Float32Array(frames * pixels.length);
  for (let t = 0; t < frames; t++) {
    const columns = sources(u * t * size, size);
    const rows = sources(v * t * size, size);
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) for (let c = 0; c < 3; c++) {
      let sum = 0;
      for (const [row, high] of rows[y]) for (const [column, wide] of columns[x]) {
        sum += high * wide * pixels[(row * size + column) * 3 + c];
      }
      clip[((t * size + y) * size + x) * 3 + c] = sum;
    }
  }
  return clip;
}

/** For each pixel of an axis, the two old ones that it lies between, and their shares. The edges are mirrors. */
function sources(shift, size) {
  const last = size - 1;
  return Array.from({ length: size }, (_, pixel) => {
    const place = pixel - shift;
    const source = last - Math.abs(last - place + 2 * last * Math.floor(place / (2 * last)));
    const low = Math.min(Math.floor(source), last - 1);
    return [[low, 1 - (source - low)], [low + 1, source - low]];
  });
}
