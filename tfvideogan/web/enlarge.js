// A predicted clip at the size of its photo: `Animator` of `inference/animation.py` in JavaScript. A worker, since it
// takes a second or two.

import { moved } from "./drift.js";
import { BICUBIC, resized } from "./resample.js";

onmessage = ({ data }) => {
  const sheet = enlarged(data);
  postMessage(sheet, [sheet.data.buffer]);
};

/**
 * The frames as bytes in one picture, `fold` in a row.
 *
 * `photo` [height * width * 3] and `clip` [frames * size * size * 3] are in [-1, 1]. Of a model that changes its input,
 * the change is enlarged and put on the photo, whose details move with the wind where the shares [frames * size * size]
 * say so, or everywhere with `shares` 1. With `shares` null the clip itself is enlarged.
 */
export function enlarged({ photo, width, height, clip, shares, size, frames, wind: [u, v], fold }) {
  const sheet = new ImageData(width * fold, height * Math.ceil(frames / fold));
  const [small, large, count] = [[size, size], [width, height], size * size];
  for (let t = 0; t < frames; t++) {
    let frame = clip.subarray(3 * t * count, 3 * (t + 1) * count);
    let start = null;
    if (shares !== null) {
      start = moved(photo, width, height, [u * t, v * t]);
      if (shares !== 1) start = mixed(start, photo, resized(shares.subarray(t * count, (t + 1) * count), small, large, BICUBIC));
      const below = resized(start, large, small, BICUBIC);
      frame = frame.map((value, i) => value - below[i]);
    }
    put(sheet, resized(frame, small, large, BICUBIC), start, [t % fold, Math.floor(t / fold)], large);
  }
  return sheet;
}

/** What moves and what stands, [pixels * 3] both, by the shares [pixels] of what moves. */
function mixed(moving, still, shares) {
  return moving.map((value, i) => {
    const share = Math.min(1, Math.max(0, shares[Math.floor(i / 3)]));
    return share * value + (1 - share) * still[i];
  });
}

function put(sheet, frame, start, [column, row], [width, height]) {
  for (let y = 0, i = 0; y < height; y++) {
    let to = 4 * ((row * height + y) * sheet.width + column * width);
    for (let x = 0; x < width; x++, to += 4) {
      // Bytes of an image are rounded half to even and clipped, as Python's are.
      for (let c = 0; c < 3; c++, i++) sheet.data[to + c] = (frame[i] + (start ? start[i] : 0) + 1) * 127.5;
      sheet.data[to + 3] = 255;
    }
  }
}
