// The lines of a log: one part a step, each a window of lines without gaps.
// Text becomes text nodes only; the server has made spans and classes of colours.
const keep = 20000; // lines of a step that stay on the page
const log = document.getElementById("log");
const base = "/jobs/" + encodeURIComponent(log.dataset.job);

export const parts = new Map();
export const attempt = () => Number(log.dataset.attempt);

for (const node of log.querySelectorAll(".step")) {
  const pane = node.querySelector(".pane");
  const part = {
    key: node.dataset.step, id: node.id, node, pane, earlier: node.querySelector(".earlier"),
    first: Number(node.dataset.first), total: Number(node.dataset.total), touched: false,
  };
  parts.set(part.key, part);
  part.earlier.hidden = part.first <= 1;
  part.earlier.addEventListener("click", () => loadEarlier(part));
  node.querySelector("summary").addEventListener("click", () => { part.touched = true; });
  node.addEventListener("toggle", () => { if (node.open && log.dataset.live) toEnd(part); });
}

// address of a script's question about the shown attempt.
export function ask(what, query) {
  return base + "/" + what + "?" + new URLSearchParams({ attempt: attempt(), ...query });
}

async function json(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error("status " + answer.status);
  return answer.json();
}
export { json };

function make(part, line) {
  const node = document.createElement("div");
  node.className = "ln " + line.s;
  node.id = part.id + "-L" + line.n;
  node.dataset.n = line.n;
  const no = document.createElement("a");
  no.className = "no";
  no.href = "#" + node.id;
  no.dataset.n = line.n;
  no.tabIndex = -1;
  no.setAttribute("aria-label", "Line " + line.n);
  const at = document.createElement("time");
  at.dateTime = line.at;
  at.textContent = line.at.slice(11, 23).replace("Z", "");
  const text = document.createElement("span");
  text.className = "tx";
  for (const { t, c } of line.x || []) {
    if (!c) { text.append(t); continue; }
    const span = document.createElement("span");
    span.className = c;
    span.textContent = t;
    text.append(span);
  }
  node.append(no, at, text);
  return node;
}

function toEnd(part) { part.pane.scrollTop = part.pane.scrollHeight; }

const atEnd = (pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;

// clear empties all parts: another attempt begins.
export function clear(n) {
  log.dataset.attempt = n;
  for (const part of parts.values()) {
    part.pane.replaceChildren();
    part.first = 1;
    part.total = 0;
    part.earlier.hidden = true;
  }
}

// show puts new and changed lines, in order, into a step's part.
export function show(key, lines) {
  const part = parts.get(key);
  if (!part || lines.length === 0) return;
  if (!part.touched && !part.node.open && key !== "") part.node.open = true;
  if (part.total === 0) log.dispatchEvent(new Event("begun"));
  const follow = atEnd(part.pane);
  if (lines[0].n > part.total + 1) {
    part.pane.replaceChildren();
    part.first = lines[0].n;
  }
  if (part.total === 0) part.first = lines[0].n;
  const fresh = document.createDocumentFragment();
  for (const line of lines) {
    if (line.n < part.first) continue;
    const node = make(part, line);
    const old = line.n <= part.total && document.getElementById(node.id);
    if (old) old.replaceWith(node);
    else fresh.append(node);
    part.total = Math.max(part.total, line.n);
  }
  part.pane.append(fresh);
  while (part.pane.childElementCount > keep) {
    part.pane.firstElementChild.remove();
    part.first++;
  }
  part.earlier.hidden = part.first <= 1;
  if (follow) toEnd(part);
}

// loadEarlier puts the lines before the first one shown in front of it.
async function loadEarlier(part, from = part.first - 1000) {
  if (part.first <= 1) return;
  from = Math.max(1, from, part.first - 2000);
  const { lines } = await json(ask("lines", { step: part.key, from, to: part.first - 1 }));
  if (!lines || lines.length === 0) return;
  const before = part.pane.scrollHeight, top = part.pane.scrollTop;
  const fresh = document.createDocumentFragment();
  for (const line of lines) fresh.append(make(part, line));
  part.pane.prepend(fresh);
  part.first = lines[0].n;
  part.earlier.hidden = part.first <= 1;
  part.pane.scrollTop = top + part.pane.scrollHeight - before;
}

// reveal makes line n of a step visible, loading what is around it, and returns its element.
export async function reveal(key, n) {
  const part = parts.get(key);
  if (!part) return null;
  if (n < part.first && part.first - n <= 2000) await loadEarlier(part, n - 50);
  if (n < part.first) {
    // Too far to load all between: the window moves, and the end is a reload away.
    const { lines, total } = await json(ask("lines", { step: key, from: Math.max(1, n - 500), to: n + 1400 }));
    part.pane.replaceChildren(...(lines || []).map((line) => make(part, line)));
    part.first = lines?.[0]?.n || 1;
    part.earlier.hidden = part.first <= 1;
    if (lines?.length && lines[lines.length - 1].n < total) part.pane.append(gap(part, lines[lines.length - 1].n + 1));
  }
  const node = document.getElementById(part.id + "-L" + n);
  if (!node) return null;
  part.node.open = true;
  const { top } = node.getBoundingClientRect(), pane = part.pane.getBoundingClientRect();
  part.pane.scrollTop += top - pane.top - pane.height / 2;
  node.scrollIntoView({ block: "nearest" });
  return node;
}

// gap is a button that loads what follows a moved window.
function gap(part, from) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "earlier";
  button.textContent = "Load later lines";
  button.addEventListener("click", async () => {
    const { lines, total } = await json(ask("lines", { step: part.key, from, to: from + 1499 }));
    const fresh = (lines || []).map((line) => make(part, line));
    const next = lines?.length ? lines[lines.length - 1].n + 1 : total + 1;
    if (next <= total && !document.getElementById(part.id + "-L" + next)) fresh.push(gap(part, next));
    button.replaceWith(...fresh.filter((n) => !n.id || !document.getElementById(n.id)));
  });
  return button;
}
