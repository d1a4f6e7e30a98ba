// Films, the canvases that show them, and the one clock by which all of them move.

export const FPS = 12;
const screens = new Set();
let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
let time = 0;
let last = 0;

/**
 * The films of one clip in one picture: side by side by name, the frames of each below each other, or, with `fold`,
 * in rows of so many.
 */
export class Film {
  constructor(picture, names, frames, fold = 1) {
    this.picture = picture;
    this.names = names;
    this.frames = frames;
    this.fold = fold;
    this.screens = 0;
    this.width = picture.width / (names.length * fold);
    this.height = picture.height / Math.ceil(frames / fold);
  }

  /** Draws frame `index` of the film `name` so that it fills the canvas. */
  draw(canvas, name, index) {
    if (canvas.width !== this.width || canvas.height !== this.height) {
      canvas.width = this.width;
      canvas.height = this.height;
    }
    const x = (this.names.indexOf(name) * this.fold + (index % this.fold)) * this.width;
    const y = Math.floor(index / this.fold) * this.height;
    canvas.getContext("2d").drawImage(this.picture, x, y, this.width, this.height, 0, 0, this.width, this.height);
  }

  /** Lets go of a picture that is a bitmap, whose memory the browser would otherwise free when it gets round to it. */
  close() {
    this.picture.close?.();
  }

  /** The name of what a viewer wants to see: the clip, or that of the last stage. */
  get main() {
    return this.names.includes("clip") ? "clip" : this.names.at(-1);
  }
}

/** A film of where two films of a clip differ, brightened until the largest difference is white. */
export function difference(film, one, other) {
  const [first, second] = [one, other].map((name) => pixels(film, name));
  let largest = 1;
  for (let i = 0; i < first.data.length; i++) {
    first.data[i] = Math.abs(first.data[i] - second.data[i]);
    largest = Math.max(largest, first.data[i]);
  }
  for (let i = 0; i < first.data.length; i++) first.data[i] = i % 4 === 3 ? 255 : (255 / largest) * first.data[i];
  const canvas = new OffscreenCanvas(first.width, first.height);
  canvas.getContext("2d").putImageData(first, 0, 0);
  return new Film(canvas, ["difference"], film.frames);
}

function pixels(film, name) {
  const height = film.height * film.frames;
  const context = new OffscreenCanvas(film.width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(film.picture, -film.names.indexOf(name) * film.width, 0);
  return context.getImageData(0, 0, film.width, height);
}

/** A canvas that shows one film of a clip, as long as it is in the page. A film that no screen shows any more is closed. */
export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.film = null;
    this.shown = -1;
    screens.add(this);
  }

  show(film, name = film.main) {
    film.screens += 1;
    this.release();
    [this.film, this.name, this.shown] = [film, name, -1];
    if (paused) this.draw();
  }

  draw() {
    const index = Math.floor(time * FPS) % this.film.frames;
    if (index === this.shown) return;
    this.shown = index;
    this.film.draw(this.canvas, this.name, index);
  }

  remove() {
    screens.delete(this);
    this.release();
  }

  release() {
    if (!this.film) return;
    this.film.screens -= 1;
    if (!this.film.screens) this.film.close();
    this.film = null;
  }
}

/** Stops or starts all films. */
export function pause(stop) {
  paused = stop;
  if (!stop) requestAnimationFrame(tick);
}

export const isPaused = () => paused;

function tick(now) {
  if (paused) {
    last = 0;
    return;
  }
  if (last) time += Math.min(now - last, 250) / 1000;
  last = now;
  for (const screen of screens) if (screen.film) screen.draw();
  requestAnimationFrame(tick);
}

if (!paused) requestAnimationFrame(tick);
