// Clips from seeds: a gallery, the streams of the chosen one, and the way from one seed to another.

import { element, newest, saveButtons } from "./dom.js";
import { Screen } from "./film.js";

const IN_GALLERY = 12;
const TITLES = { clip: "Clip", foreground: "Foreground", mask: "Mask", background: "Background" };

export function seedPlay(engine, about) {
  const state = { from: 0n, to: 1n, share: 0, first: 0n };
  const hero = new Screen(element("canvas", { className: "pixels", role: "img" }));
  const streams = about.films.filter((name) => name !== "clip").map((name) => [name, panel(TITLES[name] ?? name)]);
  const from = seedInput("From seed", (seed) => choose({ from: seed, share: 0 }));
  const to = seedInput("to seed", (seed) => choose({ to: seed }));
  const slider = element("input", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0, id: "walk", "aria-label": "Share of the way between the seeds",
    oninput: () => choose({ share: Number(slider.value) }),
  });
  const gallery = element("ul", { className: "gallery" });

  const draw = newest(async ({ from, to, share }) => {
    const film = await engine.clip(from, to, share);
    hero.show(film, "clip");
    for (const [name, { screen }] of streams) screen.show(film, name);
  });

  function choose(change) {
    Object.assign(state, change);
    from.value = state.from;
    to.value = state.to;
    slider.value = state.share;
    slider.setAttribute("aria-valuetext", `${Math.round(100 * state.share)} % of the way`);
    hero.canvas.setAttribute("aria-label", `The clip of seed ${state.from}, ${Math.round(100 * state.share)} % of the way to ${state.to}`);
    for (const tile of gallery.children) {
      tile.classList.toggle("from", tile.dataset.seed === String(state.from));
      tile.classList.toggle("to", tile.dataset.seed === String(state.to));
    }
    draw({ ...state });
  }

  let tiles = [];
  const fill = newest(async (first) => {
    tiles.forEach((screen) => screen.remove());
    tiles = [];
    gallery.replaceChildren();
    for (let i = 0n; i < IN_GALLERY; i++) {
      const seed = BigInt.asIntN(64, first + i);
      const screen = new Screen(element("canvas", { className: "pixels" }));
      tiles.push(screen);
      gallery.append(tile(screen.canvas, seed, choose));
      screen.show(await engine.clip(seed), "clip");
    }
    choose({});
  });

  const more = (step, text) => element("button", {
    type: "button", className: "quiet",
    onclick: () => {
      state.first += step;
      fill(state.first);
    },
  }, text);

  choose({});
  fill(state.first);
  return element("div", { className: "seeds" },
    element("section", { className: "light-table", "aria-label": "The chosen clip" },
      element("figure", { className: "hero" }, element("div", { className: "frame" }, hero.canvas)),
      element("div", { className: "panels" }, ...streams.map(([, { figure }]) => figure)),
      element("div", { className: "bar walk" }, from.label, slider, to.label),
      element("div", { className: "bar" }, saveButtons(about.formats, () => `seed-${state.from}`,
        (format) => engine.saveClip(format, state.from, state.to, state.share))),
    ),
    element("section", { "aria-labelledby": "gallery-title" },
      element("div", { className: "head" },
        element("h2", { id: "gallery-title" }, "One clip a seed"),
        element("div", {}, more(-BigInt(IN_GALLERY), "Earlier"), more(BigInt(IN_GALLERY), "More"))),
      gallery,
    ),
  );
}

function tile(canvas, seed, choose) {
  return element("li", {},
    element("button", {
      type: "button", className: "tile", "aria-label": `Show seed ${seed}`, onclick: () => choose({ from: seed, share: 0 }),
    }, canvas),
    element("span", { className: "caption" }, `${seed}`,
      element("button", {
        type: "button", className: "link", "aria-label": `Walk to seed ${seed}`, onclick: () => choose({ to: seed }),
      }, "walk here")),
  );
}

function panel(title) {
  const screen = new Screen(element("canvas", { className: "pixels", role: "img", "aria-label": title }));
  return { screen, figure: element("figure", {}, screen.canvas, element("figcaption", {}, title)) };
}

/** A field for a seed, an integer of 64 bits. */
function seedInput(title, chosen) {
  const input = element("input", {
    type: "text", inputMode: "numeric", pattern: "-?[0-9]{1,19}", required: true, size: 6,
    onchange: () => input.reportValidity() && chosen(BigInt.asIntN(64, BigInt(input.value))),
  });
  return {
    label: element("label", {}, title, input),
    set value(seed) {
      if (document.activeElement !== input) input.value = seed;
    },
  };
}
