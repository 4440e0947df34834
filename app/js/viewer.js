// Two pictures of equal size under one drag handle, with overlays, a 1:1 lens, a flip key, zoom and full screen.
// value: {pictures: [{label, src}], left, right, overlays: [{label, src, pair}], notes: {"0-1": text}, tiles, size, live, note}
const root = element.querySelector(".viewer");
let left = 0, right = 1, split = 50, place = 0.5, lens = false, overlay = "", shape = "", chosen = [];

const leftImage = h("img", { class: "view-left", alt: "" });
const rightImage = h("img", { class: "view-right", alt: "" });
const overlayImage = h("img", { class: "view-overlay", alt: "" });
const tiles = h("div", { class: "view-tiles", "aria-hidden": "true" });
const bar = h("div", { class: "view-bar", "aria-hidden": "true" });
const grip = h("div", { class: "view-grip" });
const range = h("input", { type: "range", min: 0, max: 100, step: 0.5, value: split, class: "view-range",
  "aria-label": "Drag between the two pictures" });
const glass = h("div", { class: "view-lens", "aria-hidden": "true" }, h("i", {}), h("i", {}));
const leftTag = h("span", { class: "view-tag view-tag-left" });
const rightTag = h("span", { class: "view-tag view-tag-right" });
const frame = h("div", { class: "view-frame" }, rightImage, leftImage, overlayImage, tiles, bar, grip, range);
const scroller = h("div", { class: "view-scroll", tabindex: "0", role: "region", "aria-label": props.title }, frame);
const stage = h("div", { class: "view-stage" }, scroller, glass, leftTag, rightTag);  // the tags stay while the picture moves
const empty = h("div", { class: "view-empty" });
const pickLeft = h("select", { "aria-label": "Left picture", onchange: () => choose(Number(pickLeft.value), right) });
const pickRight = h("select", { "aria-label": "Right picture", onchange: () => choose(left, Number(pickRight.value)) });
const pickOverlay = h("select", { "aria-label": "Overlay", onchange: () => { overlay = pickOverlay.value; draw(); } });
const toggle = (label, act, title) => h("button", { type: "button", "aria-pressed": "false", title, onclick: (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(on));
  act(on);
} }, label);
const flip = h("button", { type: "button", title: "Swap the two sides", onclick: () => choose(right, left) }, "⇄ Flip");
const lensButton = toggle("◎ 1:1 lens", (on) => { lens = on; glass.style.display = "none"; },
  "Move over the picture to see both sides at full size");
lensButton.classList.add("view-lens-button");
const zoomButton = (label, act, more) => h("button", { type: "button", onclick: act, ...more }, label);
const fitButton = zoomButton("Fit", () => zoom.to(null), { title: "The whole picture; key: 0" });
const actualButton = zoomButton("100 %", () => zoom.to(1), { title: "Every pixel of the picture" });
const scaleSaid = h("span", { class: "zoom-said" });
const zoomTools = h("div", { class: "view-zoom", role: "group", "aria-label": "Zoom" },
  zoomButton("−", () => zoom.by(1 / 1.5), { "aria-label": "Zoom out", title: "Key: −" }), scaleSaid,
  zoomButton("+", () => zoom.by(1.5), { "aria-label": "Zoom in", title: "Key: +, or Ctrl and the wheel" }),
  fitButton, actualButton);
const full = () => document.fullscreenElement === root;
const fullButton = zoomButton("", () => (full() ? document.exitFullscreen() : root.requestFullscreen()),
  { class: "view-full", "aria-label": "Full screen", title: "Full screen; Esc leaves it", hidden: !document.fullscreenEnabled });
fullButton.innerHTML = `<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true">
  <path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg>`;
const note = h("output", { class: "view-note" });
const tools = h("div", { class: "view-tools" }, h("label", {}, h("span", {}, "Left"), pickLeft), h("label", {}, h("span", {}, "Right"), pickRight),
  flip, lensButton, zoomTools, fullButton, h("label", {}, h("span", {}, "Overlay"), pickOverlay), note);
root.append(stage, empty, tools);

const options = (select, items, current) => {
  select.replaceChildren(...items.map(([value, label]) => h("option", { value, selected: String(value) === String(current) }, label)));
};
// What was chosen by name stays chosen when the next result comes.
function choose(one, other) {
  [left, right] = [one, other];
  chosen = [one, other].map((index) => props.value?.pictures?.[index]?.label);
  draw();
}
function draw() {
  const value = props.value ?? {};
  const live = value.live;
  const pictures = value.pictures ?? [];
  const some = pictures.length > 0 || live;
  stage.hidden = !some;
  empty.hidden = Boolean(some);
  tools.hidden = pictures.length === 0;
  empty.textContent = value.note ?? props.empty;
  if (!some) return;
  const pair = pictures.length > 1 && !live;
  const [width, height] = value.size ?? [0, 0];
  rightImage.src = live ?? pictures[Math.min(right, pictures.length - 1)].src;
  rightImage.alt = live ? "Live preview" : pictures[Math.min(right, pictures.length - 1)].label;
  leftImage.hidden = bar.hidden = grip.hidden = range.hidden = leftTag.hidden = !pair;
  rightTag.textContent = rightImage.alt;
  if (pair) { leftImage.src = pictures[left].src; leftImage.alt = leftTag.textContent = pictures[left].label; }
  const items = pictures.map((picture, index) => [index, picture.label]);
  options(pickLeft, items, left);
  options(pickRight, items, right);
  const fits = (item) => !item.pair || (item.pair.includes(left) && item.pair.includes(right) && left !== right);
  const overlays = (value.overlays ?? []).filter(fits);
  if (overlay !== "tiles" && !overlays.some((item) => item.label === overlay)) overlay = "";
  options(pickOverlay, [["", "None"], ...overlays.map((item) => [item.label, item.label]), ...(value.tiles?.length ? [["tiles", `Tiles (${value.tiles.length})`]] : [])], overlay);
  const over = overlays.find((item) => item.label === overlay);
  overlayImage.hidden = !over || Boolean(live);
  if (over) { overlayImage.src = over.src; overlayImage.alt = over.label; }
  tiles.replaceChildren(...(overlay === "tiles" && !live ? value.tiles : []).map(([x0, y0, x1, y1]) => h("i", {
    style: `left:${(100 * x0) / width}%;top:${(100 * y0) / height}%;width:${(100 * (x1 - x0)) / width}%;height:${(100 * (y1 - y0)) / height}%` })));
  note.textContent = (value.notes ?? {})[`${Math.min(left, right)}-${Math.max(left, right)}`] ?? "";
  frame.style.aspectRatio = width ? `${width} / ${height}` : "";
  if (shape !== `${width} ${height}`) { shape = `${width} ${height}`; zoom.to(null); }
  move();
}
// How large the picture may stand: room() in screen pixels, limits() in screen pixels per picture pixel.
const room = () => [scroller.clientWidth, parseFloat(getComputedStyle(scroller).maxHeight) - 2];
function limits() {
  const [width, height] = props.value?.size ?? [1, 1], [wide, tall] = room();
  const fit = Math.min(wide / width, tall / height);
  return { fit, least: Math.min(fit, 1), most: Math.max(8, 4 * fit) };
}
const zoom = zoomable(scroller, frame, limits, (scale) => {
  const [width, height] = props.value?.size ?? [0, 0], { fit } = limits();
  frame.style.width = scale ? `${width * scale}px` : width ? `min(100%, calc(var(--view-height) * ${width / height}))` : "";
  // What stands below must not jump while zooming; a very flat picture alone gets more room.
  scroller.style.height = scale && !full() ? `${Math.max(height * fit, Math.min(room()[1], 320))}px` : "";
  root.classList.toggle("zoomed", Boolean(scale));
  root.classList.toggle("pixels", scale > 2);
  fitButton.setAttribute("aria-pressed", String(!scale));
  actualButton.setAttribute("aria-pressed", String(scale === 1));
  glass.style.display = "none";
  hold();
}, full);
// Where the handle is seen: 0 at the left of the box, 1 at its right.
function seen() {
  const box = scroller.getBoundingClientRect(), at = frame.getBoundingClientRect();
  return (at.left + (split / 100) * at.width - box.left) / box.width;
}
function move() {
  leftImage.style.clipPath = `inset(0 ${100 - split}% 0 0)`;
  bar.style.left = grip.style.left = `${split}%`;
  leftTag.style.opacity = split < 1 || seen() < 0.08 ? 0 : 1;
  rightTag.style.opacity = split > 99 || seen() > 0.92 ? 0 : 1;
  // In the picture's corners where it is wide enough for both names, else in those of the box.
  const inset = frame.clientWidth < 300 ? 0 : Math.max(0, (scroller.clientWidth - frame.clientWidth) / 2);
  leftTag.style.left = rightTag.style.right = `${inset + 10}px`;
  leftTag.style.maxWidth = rightTag.style.maxWidth = `${scroller.clientWidth / 2 - inset - 14}px`;
}
function slide(to) {
  split = clamp(to, 0, 100);
  range.value = split;
  move();
  place = seen();
}
// A zoomed picture moves under the handle, which stays where it is seen.
function hold() {
  if (!zoom.scale) return slide(split);
  const box = scroller.getBoundingClientRect(), at = frame.getBoundingClientRect();
  range.value = split = clamp((100 * (box.left + place * box.width - at.left)) / at.width, 0, 100);
  move();
}
scroller.addEventListener("scroll", hold);
new ResizeObserver(() => {
  scaleSaid.textContent = `${Math.round((100 * frame.clientWidth) / (props.value?.size?.[0] ?? Infinity))} %`;
  hold();
}).observe(frame);
range.addEventListener("input", () => slide(Number(range.value)));
const drag = (event) => {
  const box = frame.getBoundingClientRect();
  slide((100 * (event.clientX - box.left)) / box.width);
};
// The whole picture moves the handle; once it is zoomed, only the handle does, and the rest moves the picture.
frame.addEventListener("pointerdown", (event) => {
  if (event.button > 1) return;
  if (event.button === 1 || (zoom.scale && event.target !== grip)) {
    if (event.pointerType !== "touch") zoom.pan(event);  // a finger scrolls by itself
    return;
  }
  if (range.hidden) return;
  event.preventDefault();
  range.focus({ preventScroll: true });
  drag(event);
  frame.setPointerCapture(event.pointerId);
  frame.addEventListener("pointermove", drag);
  for (const kind of ["pointerup", "pointercancel"])
    frame.addEventListener(kind, () => frame.removeEventListener("pointermove", drag), { once: true });
});
stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || !(event.key in ZOOM_KEYS)) return;
  event.preventDefault();
  ZOOM_KEYS[event.key] ? zoom.by(ZOOM_KEYS[event.key]) : zoom.to(null);
});
document.addEventListener("fullscreenchange", () => {
  fullButton.setAttribute("aria-label", full() ? "Leave full screen" : "Full screen");
  zoom.to(null);
});
range.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "x") flip.click(); });
frame.addEventListener("pointermove", (event) => {
  const value = props.value ?? {};
  if (!lens || value.live || !value.size) return;
  const box = frame.getBoundingClientRect(), view = stage.getBoundingClientRect();
  const side = Math.min(200, view.width / 2 - 8);
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  Object.assign(glass.style, { display: "flex", width: `${2 * side}px`, height: `${side}px`,
    left: `${clamp(event.clientX - view.left - side, 0, view.width - 2 * side)}px`,
    top: `${event.clientY - view.top > view.height / 2 ? 8 : view.height - side - 8}px` });
  [leftImage.hidden ? rightImage : leftImage, rightImage].forEach((image, index) => Object.assign(glass.children[index].style, {
    backgroundImage: `url("${image.src}")`, backgroundSize: `${value.size[0]}px ${value.size[1]}px`,
    backgroundPosition: `${side / 2 - x * value.size[0]}px ${side / 2 - y * value.size[1]}px` }));
});
frame.addEventListener("pointerleave", () => { glass.style.display = "none"; });
watch("value", () => {
  const value = props.value ?? {};
  if (!value.live && value.pictures?.length) {
    const at = (label, usual) => {
      const index = value.pictures.findIndex((picture) => picture.label === label);
      return index < 0 ? Math.min(usual, value.pictures.length - 1) : index;
    };
    left = at(chosen[0], value.left ?? 0);
    right = at(chosen[1], value.right ?? 1);
  }
  draw();
});
draw();
