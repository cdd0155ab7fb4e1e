import { compare, showSlider, view } from "./compare.js";
import { jpegOf, readPng, save, zipOf } from "./download.js";
import { askExposure, fetchedPreview, showRatio, stopAsking, wantedRatio } from "./exposure.js";
import { cancel, send } from "./request.js";
import { $, hasText, chooseLanguage, chosenLanguage, detailText, saved, text } from "./language.js";

const THEMES = ["auto", "light", "dark"];

let theme = saved("theme") || "auto";
let models = [];
let limits = {};
let queue = []; // the chosen files: {file, state, problem, parameters, answer, before, hasDng}
let busy = false; // while files are restored
let shown = null; // the entry of the queue whose pictures are shown
let showLastError = null; // again, after a change of language
let statusText = () => ""; // in the chosen language

// --- texts ------------------------------------------------------------------------------------

function showTexts() {
  document.documentElement.lang = chosenLanguage() === "zh" ? "zh-CN" : "en";
  document.title = text("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  $("language").value = chosenLanguage();
  $("before").alt = text("alt_before");
  $("after").alt = text("alt_after");
  showTheme();
  showModels();
  showChosen();
  showRatio();
  showStrength();
  showSlider();
  if (shown) showFacts();
  if (showLastError) showLastError();
  showStatus(statusText);
}

function showStatus(textOf) {
  statusText = textOf;
  if ($("status").textContent !== textOf()) $("status").textContent = textOf();
}

function showTheme() {
  $("theme").textContent = text(`theme_${theme}`);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// --- models and options -----------------------------------------------------------------------

async function loadModels() {
  try {
    const answer = await fetch("/v1/models", { headers: authorisation() });
    if (!answer.ok) return showError(answer.status, (await answer.json()).error);
    ({ models, limits } = await answer.json());
    clearError();
  } catch {
    return showError("network");
  }
  showModels();
  chooseModel();
}

function showModels() {
  const list = $("model");
  const before = list.value;
  list.replaceChildren(
    ...models.map((model) => new Option(text(`model_${model.input}`, { name: model.name }), model.name)),
  );
  for (const input of ["picture", "raw"]) // offer only examples that a model takes
    $(`example-${input}`).hidden = models.length > 0 && !models.some((one) => one.input === input);
  if (before) list.value = before;
  showModel();
}

function model() {
  return models.find((one) => one.name === $("model").value);
}

function showModel() {
  const one = model();
  const count = one && one.parameters;
  // Chinese counts large numbers in units of 10,000.
  const large = chosenLanguage() === "zh" ? (count / 1e4).toFixed(0) : (count / 1e6).toFixed(1);
  const parameters = count >= 1e6 ? text("million", { n: large }) : text("few", { n: count });
  $("licence").textContent = one ? (count ? text("model_note", { parameters, licence: one.licence }) : one.licence) : "";
  $("ratio-options").hidden = !(one && one.input === "raw");
  $("strength-option").hidden = !(one && one.max_strength);
  if (one && one.max_strength) $("strength").max = 100 * one.max_strength;
  if (busy) return;
  const raw = one && one.input === "raw" && queue.find(({ file }) => one.suffixes.includes(suffix(file.name)));
  askExposure(raw ? raw.file : null, raw ? one.name : null, authorisation());
}

function suffix(name) {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot).toLowerCase();
}

/** Return the chosen model if it takes a file, else the first one that does. */
function modelFor(file) {
  const fits = (one) => one.suffixes.includes(suffix(file.name));
  return model() && fits(model()) ? model() : models.find(fits);
}

function chooseModel() {
  const fitting = queue.length && models.length && modelFor(queue[0].file);
  if (fitting) $("model").value = fitting.name;
  showModel();
}

function showStrength() {
  const value = text("percent", { n: $("strength").value });
  $("strength-value").textContent = value;
  $("strength").setAttribute("aria-valuetext", value);
}

/** Take files in place of the former ones. While files are restored, new ones join the queue. */
function chooseFiles(files) {
  const entries = files.map((file) => ({ file, state: "waiting" }));
  queue = busy ? [...queue, ...entries] : entries;
  if (!busy) {
    clearError();
    chooseModel();
  }
  $("restore").disabled = busy || !queue.length;
  showChosen();
}

function showChosen() {
  const size = megabytes(queue.reduce((sum, { file }) => sum + file.size, 0));
  const one = queue.length === 1 && text("size", { name: queue[0].file.name, size });
  $("chosen").textContent = queue.length ? one || text("files", { n: queue.length, size }) : "";
  showQueue();
}

function showQueue() {
  const done = queue.filter((entry) => entry.state === "done");
  $("queue").hidden = queue.length < 2;
  $("queue").replaceChildren(...queue.map(lineOf));
  $("zip").hidden = done.length < 2;
  $("zip").textContent = text("download_zip", { n: done.length });
}

function lineOf(entry) {
  const line = document.createElement("li");
  const { kind, detail, values } = entry.problem || {};
  const state = entry.problem ? [errorWords(kind, values), detailText(detail)[0]].join(" ") : text(`state_${entry.state}`);
  line.append(text("facts_of_file", { name: entry.file.name, state }));
  line.classList.toggle("bad", Boolean(entry.problem));
  if (entry.state === "done") {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = text("show");
    button.setAttribute("aria-label", `${text("show")} ${entry.file.name}`);
    button.addEventListener("click", () => show(entry));
    line.append(" ", button);
  }
  return line;
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1);
}

async function chooseExample(name) {
  try {
    const answer = await fetch(`/${name}`);
    if (!answer.ok) return showError(answer.status, "", { seconds: answer.headers.get("Retry-After") || "30" });
    chooseFiles([new File([await answer.blob()], name)]);
    $("restore").focus();
  } catch {
    showError("network");
  }
}

// --- a restoration ----------------------------------------------------------------------------

function authorisation() {
  return $("token").value ? { Authorization: `Bearer ${$("token").value}` } : {};
}

async function restore(event) {
  event.preventDefault();
  if (!queue.length || busy) return;
  clearError();
  if (!models.length) await loadModels();
  if (!model()) return;
  if (queue.every((entry) => entry.state !== "waiting")) // again, perhaps with other options
    for (const entry of queue) Object.assign(entry, { state: "waiting", problem: null, answer: null });
  stopAsking();
  hideResult();
  begin();
  try {
    for (let entry; (entry = queue.find(({ state }) => state === "waiting")); ) if (!(await restoreOne(entry))) return;
    const failed = queue.filter(({ problem }) => problem).length;
    if (queue.length > 1) showStatus(() => text(failed ? "some_failed" : "ready", { n: failed }));
    else if (!failed) showStatus(() => text("ready"));
  } finally {
    end();
  }
}

/** Restore a file of the queue. Return false where the visitor has cancelled it. */
async function restoreOne(entry) {
  entry.state = "working";
  showQueue();
  try {
    const { file } = entry;
    const one = modelFor(file);
    if (!one) throw { status: "kind", detail: text("kinds", { kinds: kinds() }) };
    if (file.size > limits.bytes)
      throw { status: "large", values: { size: megabytes(file.size), limit: Math.floor(limits.bytes / 1e6) } };
    const wanted = one.input === "raw" ? wantedRatio() : "auto";
    const parameters = { model: one.name, ratio: wanted, format: "png", depth: "16" };
    if (one.max_strength) parameters.strength = $("strength").value / 100;
    entry.parameters = parameters;
    entry.hasDng = one.spec.output === "mosaic";
    entry.answer = await send("/v1/restore", file, parameters, authorisation(), progress);
    entry.before = await original(file, one, entry.answer.ratio);
    entry.state = "done";
    if (!shown) await show(entry);
  } catch (problem) {
    entry.state = problem.cancelled ? "cancelled" : "failed";
    if (problem.cancelled) {
      showStatus(() => text("cancelled"));
      return false;
    }
    const values = problem.values || { seconds: problem.retry };
    entry.problem = { kind: problem.status, detail: problem.detail || "", values };
    if (queue.length === 1) showError(problem.status, problem.detail, values);
    else if (problem.status === 401) askForToken();
  } finally {
    showQueue();
  }
  return true;
}

function kinds() {
  const all = models.flatMap((one) => one.suffixes.map((ending) => ending.slice(1)));
  return [...new Set(all)].sort().join(", ");
}

function begin() {
  busy = true;
  $("restore").disabled = true;
  $("cancel").hidden = false;
  $("working").hidden = false;
  $("progress").hidden = false;
  progress(0, () => text("sending", { n: 0 }));
}

function end() {
  busy = false;
  $("restore").disabled = !queue.length;
  $("cancel").hidden = true;
  $("progress").hidden = true;
  if (!$("error").hidden) $("working").hidden = true;
}

function progress(share, textOf) {
  if (share === null) $("progress").removeAttribute("value");
  else $("progress").value = share;
  const at = Math.max(1, queue.findIndex((entry) => entry.state === "working") + 1);
  const total = queue.length;
  showStatus(total > 1 ? () => text("of_files", { n: at, total, status: textOf() }) : textOf);
}

/** Return the file where the browser can show it, else the service's preview; null where there is none. */
async function original(file, one, used) {
  if (one.input === "picture" && (await canShow(file))) return file;
  const fetched = fetchedPreview(file, one.name, used);
  if (fetched) return fetched;
  const parameters = used ? { model: one.name, ratio: used } : { model: one.name };
  try {
    const fetching = () => progress(null, () => text("receiving"));
    return (await send("/v1/preview", file, parameters, authorisation(), fetching)).blob;
  } catch (problem) {
    if (problem.cancelled) throw problem;
    return null;
  }
}

function canShow(file) {
  return createImageBitmap(file).then((bitmap) => bitmap.close() ?? true, () => false);
}

// --- the result -------------------------------------------------------------------------------

async function show(entry) {
  await compare(entry.before, entry.answer.blob);
  shown = entry;
  showFacts();
  const photograph = isPhotograph(entry);
  $("dng").hidden = !entry.hasDng;
  // First comes what is about as large as the file.
  $("dng").classList.toggle("main", entry.hasDng);
  $("jpeg").classList.toggle("main", photograph);
  $("png").classList.toggle("main", !photograph && !entry.hasDng);
  $("flat").hidden = !(await readPng(entry.answer.blob)).transparent;
  $("result").hidden = false;
  view(false);
  showSlider();
  $("result-title").focus({ preventScroll: true });
  $("result").scrollIntoView({ block: "start" });
}

function hideResult() {
  shown = null;
  $("result").hidden = true;
}

function showFacts() {
  const { seconds, ratio: used, strength, model: name } = shown.answer;
  const { naturalWidth: width, naturalHeight: height } = $("after");
  const values = { file: shown.file.name, model: decodeURIComponent(name), seconds: Number(seconds).toFixed(1), width, height };
  const facts = [text("facts", values)];
  if (used) facts.push(text("facts_ratio", { ratio: used }));
  if (strength) facts.push(text("facts_strength", { percent: text("percent", { n: Math.round(100 * strength) }) }));
  $("facts").textContent = facts.join(text("comma"));
}

/** Whether a file is compressed with loss, so that a JPEG of the result is as good and as large. */
function isPhotograph({ file }) {
  return [".jpg", ".jpeg", ".webp"].includes(suffix(file.name));
}

function nameOf({ file }, ending) {
  const dot = file.name.lastIndexOf(".");
  return `${dot > 0 ? file.name.slice(0, dot) : file.name}-restored.${ending}`;
}

async function downloadJpeg() {
  const jpeg = await jpegOf(shown.answer.blob);
  if (jpeg) save(jpeg, nameOf(shown, "jpg"));
  else showError("jpeg");
}

/** Save all results in one ZIP: of photographs the JPEG, of other files the PNG. */
async function downloadAll() {
  const files = new Map();
  for (const entry of queue.filter(({ state }) => state === "done")) {
    const jpeg = isPhotograph(entry) && (await jpegOf(entry.answer.blob));
    const name = nameOf(entry, jpeg ? "jpg" : "png");
    let own = name;
    for (let n = 2; files.has(own); n++) own = name.replace(/(\.\w+)$/, `-${n}$1`);
    files.set(own, jpeg || entry.answer.blob);
  }
  save(await zipOf([...files]), "restored.zip");
}

/** Restore the file once more, as a raw file: the service keeps nothing. */
async function downloadDng() {
  if (busy) return;
  clearError();
  const { file, parameters } = shown;
  const { model: name, strength } = parameters;
  begin();
  try {
    const answer = await send("/v1/restore", file, { model: name, strength, format: "dng" }, authorisation(), progress);
    save(answer.blob, nameOf(shown, "dng"));
    showStatus(() => text("ready"));
  } catch (problem) {
    if (problem.cancelled) showStatus(() => text("cancelled"));
    else showError(problem.status, problem.detail, { seconds: problem.retry });
  } finally {
    end();
  }
}

// --- errors -----------------------------------------------------------------------------------

/** `kind`: an HTTP status, or what the page itself found; `detail`: the service's own line, in English. */
function showError(kind, detail = "", values = {}) {
  showLastError = () => {
    $("error-words").textContent = errorWords(kind, values);
    [$("error-detail").textContent, $("error-detail").lang] = detailText(detail);
  };
  $("error").hidden = false;
  showLastError();
  if (kind === 401) askForToken();
}

function errorWords(kind, values) {
  return text(hasText(`error_${kind}`) ? `error_${kind}` : "error_500", values);
}

function askForToken() {
  $("token-option").hidden = false;
  $("token").focus();
}

function clearError() {
  showLastError = null;
  $("error").hidden = true;
}

// --- events -----------------------------------------------------------------------------------

$("file").addEventListener("click", () => ($("file").value = "")); // so that choosing the same file again is a change
$("file").addEventListener("change", () => $("file").files.length && chooseFiles([...$("file").files]));
$("example-picture").addEventListener("click", () => chooseExample("example.png"));
$("example-raw").addEventListener("click", () => chooseExample("example.dng"));
$("model").addEventListener("change", showModel);
$("token").addEventListener("change", loadModels);
$("strength").addEventListener("input", showStrength);
$("form").addEventListener("submit", restore);
$("cancel").addEventListener("click", cancel);
$("png").addEventListener("click", () => save(shown.answer.blob, nameOf(shown, "png")));
$("jpeg").addEventListener("click", downloadJpeg);
$("zip").addEventListener("click", downloadAll);
$("dng").addEventListener("click", downloadDng);
$("language").addEventListener("change", () => {
  chooseLanguage($("language").value);
  showTexts();
});
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  saved("theme", theme);
  showTheme();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && cancel());
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("dragover", () => $("drop").classList.add("over"));
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length) chooseFiles([...event.dataTransfer.files]);
});

showTexts();
loadModels();
