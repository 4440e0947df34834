// A slider on a logarithmic scale with a neutral mark, both ends in words, and the exact number beside it.
const [low, high] = props.range;
const root = element.querySelector(".dial");
const toStep = (value) => Math.round((1000 * Math.log(value / low)) / Math.log(high / low));
const fromStep = (step) => {
  const value = low * Math.exp((step / 1000) * Math.log(high / low));
  return Math.abs(Math.log(value)) < 0.04 ? 1 : Number(value.toPrecision(2));
};
const neutral = toStep(1) / 10;
const slider = h("input", { type: "range", min: 0, max: 1000, step: 5, "aria-label": `${props.title} temperature` });
const number = h("input", { type: "number", min: low, max: high, step: 0.1, "aria-label": `${props.title} temperature, exact` });
const reset = h("button", { type: "button", title: "Back to neutral (1.0)", "aria-label": `${props.title} temperature: back to neutral`,
  onclick: () => send(1) }, "↺");
root.append(
  h("div", { class: "dial-row" }, h("span", { class: "dial-name" }, "Temperature"), reset, number),
  h("div", { class: "dial-track" }, h("i", { class: "dial-neutral", style: `left: calc(8px + (100% - 16px) * ${neutral / 100})` }), slider),
  h("div", { class: "dial-ends", "aria-hidden": "true" }, h("span", {}, `${low} ${props.ends[0]}`), h("span", {}, `${props.ends[1]} ${high}`)));
function show() {
  const value = Number(props.value ?? 1);
  slider.value = toStep(value);
  slider.setAttribute("aria-valuetext", `${value}, ${value < 1 ? props.ends[0] : value > 1 ? props.ends[1] : "neutral"}`);
  number.value = value;
  root.classList.toggle("dial-moved", value !== 1);
}
function send(value) {
  props.value = clamp(value, low, high);
  show();
  trigger("input", {});
}
slider.addEventListener("input", () => { number.value = fromStep(Number(slider.value)); });
slider.addEventListener("change", () => send(fromStep(Number(slider.value))));
number.addEventListener("change", () => send(Number(number.value) || 1));
watch("value", show);
show();
