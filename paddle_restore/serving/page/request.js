// One request at a time: a file out, a picture in.
import { say } from "./words.js";

let running = null; // the XMLHttpRequest

export function cancel() {
  if (running) running.abort();
}

/** Send a file, telling `progress(share or null, words)`; resolve to {blob, seconds, ratio, model}, or reject with {status, detail}. */
export function send(address, file, parameters, headers, progress) {
  return new Promise((resolve, reject) => {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
    const request = new XMLHttpRequest();
    running = request;
    let watch = 0;
    const finish = (how, what) => {
      clearInterval(watch);
      running = null;
      how(what);
    };
    request.open("POST", `${address}?${new URLSearchParams(parameters)}`);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.setRequestHeader("X-Request-Id", id);
    request.upload.onprogress = (event) =>
      progress((0.3 * event.loaded) / event.total, () => say("sending", { n: Math.round((100 * event.loaded) / event.total) }));
    request.upload.onload = () => {
      progress(null, () => say("waiting"));
      watch = setInterval(() => ask(id, headers, progress), 400);
    };
    request.onprogress = (event) => {
      clearInterval(watch);
      if (request.status === 200) progress(0.9 + (0.1 * event.loaded) / event.total, () => say("receiving"));
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
          model: header("X-Model"),
        });
      let detail = "";
      try {
        detail = JSON.parse(await request.response.text()).error;
      } catch {
        // A proxy's own error page says nothing that helps.
      }
      return finish(reject, { status: request.status, detail, retry: header("Retry-After") || "30" });
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

async function ask(id, headers, progress) {
  try {
    const answer = await fetch(`/v1/progress/${id}`, { headers });
    if (!answer.ok || !running) return;
    const { state, done, total } = await answer.json();
    if (!running || running.readyState > 2) return;
    if (state !== "working") progress(null, () => say("waiting"));
    else if (total > 1) progress(0.3 + (0.6 * done) / total, () => say("working_part", { done: Math.min(done + 1, total), total }));
    else progress(null, () => say("working"));
  } catch {
    // The request itself will say what is wrong.
  }
}
