// Runs the model by LiteRT.js. A classic worker: the runtime loads its WebAssembly by importScripts, which others lack.

let model;
let turn = Promise.resolve();

onmessage = ({ data }) => {
  turn = turn.then(() => answer(data));
};

async function answer({ id, site, input, shape }) {
  try {
    postMessage({ id, films: site ? await load(site) : await run(input, shape) });
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error) });
  }
}

/** Loads the runtime and the model, telling the share of their bytes that has come. */
async function load({ model: file, runtime }) {
  const [core, utils, ...engines] = runtime.files;
  const [plain, compatible] = [engines.slice(0, 2), engines.slice(2)];
  const total = [file, core, utils, ...plain].reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  const get = (where, options) => bytesOf(where, options, (count) => {
    loaded += count;
    postMessage({ share: Math.min(1, loaded / total) });
  });
  // A browser checks an integrity before it hands out a byte, so that files of this site, which need none, go without.
  const part = ({ path, integrity }) => get(new URL(path, new URL(runtime.root, location)),
    runtime.pinned ? { integrity } : {});
  const script = (content) => URL.createObjectURL(new Blob([content], { type: "text/javascript" }));

  const content = get(new URL(file.path, location), {});
  const helper = script(await part(utils));
  const text = new TextDecoder().decode(await part(core));
  const litert = await import(script(text.replace('"@litertjs/wasm-utils"', JSON.stringify(helper))));
  const engine = (await litert.supportsFeature("relaxedSimd")) ? plain : compatible;
  const [glue, wasm] = await Promise.all(engine.map(part));
  const binary = URL.createObjectURL(new Blob([wasm], { type: "application/wasm" }));
  self.Module = { locateFile: () => binary };
  await litert.loadLiteRt(`${script(glue)}#.js`);
  model = await litert.loadAndCompile(await content, { accelerator: "wasm" });
  self.Tensor = litert.Tensor;
}

async function run(input, shape) {
  const tensor = new Tensor(input, shape);
  const outputs = await model.run([tensor]);
  try {
    return Float32Array.from(await outputs[0].data());
  } finally {
    for (const one of [tensor, ...outputs]) one.delete();
  }
}

async function bytesOf(where, options, count) {
  let answer;
  try {
    answer = await fetch(where, options);
  } catch {
    throw new Error(`${where.href} cannot be loaded, or is not the file that this page was made with`);
  }
  if (!answer.ok) throw new Error(`${where.href} cannot be loaded: ${answer.status}`);
  const chunks = [];
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    count(value.length);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
