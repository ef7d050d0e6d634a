// The draft's page: edits are kept on this device until they are saved, and the server hears that somebody is here.
"use strict";

(() => {
  const area = document.querySelector("textarea[data-keep]");
  if (!area) return;
  const key = area.dataset.keep;
  const saved = area.value;

  // What was typed and not saved comes back after the browser was closed or killed.
  const kept = localStorage.getItem(key);
  if (kept !== null && kept !== saved && !area.readOnly) area.value = kept;
  let timer = 0;
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => localStorage.setItem(key, area.value), 400);
  });
  area.form.addEventListener("submit", () => localStorage.setItem(key, area.value));
  // Saved steps have other numbers: what was kept for older ones is done with.
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith(key.slice(0, key.lastIndexOf(":") + 1)) && name !== key) localStorage.removeItem(name);
  }
  addEventListener("beforeunload", (event) => {
    if (area.value !== saved && document.activeElement === area) event.preventDefault();
  });

  // Tab indents by two blanks, Escape gives Tab back to moving the focus.
  let indents = true;
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") indents = false;
    if ((event.ctrlKey || event.metaKey) && ["s", "Enter"].includes(event.key)) {
      event.preventDefault();
      area.form.requestSubmit();
    }
    if (event.key === "Tab" && !event.shiftKey && indents && !area.readOnly) {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  area.addEventListener("focus", () => (indents = true));

  const seat = document.querySelector("form[data-seat]");
  if (!seat) return;
  const sit = () => fetch(seat.action, { method: "POST", body: new URLSearchParams(new FormData(seat)), redirect: "manual" });
  sit();
  setInterval(sit, 15000);
})();
