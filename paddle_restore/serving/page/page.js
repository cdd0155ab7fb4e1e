import { compare, showSlider, view } from "./compare.js";
import { askExposure, fetchedPreview, showRatio, stopAsking, wantedRatio } from "./exposure.js";
import { cancel, send } from "./request.js";
import { $, hasText, chooseLanguage, chosenLanguage, saved, text } from "./language.js";

const THEMES = ["auto", "light", "dark"];

let theme = saved("theme") || "auto";
let models = [];
let limits = {};
let chosen = null; // the File
let busy = false; // while a file is restored
let result = null; // {blob, file, name, answer, parameters}
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
  if (result) showFacts();
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
  const parameters = count >= 1e6 ? text("million", { n: (count / 1e6).toFixed(1) }) : text("few", { n: count });
  $("licence").textContent = one ? (count ? text("model_note", { parameters, licence: one.licence }) : one.licence) : "";
  $("ratio-options").hidden = !(one && one.input === "raw");
  $("strength-option").hidden = !(one && one.max_strength);
  if (one && one.max_strength) $("strength").max = 100 * one.max_strength;
  const raw = chosen && one && one.input === "raw" && one.suffixes.includes(suffix(chosen.name));
  askExposure(raw ? chosen : null, raw ? one.name : null, authorisation());
}

function suffix(name) {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot).toLowerCase();
}

/** Keep the chosen model where it takes the file, else choose the first that does. */
function chooseModel() {
  if (!chosen || !models.length) return;
  const fits = (one) => one.suffixes.includes(suffix(chosen.name));
  if (!fits(model())) {
    const other = models.find(fits);
    if (!other) return;
    $("model").value = other.name;
  }
  showModel();
}

function showStrength() {
  const value = text("percent", { n: $("strength").value });
  $("strength-value").textContent = value;
  $("strength").setAttribute("aria-valuetext", value);
}

function chooseFile(file) {
  chosen = file;
  clearError();
  showChosen();
  $("restore").disabled = !file;
  chooseModel();
}

function showChosen() {
  $("chosen").textContent = chosen ? text("size", { name: chosen.name, size: megabytes(chosen.size) }) : "";
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1);
}

async function chooseExample(name) {
  try {
    const answer = await fetch(`/${name}`);
    if (!answer.ok) return showError(answer.status, "", { seconds: answer.headers.get("Retry-After") || "30" });
    chooseFile(new File([await answer.blob()], name));
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
  if (!chosen || busy) return;
  clearError();
  if (!models.length) await loadModels();
  const one = model();
  if (!one) return;
  if (!models.some((any) => any.suffixes.includes(suffix(chosen.name)))) return showError("kind");
  if (chosen.size > limits.bytes)
    return showError("large", "", { size: megabytes(chosen.size), limit: Math.floor(limits.bytes / 1e6) });
  const file = chosen;
  const wanted = one.input === "raw" ? wantedRatio() : "auto";
  stopAsking();
  const parameters = { model: one.name, ratio: wanted, format: "png", depth: "16" };
  if (one.max_strength) parameters.strength = $("strength").value / 100;
  await work(async () => {
    const answer = await send("/v1/restore", file, parameters, authorisation(), progress);
    const before = await original(file, one, answer.ratio);
    await show(file, before, answer, parameters, one.spec.output === "mosaic");
  });
}

/** Show that the page is busy until the requests of `task` are done, then their error if there is one. */
async function work(task) {
  begin();
  try {
    await task();
    showStatus(() => text("ready"));
  } catch (problem) {
    if (problem.cancelled) showStatus(() => text("cancelled"));
    else showError(problem.status, problem.detail, { seconds: problem.retry });
  } finally {
    end();
  }
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
  $("restore").disabled = false;
  $("cancel").hidden = true;
  $("progress").hidden = true;
  if (!$("error").hidden) $("working").hidden = true;
}

function progress(share, textOf) {
  if (share === null) $("progress").removeAttribute("value");
  else $("progress").value = share;
  showStatus(textOf);
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

async function show(file, before, answer, parameters, hasDng) {
  await compare(before, answer.blob);
  const dot = file.name.lastIndexOf(".");
  result = { blob: answer.blob, file, name: dot > 0 ? file.name.slice(0, dot) : file.name, answer, parameters };
  $("dng").hidden = !hasDng;
  showFacts();
  $("result").hidden = false;
  view(false);
  showSlider();
  $("result-title").focus({ preventScroll: true });
  $("result").scrollIntoView({ block: "start" });
}

function showFacts() {
  const { seconds, ratio: used, strength, model: name } = result.answer;
  const { naturalWidth: width, naturalHeight: height } = $("after");
  const values = { file: result.file.name, model: decodeURIComponent(name), seconds: Number(seconds).toFixed(1), width, height };
  const facts = [text("facts", values)];
  if (used) facts.push(text("facts_ratio", { ratio: used }));
  if (strength) facts.push(text("facts_strength", { percent: text("percent", { n: Math.round(100 * strength) }) }));
  $("facts").textContent = facts.join(text("comma"));
}

function download(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${result.name}-restored.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function downloadJpeg() {
  const image = $("after");
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
  canvas.toBlob((blob) => (blob ? download(blob, "jpg") : showError("jpeg")), "image/jpeg", 0.95);
}

/** Restore the file once more, as a raw file: the service keeps nothing. */
async function downloadDng() {
  if (busy) return;
  clearError();
  const { model: name, strength } = result.parameters;
  await work(async () => {
    const parameters = { model: name, strength, format: "dng" };
    download((await send("/v1/restore", result.file, parameters, authorisation(), progress)).blob, "dng");
  });
}

// --- errors -----------------------------------------------------------------------------------

/** `kind`: an HTTP status, or what the page itself found; `detail`: the service's own line, in English. */
function showError(kind, detail = "", values = {}) {
  showLastError = () => {
    const key = `error_${kind}`;
    $("error-words").textContent = text(hasText(key) ? key : "error_500", values);
    $("error-detail").textContent = detail;
  };
  $("error").hidden = false;
  showLastError();
  if (kind === 401) {
    $("token-option").hidden = false;
    $("token").focus();
  }
}

function clearError() {
  showLastError = null;
  $("error").hidden = true;
}

// --- events -----------------------------------------------------------------------------------

$("file").addEventListener("click", () => ($("file").value = "")); // so that choosing the same file again is a change
$("file").addEventListener("change", () => $("file").files[0] && chooseFile($("file").files[0]));
$("example-picture").addEventListener("click", () => chooseExample("example.png"));
$("example-raw").addEventListener("click", () => chooseExample("example.dng"));
$("model").addEventListener("change", showModel);
$("token").addEventListener("change", loadModels);
$("strength").addEventListener("input", showStrength);
$("form").addEventListener("submit", restore);
$("cancel").addEventListener("click", cancel);
$("png").addEventListener("click", () => download(result.blob, "png"));
$("jpeg").addEventListener("click", downloadJpeg);
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
  if (event.dataTransfer.files[0]) chooseFile(event.dataTransfer.files[0]);
});

showTexts();
loadModels();
