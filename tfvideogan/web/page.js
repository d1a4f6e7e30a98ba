// The page: waits for the model, and shows what it can do.

import * as engine from "./engine.js";
import { element, tell } from "./dom.js";
import { isPaused, pause } from "./film.js";
import { photoPlay } from "./photo.js";
import { seedPlay } from "./seeds.js";

const find = (id) => document.getElementById(id);

function showMotion() {
  find("motion").setAttribute("aria-pressed", isPaused());
  find("motion").textContent = isPaused() ? "Play" : "Pause";
}

find("motion").addEventListener("click", () => {
  pause(!isPaused());
  showMotion();
});
showMotion();

function progress(note, share) {
  if (!find("loading")) return; // Files that still come in after a failure tell of it no more.
  find("note").textContent = note;
  if (share === undefined) find("progress").removeAttribute("value");
  else find("progress").value = share;
}

async function start() {
  const about = await engine.load(progress);
  document.title = `${about.name} · tfvideogan`;
  find("name").textContent = about.name;
  find("description").textContent = about.description;
  find("loading").remove();
  if (about.limits.length) {
    find("limits").hidden = false;
    find("limits").querySelector("ul").append(...about.limits.map((limit) => element("li", {}, limit)));
  }
  find("play").append(about.predicts ? photoPlay(engine, about) : seedPlay(engine, about));
}

start().catch((error) => {
  find("loading")?.remove();
  find("name").textContent = "The model is not here";
  tell(error);
});
