// What the page asks of a model, answered in the browser itself: `worker.js` runs it, no server does (`export.to_web`).

import { driftingClip } from "./drift.js";
import { Film } from "./film.js";
import { greatCircle, normal } from "./latents.js";

const LONGEST_SIDE = 720;
const waiting = new Map();
let worker;
let about;
let count = 0;

/** Loads the model, and tells what it can do. `progress` is called with a note and the share that is loaded. */
export async function load(progress) {
  const site = await (await fetch("model.json")).json();
  about = { ...site.about, formats: ["png"] };
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

/** All films in one picture, the frames of each below each other. */
export async function saveClip(format, seed, to = seed, share = 0) {
  return (await clip(seed, to, share)).picture.convertToBlob({ type: `image/${format}` });
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
  return { picture: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 }), note: "" };
}

/** The films of a photo that `photo` has prepared, moved by the wind [u, v]. */
export async function predict(picture, wind) {
  const { size, frames } = about;
  const { data } = drawn(await createImageBitmap(picture), size, size).getContext("2d").getImageData(0, 0, size, size);
  const pixels = Float32Array.from(data.filter((_, i) => i % 4 < 3), (value) => value / 127.5 - 1);
  const input = about.wind ? driftingClip(pixels, size, wind, frames) : pixels;
  return film(await ask({ input, shape: [1, about.wind ? frames * size : size, size, 3] }));
}

export async function savePrediction(format, picture, wind) {
  return (await predict(picture, wind)).picture.convertToBlob({ type: `image/${format}` });
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
  const width = about.size * about.films.length;
  const image = new ImageData(width, values.length / 3 / width);
  image.data.fill(255);
  // Bytes of an image are rounded half to even and clipped, as Python's are.
  for (let i = 0, j = 0; i < values.length; j++) for (let c = 0; c < 3; c++) image.data[4 * j + c] = (values[i++] + 1) * 127.5;
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return Object.assign(new Film(canvas, about.films, about.frames), { values });
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
