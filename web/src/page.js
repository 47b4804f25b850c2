/** The page: choose a scan, translate it in a worker, look at both, save the translation. */

import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const AXES = ["Left to right", "Back to front", "Down to up"];
const DIFFERENCE = [0, 1];

let site; // what model.json says
let worker = null;
let file = null;
let shown = null; // {source, result, difference, range, name} of the last translation
const viewer = new Viewer([$("left"), $("right")], showPlace);

async function begin() {
  const answer = await fetch("model.json");
  if (!answer.ok) throw new Error("model.json is missing on the server");
  site = await answer.json();
  for (const [name, { facts }] of Object.entries(site.directions)) {
    const text = `${facts.source.contrast}-weighted, make ${facts.target.contrast} of it`;
    $("directions").append(choice(name, text));
  }
  $("directions").querySelector("input").checked = true;
  for (const [term, text] of Object.entries(site.about)) {
    $("model").append(element("dt", term), element("dd", text || "not given"));
  }
  AXES.forEach((text, axis) => slider($("position"), text, (value) => {
    const place = places();
    place[axis] = value / 1000;
    viewer.moveTo(place);
  }));
  ["left", "right"].forEach((side, which) => ["Darkest", "Brightest"].forEach((text) =>
    slider($(`${side}-window`), text, () => setWindow(which))));
  listen();
}

function listen() {
  $("file").addEventListener("change", () => $("file").files[0] && choose($("file").files[0]));
  $("sample").addEventListener("click", () => attempt(chooseSample));
  $("translate").addEventListener("click", translate);
  $("stop").addEventListener("click", stop);
  $("save").addEventListener("click", () => attempt(save));
  $("plane").addEventListener("change", () => viewer.plane($("plane").value));
  $("shown").addEventListener("change", () => attempt(showRight));
  for (const input of $("directions").querySelectorAll("input")) {
    input.addEventListener("change", forget);
  }
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
    });
  }
}

/** Chooses a scan and shows it; its name may say its contrast. */
function choose(given) {
  stop();
  forget();
  file = given;
  const own = /(?:^|[ _.-])t([12])w?(?=[ _.-]|$)/i.exec(file.name)?.[1];
  const named = own && $("directions").querySelector(`[value^="t${own}_"]`);
  if (named) named.checked = true;
  $("chosen").textContent = `${file.name} is read ...`;
  ask({ file });
}

async function chooseSample() {
  const name = site.directions[direction()].sample;
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is missing on the server`);
  choose(new File([await answer.blob()], name));
}

function translate() {
  forget();
  busy(true);
  $("status").textContent = "The model is loaded ...";
  ask({ file, direction: site.directions[direction()] });
}

/** Gives the worker a task; it answers in `answered`. */
function ask(task) {
  worker ??= new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => attempt(() => answered(data));
  worker.onerror = () => fail("the worker of this page could not be started; load the page again");
  worker.postMessage(task);
}

async function answered({ progress, opened, made, failed }) {
  if (progress) {
    const [done, all] = progress;
    $("progress").value = done / all;
    $("status").textContent = `${done} of ${all} slices are translated.`;
  } else if (opened) {
    const sizes = opened.spacing.map((mm) => Number(mm.toPrecision(3))).join(" x ");
    $("chosen").textContent = `${file.name}: ${opened.shape.join(" x ")} voxels of ${sizes} mm.`;
    $("translate").disabled = false;
    await show(0, opened.bytes, opened.range, `Scan: ${file.name}`);
  } else if (made) {
    busy(false);
    const { facts } = site.directions[direction()];
    shown = { ...made, contrast: facts.target.contrast, target: facts.target.range };
    $("status").textContent = "The translation is made. It is not saved yet.";
    $("notes").replaceChildren(...made.notes.map((note) => element("li", note)));
    $("shown").disabled = $("save").disabled = false;
    await show(0, made.source, made.range, `${facts.source.contrast}, the scan: ${file.name}`);
    await showRight();
  } else {
    fail(`The file ${file.name} ${failed}.`);
  }
}

async function show(which, bytes, range, caption) {
  $("view").hidden = false;
  if (!(await viewer.start())) {
    $("explained").textContent = "This browser has no WebGL 2, so it shows no pictures.";
    return;
  }
  $(which ? "right-caption" : "left-caption").textContent = caption;
  windowRange(which, range);
  await viewer.show(which, bytes, range);
}

async function showRight() {
  if ($("shown").value === "difference") {
    await show(1, shown.difference, DIFFERENCE, "Difference of both, white is half of the range");
  } else {
    await show(1, shown.result, shown.target, `${shown.contrast}, the translation`);
  }
}

function stop() {
  if (!$("stop").disabled) $("status").textContent = "Stopped; nothing was translated.";
  worker?.terminate();
  worker = null;
  busy(false);
}

/** Drops the last translation and what was said of it. */
function forget() {
  shown = null;
  $("error").textContent = $("status").textContent = "";
  $("notes").replaceChildren();
  $("shown").disabled = $("save").disabled = true;
  $("shown").value = "result";
  $("right-caption").textContent = "Translation: not made yet";
  $("right-value").textContent = "";
  $("progress").value = 0;
  viewer.clear(1);
}

function fail(text) {
  if ($("chosen").textContent.endsWith("...")) { // it was not read
    file = null;
    $("chosen").textContent = "No scan is chosen yet.";
  }
  busy(false);
  $("status").textContent = "";
  $("error").textContent = text;
}

function busy(is) {
  $("stop").disabled = !is;
  $("translate").disabled = is || !file;
  $("sample").disabled = $("file").disabled = is;
  for (const input of $("directions").querySelectorAll("input")) input.disabled = is;
}

async function save() {
  const zipped = /\.gz$/i.test(file.name);
  const stem = file.name.replace(/\.nii(\.gz)?$|\.gz$/i, "").replace(/([ _.-]+t[12]w?|_contrast[12])$/i, "");
  let blob = new Blob([shown.result]);
  if (zipped) {
    blob = await new Response(blob.stream().pipeThrough(new CompressionStream("gzip"))).blob();
  }
  const link = element("a", "");
  link.href = URL.createObjectURL(blob);
  link.download = `${stem}_${shown.contrast}.nii${zipped ? ".gz" : ""}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  $("status").textContent = `Saved as ${link.download}.`;
}

/** Runs something, and says what went wrong. */
async function attempt(act) {
  try {
    await act();
  } catch (error) {
    console.error(error);
    fail(`Something went wrong: ${error.message}.`);
  }
}

function direction() {
  return $("directions").querySelector("input:checked").value;
}

function choice(value, text) {
  const label = element("label", ""), input = element("input", "");
  Object.assign(input, { type: "radio", name: "direction", value });
  label.append(input, ` ${text}`);
  return label;
}

function slider(place, text, act) {
  const label = element("label", ""), input = element("input", "");
  Object.assign(input, { type: "range", min: 0, max: 1000, value: 500 });
  input.addEventListener("input", () => act(Number(input.value)));
  label.append(element("span", text), input);
  place.append(label);
}

function places() {
  return [...$("position").querySelectorAll("input")].map((input) => Number(input.value) / 1000);
}

/** Gives the sliders of a picture's window the range of its volume. */
function windowRange(which, [low, high]) {
  const place = $(which ? "right-window" : "left-window");
  place.dataset.low = low;
  place.dataset.high = high;
  const [darkest, brightest] = place.querySelectorAll("input");
  darkest.value = 0;
  brightest.value = 1000;
}

function setWindow(which) {
  const place = $(which ? "right-window" : "left-window");
  const [low, high] = [Number(place.dataset.low), Number(place.dataset.high)];
  const [darkest, brightest] = [...place.querySelectorAll("input")].map((input) =>
    low + (Number(input.value) / 1000) * (high - low));
  viewer.window(which, darkest, brightest);
}

function showPlace(fractions, values) {
  [...$("position").querySelectorAll("input")].forEach((input, axis) =>
    (input.value = Math.round(fractions[axis] * 1000)));
  values.forEach((value, which) => {
    const text = value === null ? "" : `${Number(value.toPrecision(4))} at the crosshairs`;
    $(which ? "right-value" : "left-value").textContent = text;
  });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

attempt(begin);
