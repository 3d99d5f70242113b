// Search in a log: the server finds the lines, all of them and not only those on
// the page; matches are marked without touching the text.
import { ask, json, parts, reveal } from "./lines.js";

const field = document.getElementById("log-search");
const count = document.getElementById("log-hits");
let hits = [], more = false, at = -1, timer = 0, asked = "";

async function search() {
  const text = field.value;
  asked = text;
  hits = []; at = -1; more = false;
  if (text) {
    count.textContent = "…";
    try {
      const answer = await json(ask("search", { q: text }));
      if (asked !== text) return;
      hits = answer.hits; more = answer.more;
    } catch {
      count.textContent = "search failed";
      return;
    }
  }
  mark();
  if (hits.length > 0) go(1);
  else count.textContent = text ? "no match" : "";
}

// mark highlights the matches that are on the page.
export function mark() {
  for (const node of document.querySelectorAll(".ln.hit")) node.classList.remove("hit", "now");
  const ranges = [];
  const text = field.value.toLowerCase();
  for (const hit of text ? hits : []) {
    const part = parts.get(hit.step);
    const node = part && document.getElementById(part.id + "-L" + hit.n);
    if (!node) continue;
    node.classList.add("hit");
    ranges.push(...find(node.querySelector(".tx"), text));
  }
  if (window.CSS?.highlights) CSS.highlights.set("found", new Highlight(...ranges));
}

// find returns the ranges of a text in an element, across its spans.
function find(root, text) {
  const nodes = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) nodes.push(n);
  const whole = nodes.map((n) => n.data).join("").toLowerCase();
  const ranges = [];
  for (let i = whole.indexOf(text); i >= 0; i = whole.indexOf(text, i + text.length)) {
    const range = new Range();
    if (place(nodes, i, (n, o) => range.setStart(n, o)) && place(nodes, i + text.length, (n, o) => range.setEnd(n, o))) ranges.push(range);
  }
  return ranges;
}

function place(nodes, offset, set) {
  for (const n of nodes) {
    if (offset <= n.data.length) { set(n, offset); return true; }
    offset -= n.data.length;
  }
  return false;
}

// go moves to the next or the previous match.
async function go(by) {
  if (hits.length === 0) return;
  at = (at + by + hits.length) % hits.length;
  const wanted = at;
  count.textContent = (at + 1) + " of " + hits.length + (more ? "+" : "");
  const node = await reveal(hits[at].step, hits[at].n);
  if (wanted !== at) return;
  mark();
  node?.classList.add("now");
}

field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 250); });
field.form.addEventListener("submit", (event) => event.preventDefault());
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (asked !== field.value) { clearTimeout(timer); search(); } else go(event.shiftKey ? -1 : 1);
});
document.getElementById("hit-next").addEventListener("click", () => go(1));
document.getElementById("hit-prev").addEventListener("click", () => go(-1));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n") go(1);
  if (event.key === "p") go(-1);
});
