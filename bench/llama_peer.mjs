// llama.cpp on the same GGUF file, timed: the language model's peer of bench/run.sh, as npm brings it built
// (node-llama-cpp). Prompt tokens are arbitrary ids; decoding is greedy.
//
//     node llama_peer.mjs FILE.gguf MODULES_DIRECTORY [--prompt N] [--decode N]
//
// MODULES_DIRECTORY is where npm put node-llama-cpp. Two threads, processor only. Prints one line of JSON with
// prompt_tokens_per_s and decode_tokens_per_s, as `carina lm bench --json` calls them.
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

function option(name, fallback) {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

const [file, modules] = process.argv.slice(2);
if (!file || !modules) {
  console.error('usage: llama_peer.mjs FILE.gguf MODULES_DIRECTORY [--prompt N] [--decode N]');
  process.exit(2);
}
const prompt = option('--prompt', 512);
const decode = option('--decode', 32);
const entry = path.join(path.resolve(modules), 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(entry));

const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 2, logLevel: 'error' });
const model = await llama.loadModel({ modelPath: path.resolve(file), gpuLayers: 0, useMmap: true });
const context = await model.createContext({ contextSize: prompt + decode + 64, batchSize: 512, threads: 2 });
const sequence = context.getSequence();
const tokens = Array.from({ length: prompt }, (_, i) => 1000 + (i * 7919) % 100000);
const seconds = (begin) => Number(process.hrtime.bigint() - begin) / 1e9;

await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(0, 16)); // pages are read, threads are there
await sequence.clearHistory();
let begin = process.hrtime.bigint();
await sequence.evaluateWithoutGeneratingNewTokens(tokens);
const promptSeconds = seconds(begin);
let made = -1; // the first of them waits for no weights but its own
for await (const _ of sequence.evaluate([2000], { temperature: 0, yieldEogToken: true })) {
  if (++made === 0) begin = process.hrtime.bigint();
  if (made >= decode) break;
}
const decodeSeconds = seconds(begin);
if (made < decode) {
  console.error(`llama_peer: generation ended after ${made + 1} tokens`);
  process.exit(1);
}
console.log(JSON.stringify({
  name: 'llama.cpp (node-llama-cpp)', prompt_tokens: prompt, prompt_tokens_per_s: prompt / promptSeconds,
  decode_tokens_per_s: made / decodeSeconds, peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
}));
process.exit(0);
