// GIF files: one palette of 256 colours for all frames of a clip, not dithered, so that what stands does not flicker.
// A worker, since it takes seconds.

onmessage = ({ data: { frames, fps } }) => postMessage(encoded(frames, fps));

/** A looping GIF of frames, ImageData of one size each, as the parts of a Blob. */
function encoded(frames, fps) {
  const [{ width, height }] = frames;
  const palette = colours(frames);
  const nearest = indexer(palette);
  const head = [...text("GIF89a"), ...word(width), ...word(height), 0xf7, 0, 0, ...palette.flat()];
  const loop = [0x21, 0xff, 11, ...text("NETSCAPE2.0"), 3, 1, 0, 0, 0];
  const parts = [new Uint8Array([...head, ...loop])];
  for (const { data } of frames) {
    const indices = new Uint8Array(width * height);
    for (let i = 0; i < indices.length; i++) indices[i] = nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]);
    const control = [0x21, 0xf9, 4, 0, ...word(Math.round(100 / fps)), 0, 0];
    parts.push(new Uint8Array([...control, 0x2c, 0, 0, 0, 0, ...word(width), ...word(height), 0, 8]), compressed(indices));
  }
  return [...parts, new Uint8Array([0x3b])];
}

const text = (value) => [...value].map((letter) => letter.charCodeAt(0));
const word = (value) => [value & 255, value >> 8];

/** 256 colours [r, g, b] for some 60,000 pixels of all frames, by median cut: the box of the widest axis is halved. */
function colours(frames) {
  const pixels = [];
  const step = Math.ceil((frames.length * frames[0].width * frames[0].height) / 60_000);
  for (const { data } of frames) for (let i = 0; i < data.length; i += 4 * step) pixels.push([data[i], data[i + 1], data[i + 2]]);
  let boxes = [box(pixels)];
  while (boxes.length < 256) {
    const widest = boxes.reduce((one, other) => (other.spread > one.spread ? other : one));
    if (widest.spread === 0) break;
    const sorted = widest.pixels.sort((a, b) => a[widest.axis] - b[widest.axis]);
    const middle = sorted.length >> 1;
    boxes = boxes.filter((one) => one !== widest).concat(box(sorted.slice(0, middle)), box(sorted.slice(middle)));
  }
  const means = boxes.map(({ pixels: own }) => [0, 1, 2].map((c) => Math.round(own.reduce((sum, p) => sum + p[c], 0) / own.length)));
  return Array.from({ length: 256 }, (_, i) => means[Math.min(i, means.length - 1)]);
}

/** Pixels, the colour in which they differ most, and how much they do, all of them together. */
function box(pixels) {
  const spreads = [0, 1, 2].map((c) => {
    let [low, high] = [255, 0];
    for (const pixel of pixels) [low, high] = [Math.min(low, pixel[c]), Math.max(high, pixel[c])];
    return high - low;
  });
  const axis = spreads.indexOf(Math.max(...spreads));
  return { pixels, axis, spread: spreads[axis] * Math.sqrt(pixels.length) };
}

/** Finds the nearest colour of a palette, to two levels, and remembers it. */
function indexer(palette) {
  const known = new Int16Array(2 ** 21).fill(-1);
  return (r, g, b) => {
    const key = ((r >> 1) << 14) | ((g >> 1) << 7) | (b >> 1);
    if (known[key] < 0) {
      let least = Infinity;
      palette.forEach(([pr, pg, pb], i) => {
        const distance = (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2;
        if (distance < least) [least, known[key]] = [distance, i];
      });
    }
    return known[key];
  };
}

/** Indices by LZW, in blocks of 255 bytes and the one of none that ends them. */
function compressed(indices) {
  const bytes = new Uint8Array(indices.length * 2 + 16);
  const longer = new Uint16Array(4096 * 256); // by a code and an index that follows it: the code of both, or 0
  let [count, bits, held, width, next] = [0, 0, 0, 9, 258];
  const write = (code) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8, held >>>= 8) bytes[count++] = held & 255;
  };
  write(256);
  let code = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const place = code * 256 + indices[i];
    if (longer[place]) {
      code = longer[place];
      continue;
    }
    write(code);
    if (next < 4096) {
      longer[place] = next;
      if (next === 2 ** width) width++;
      next++;
    } else {
      write(256);
      longer.fill(0);
      [width, next] = [9, 258];
    }
    code = indices[i];
  }
  write(code);
  if (next === 2 ** width && width < 12) width++; // A reader has its next code by now, too.
  write(257);
  if (bits) bytes[count++] = held & 255;
  const blocks = new Uint8Array(count + Math.ceil(count / 255) + 1);
  for (let from = 0, to = 0; from < count; from += 255) {
    const block = bytes.subarray(from, Math.min(count, from + 255));
    blocks[to] = block.length;
    blocks.set(block, to + 1);
    to += block.length + 1;
  }
  return blocks;
}
