// Animated WebP files of pictures that the browser has compressed: the chunks of each in the container's own.

/** A looping WebP of frames, the bytes of a still WebP each, as the parts of a Blob. */
export function muxWebp(frames, width, height, fps) {
  const size = [...bytes(width - 1, 3), ...bytes(height - 1, 3)];
  const parts = [chunk("VP8X", [2, 0, 0, 0, ...size]), chunk("ANIM", [0, 0, 0, 0, 0, 0])]; // 2: it is animated
  for (const frame of frames) {
    const timing = [...bytes(Math.round(1000 / fps), 3), 2]; // 2: what is below does not show through
    parts.push(chunk("ANMF", [0, 0, 0, 0, 0, 0, ...size, ...timing], ...pictureChunks(frame)));
  }
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  return [new Uint8Array([...text("RIFF"), ...bytes(length, 4), ...text("WEBP")]), ...parts];
}

/** The chunks of a still WebP that hold its pixels. */
function pictureChunks(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const found = [];
  for (let at = 12; at + 8 <= file.length; ) {
    const name = String.fromCharCode(...file.subarray(at, at + 4));
    const end = at + 8 + view.getUint32(at + 4, true);
    if (["VP8 ", "VP8L", "ALPH"].includes(name)) found.push(chunk(name, file.subarray(at + 8, end)));
    at = end + (end % 2);
  }
  return found;
}

function chunk(name, ...contents) {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const made = new Uint8Array(8 + length + (length % 2));
  made.set([...text(name), ...bytes(length, 4)]);
  let at = 8;
  for (const content of contents) {
    made.set(content, at);
    at += content.length;
  }
  return made;
}

const text = (value) => [...value].map((letter) => letter.charCodeAt(0));
const bytes = (value, count) => Array.from({ length: count }, (_, i) => (value >>> (8 * i)) & 255);
