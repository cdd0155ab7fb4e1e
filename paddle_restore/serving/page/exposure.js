// The amplification of a raw file: a slider that starts from the service's own choice, and a preview.
import { $, text } from "./language.js";

const LARGEST = 300; // the slider goes from 1 to 300 by equal factors

let found = null; // {file, model, ratio, blob}: what the service chose, and its preview at that ratio
let asking = null; // the AbortController of a request

/** Return the ratio that a restoration asks for: "auto", or the slider's as text. */
export function wantedRatio() {
  return $("ratio-own").checked ? slider() : "auto";
}

/** Return the service's preview of a file at a ratio, where it has been fetched already, or null. */
export function fetchedPreview(file, model, ratio) {
  return found && found.file === file && found.model === model && found.ratio === ratio ? found.blob : null;
}

function slider() {
  const value = LARGEST ** ($("ratio").value / 100);
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

export function showRatio() {
  const auto = $("ratio-auto").checked;
  const value = auto ? found && shortened(found.ratio) : slider();
  $("ratio-value").textContent = value ? `× ${value}` : "";
  $("ratio").setAttribute("aria-valuetext", `× ${slider()}`);
  $("exposure").alt = text("alt_exposure");
  if (!found) return;
  // The preview has gamma 2.2, and the browser multiplies its values.
  const factor = auto ? 1 : Number(slider()) / Number(found.ratio);
  $("exposure").style.filter = `brightness(${factor ** (1 / 2.2)})`;
}

function shortened(ratio) {
  return Number(ratio) < 10 ? Number(ratio).toFixed(1) : Number(ratio).toFixed(0);
}

/** Ask the service for its choice and a preview. Without them the slider works all the same. */
export async function askExposure(file, model, headers) {
  stopAsking();
  if (found && found.file === file && found.model === model) return;
  forget();
  if (!file || !model) return;
  const request = (asking = new AbortController());
  const form = new FormData();
  form.append("file", file, file.name);
  try {
    const address = `/v1/preview?${new URLSearchParams({ model })}`;
    const answer = await fetch(address, { method: "POST", body: form, headers, signal: request.signal });
    if (!answer.ok) return;
    const ratio = answer.headers.get("X-Ratio");
    const blob = await answer.blob();
    if (asking !== request || !ratio) return;
    found = { file, model, ratio, blob };
    $("exposure").src = URL.createObjectURL(blob);
    $("exposure").hidden = false;
    if ($("ratio-auto").checked) place();
    showRatio();
  } catch {
    // The restoration itself shows what is wrong.
  } finally {
    if (asking === request) asking = null;
  }
}

/** A restoration does not wait for a preview. */
export function stopAsking() {
  if (asking) asking.abort();
  asking = null;
}

function forget() {
  found = null;
  if ($("exposure").src) URL.revokeObjectURL($("exposure").src);
  $("exposure").removeAttribute("src");
  $("exposure").hidden = true;
  showRatio();
}

function place() {
  if (found) $("ratio").value = (100 * Math.log(Math.max(Number(found.ratio), 1))) / Math.log(LARGEST);
}

$("ratio").addEventListener("input", () => {
  $("ratio-own").checked = true;
  showRatio();
});
$("ratio-own").addEventListener("change", showRatio);
$("ratio-auto").addEventListener("change", () => {
  place();
  showRatio();
});
