// Small helpers for making elements, telling errors, and asking no faster than answers come.

/** An element with properties, whose `on...` ones are listeners and whose dashed ones are attributes, and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "for" || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Shows an error in words until the next thing works; null hides it. */
export function tell(error) {
  const alert = document.getElementById("alert");
  alert.textContent = error ? error.message : "";
  alert.hidden = !error;
}

/**
 * Wraps an asynchronous function so that one call runs at a time, and only the newest of those that wait follows it.
 * Errors are told on the page, until the same function works again.
 */
export function newest(work) {
  let running = false;
  let waiting = null;
  let failed = false;
  return async function call(...values) {
    waiting = values;
    if (running) return;
    running = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      try {
        await work(...next);
        if (failed) tell(null);
        failed = false;
      } catch (error) {
        failed = true;
        tell(error);
      }
    }
    running = false;
  };
}

/** Buttons that save a clip, by `save(format)`, which gives its bytes. */
export function saveButtons(formats, fileName, save) {
  const run = newest(async (format, button) => {
    button.disabled = true;
    try {
      const link = element("a", { href: URL.createObjectURL(await save(format)), download: `${fileName()}.${format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } finally {
      button.disabled = false;
    }
  });
  const buttons = formats.map((format) => {
    const button = element("button", { type: "button", className: "quiet" }, format.toUpperCase());
    button.setAttribute("aria-label", `Save as ${format.toUpperCase()}`);
    button.addEventListener("click", () => run(format, button));
    return button;
  });
  return element("div", { className: "save", role: "group", "aria-label": "Save the clip" }, "Save", ...buttons);
}
