// Work that takes seconds, done by a module worker, so that the films of the page go on moving.

/** What the worker of a script answers to its only question. It is gone afterwards; `failure` is told if it fails mutely. */
export function hired(script, question, failure, transfer = []) {
  const worker = new Worker(new URL(script, import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(`Sorry: ${event.message || failure}.`));
    worker.postMessage(question, transfer);
  }).finally(() => worker.terminate());
}
