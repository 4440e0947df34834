// The photo under a square frame, which says what part of it is tried first. Lengths are px of the photo.
// value from Python: {src, size: [width, height], box: [left, top, side]} or null; to Python: {box, moved: true}.
const root = element.querySelector(".part");
let size = null, box = null;

const photo = h("img", { alt: "", draggable: "false" });
const frame = h("div", { class: "part-frame", tabindex: "0", role: "application", "aria-label": props.title });
const stage = h("div", { class: "part-stage" }, photo, frame);
const sides = h("div", { class: "part-sides", role: "radiogroup", "aria-label": props.choice });
const said = h("output", { class: "fact" });
const tools = h("div", { class: "part-tools" }, sides, said);
const empty = h("p", { class: "fact" }, props.empty);
root.append(empty, stage, tools);

const choices = () => [...new Set(props.sides.map((side) => Math.min(side, ...size)))]
  .map((side) => ({ label: `${side} px`, side }));
function draw() {
  const [left, top, side] = box, share = (length, whole) => `${(100 * length) / whole}%`;
  Object.assign(frame.style, { left: share(left, size[0]), top: share(top, size[1]),
    width: share(side, size[0]), height: share(side, size[1]) });
  said.textContent = `${side} × ${side} px at ${left}, ${top}`;
}
function drawSides() {
  const items = choices();
  radios(sides, items, () => items.find((item) => item.side === box[2]), ({ side }) => {
    place(box[0] + (box[2] - side) / 2, box[1] + (box[2] - side) / 2, side);
    send();
  });
}
function place(left, top, side = box[2]) {
  box = [clamp(Math.round(left), 0, size[0] - side), clamp(Math.round(top), 0, size[1] - side), side];
  draw();
}
function send() {
  props.value = { box, moved: true };
  trigger("input", {});
}
function point(event) {
  const shown = stage.getBoundingClientRect();
  return [((event.clientX - shown.left) / shown.width) * size[0], ((event.clientY - shown.top) / shown.height) * size[1]];
}
frame.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  frame.focus({ preventScroll: true });
  frame.setPointerCapture(event.pointerId);
  const [x, y] = point(event), before = box;
  const move = (now) => {
    const at = point(now);
    place(before[0] + at[0] - x, before[1] + at[1] - y);
  };
  const end = () => {
    frame.removeEventListener("pointermove", move);
    if (box.join() !== before.join()) send();
  };
  frame.addEventListener("pointermove", move);
  frame.addEventListener("lostpointercapture", end, { once: true });
});
// Beside the frame a click places it; a finger that moves there scrolls the page.
stage.addEventListener("click", (event) => {
  if (event.target === frame) return;
  const [x, y] = point(event);
  place(x - box[2] / 2, y - box[2] / 2);
  frame.focus({ preventScroll: true });
  send();
});
frame.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 1 : Math.max(1, Math.round(box[2] / 8));
  const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
  if (!x && !y) return;
  event.preventDefault();
  place(box[0] + x, box[1] + y);
  send();
});
function show() {
  const value = props.value;
  if (value?.moved) return;
  ({ size, box } = value ?? { size: null, box: null });
  empty.hidden = Boolean(value);
  stage.hidden = tools.hidden = !value;
  if (!value) return photo.removeAttribute("src");
  photo.src = value.src;
  Object.assign(stage.style, { aspectRatio: size.join(" / "), width: `calc(var(--part-height) * ${size[0] / size[1]})` });
  drawSides();
  draw();
  props.value = { box, moved: true };  // the photo need not travel back
}
watch("value", show);
show();
