// The pictures before and after, one over the other. A border between them can be moved.
import { $, text } from "./language.js";

/** Show two pictures; `before` may be null. Resolves when they are loaded. */
export async function compare(before, after) {
  await load($("after"), after);
  const comparable = before !== null && (await load($("before"), before).then(() => true, () => false));
  $("before").hidden = !comparable;
  $("grip").hidden = !comparable;
  $("no-before").hidden = comparable;
  $("compare").value = 50;
}

function load(image, blob) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  return image.decode();
}

/** Fit the pictures to the page, or (`full`) show each pixel as one pixel of the screen. */
export function view(full) {
  const { naturalWidth, naturalHeight } = $("after");
  $("viewer").classList.toggle("full", full);
  $("fit").setAttribute("aria-pressed", String(!full));
  $("full").setAttribute("aria-pressed", String(full));
  const exact = naturalWidth / window.devicePixelRatio;
  const fitting = (0.75 * window.innerHeight * naturalWidth) / naturalHeight;
  $("stage").style.width = full ? `${exact}px` : `${fitting}px`;
  $("stage").style.maxWidth = full ? "none" : "100%";
  if (full) $("viewer").scrollTo(($("stage").offsetWidth - $("viewer").clientWidth) / 2, ($("stage").offsetHeight - $("viewer").clientHeight) / 2);
}

export function showSlider() {
  const value = Number($("compare").value);
  $("stage").style.setProperty("--at", `${value}%`);
  $("compare").setAttribute("aria-valuetext", text("compare_value", { n: Math.round(value) }));
}

function drag(event) {
  const box = $("stage").getBoundingClientRect();
  $("compare").value = (100 * (event.clientX - box.left)) / box.width;
  showSlider();
}

function startDrag(event) {
  const full = $("viewer").classList.contains("full");
  if (full && event.target !== $("grip")) return; // at 100 % a drag scrolls the picture
  if ($("grip").hidden || event.button) return;
  event.preventDefault();
  drag(event);
  $("stage").setPointerCapture(event.pointerId);
  const stop = () => $("stage").removeEventListener("pointermove", drag);
  $("stage").addEventListener("pointermove", drag);
  $("stage").addEventListener("pointerup", stop, { once: true });
  $("stage").addEventListener("pointercancel", stop, { once: true });
}

$("compare").addEventListener("input", showSlider);
$("stage").addEventListener("pointerdown", startDrag);
$("fit").addEventListener("click", () => view(false));
$("full").addEventListener("click", () => view(true));
