// Diffs: more lines of a file beneath those shown, and the file that the address names.
import { load } from "./swap.js";

async function more(link) {
  const file = link.closest(".file"), note = link.closest(".more-lines");
  link.setAttribute("aria-busy", "true");
  try {
    const fresh = (await load(link.href)).querySelector(".file");
    const rows = fresh.querySelectorAll("table.diff tr");
    let body = file.querySelector("table.diff tbody");
    if (!body) {
      note.before(document.adoptNode(fresh.querySelector(".scroll")));
    } else {
      const part = document.createDocumentFragment();
      for (const row of rows) part.append(document.adoptNode(row));
      body.append(part);
    }
    const next = fresh.querySelector(".more-lines");
    if (next) note.replaceWith(document.adoptNode(next));
    else note.remove();
  } catch {
    location.assign(link.href); // the page of its own says what is wrong
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-more]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!link.hasAttribute("aria-busy")) more(link);
});

function open() {
  const file = /^#file-\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (!file) return;
  file.open = true;
  file.scrollIntoView();
}
addEventListener("hashchange", open);
open();
