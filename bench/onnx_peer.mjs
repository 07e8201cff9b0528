// The exported APM in ONNX Runtime, timed: the stronger float32 peer of bench/run.sh.
//
//     node onnx_peer.mjs FILE.onnx MODULES_DIRECTORY [--repeat N] [--warmup N]
//
// FILE.onnx is written by `torch_peer.py export`; MODULES_DIRECTORY is where npm put onnxruntime-node.
// Two threads, all graph optimisations, no spinning. Prints one line of JSON like torch_peer.py.
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

function option(name, fallback) {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

const [file, modules] = process.argv.slice(2);
if (!file || !modules) {
  console.error('usage: onnx_peer.mjs FILE.onnx MODULES_DIRECTORY [--repeat N] [--warmup N]');
  process.exit(2);
}
const require = createRequire(path.join(path.resolve(modules), 'package.json'));
const ort = require('onnxruntime-node');
const { version } = require('onnxruntime-node/package.json');
const repeat = option('--repeat', 5);
const warmup = option('--warmup', 1);
const size = option('--size', 1024);

const session = await ort.InferenceSession.create(file, {
  executionProviders: ['cpu'], intraOpNumThreads: 2, interOpNumThreads: 1, executionMode: 'sequential',
  graphOptimizationLevel: 'all', extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const pixels = new Float32Array(size * size);
let state = 1;
for (let i = 0; i < pixels.length; i++) {  // any picture will do: a linear congruential generator's noise
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  pixels[i] = state / 4294967296;
}
const feeds = { image: new ort.Tensor('float32', pixels, [1, 1, size, size]) };
const seconds = [];
let boxes;
for (let i = -warmup; i < repeat; i++) {
  const begin = process.hrtime.bigint();
  const results = await session.run(feeds);
  if (i >= 0) seconds.push(Number(process.hrtime.bigint() - begin) / 1e9);
  boxes = results.boxes.data;
}
if (boxes.length !== 144 || boxes.some((value) => !(value >= 0 && value <= 1))) {
  console.error('onnx_peer: the network did not give 36 boxes');
  process.exit(1);
}
seconds.sort((a, b) => a - b);
const middle = seconds.length >> 1;
console.log(JSON.stringify({
  name: `onnxruntime ${version} forward-f32`, seconds_min: seconds[0],
  seconds_median: seconds.length % 2 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2,
  peak_rss_bytes: process.resourceUsage().maxRSS * 1024, repeats: repeat,
}));
