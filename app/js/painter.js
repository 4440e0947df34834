// A map card: shows the map, and a dialog to paint on it. Colours stay exact: the brush is rasterised here, not by the
// browser's anti-aliased canvas, and stays so at every zoom. props.tools: [{label, color: [r,g,b] | null, delta}].
// props.over: the map is a mask, shown as a tint over the photo.
// value from Python: {src, photo, note}; value to Python after "Apply": {src, edited: true}.
const root = element.querySelector(".painter");
const kind = props.kind;
const name = props.title;
const layer = props.over ? "Mask" : "Map";
const MAX_UNDO = 20;
const TINT = [232, 54, 84];
let tools = props.tools, source = null, photo = null, width = 0, height = 0;
let pixels = null, original = null, before = null, cover = null, last = null, cursor = null;
let undo = [], redo = [], tool = tools[0], mode = "brush", drawing = false, space = false, area = [0, 0];

const shown = h("img", { alt: "", class: "map-picture" });
const behind = props.over ? h("img", { class: "map-under", alt: "" }) : null;
const empty = h("div", { class: "map-empty" }, props.empty);
const open = h("button", { type: "button", class: "map-open", "aria-label": props.verb, disabled: true }, behind, shown, empty,
  h("span", { class: "map-verb", "aria-hidden": "true" }, "✎ " + props.verb.split(" ")[0]));
root.append(open);
if (props.over) {  // black is seen through, white becomes the tint; the pixels themselves stay black and white
  const [red, green, blue] = TINT.map((value) => value / 255);
  root.classList.add("over");
  root.insertAdjacentHTML("beforeend", `<svg class="paint-filter" aria-hidden="true"><filter id="mask-tint"
    color-interpolation-filters="sRGB"><feColorMatrix values="0 0 0 0 ${red} 0 0 0 0 ${green} 0 0 0 0 ${blue} .33 .34 .33 0 0"/>
    </filter></svg>`);
}

const canvas = h("canvas", { class: "paint-canvas", tabindex: "0", role: "application",
  "aria-label": `Painting area of ${name}. Arrow keys move, space paints, F fills.` });
const context = canvas.getContext("2d", { willReadFrequently: true });
const under = h("img", { class: "paint-photo", alt: "" });
const ring = h("div", { class: "paint-ring", "aria-hidden": "true" });
const stage = h("div", { class: "paint-stage" }, under, canvas, ring);
const scroll = h("div", { class: "paint-scroll" }, stage);
const size = h("input", { type: "range", min: 1, max: 64, value: props.size, "aria-label": "Brush size", title: "Keys: [ and ]" });
const sizeSaid = h("span");
const opacity = h("input", { type: "range", min: 0.15, max: 1, step: 0.05, value: 1,
  "aria-label": `Opacity of the ${layer.toLowerCase()} over the photo` });
const status = h("output", { class: "paint-status" });
const swatches = h("div", { class: "paint-swatches", role: "radiogroup", "aria-label": props.palette });
const modes = h("div", { class: "paint-modes", role: "radiogroup", "aria-label": "Tool" });
const button = (label, act, more = {}) => h("button", { type: "button", onclick: act, ...more }, label);
const undoButton = button("Undo", () => travel(undo, redo), { title: "Ctrl+Z" });
const redoButton = button("Redo", () => travel(redo, undo), { title: "Ctrl+Shift+Z" });
const zoomSaid = h("span", { class: "zoom-said" });
const zoomRow = h("div", { class: "paint-row", role: "group", "aria-label": "Zoom" },
  button("−", () => zoom.by(1 / 1.5), { "aria-label": "Zoom out", title: "Key: −" }), zoomSaid,
  button("+", () => zoom.by(1.5), { "aria-label": "Zoom in", title: "Key: +, or Ctrl and the wheel" }),
  button("Fit", () => zoom.to(null), { title: "The whole picture; key: 0" }));
const keep = button("Keep painting", () => ask(false), { class: "paint-asked" });
const foot = h("div", { class: "paint-foot" },
  h("span", { class: "paint-question", role: "alert" }),
  button("Cancel", leave, { class: "paint-cancel" }),
  button("Discard strokes", () => dialog.close(), { class: "paint-asked paint-discard" }), keep,
  button("Apply", apply, { class: "paint-apply" }));
const dialog = h("dialog", { class: "paint", "aria-label": `Edit ${name}` },
  h("div", { class: "paint-head" }, h("strong", {}, props.verb), h("span", { class: "paint-help" }, props.help)),
  h("div", { class: "paint-body" }, scroll,
    h("div", { class: "paint-tools" }, modes, swatches,
      h("label", {}, h("span", {}, "Size", sizeSaid), size), h("label", {}, `${layer} over photo`, opacity),
      zoomRow, h("div", { class: "paint-row" }, undoButton, redoButton), status)),
  foot);
root.append(dialog);

const shade = (color) => (!props.over ? `rgb(${color.join(",")})` : color[0] ? `rgb(${TINT.join(",")})` : "none");
const modeItems = [{ label: "Brush", mode: "brush" }, { label: "Fill region", mode: "fill" }, { label: "Move", mode: "move" }];
const drawModes = () => radios(modes, modeItems, () => modeItems.find((item) => item.mode === mode), (item) => { mode = stage.dataset.mode = item.mode; });
const drawSwatches = () => {
  const present = coloursPresent();
  const sorted = kind === "class" ? [...tools].sort((a, b) => present(b) - present(a)) : tools;
  const items = sorted.map((item) => ({ ...item, shade: item.color && shade(item.color) }));
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
  original = pixels;
  undo = []; redo = []; space = false; cursor = [width >> 1, height >> 1];
  mode = stage.dataset.mode = "brush";
  under.src = photo ?? source;
  size.max = Math.max(8, Math.round(Math.max(width, height) / 4));
  size.value = Math.max(1, Math.round(Math.max(width, height) * props.size / 256));
  opacity.value = canvas.style.opacity = props.over ? 0.5 : 1;
  drawModes(); drawSwatches(); count(); sayBrush(); ask(false);
  dialog.showModal();
  fit();
});
// The picture's place keeps its size while the picture in it grows, so that no button moves away under the pointer.
function fit() {
  const box = scroll.parentElement.getBoundingClientRect(), narrow = box.width < 700;
  const wide = narrow ? box.width : box.width - 254;
  const tall = window.innerHeight * (narrow ? 0.4 : 0.7);
  area = [wide, Math.min(tall, Math.max((wide * height) / width, narrow ? 220 : 300))];
  Object.assign(scroll.style, { width: `${area[0]}px`, height: `${area[1]}px` });
  zoom.to(null);
}
const fits = () => Math.min(area[0] / width, area[1] / height);
const zoom = zoomable(scroll, stage, () => ({ fit: fits(), least: fits(), most: Math.max(16, 4 * fits()) }), (scale) => {
  const now = scale ?? fits();
  Object.assign(stage.style, { width: `${Math.floor(width * now)}px`, height: `${Math.floor(height * now)}px` });
  zoomSaid.textContent = `${Math.round(100 * now)} %`;
  ring.style.display = "none";
});
window.addEventListener("resize", () => dialog.open && fit());
opacity.addEventListener("input", () => { canvas.style.opacity = opacity.value; });

function count() {
  undoButton.disabled = !undo.length;
  redoButton.disabled = !redo.length;
  status.textContent = `${width} × ${height} px` + (pixels !== original ? " · edited" : "");
}
function travel(from, to) {
  if (!from.length || drawing) return;
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
  canvas.focus({ preventScroll: true });
  if (space || event.button === 1 || mode === "move") {
    if (space) space = "used";
    ring.style.display = "none";
    if (event.pointerType !== "touch") zoom.pan(event);  // a finger scrolls by itself
    return;
  }
  if (event.button !== 0) return;
  cursor = last = point(event);
  if (mode === "fill") return fill(cursor);
  canvas.setPointerCapture(event.pointerId);
  drawing = true;
  begin();
  line(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  cursor = point(event);
  if (mode === "move" || space) return;
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
  else if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey) fill(cursor);
  else return;
  event.preventDefault();
  showRing(cursor);
});
// Keys of the whole dialog, wherever the focus is.
dialog.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase(), command = event.ctrlKey || event.metaKey;
  if (key === "escape") foot.classList.contains("asking") ? ask(false) : leave();
  else if (key === "[" || key === "]") resize(key === "]" ? 1.2 : 1 / 1.2);
  else if (command && key === "z") travel(...(event.shiftKey ? [redo, undo] : [undo, redo]));
  else if (command && key === "y") travel(redo, undo);
  else if (!command && key in ZOOM_KEYS) ZOOM_KEYS[key] ? zoom.by(ZOOM_KEYS[key]) : zoom.to(null);
  else if (key === " ") {  // held, it moves the picture; pressed and let go on the canvas, it paints
    space ||= true;
    stage.classList.add("held");
    if (event.target !== canvas) return;
  } else return;
  event.preventDefault();
});
dialog.addEventListener("keyup", (event) => {
  if (event.key !== " ") return;
  if (space === true && event.target === canvas && !drawing) { begin(); line(cursor, cursor); count(); showRing(cursor); }
  space = false;
  stage.classList.remove("held");
});
function sayBrush() {
  sizeSaid.textContent = `${size.value} px`;
  if (ring.style.display === "block") showRing(cursor);
}
function resize(factor) {
  const now = Number(size.value);
  size.value = factor > 1 ? Math.max(now + 1, Math.round(now * factor)) : Math.min(now - 1, Math.round(now * factor));
  sayBrush();
}
size.addEventListener("input", sayBrush);
// Strokes are not lost without a question.
function ask(on) {
  foot.classList.toggle("asking", on);
  foot.firstChild.textContent = on ? "Your strokes are not applied yet." : "";
  if (on) keep.focus(); else if (dialog.open) canvas.focus({ preventScroll: true });
}
function leave() {
  if (pixels === original) dialog.close(); else ask(true);
}
dialog.addEventListener("cancel", (event) => {  // a phone's back gesture
  event.preventDefault();
  leave();
});
function apply() {
  dialog.close();
  if (pixels === original) return;
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
