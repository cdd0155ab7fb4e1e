// The texts in the chosen language, and what the browser keeps of the visitor's choices.
import { DETAILS, TEXTS } from "./texts.js";

export const $ = (id) => document.getElementById(id);

/** Return a kept choice, or keep it where a value is given. */
export function saved(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  return null;
}

let language = saved("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

export function chosenLanguage() {
  return language;
}

export function chooseLanguage(name) {
  language = name;
  saved("language", name);
}

/** Return the text of a key, with {name} filled in from `values`. */
export function text(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Return the service's own line in the chosen language, and the language that it is in. */
export function detailText(line) {
  for (const [pattern, template] of language === "zh" ? DETAILS : []) {
    const found = line.match(pattern);
    if (found) return [template.replace(/\$(\d)/g, (_, n) => detailText(found[n])[0]), "zh-CN"];
  }
  return [line, "en"];
}

export function hasText(key) {
  return key in TEXTS[language];
}
