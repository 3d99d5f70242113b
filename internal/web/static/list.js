// Keeps a list up to date: by the server's events, or every so often.
import { load, swap } from "./swap.js";

const list = document.getElementById("list");
const { events, every } = list.dataset;
let source = null, timer = 0, busy = false, again = false;

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const fresh = await load(location.pathname + location.search);
    swap("list", fresh);
    for (const part of document.querySelectorAll("[data-part]")) swap(part.id, fresh);
    dispatchEvent(new Event("fresh"));
  } catch {
    // The next event or the next turn tries again.
  }
  busy = false;
  if (again) { again = false; refresh(); }
}

function start() {
  if (events) {
    source = new EventSource(events);
    source.addEventListener("change", refresh);
    source.addEventListener("open", refresh);
  }
  if (every) timer = setInterval(refresh, Number(every));
}

function stop() {
  source?.close();
  clearInterval(timer);
}

// A page that nobody sees holds no connection.
document.addEventListener("visibilitychange", () => document.hidden ? stop() : (start(), refresh()));
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => { if (event.persisted) start(); });
start();
