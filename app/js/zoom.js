// Zooming and moving a picture inside a scrolling box, for the viewer and the painter. The point under the pointer stays.
// limits() -> {fit, least, most}: scales in screen pixels per picture pixel; draw(scale): scale is null where it fits.
const zoomable = (box, picture, limits, draw, wheelAlone = () => false) => {
  let scale = null;
  const to = (wanted, at) => {
    const { fit, least, most } = limits();
    const view = box.getBoundingClientRect(), old = picture.getBoundingClientRect();
    const x = at?.clientX ?? view.left + box.clientWidth / 2, y = at?.clientY ?? view.top + box.clientHeight / 2;
    const [across, down] = [(x - old.left) / old.width, (y - old.top) / old.height];
    scale = wanted == null ? null : clamp(wanted, least, most);
    if (scale != null && Math.abs(scale / fit - 1) < 0.01) scale = null;
    draw(scale);
    const now = picture.getBoundingClientRect();
    box.scrollLeft += now.left + across * now.width - x;
    box.scrollTop += now.top + down * now.height - y;
  };
  const by = (factor, at) => to((scale ?? limits().fit) * factor, at);
  // The wheel alone belongs to the page; with Ctrl (a pinch on a touchpad says the same) it zooms.
  box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !wheelAlone()) return;
    event.preventDefault();
    by(Math.exp(-clamp(event.deltaY, -100, 100) / 300), event);
  }, { passive: false });
  const pan = (first) => {
    const [left, top] = [box.scrollLeft, box.scrollTop];
    const move = (event) => {
      box.scrollLeft = left - (event.clientX - first.clientX);
      box.scrollTop = top - (event.clientY - first.clientY);
    };
    const end = () => {
      box.removeEventListener("pointermove", move);
      box.classList.remove("panning");
    };
    first.preventDefault();
    box.setPointerCapture(first.pointerId);
    box.classList.add("panning");
    box.addEventListener("pointermove", move);
    for (const kind of ["pointerup", "pointercancel"]) box.addEventListener(kind, end, { once: true });
  };
  return { to, by, pan, get scale() { return scale; } };
};
const ZOOM_KEYS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, "0": null };
