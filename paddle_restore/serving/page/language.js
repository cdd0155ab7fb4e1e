// The texts in the chosen language, and what the browser keeps of the visitor's choices.
import { TEXTS } from "./texts.js";

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

export function hasText(key) {
  return key in TEXTS[language];
}
