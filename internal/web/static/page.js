// What every page has: keys, relative times, the current page in the navigation.
import { tick } from "./time.js";

for (const node of document.querySelectorAll(".needs-script")) node.hidden = false;
for (const link of document.querySelectorAll("[data-nav]")) {
  const nav = link.dataset.nav;
  if (nav === location.pathname || (nav === "/batch-changes" && location.pathname.startsWith(nav + "/"))) link.setAttribute("aria-current", "page");
}
// A log-in link that was opened by who is logged in: its token must not stay in the address.
if (location.hash.startsWith("#token=") && location.pathname !== "/login") {
  history.replaceState(null, "", location.pathname + location.search);
}
tick();
setInterval(() => tick(), 1000);

const help = document.getElementById("help");
document.getElementById("help-open").addEventListener("click", () => help.showModal());

// choose moves the mark of keyboard choice among the page's items.
function choose(by) {
  const items = [...document.querySelectorAll("[data-item]")].filter((n) => n.getClientRects().length > 0);
  if (items.length === 0) return;
  const at = items.findIndex((n) => n.classList.contains("chosen"));
  const next = items[Math.min(Math.max(at + by, 0), items.length - 1)];
  for (const n of items) n.classList.remove("chosen");
  next.classList.add("chosen");
  next.scrollIntoView({ block: "nearest" });
  (next.querySelector("a.row-link, summary, a, button") || next).focus({ preventScroll: true });
}

const places = { j: "/", b: "/batch-changes", e: "/executors", n: "/jobs/new" };
let going = 0;

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing) return;
  const place = places[event.key];
  if (place && Date.now() - going < 1500) {
    event.preventDefault();
    location.assign(place);
    return;
  }
  switch (event.key) {
    case "/": {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
      return;
    }
    case "?": return help.showModal();
    case "g": going = Date.now(); return;
    case "x": return document.querySelector("[data-item].chosen input[type=checkbox]")?.click();
    case "j": return choose(1);
    case "k": return choose(-1);
  }
});
