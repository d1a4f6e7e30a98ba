// Clips as files, made by the browser: MP4 and WebP where it can compress them, and GIF.

import { FPS } from "./film.js";
import { hired } from "./hired.js";
import { canEncodeMp4, encodeMp4 } from "./mp4.js";
import { muxWebp } from "./webp.js";

const [SMALLEST_SIDE, LARGEST_SIDE] = [256, 4096]; // as in `answers.py`
const TYPES = { mp4: "video/mp4", webp: "image/webp", gif: "image/gif" };

/** The formats that this browser can make, and a sentence on those that it cannot, or none. */
export async function formats() {
  const canvas = new OffscreenCanvas(2, 2);
  canvas.getContext("2d").fillRect(0, 0, 2, 2);
  const still = await canvas.convertToBlob({ type: TYPES.webp }); // It is a PNG where there is no WebP.
  const can = { mp4: await canEncodeMp4(SMALLEST_SIDE, SMALLEST_SIDE), webp: still.type === TYPES.webp, gif: true };
  const missing = Object.keys(can).filter((format) => !can[format]).map((format) => format.toUpperCase());
  const sentence = missing.length ? [`Clips cannot be saved as ${missing.join(" or ")}: this browser does not make it.`] : [];
  return { formats: Object.keys(can).filter((format) => can[format]), missing: sentence };
}

/** A film in a format, as a Blob. */
export async function encode(format, film) {
  const canvases = framesOf(film, format === "mp4");
  const [{ width, height }] = canvases;
  let parts;
  if (format === "mp4") parts = await encodeMp4(canvases, FPS);
  else if (format === "gif") parts = await gif(canvases, width, height);
  else parts = muxWebp(await Promise.all(canvases.map(stillWebp)), width, height, FPS);
  return new Blob(parts, { type: TYPES[format] });
}

/** What `gif.js` makes of the frames, whose bytes are handed over to it. */
function gif(canvases, width, height) {
  const frames = canvases.map((canvas) => canvas.getContext("2d").getImageData(0, 0, width, height));
  return hired("gif.js", { frames, fps: FPS }, "the browser cannot make a GIF", frames.map(({ data }) => data.buffer));
}

async function stillWebp(canvas) {
  return new Uint8Array(await (await canvas.convertToBlob({ type: TYPES.webp, quality: 0.9 })).arrayBuffer());
}

/** A film's frames, a canvas each, whose pixels are repeated where they are few, as players do not enlarge them. */
function framesOf(film, even) {
  const sides = [film.width, film.height];
  const scale = Math.max(1, Math.floor(Math.min(SMALLEST_SIDE / Math.min(...sides), LARGEST_SIDE / Math.max(...sides))));
  const [wide, high] = sides.map((side) => side * scale);
  // Most players want even sides of an MP4, so that an odd one has its last line twice.
  const [width, height] = [wide, high].map((side) => side + (even ? side % 2 : 0));
  return Array.from({ length: film.frames }, (_, index) => {
    const frame = new OffscreenCanvas(film.width, film.height);
    film.draw(frame, film.main, index);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingEnabled = false;
    context.drawImage(frame, 0, 0, wide, high);
    // Where a side is even, the line that would be its second falls outside of the canvas.
    context.drawImage(canvas, wide - 1, 0, 1, high, wide, 0, 1, high);
    context.drawImage(canvas, 0, high - 1, width, 1, 0, high, width, 1);
    return canvas;
  });
}
