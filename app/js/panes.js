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
window.choosePane = choose;
choose("photo");
