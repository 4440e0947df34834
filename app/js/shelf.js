// A strip of pictures that can be chosen: examples, or the runs of this session. value: [{src, title, note}]
const root = element.querySelector(".shelf");
function show() {
  const items = props.value ?? [];
  root.replaceChildren(...(items.length ? items.map((item, index) => h("button", {
    type: "button", title: item.title, "aria-label": item.title, onclick: () => trigger("select", { index, value: item.title }) },
    h("img", { src: item.src, alt: "", loading: "lazy" }), item.note ? h("span", {}, item.note) : null))
    : [h("p", { class: "shelf-empty" }, props.empty)]));
}
watch("value", show);
show();
