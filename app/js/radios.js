// A group of buttons of which one is chosen, with the arrow keys of a radio group. items: [{label, shade: CSS colour | none}]
function radios(box, items, current, pick) {
  box.replaceChildren(...items.map((item) => h("button", {
    type: "button", role: "radio", "aria-checked": String(item === current()), tabindex: item === current() ? 0 : -1,
    "data-name": item.label,
    onclick: () => { pick(item); radios(box, items, current, pick); box.querySelector("[aria-checked=true]").focus(); },
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      pick(items[(items.indexOf(item) + step + items.length) % items.length]);
      radios(box, items, current, pick);
      box.querySelector("[aria-checked=true]").focus();
    } },
    item.shade ? h("i", { style: `background: ${item.shade}` }) : null, item.label)));
}
