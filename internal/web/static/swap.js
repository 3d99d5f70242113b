// Takes newer parts of a page from the server in place of those shown. The
// server's templates are the only place where markup is made.
import { tick } from "./time.js";

// load fetches a page as a document, in which nothing runs.
export function load(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = 20000;
    request.onload = () => request.status === 200 && request.response ? resolve(request.response) : reject(new Error("status " + request.status));
    request.onerror = request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

// swap replaces the element of this id by the one of the other document, and
// keeps focus, the keyboard's choice, ticked boxes and what was opened.
export function swap(id, from) {
  const old = document.getElementById(id), fresh = from.getElementById(id);
  if (!old || !fresh) return;
  tick(old);
  tick(fresh);
  if (old.isEqualNode(fresh)) return;
  const focus = old.contains(document.activeElement) ? path(document.activeElement, old) : null;
  const chosen = [...old.querySelectorAll(".chosen[id]")].map((n) => n.id);
  const ticked = [...old.querySelectorAll("input[type=checkbox][id]:checked")].map((n) => n.id);
  const opened = [...old.querySelectorAll("details")].map((n) => n.open);
  const node = document.adoptNode(fresh);
  if (opened.length === node.querySelectorAll("details").length) {
    node.querySelectorAll("details").forEach((n, i) => { n.open = opened[i]; });
  }
  old.replaceWith(node);
  for (const item of chosen) document.getElementById(item)?.classList.add("chosen");
  for (const box of ticked) {
    const input = document.getElementById(box);
    if (input) input.checked = true;
  }
  if (focus) find(focus, node)?.focus({ preventScroll: true });
}

// path describes an element below root so that its successor can be found.
function path(node, root) {
  const anchor = node.closest("[id]");
  if (!anchor || !root.contains(anchor)) return null;
  const kind = node.tagName.toLowerCase();
  return { id: anchor.id, kind: anchor === node ? "" : kind, at: anchor === node ? 0 : [...anchor.querySelectorAll(kind)].indexOf(node) };
}

function find(p, root) {
  const anchor = root.id === p.id ? root : document.getElementById(p.id);
  return p.kind ? anchor?.querySelectorAll(p.kind)[p.at] : anchor;
}
