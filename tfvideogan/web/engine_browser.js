// What the page asks of a model, answered in the browser itself: `worker.js` runs it, no server does (`export.to_web`).

import { driftingClip } from "./drift.js";
import { Film } from "./film.js";
import { hired } from "./hired.js";
import { greatCircle, normal } from "./latents.js";
import { BILINEAR, resized } from "./resample.js";
import { encode, formats } from "./saving.js";

const LONGEST_SIDE = 720;
const FOLD = 4; // Browsers draw no picture that is as long as a strip of large frames.
const waiting = new Map();
let worker;
let about;
let count = 0;

/** Loads the model, and tells what it can do. `progress` is called with a note and the share that is loaded. */
export async function load(progress) {
  const site = await (await fetch("model.json")).json();
  const known = await formats();
  about = { ...site.about, formats: known.formats, limits: [...site.about.limits, ...known.missing] };
  worker = new Worker(new URL("worker.js", import.meta.url));
  worker.onerror = () => settle([...waiting.keys()], { error: "the browser does not run it in a worker" });
  worker.onmessage = ({ data }) => {
    if (data.share === undefined) settle([data.id], data);
    else progress(data.share < 1 ? "Loading the model" : "Starting the model", data.share);
  };
  await ask({ site });
  return about;
}

/** The films of a seed, or at a share of the way to another. Seeds are BigInts. */
export async function clip(seed, to = seed, share = 0) {
  const [start, end] = [seed, to].map((one) => normal(one, about.latent_dim));
  return film(await ask({ input: greatCircle(start, end, share), shape: [1, about.latent_dim] }));
}

export async function saveClip(format, seed, to = seed, share = 0) {
  return encode(format, await clip(seed, to, share));
}

/** A photo that the browser can read, as a JPEG: upright, on white, and no larger than a screen wants it. */
export async function photo(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error("Sorry: this is not a picture that the browser can read.");
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = drawn(picture, ...[picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale))));
  picture.close();
  return { picture: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 }), note: "" };
}

/** The films of a photo that `photo` has prepared, moved by the wind [u, v]. */
export async function predict(picture, wind) {
  return film(await run(await pixelsOf(picture), wind));
}

/** Its clip at the size of the photo. */
export async function enlarge(picture, wind) {
  const photo = await pixelsOf(picture);
  const values = await run(photo, wind);
  const { size, frames, films, share } = about;
  const clip = cut(values, films.includes("clip") ? films.indexOf("clip") : films.length - 1, 3);
  const shares = share === "film" ? cut(values, films.length, 1).map((value) => (value + 1) / 2) : share;
  const { width, height, pixels } = photo;
  const moved = about.wind ? wind : [0, 0];
  const question = { photo: pixels.map(toFloat), width, height, clip, shares, size, frames, wind: moved, fold: FOLD };
  const sheet = await hired("enlarge.js", question, "the browser cannot enlarge the clip");
  return new Film(canvasOf(sheet), ["clip"], frames, FOLD);
}

export async function savePrediction(format, picture, wind) {
  return encode(format, await enlarge(picture, wind));
}

const toFloat = (value) => value / 127.5 - 1;

/** What the model makes of a photo's pixels, floats in [-1, 1] of films side by side. */
async function run({ pixels, width, height }, wind) {
  const { size, frames } = about;
  // The filter's bytes are rounded as Pillow's are, so that the model sees what it sees in Python.
  const small = resized(pixels, [width, height], [size, size], BILINEAR, Math.round).map(toFloat);
  const input = about.wind ? driftingClip(small, size, wind, frames) : small;
  return ask({ input, shape: [1, about.wind ? frames * size : size, size, 3] });
}

/** A photo's bytes [height * width * 3], as floats. */
async function pixelsOf(picture) {
  const bitmap = await createImageBitmap(picture);
  const { width, height } = bitmap;
  const { data } = drawn(bitmap, width, height).getContext("2d").getImageData(0, 0, width, height);
  bitmap.close();
  return { pixels: Float32Array.from(data.filter((_, i) => i % 4 < 3)), width, height };
}

/** The first channels of film number `index`, [frames * size * size * channels]. */
function cut(values, index, channels) {
  const { size, frames } = about;
  const wide = values.length / 3 / (size * frames);
  const made = new Float32Array(frames * size * size * channels);
  for (let i = 0; i < made.length; i++) {
    const pixel = Math.floor(i / channels);
    made[i] = values[3 * (Math.floor(pixel / size) * wide + index * size + (pixel % size)) + (i % channels)];
  }
  return made;
}

function drawn(picture, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/** Floats in [-1, 1] of films side by side, the frames of each below each other, as a picture. */
function film(values) {
  const height = about.size * about.frames;
  const image = new ImageData(about.size * about.films.length, height);
  image.data.fill(255);
  const wide = values.length / height; // There may be the shares beside the films.
  for (let y = 0, to = 0; y < height; y++) for (let x = 0, i = y * wide; x < image.width; x++, to += 4) {
    // Bytes of an image are rounded half to even and clipped, as Python's are.
    for (let c = 0; c < 3; c++) image.data[to + c] = (values[i++] + 1) * 127.5;
  }
  return Object.assign(new Film(canvasOf(image), about.films, about.frames), { values });
}

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function ask(question) {
  return new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ id: count, ...question });
  });
}

function settle(ids, { films, error }) {
  for (const id of ids) {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(`Sorry: ${error}.`));
    else resolve(films);
  }
}
