() => {
  // Light and dark: follow the system until the visitor chooses.
  document.documentElement.lang = "en";
  const button = document.querySelector("#theme-button");
  if (button) {
    button.setAttribute("aria-label", "Switch between light and dark");
    button.title = "Light or dark";
  }
  // An upload button must be called what it shows.
  const rename = () => document.querySelectorAll("button.upload-container[aria-label]").forEach((node) => {
    const shown = node.innerText.replace(/\s+/g, " ").trim();
    if (shown) node.setAttribute("aria-label", shown);
  });
  new MutationObserver(rename).observe(document.body, { childList: true, subtree: true });
  rename();
  // A recipe or result dropped outside a drop zone restores the page, wherever it lands.
  const outside = (event) => event.dataTransfer?.types?.includes("Files") && !event.target.closest?.("#photo, dialog, .upload-zone");
  document.addEventListener("dragover", (event) => { if (outside(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!outside(event) || !event.dataTransfer.files.length) return;
    event.preventDefault();
    const input = document.querySelector("#restore-file input[type=file], input#restore, #restore input[type=file]")
      ?? document.querySelector("#restore")?.parentElement?.querySelector("input[type=file]");
    if (!input) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
