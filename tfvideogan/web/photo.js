// A photo brought to life: dropped, pasted, chosen or taken by the camera, and steered by an arrow drawn on it.

import { element, newest, saveButtons, tell } from "./dom.js";
import { difference, Screen } from "./film.js";

const EXAMPLES = ["sky-1.jpg", "sky-2.jpg", "sky-3.jpg"];
const FASTEST = 0.04; // The sliders reach so many frame widths a frame.

export function photoPlay(engine, about) {
  const state = { picture: null, wind: [0.012, 0] };
  const hero = new Screen(element("canvas", { role: "img", "aria-label": "The photo, moving" }));
  const panels = panelsOf(about);
  const note = element("p", { className: "note", role: "status" });
  const arrow = about.wind ? arrowOn(hero.canvas, about.frames, steer) : null;

  const sharpen = newest(async (picture, wind) => {
    note.textContent = "Drawing it at its own size";
    try {
      const film = await engine.enlarge(picture, wind);
      if (picture === state.picture && wind === state.wind) hero.show(film);
    } finally {
      note.textContent = state.note ?? "";
    }
  });

  const draw = newest(async (picture, wind, settled) => {
    const film = await engine.predict(picture, wind);
    hero.show(film);
    for (const [name, { screen }] of panels) {
      screen.show(name === "difference" ? difference(film, "stage 1", "stage 2") : film, name);
    }
    if (settled && about.own_size) sharpen(picture, wind);
  });

  function steer(wind, settled = true) {
    state.wind = wind;
    arrow?.show(wind);
    if (state.picture) draw(state.picture, wind, settled);
  }

  const take = newest(async (file) => {
    note.textContent = "Reading the photo";
    try {
      const prepared = await engine.photo(file);
      const bitmap = await createImageBitmap(prepared.picture);
      const { width, height } = bitmap;
      bitmap.close();
      for (const screen of [hero, ...panels.map(([, panel]) => panel.screen)]) {
        screen.canvas.style.aspectRatio = `${width} / ${height}`;
      }
      hero.canvas.parentElement.style.setProperty("--ratio", width / height);
      Object.assign(state, { picture: prepared.picture, note: prepared.note });
    } finally {
      note.textContent = state.note ?? "";
    }
    steer([...state.wind]);
  });

  receive(take);
  takeExample(EXAMPLES[0], take);
  return element("div", { className: "photo" },
    element("section", { className: "light-table", "aria-label": "The photo" },
      element("figure", { className: "hero" },
        element("div", { className: "frame" }, hero.canvas, ...(arrow ? [arrow.drawing] : []))),
      ...(arrow ? [element("p", { className: "hint" }, "Draw an arrow on the photo: its clouds go that way.")] : []),
      element("div", { className: "panels" }, ...panels.map(([, { figure }]) => figure)),
      ...(arrow ? [arrow.sliders] : []),
      element("div", { className: "bar" }, note, saveButtons(about.formats, () => "clip",
        (format) => engine.savePrediction(format, state.picture, state.wind))),
    ),
    element("section", { "aria-labelledby": "photos-title" },
      element("h2", { id: "photos-title" }, "Another photo"),
      chooser(take),
      element("ul", { className: "examples" }, ...EXAMPLES.map((name, index) => element("li", {},
        element("button", { type: "button", className: "tile", onclick: () => takeExample(name, take) },
          element("img", { src: name, alt: `Built-in sky ${index + 1}`, width: 512, height: 384 }))))),
    ),
  );
}

/** The screens beside the large one: both stages and where they differ, or the streams. */
function panelsOf(about) {
  const titles = { "stage 1": "Stage 1", "stage 2": "Stage 2", foreground: "Foreground", mask: "Mask", background: "Background" };
  const names = about.films.filter((name) => name !== "clip" && about.films.length > 1);
  const shown = names.map((name) => [name, titles[name] ?? name]);
  if (names.includes("stage 2")) shown.push(["difference", "Where they differ, brightened"]);
  return shown.map(([name, title]) => {
    const screen = new Screen(element("canvas", { role: "img", "aria-label": title }));
    return [name, { screen, figure: element("figure", {}, screen.canvas, element("figcaption", {}, title)) }];
  });
}

async function takeExample(name, take) {
  take(await (await fetch(name)).blob());
}

/** Photos that are dropped on the page or pasted into it. */
function receive(take) {
  const first = (list) => [...(list ?? [])].find((file) => file);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = first(event.dataTransfer.files);
    if (file) take(file);
    else tell(new Error("What was dropped is not a file: save the picture first, or copy it and paste it here."));
  });
  document.addEventListener("paste", (event) => {
    const file = first(event.clipboardData.files);
    if (file) take(file);
  });
}

function chooser(take) {
  const input = element("input", { type: "file", id: "file", accept: "image/*,.heic,.heif", className: "hidden",
    onchange: () => {
      if (input.files[0]) take(input.files[0]);
      input.value = "";
    } });
  const parts = [element("span", { className: "field" }, input, element("label", { for: "file", className: "button" }, "Choose a photo"))];
  if (navigator.mediaDevices?.getUserMedia) {
    parts.push(element("button", { type: "button", className: "quiet", onclick: () => camera(take).catch(tell) }, "Camera"));
  }
  return element("div", { className: "chooser" }, ...parts,
    element("p", {}, "or drop one anywhere on this page, or paste it."));
}

/** Takes a picture by the camera, in a dialog. */
async function camera(take) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Error(`There is no camera to use: ${error.message}.`);
  }
  const video = element("video", { srcObject: stream, autoplay: true, muted: true, playsInline: true });
  const dialog = element("dialog", { "aria-label": "Camera", onclose: () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  } });
  const snap = async () => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0);
    take(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 }));
    dialog.close();
  };
  dialog.append(video, element("div", { className: "bar" },
    element("button", { type: "button", className: "button", onclick: snap }, "Take the picture"),
    element("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Cancel")));
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * An arrow that is drawn on a canvas, and two sliders for the same: the wind [u, v], in frame widths and heights a
 * frame. The arrow is as long as the way that the clouds go in a clip.
 */
function arrowOn(canvas, frames, steer) {
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const shaft = (name, attributes = {}) => svg("line", { class: name, ...attributes });
  const head = svg("marker", { id: "head", viewBox: "-1 -1 12 12", refX: 6, refY: 5, markerWidth: 5, markerHeight: 5, orient: "auto" },
    svg("path", { d: "M0 0 10 5 0 10Z" }));
  const lines = [shaft("halo"), shaft("shaft", { "marker-end": "url(#head)" })];
  const drawing = svg("svg", { class: "arrow", "aria-hidden": "true" }, svg("defs", {}, head), ...lines);
  let start = [0.35, 0.4];

  const clamp = (value) => Math.max(-FASTEST, Math.min(FASTEST, value));
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const windTo = (end) => end.map((place, axis) => clamp((place - start[axis]) / frames));
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    start = at(event);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (drawing.hasPointerCapture(event.pointerId)) steer(windTo(at(event)), false);
  });
  drawing.addEventListener("pointerup", (event) => steer(windTo(at(event))));

  const slider = (title) => {
    const input = element("input", { type: "range", min: -FASTEST, max: FASTEST, step: 0.001,
      oninput: () => steer(inputs.map((other) => Number(other.value)), false),
      onchange: () => steer(inputs.map((other) => Number(other.value))) });
    return [input, element("label", {}, title, input)];
  };
  const [[across, acrossLabel], [down, downLabel]] = [slider("Across"), slider("Down")];
  const inputs = [across, down];
  return {
    drawing,
    sliders: element("div", { className: "bar wind", role: "group", "aria-label": "Wind" }, acrossLabel, downLabel),
    show([u, v]) {
      for (const one of lines) {
        one.setAttribute("x1", `${100 * start[0]}%`);
        one.setAttribute("y1", `${100 * start[1]}%`);
        one.setAttribute("x2", `${100 * (start[0] + u * frames)}%`);
        one.setAttribute("y2", `${100 * (start[1] + v * frames)}%`);
      }
      [u, v].forEach((value, axis) => {
        inputs[axis].value = value;
        inputs[axis].setAttribute("aria-valuetext", `${(100 * value).toFixed(1)} % of the frame, each frame`);
      });
    },
  };
}
