// A job's page: follows the job while it lives, and the line in the address.
import { attempt, clear, parts, reveal, show } from "./lines.js";
import { load, swap } from "./swap.js";
import "./search.js";

const log = document.getElementById("log");
// The page may be about more than the job; what is the job's own is at the job's address.
const address = "/jobs/" + encodeURIComponent(log.dataset.job);
const summary = new URL(location);
summary.searchParams.set("part", "summary");
let source = null, after = log.dataset.after, over = !log.dataset.live;
let busy = false, again = false;

// refresh brings all but the log up to date.
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const fresh = await load(summary.pathname + summary.search);
    for (const id of ["job-head", "job-timeline", "job-results"]) swap(id, fresh);
    for (const part of parts.values()) swap(part.id + "-head", fresh);
    document.title = fresh.title;
  } catch {
    // The next event tries again.
  }
  busy = false;
  if (again) { again = false; refresh(); }
}

log.addEventListener("begun", refresh);

let queue = [], frame = 0;

// later puts lines on the page once a frame, however fast they come.
function later(event) {
  after = event.lastEventId || after;
  queue.push(JSON.parse(event.data));
  if (!frame) frame = document.hidden ? setTimeout(put, 50) : requestAnimationFrame(put);
}

function put() {
  frame = 0;
  for (const { step, lines } of queue.splice(0)) show(step, lines);
}

function connect() {
  if (over || document.hidden) return;
  source = new EventSource(address + "/events?after=" + encodeURIComponent(after));
  source.addEventListener("attempt", (event) => {
    const n = JSON.parse(event.data);
    if (n === attempt()) return;
    put();
    clear(n);
    after = n + "-0";
  });
  source.addEventListener("lines", later);
  source.addEventListener("change", refresh);
  source.addEventListener("end", () => {
    over = true;
    delete log.dataset.live;
    source.close();
    put();
    refresh();
  });
}

// A page that nobody sees holds no connection; it goes on where it was.
document.addEventListener("visibilitychange", () => {
  source?.close();
  put();
  connect();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });

// target marks the line that the address names, "#step-vet-L12".
async function target() {
  for (const node of log.querySelectorAll(".target")) node.classList.remove("target");
  const match = /^#(.+)-L(\d+)$/.exec(decodeURIComponent(location.hash));
  const part = match && [...parts.values()].find((p) => p.id === match[1]);
  if (part) (await reveal(part.key, Number(match[2])))?.classList.add("target");
}
addEventListener("hashchange", target);

const times = document.getElementById("times");
function showTimes() { log.classList.toggle("show-times", times.checked); }
times.addEventListener("change", () => {
  localStorage.setItem("times", times.checked ? "1" : "");
  showTimes();
});
times.checked = localStorage.getItem("times") === "1";
showTimes();

for (const part of parts.values()) if (part.node.open) part.pane.scrollTop = part.pane.scrollHeight;
target();
connect();
