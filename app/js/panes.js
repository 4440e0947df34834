// On a phone one part of the studio is shown at a time.
const bar = element.querySelector("nav");
const choose = (pane) => {
  const studio = document.querySelector("#studio");
  if (!studio) return requestAnimationFrame(() => choose(pane));
  studio.dataset.pane = pane;
  for (const button of bar.children) button.setAttribute("aria-pressed", String(button.dataset.pane === pane));
};
bar.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { choose(button.dataset.pane); window.scrollTo(0, 0); }
});
// Run shows the result: on a phone its part, on a tablet, where it stands below the maps, by scrolling to it.
window.choosePane = (pane) => {
  choose(pane);
  if (!matchMedia("(max-width: 1199px)").matches) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  document.querySelector(`#pane-${pane}`)?.scrollIntoView({ behavior, block: "start" });
};
choose("photo");
