() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  // Light and dark: follow the system until the visitor chooses; then the choice is kept, where the browser keeps things.
  document.documentElement.lang = "en";
  const button = document.querySelector("#theme-button");
  if (button) {
    button.setAttribute("aria-label", "Switch between light and dark");
    button.title = "Light or dark";
  }
  let theme = null;
  try { theme = localStorage.getItem("mmsr-theme"); } catch { /* storage is forbidden here */ }
  if (theme) document.body.classList.toggle("dark", theme === "dark");
  window.toggleTheme = () => {
    const dark = document.body.classList.toggle("dark");
    try { localStorage.setItem("mmsr-theme", dark ? "dark" : "light"); } catch { /* it lasts until the page is left */ }
  };
  // An upload button must be called what it shows.
  const rename = () => document.querySelectorAll("button.upload-container[aria-label]").forEach((node) => {
    const shown = node.innerText.replace(/\s+/g, " ").trim();
    if (shown) node.setAttribute("aria-label", shown);
  });
  new MutationObserver(rename).observe(document.body, { childList: true, subtree: true });
  rename();
  // A result picture or a recipe restores the page wherever it is dropped; photos belong into the drop zones.
  const ZONES = "dialog, #photo, #batch-files, [aria-dropeffect]";
  const forRestore = (event) => event.dataTransfer?.types?.includes("Files") && !event.target.closest?.(ZONES);
  const isRecipe = (file) => file?.name.toLowerCase().endsWith(".json");
  document.addEventListener("dragover", (event) => { if (forRestore(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    const files = event.dataTransfer?.files;
    const input = document.querySelector("#restore")?.previousElementSibling;
    if (!files?.length || !input || event.target.closest?.("dialog")) return;
    if (!forRestore(event) && !isRecipe(files[0])) return;
    event.preventDefault();
    event.stopPropagation();
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);
  // A pasted picture is the photo, unless something is being written.
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    const input = document.querySelector("#photo input[type=file]");
    if (!file || !input || event.target.closest?.("textarea, input, dialog, #photo")) return;
    const data = new DataTransfer();
    data.items.add(file);
    input.files = data.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  // Ctrl+Enter starts and Esc stops what the shown tab runs.
  const STARTS = "#run, #compare-start, #batch-start", STOPS = "#stop, #compare-stop, #batch-stop";
  const press = (selector) => {
    const button = all(selector).find((one) => !one.disabled && one.checkVisibility());
    if (!button) return false;
    const field = document.activeElement;
    field?.blur();  // a number that is being typed counts
    field?.focus({ preventScroll: true });
    button.click();
    return true;
  };
  document.addEventListener("keydown", (event) => {
    const busy = event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]") || document.fullscreenElement;
    if (busy) return;
    const start = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    const stop = event.key === "Escape" && event.target.getAttribute?.("aria-expanded") !== "true";
    if ((start && press(STARTS)) || (stop && press(STOPS))) event.preventDefault();
  });
  const hint = (selector, title) => all(selector).forEach((button) => { button.title = title; });
  hint(STARTS, "Ctrl+Enter");
  hint(STOPS, "Esc");
  // Leaving asks first, once there is something to lose: what was painted, written or made.
  let touched = false;
  document.addEventListener("click", (event) => {
    if (event.target.closest?.(`${STARTS}, #run-part, #worked, .paint-apply`)) touched = true;
  }, true);
  document.addEventListener("input", (event) => { if (event.target.closest?.("#map-text")) touched = true; }, true);
  window.addEventListener("beforeunload", (event) => {
    if (touched && document.querySelector("#photo img, #history img, #compare-sheet img, #batch-report .done")) event.preventDefault();
  });
  // The title of a tab that is not seen says when a long run has ended.
  const LONG = 10_000, title = document.title;
  let since = null;
  const watchRuns = () => {
    const running = all(STOPS).some((button) => !button.disabled);
    if (running) since ??= Date.now();
    else if (since != null) {
      if (Date.now() - since > LONG && document.hidden) document.title = `✓ Finished · ${title}`;
      since = null;
    }
  };
  new MutationObserver(watchRuns).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["disabled"] });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) document.title = title; });
  // A notice stays until something new is said, or it is closed.
  const notice = document.querySelector("#notice");
  const reopen = () => {
    notice.classList.remove("closed");
    for (const line of notice.querySelectorAll(".notice:not(:has(.notice-close))")) {
      const close = Object.assign(document.createElement("button"), { type: "button", className: "notice-close" });
      close.setAttribute("aria-label", "Close this notice");
      close.addEventListener("click", () => notice.classList.add("closed"));
      line.append(close);
    }
  };
  // Gradio writes its own progress into the same block; that is no news.
  const isNews = ({ type, target, addedNodes }) => (type === "characterData" ? target.parentElement?.closest(".notice")
    : [...addedNodes].some((node) => node.matches?.(".notice, :has(.notice)")));
  if (notice) new MutationObserver((records) => { if (records.some(isNews)) reopen(); }).observe(notice, { childList: true, subtree: true, characterData: true });
  // The same words twice change nothing in the page, so what can say them again opens the notice as well.
  document.addEventListener("change", (event) => { if (notice && event.target.type === "file") reopen(); }, true);
}
