// A map card: shows the map, and a dialog to paint on it. Colours stay exact: the brush is rasterised here, not by the
// browser's anti-aliased canvas. props.tools: [{label, color: [r,g,b] | null, delta: number | null, present: bool}].
// value from Python: {src, photo, note}; value to Python after "Apply": {src, edited: true}.
const root = element.querySelector(".painter");
const kind = props.kind;
const name = props.title;
const MAX_UNDO = 20;
let tools = props.tools, source = null, photo = null, width = 0, height = 0;
let pixels = null, before = null, cover = null, last = null, cursor = null, changed = false;
let undo = [], redo = [], tool = tools[0], mode = "brush", drawing = false;

const shown = h("img", { alt: "", class: "map-picture" });
const behind = props.over ? h("img", { class: "map-under", alt: "" }) : null;
const empty = h("div", { class: "map-empty" }, props.empty);
const open = h("button", { type: "button", class: "map-open", "aria-label": props.verb, disabled: true }, behind, shown, empty,
  h("span", { class: "map-verb", "aria-hidden": "true" }, "✎ " + props.verb.split(" ")[0]));
root.append(open);
root.classList.toggle("over", Boolean(props.over));

const canvas = h("canvas", { class: "paint-canvas", tabindex: "0", role: "application",
  "aria-label": `Painting area of ${name}. Arrow keys move, space paints, F fills.` });
const context = canvas.getContext("2d", { willReadFrequently: true });
const under = h("img", { class: "paint-photo", alt: "" });
const ring = h("div", { class: "paint-ring", "aria-hidden": "true" });
const stage = h("div", { class: "paint-stage" }, under, canvas, ring);
const size = h("input", { type: "range", min: 1, max: 64, value: props.size, "aria-label": "Brush size" });
const opacity = h("input", { type: "range", min: 0.15, max: 1, step: 0.05, value: 1, "aria-label": "Opacity of the map over the photo" });
const status = h("output", { class: "paint-status" });
const swatches = h("div", { class: "paint-swatches", role: "radiogroup", "aria-label": props.palette });
const modes = h("div", { class: "paint-modes", role: "radiogroup", "aria-label": "Tool" });
const undoButton = h("button", { type: "button", onclick: () => travel(undo, redo) }, "Undo");
const redoButton = h("button", { type: "button", onclick: () => travel(redo, undo) }, "Redo");
const dialog = h("dialog", { class: "paint", "aria-label": `Edit ${name}` },
  h("div", { class: "paint-head" }, h("strong", {}, props.heading), h("span", { class: "paint-help" }, props.help)),
  h("div", { class: "paint-body" }, stage,
    h("div", { class: "paint-tools" }, modes, swatches,
      h("label", {}, "Size", size), h("label", {}, "Map over photo", opacity),
      h("div", { class: "paint-row" }, undoButton, redoButton), status)),
  h("div", { class: "paint-foot" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
    h("button", { type: "button", class: "paint-apply", onclick: apply }, "Apply")));
root.append(dialog);

function radios(box, items, current, pick) {
  box.replaceChildren(...items.map((item) => h("button", {
    type: "button", role: "radio", "aria-checked": String(item === current()), tabindex: item === current() ? 0 : -1,
    "data-name": item.label,
    onclick: () => { pick(item); radios(box, items, current, pick); box.querySelector("[aria-checked=true]").focus(); },
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      pick(items[(items.indexOf(item) + step + items.length) % items.length]);
      radios(box, items, current, pick);
      box.querySelector("[aria-checked=true]").focus();
    } },
    item.color ? h("i", { style: `background: rgb(${item.color.join(",")})` }) : null, item.label)));
}
const modeItems = [{ label: "Brush", mode: "brush" }, { label: "Fill region", mode: "fill" }];
const drawModes = () => radios(modes, modeItems, () => modeItems.find((item) => item.mode === mode), (item) => { mode = item.mode; });
const drawSwatches = () => {
  const present = coloursPresent();
  const items = kind === "class" ? [...tools].sort((a, b) => present(b) - present(a)) : tools;
  tool = items[0];
  radios(swatches, items, () => tool, (item) => { tool = item; });
};
function coloursPresent() {
  if (kind !== "class" || !pixels) return () => 0;
  const count = new Map();
  for (let i = 0; i < pixels.data.length; i += 4) {
    const key = (pixels.data[i] << 16) | (pixels.data[i + 1] << 8) | pixels.data[i + 2];
    count.set(key, (count.get(key) ?? 0) + 1);
  }
  return (item) => count.get((item.color[0] << 16) | (item.color[1] << 8) | item.color[2]) ?? 0;
}

open.addEventListener("click", async () => {
  if (!source) return;
  const image = await loadImage(source);
  width = canvas.width = image.naturalWidth;
  height = canvas.height = image.naturalHeight;
  context.drawImage(image, 0, 0);
  pixels = context.getImageData(0, 0, width, height);
  undo = []; redo = []; changed = false; cursor = [width >> 1, height >> 1];
  under.src = photo ?? source;
  size.max = Math.max(8, Math.round(Math.max(width, height) / 4));
  size.value = Math.max(1, Math.round(Math.max(width, height) * props.size / 256));
  opacity.value = canvas.style.opacity = props.over ? 0.5 : 1;
  drawModes(); drawSwatches(); count();
  dialog.showModal();
  fit();
});
function fit() {
  const box = stage.parentElement.getBoundingClientRect();
  const narrow = box.width < 700;
  const wide = narrow ? box.width : box.width - 250;
  const scale = Math.min(wide / width, (narrow ? window.innerHeight * 0.42 : window.innerHeight * 0.7) / height);
  stage.style.width = `${Math.round(width * scale)}px`;
  stage.style.height = `${Math.round(height * scale)}px`;
}
window.addEventListener("resize", () => dialog.open && fit());
opacity.addEventListener("input", () => { canvas.style.opacity = opacity.value; });

function count() {
  undoButton.disabled = !undo.length;
  redoButton.disabled = !redo.length;
  status.textContent = `${width} × ${height} px` + (changed ? " · edited" : "");
}
function travel(from, to) {
  if (!from.length) return;
  to.push(pixels);
  pixels = from.pop();
  context.putImageData(pixels, 0, 0);
  count();
}
function begin() {
  undo.push(pixels);
  if (undo.length > MAX_UNDO) undo.shift();
  redo = [];
  before = pixels;
  pixels = new ImageData(new Uint8ClampedArray(before.data), width, height);
  cover = new Float32Array(width * height);
  changed = true;
}
function put(index, share) {
  const at = index * 4;
  for (let channel = 0; channel < 3; channel++) {
    const old = before.data[at + channel];
    pixels.data[at + channel] = tool.color ? old + (tool.color[channel] - old) * share : old + tool.delta * share;
  }
  pixels.data[at + 3] = 255;
}
function stamp(x, y, radius) {
  const soft = tool.delta != null;
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(height - 1, y + radius); row++)
    for (let column = Math.max(0, Math.ceil(x - radius)); column <= Math.min(width - 1, x + radius); column++) {
      const distance = Math.hypot(column - x, row - y) / Math.max(radius, 0.5);
      if (distance > 1) continue;
      const share = soft ? 1 - distance * distance : 1;
      const index = row * width + column;
      if (share > cover[index]) { cover[index] = share; put(index, share); }
    }
}
function line(from, to) {
  const radius = size.value / 2;
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const count = Math.max(1, Math.ceil(length / Math.max(1, radius / 3)));
  for (let i = 0; i <= count; i++)
    stamp(Math.round(from[0] + ((to[0] - from[0]) * i) / count), Math.round(from[1] + ((to[1] - from[1]) * i) / count), radius);
  context.putImageData(pixels, 0, 0);
}
function fill([x, y]) {
  begin();
  const tolerance = kind === "grey" ? 10 : 0;
  const start = (y * width + x) * 4;
  const same = (index) => [0, 1, 2].every((c) => Math.abs(before.data[index * 4 + c] - before.data[start + c]) <= tolerance);
  const queue = [y * width + x];
  cover[queue[0]] = 1;
  while (queue.length) {
    const index = queue.pop();
    put(index, 1);
    const column = index % width;
    for (const next of [column > 0 ? index - 1 : -1, column < width - 1 ? index + 1 : -1, index - width, index + width])
      if (next >= 0 && next < width * height && !cover[next] && same(next)) { cover[next] = 1; queue.push(next); }
  }
  context.putImageData(pixels, 0, 0);
  count();
}
function point(event) {
  const box = canvas.getBoundingClientRect();
  return [clamp(Math.floor(((event.clientX - box.left) / box.width) * width), 0, width - 1),
    clamp(Math.floor(((event.clientY - box.top) / box.height) * height), 0, height - 1)];
}
function showRing([x, y]) {
  const scale = canvas.clientWidth / width, diameter = Math.max(4, size.value * scale);
  Object.assign(ring.style, { display: "block", width: `${diameter}px`, height: `${diameter}px`,
    left: `${(x + 0.5) * scale - diameter / 2}px`, top: `${(y + 0.5) * scale - diameter / 2}px` });
}
canvas.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  canvas.focus();
  cursor = last = point(event);
  if (mode === "fill") return fill(cursor);
  canvas.setPointerCapture(event.pointerId);
  drawing = true;
  begin();
  line(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  cursor = point(event);
  showRing(cursor);
  if (!drawing) return;
  line(last, cursor);
  last = cursor;
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { if (drawing) { drawing = false; count(); } });
canvas.addEventListener("pointerleave", () => { if (!drawing) ring.style.display = "none"; });
canvas.addEventListener("keydown", (event) => {
  const step = Math.max(1, Math.round(size.value / 2));
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (moves[event.key]) cursor = [clamp(cursor[0] + moves[event.key][0], 0, width - 1), clamp(cursor[1] + moves[event.key][1], 0, height - 1)];
  else if (event.key === " ") { begin(); line(cursor, cursor); count(); }
  else if (event.key.toLowerCase() === "f") fill(cursor);
  else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") travel(...(event.shiftKey ? [redo, undo] : [undo, redo]));
  else return;
  event.preventDefault();
  showRing(cursor);
});
function apply() {
  dialog.close();
  if (!changed) return;
  source = canvas.toDataURL("image/png");
  shown.src = source;
  props.value = { src: source, edited: true };
  trigger("input", {});
}
function show() {
  const value = props.value;
  if (value?.edited) return;
  source = value?.src ?? null;
  photo = value?.photo ?? null;
  tools = value?.tools ?? props.tools;
  shown.hidden = !source;
  empty.hidden = Boolean(source);
  open.disabled = !source;
  if (source) shown.src = source; else shown.removeAttribute("src");
  if (behind) { behind.hidden = !photo; if (photo) behind.src = photo; }
  shown.alt = source ? `${name}: current map` : "";
  empty.textContent = value?.note ?? props.empty;
}
watch("value", show);
show();
