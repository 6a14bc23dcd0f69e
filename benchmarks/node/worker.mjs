// One measurement of one client of Node, as worker.py makes it.
import { readFileSync } from "node:fs";

const PROMPT = "Tell me a story.";
const WARM_UP = "warm up";

const args = JSON.parse(process.argv[2]);
const { scenario } = args;
const { PACKAGE, Async } = await import(`./${args.module}.mjs`);
const client = new Async(args.address);

let count = 0;
const onToken = () => { count += 1; };
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};
const times = (n, make) => Promise.all(Array.from({ length: n }, make));

async function first() {
  const took = [];
  for (let i = 0; i < scenario.calls; i++) {
    const began = performance.now();
    let at = 0;
    await client.stream(PROMPT, () => { at ||= performance.now(); });
    took.push((at - began) * 1000);
  }
  return took.sort((a, b) => a - b)[took.length >> 1];
}

async function idle() {
  const resident = () => { globalThis.gc?.(); return process.memoryUsage.rss() / 1024; };
  const before = resident();
  await new Promise((resolve) => {
    const one = () => { onToken(); if (count === scenario.streams) resolve(); };
    for (let i = 0; i < scenario.streams; i++) client.stream(PROMPT, one).catch(() => {});
  });
  return (resident() - before) / scenario.streams;
}

async function run() {
  let left = scenario.calls;
  const work = async () => { while (left-- > 0) await client.run(PROMPT); };
  await times(scenario.streams, work);
}

await client.stream(WARM_UP, () => {});
if (scenario.task === "run") await client.run(WARM_UP);
globalThis.gc?.();
const began = performance.now();
const before = cpu();
let figure;
if (scenario.task === "first") figure = await first();
else if (scenario.task === "idle") figure = await idle();
else if (scenario.task === "run") {
  await run();
  figure = (cpu() - before) / scenario.calls;
} else {
  await times(scenario.streams, () => client.stream(PROMPT, onToken));
  figure = (cpu() - before) / count;
  if (count !== scenario.streams * scenario.tokens) throw new Error(`${count} tokens came`);
}
const wall = (performance.now() - began) / 1000;
const peak = process.resourceUsage().maxRSS / 1024;
const description = new URL(`./node_modules/${PACKAGE}/package.json`, import.meta.url);
const { version } = JSON.parse(readFileSync(description));
console.log(JSON.stringify({ figure, wall, peak, package: PACKAGE, version }));
process.exit(0);
