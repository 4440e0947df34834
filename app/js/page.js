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
}
