// Rows that are ticked for the buttons of a form: how many they are, and all at once.
const forms = [...document.querySelectorAll("form.toolbar")];

function boxes(form) { return [...document.querySelectorAll("#list input[type=checkbox]")].filter((n) => n.form === form); }

function count(form) {
  const all = boxes(form), ticked = all.filter((n) => n.checked).length;
  form.querySelector("[data-chosen]").textContent = ticked ? ticked + " chosen" : "";
  const whole = form.querySelector("[data-all]");
  whole.checked = ticked > 0 && ticked === all.length;
  whole.indeterminate = ticked > 0 && ticked < all.length;
  for (const button of form.querySelectorAll("button")) {
    if (button.value !== "failed") button.disabled = ticked === 0;
  }
}

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!forms.includes(form)) return;
  if ("all" in event.target.dataset) for (const box of boxes(form)) box.checked = event.target.checked;
  count(form);
});
addEventListener("fresh", () => forms.forEach(count));
addEventListener("pageshow", () => forms.forEach(count));
forms.forEach(count);
