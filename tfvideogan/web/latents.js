// The latents of seeds and of the way between two: `inference/latents.py` in JavaScript.

const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n];
const WEYL = [0x9e3779b9n, 0xbb67ae85n];
const SCRAMBLE = [0x3ec8f720n, 0x02461e29n];
const LOW = 0xffffffffn;

/** Numbers from N(0, 1) for a seed, a BigInt of 64 bits, as TensorFlow draws them (to 2e-6). */
export function normal(seed, count) {
  const bits = BigInt.asUintN(64, seed);
  const mixed = philox([bits & LOW, bits >> 32n, 0n, 0n], SCRAMBLE);
  const numbers = [];
  for (let i = 0n; numbers.length < count; i++) {
    numbers.push(...boxMuller(philox([i, 0n, mixed[2], mixed[3]], mixed.slice(0, 2)).map(Number)));
  }
  return Float32Array.from(numbers.slice(0, count));
}

/** The latents at a share of the way from `start` to `end` on the great circle. */
export function greatCircle(start, end, share) {
  const dot = (one, other) => one.reduce((sum, value, i) => sum + value * other[i], 0);
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  if (angle < 1e-6) return start;
  const [a, b] = [1 - share, share].map((part) => Math.sin(part * angle) / Math.sin(angle));
  return start.map((value, i) => a * value + b * end[i]);
}

function philox(words, key) {
  for (let round = 0; round < 10; round++) {
    const [first, second] = [words[0] * MULTIPLIERS[0], words[2] * MULTIPLIERS[1]];
    words = [(second >> 32n) ^ words[1] ^ key[0], second & LOW, (first >> 32n) ^ words[3] ^ key[1], first & LOW];
    key = key.map((word, i) => (word + WEYL[i]) & LOW);
  }
  return words;
}

function boxMuller(words) {
  const uniform = words.map((word) => (word & 0x7fffff) * 2 ** -23);
  return [0, 2].flatMap((i) => {
    const radius = Math.sqrt(-2 * Math.log(Math.max(uniform[i], 1e-7)));
    return [Math.sin(2 * Math.PI * uniform[i + 1]) * radius, Math.cos(2 * Math.PI * uniform[i + 1]) * radius];
  });
}
