// Places of faults lead to the text that they are about.
const text = document.getElementById("spec");

for (const link of document.querySelectorAll("[data-line]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const lines = text.value.split("\n"), line = Math.min(Number(link.dataset.line), lines.length) - 1;
    const start = lines.slice(0, line).reduce((sum, l) => sum + l.length + 1, 0);
    text.focus();
    text.setSelectionRange(start + Math.max(0, Number(link.dataset.column) - 1), start + lines[line].length);
    text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, line - 4);
    text.scrollIntoView({ block: "nearest" });
  });
}

// Tab stays a way out of the field; two spaces indent at a return, as the line before has.
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
  const before = text.value.slice(0, text.selectionStart);
  const indent = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
  if (!indent) return;
  event.preventDefault();
  text.setRangeText("\n" + indent, text.selectionStart, text.selectionEnd, "end");
});
