// MP4 files of H.264, compressed by the browser's WebCodecs. The container is written here: one track, one chunk.

// Baseline, whose frames come in the order in which they are shown; level 4, up to 4,096 pixels a side.
const CODEC = "avc1.420028";
const TIMESCALE = 12_000; // units of time in a second

const settings = (width, height, framerate) => ({
  codec: CODEC, width, height, framerate, bitrate: 4e6, latencyMode: "quality", avc: { format: "avc" },
});

/** Whether this browser can compress a clip of this size. */
export async function canEncodeMp4(width, height) {
  try {
    return (await VideoEncoder.isConfigSupported(settings(width, height, 12))).supported;
  } catch {
    return false;
  }
}

/** An MP4 of canvases of one even size, as the parts of a Blob. */
export async function encodeMp4(canvases, fps) {
  const [{ width, height }] = canvases;
  const samples = [];
  let description = null;
  let failure = null;
  const encoder = new VideoEncoder({
    output: (sample, { decoderConfig }) => {
      const data = new Uint8Array(sample.byteLength);
      sample.copyTo(data);
      samples.push({ data, key: sample.type === "key" });
      if (decoderConfig?.description) description ??= new Uint8Array(decoderConfig.description);
    },
    error: (error) => {
      failure = error;
    },
  });
  encoder.configure(settings(width, height, fps));
  canvases.forEach((canvas, i) => {
    const frame = new VideoFrame(canvas, { timestamp: (i * 1e6) / fps, duration: 1e6 / fps });
    encoder.encode(frame, { keyFrame: i === 0 });
    frame.close();
  });
  await encoder.flush();
  encoder.close();
  if (failure || samples.length !== canvases.length) throw new Error(`Sorry: the browser made no MP4 (${failure?.message ?? "frames are missing"}).`);
  const kind = box("ftyp", text("isom"), u32(512), text("isomiso2avc1mp41"));
  const length = movie(samples, description, width, height, fps, 0).length;
  const data = samples.map((sample) => sample.data);
  const bytes = data.reduce((sum, one) => sum + one.length, 0);
  return [kind, movie(samples, description, width, height, fps, kind.length + length + 8), new Uint8Array([...u32(bytes + 8), ...text("mdat")]), ...data];
}

/** The box that describes the samples, which lie one after another from `offset` in the file. */
function movie(samples, description, width, height, fps, offset) {
  const count = samples.length;
  const [delta, duration] = [Math.round(TIMESCALE / fps), count * Math.round(TIMESCALE / fps)];
  const matrix = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].flatMap(u32);
  const entry = box("avc1", zeros(6), u16(1), zeros(16), u16(width), u16(height), u32(0x480000), u32(0x480000), zeros(4),
    u16(1), zeros(32), u16(24), u16(0xffff), box("avcC", description));
  const keys = samples.flatMap(({ key }, i) => (key ? u32(i + 1) : []));
  const table = box("stbl",
    full("stsd", u32(1), entry),
    full("stts", u32(1), u32(count), u32(delta)),
    full("stss", u32(keys.length / 4), keys),
    full("stsc", u32(1), u32(1), u32(count), u32(1)),
    full("stsz", u32(0), u32(count), samples.flatMap(({ data }) => u32(data.length))),
    full("stco", u32(1), u32(offset)));
  const handler = full("hdlr", u32(0), text("vide"), zeros(12), text("video"), [0]);
  const place = box("dinf", full("dref", u32(1), full("url ", 1)));
  const media = box("mdia", full("mdhd", u32(0), u32(0), u32(TIMESCALE), u32(duration), u16(0x55c4), u16(0)), handler,
    box("minf", full("vmhd", 1, zeros(8)), place, table));
  const track = full("tkhd", 3, u32(0), u32(0), u32(1), u32(0), u32(duration), zeros(16), matrix, u32(width << 16), u32(height << 16));
  const head = full("mvhd", u32(0), u32(0), u32(TIMESCALE), u32(duration), u32(0x10000), u16(0x100), zeros(10), matrix, zeros(24), u32(2));
  return box("moov", head, box("trak", track, media));
}

function box(name, ...contents) {
  const length = contents.reduce((sum, content) => sum + content.length, 8);
  const made = new Uint8Array(length);
  made.set([...u32(length), ...text(name)]);
  let at = 8;
  for (const content of contents) {
    made.set(content, at);
    at += content.length;
  }
  return made;
}

/** A box with a version of 0 and flags, which stand first if they are not 0. */
function full(name, ...contents) {
  const flags = typeof contents[0] === "number" ? contents.shift() : 0;
  return box(name, u32(flags), ...contents);
}

const text = (value) => [...value].map((letter) => letter.charCodeAt(0));
const zeros = (count) => new Array(count).fill(0);
const u16 = (value) => [value >>> 8, value & 255];
const u32 = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
