// Sends a file to the service and fetches the picture. One request at a time.
import { text } from "./language.js";

let running = null; // the XMLHttpRequest
let known = {}; // the last estimate: seconds that are left, and when it came

export function cancel() {
  if (running) running.abort();
}

/**
 * Send a file. `progress` is called with a share from 0 to 1, or null, and a function that returns the text.
 * Resolves to {blob, seconds, ratio, strength, model}; rejects with {status, detail, retry} or {cancelled}.
 */
export function send(address, file, parameters, headers, progress) {
  return new Promise((resolve, reject) => {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
    const request = new XMLHttpRequest();
    running = request;
    let watch = 0;
    const finish = (settle, value) => {
      clearInterval(watch);
      running = null;
      settle(value);
    };
    request.open("POST", `${address}?${new URLSearchParams(parameters)}`);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.setRequestHeader("X-Request-Id", id);
    request.upload.onprogress = (event) =>
      progress((0.3 * event.loaded) / event.total, () => text("sending", { n: Math.round((100 * event.loaded) / event.total) }));
    request.upload.onload = () => {
      progress(null, () => text("waiting"));
      watch = setInterval(() => askProgress(id, headers, progress), 400);
    };
    request.onprogress = (event) => {
      clearInterval(watch);
      if (request.status === 200) progress(0.9 + (0.1 * event.loaded) / event.total, () => text("receiving"));
    };
    request.onabort = () => finish(reject, { cancelled: true });
    request.onerror = () => finish(reject, { status: "network" });
    request.onload = async () => {
      const header = (name) => request.getResponseHeader(name);
      if (request.status === 200)
        return finish(resolve, {
          blob: request.response,
          seconds: header("X-Seconds"),
          ratio: header("X-Ratio"),
          strength: header("X-Strength"),
          model: header("X-Model"),
        });
      let detail = "";
      try {
        detail = JSON.parse(await request.response.text()).error;
      } catch {
        // A proxy's error page is no JSON and does not help.
      }
      return finish(reject, { status: request.status, detail, retry: header("Retry-After") || "30" });
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

function timeLeft(seconds) {
  if (!(seconds >= 2)) return "";
  return seconds < 100 ? text("left_seconds", { n: Math.round(seconds) }) : text("left_minutes", { n: Math.round(seconds / 60) });
}

async function askProgress(id, headers, progress) {
  try {
    const answer = await fetch(`/v1/progress/${id}`, { headers });
    if (!answer.ok || !running) return;
    const { state, done, total, seconds_left: seconds } = await answer.json();
    if (!running || running.readyState > 2) return;
    if (state !== "working") return progress(null, () => text("waiting"));
    if (seconds !== known.seconds) known = { seconds, since: Date.now() };
    const left = () => timeLeft(seconds - (Date.now() - known.since) / 1000);
    if (total > 1) progress(0.3 + (0.6 * done) / total, () => text("working_part", { done: Math.min(done + 1, total), total, left: left() }));
    else progress(null, () => text("working", { left: left() }));
  } catch {
    // The request itself fails, too, and shows the error.
  }
}
