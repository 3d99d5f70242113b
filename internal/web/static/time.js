// Times as people read them, kept up to date.
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

function ago(then) {
  const passed = (then - Date.now()) / 1000;
  if (Math.abs(passed) < 5) return "just now";
  const [unit, length] = units.find(([, l]) => Math.abs(passed) >= l) || units[3];
  return relative.format(Math.trunc(passed / length), unit);
}

function since(then) {
  const s = Math.max(0, Math.floor((Date.now() - then) / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " m " + String(s % 60).padStart(2, "0") + " s";
  return Math.floor(s / 3600) + " h " + String(Math.floor(s / 60) % 60).padStart(2, "0") + " m";
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// tick brings all times below an element up to date.
export function tick(root = document) {
  for (const node of root.querySelectorAll("time.ago")) put(node, ago(Date.parse(node.dateTime)));
  for (const node of root.querySelectorAll("[data-since]")) put(node, since(Date.parse(node.dataset.since)));
}
