// Two pictures of equal size under one drag handle, with overlays, a 1:1 lens and a flip key.
// value: {pictures: [{label, src}], left, right, overlays: [{label, src, pair}], notes: {"0-1": text}, tiles, size, live, note}
const root = element.querySelector(".viewer");
let left = 0, right = 1, split = 50, lens = false, actual = false, overlay = "";

const leftImage = h("img", { class: "view-left", alt: "" });
const rightImage = h("img", { class: "view-right", alt: "" });
const overlayImage = h("img", { class: "view-overlay", alt: "" });
const tiles = h("div", { class: "view-tiles", "aria-hidden": "true" });
const bar = h("div", { class: "view-bar", "aria-hidden": "true" });
const range = h("input", { type: "range", min: 0, max: 100, step: 0.5, value: split, class: "view-range",
  "aria-label": "Drag between the two pictures" });
const glass = h("div", { class: "view-lens", "aria-hidden": "true" }, h("i", {}), h("i", {}));
const leftTag = h("span", { class: "view-tag view-tag-left" });
const rightTag = h("span", { class: "view-tag view-tag-right" });
const frame = h("div", { class: "view-frame" }, rightImage, leftImage, overlayImage, tiles, bar, range, glass, leftTag, rightTag);
const scroller = h("div", { class: "view-scroll", tabindex: "0", role: "region", "aria-label": props.title }, frame);
const empty = h("div", { class: "view-empty" });
const pickLeft = h("select", { "aria-label": "Left picture", onchange: () => { left = Number(pickLeft.value); draw(); } });
const pickRight = h("select", { "aria-label": "Right picture", onchange: () => { right = Number(pickRight.value); draw(); } });
const pickOverlay = h("select", { "aria-label": "Overlay", onchange: () => { overlay = pickOverlay.value; draw(); } });
const toggle = (label, act, title) => h("button", { type: "button", "aria-pressed": "false", title, onclick: (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(on));
  act(on);
} }, label);
const flip = h("button", { type: "button", title: "Swap the two sides", onclick: () => {
  [left, right] = [right, left];
  draw();
} }, "⇄ Flip");
const lensButton = toggle("◎ 1:1 lens", (on) => { lens = on; frame.classList.toggle("lens-on", on); glass.style.display = "none"; },
  "Move over the picture to see both sides at full size");
const actualButton = toggle("100 %", (on) => { actual = on; draw(); }, "Show every pixel of the picture");
const note = h("output", { class: "view-note" });
const tools = h("div", { class: "view-tools" }, h("label", {}, h("span", {}, "Left"), pickLeft), h("label", {}, h("span", {}, "Right"), pickRight),
  flip, lensButton, actualButton, h("label", {}, h("span", {}, "Overlay"), pickOverlay), note);
root.append(scroller, empty, tools);

const options = (select, items, current) => {
  select.replaceChildren(...items.map(([value, label]) => h("option", { value, selected: String(value) === String(current) }, label)));
};
function draw() {
  const value = props.value ?? {};
  const live = value.live;
  const pictures = value.pictures ?? [];
  const some = pictures.length > 0 || live;
  scroller.hidden = !some;
  empty.hidden = Boolean(some);
  tools.hidden = pictures.length === 0;
  empty.textContent = value.note ?? props.empty;
  if (!some) return;
  const pair = pictures.length > 1 && !live;
  const [width, height] = value.size ?? [0, 0];
  rightImage.src = live ?? pictures[Math.min(right, pictures.length - 1)].src;
  rightImage.alt = live ? "Live preview" : pictures[Math.min(right, pictures.length - 1)].label;
  leftImage.hidden = bar.hidden = range.hidden = leftTag.hidden = !pair;
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
  frame.classList.toggle("live", Boolean(live));
  if (actual && width) Object.assign(frame.style, { width: `${width}px`, maxWidth: "none", maxHeight: "none" });
  else if (width) Object.assign(frame.style, { width: `min(100%, calc(var(--view-height) * ${width / height}))`, maxWidth: "", maxHeight: "" });
  move();
}
function move() {
  leftImage.style.clipPath = `inset(0 ${100 - split}% 0 0)`;
  bar.style.left = `${split}%`;
  leftTag.style.opacity = split < 8 ? 0 : 1;
  rightTag.style.opacity = split > 92 ? 0 : 1;
}
range.addEventListener("input", () => { split = Number(range.value); move(); });
const drag = (event) => {
  const box = frame.getBoundingClientRect();
  split = clamp((100 * (event.clientX - box.left)) / box.width, 0, 100);
  range.value = split;
  move();
};
range.addEventListener("pointerdown", drag);
range.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "x") flip.click(); });
frame.addEventListener("pointermove", (event) => {
  const value = props.value ?? {};
  if (!lens || value.live || !value.size) return;
  const box = frame.getBoundingClientRect(), side = 200;
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  glass.style.display = "flex";
  glass.style.left = `${clamp(event.clientX - box.left - side, 0, Math.max(0, box.width - 2 * side))}px`;
  glass.style.top = `${y > 0.5 ? 8 : box.height - side - 8}px`;
  [leftImage.hidden ? rightImage : leftImage, rightImage].forEach((image, index) => Object.assign(glass.children[index].style, {
    backgroundImage: `url("${image.src}")`, backgroundSize: `${value.size[0]}px ${value.size[1]}px`,
    backgroundPosition: `${side / 2 - x * value.size[0]}px ${side / 2 - y * value.size[1]}px` }));
});
frame.addEventListener("pointerleave", () => { glass.style.display = "none"; });
watch("value", () => {
  const value = props.value ?? {};
  if (!value.live && value.pictures?.length) {
    left = Math.min(value.left ?? 0, value.pictures.length - 1);
    right = Math.min(value.right ?? 1, value.pictures.length - 1);
  }
  draw();
});
draw();
