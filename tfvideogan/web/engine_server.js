// What the page asks of a model, answered by the server that it came from (`server.py`).

import { Film } from "./film.js";

const MOST_BYTES = 32 * 2 ** 20;
const FOLD = 4; // of the sheets of `answers.py`
let about;

/** Waits for the model, and tells what it can do. `progress` is called with a note, and a share where there is one. */
export async function load(progress) {
  for (;;) {
    const answer = await (await ask("api/model")).json();
    if (answer.about) {
      about = { ...answer.about, formats: answer.formats };
      return about;
    }
    progress(answer.trouble ? `${answer.trouble}. Trying again` : "Loading the model, which takes some seconds");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** The films of a seed, or at a share of the way to another. Seeds are BigInts. */
export async function clip(seed, to = seed, share = 0) {
  return film(await ask(`api/clip?${new URLSearchParams({ seed, to, share })}`));
}

export async function saveClip(format, seed, to = seed, share = 0) {
  return (await ask(`api/clip?${new URLSearchParams({ seed, to, share, save: format })}`)).blob();
}

/** A photo of any kind as a JPEG that a browser can show, and a note on what became of it. */
export async function photo(file) {
  if (file.size > MOST_BYTES) throw new Error("The photo is over 32 MB, which is the most that is taken.");
  const answer = await ask("api/photo", file);
  return { picture: await answer.blob(), note: answer.headers.get("X-Note") };
}

/** The films of a photo that `photo` has prepared, moved by the wind [u, v]. */
export async function predict(picture, [u, v]) {
  return film(await ask(`api/prediction?${new URLSearchParams({ u, v })}`, picture));
}

/** Its clip at the size of the photo. */
export async function enlarge(picture, [u, v]) {
  const answer = await ask(`api/prediction?${new URLSearchParams({ u, v, own_size: 1 })}`, picture);
  return new Film(await createImageBitmap(await answer.blob()), ["clip"], about.frames, FOLD);
}

export async function savePrediction(format, picture, [u, v]) {
  const query = { u, v, save: format, ...(about.own_size && { own_size: 1 }) };
  return (await ask(`api/prediction?${new URLSearchParams(query)}`, picture)).blob();
}

async function film(answer) {
  return new Film(await createImageBitmap(await answer.blob()), about.films, about.frames);
}

async function ask(where, body) {
  let answer;
  try {
    answer = await fetch(where, body ? { method: "POST", body } : {});
  } catch {
    throw new Error("The server does not answer any more. Its terminal says why.");
  }
  if (!answer.ok) throw new Error(`Sorry: ${(await answer.json()).error}.`);
  return answer;
}
