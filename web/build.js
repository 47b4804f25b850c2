/** Builds the page into the package's folder `web_page`: `make web`. */

import { build } from "esbuild";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here("../cyclegan_jax/web_page");
const runtime = "node_modules/onnxruntime-web/dist";

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
const { metafile } = await build({
  entryPoints: [here("src/page.js"), here("src/worker.js")],
  outdir: out,
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none",
  metafile: true,
  // the file of onnxruntime-web that has WASM alone, and loads it from a file beside it
  alias: { "onnxruntime-web": here(`${runtime}/ort.wasm.min.mjs`) },
  logLevel: "warning",
});
for (const name of ["index.html", "style.css"]) cpSync(here(`src/${name}`), `${out}/${name}`);
for (const name of ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]) {
  cpSync(here(`${runtime}/${name}`), `${out}/${name}`);
}
writeFileSync(`${out}/licences.txt`, licences(Object.keys(metafile.inputs)));

/** Returns names, versions and licences of the packages that files come from. */
function licences(files) {
  const inside = files.map((file) => /.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  const texts = [...new Set(inside.filter((folder) => folder))].sort().map((folder) => {
    const path = existsSync(folder) ? folder : here(folder);
    const { name, version, license, author, homepage } = JSON.parse(readFileSync(`${path}/package.json`));
    const whole = readdirSync(path).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
    const by = author ? ` by ${author.name ?? author}` : "";
    const head = `${name} ${version}${by}: ${license}. ${homepage ?? ""}`.trim();
    return [head, ...whole.map((file) => readFileSync(`${path}/${file}`, "utf8").trim())].join("\n\n");
  });
  return `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}
