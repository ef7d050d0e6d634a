// What pages do beyond forms and htmx: dialogs, toasts, keys, filters that send themselves. Pages work without it.
"use strict";

(() => {
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

  /** Say something to screen readers without moving the focus. */
  function say(text) {
    const live = one("#live");
    if (live) live.textContent = text;
  }

  function openDialog(id) {
    const dialog = document.getElementById(id);
    if (dialog && !dialog.open) dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-dialog], [data-close], [data-dismiss], [data-copy]");
    if (!target) return;
    if (target.dataset.dialog) openDialog(target.dataset.dialog);
    if ("close" in target.dataset) target.closest("dialog").close();
    if ("dismiss" in target.dataset) target.closest(".toast").remove();
    if (target.dataset.copy) {
      const from = document.getElementById(target.dataset.copy);
      navigator.clipboard.writeText(from.value ?? from.textContent).then(() => say(target.dataset.copied || ""));
    }
  });

  // A click beside a dialog closes it, unless something was typed in it.
  document.addEventListener("click", (event) => {
    if (event.target.matches("dialog.dialog") && !one("form [data-typed]", event.target)) event.target.close();
  });
  document.addEventListener("input", (event) => {
    if (event.target.closest("dialog")) event.target.dataset.typed = "";
  });

  // Filters send their form by themselves; without scripts a button does.
  document.addEventListener("change", (event) => {
    if (event.target.closest("[data-autosend]")) event.target.form.requestSubmit();
  });

  // Times "3 min ago" are told anew every half minute by the page's own parts; toasts go after ten seconds.
  function letToastsGo() {
    for (const toast of all(".toast:not(.bad)")) setTimeout(() => toast.remove(), 10000);
  }

  // Keys. Two-key words start with g; nothing happens while somebody types.
  const places = { t: "/today", a: "/automations", r: "/runs", i: "/inbox", p: "/plugins", o: "/orders", c: "/customers", w: "/why" };
  let after = "";
  document.addEventListener("keydown", (event) => {
    if (document.documentElement.dataset.keys === "off") return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      one("#find")?.focus();
      one("#find")?.select();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (after === "g" && places[event.key]) {
      location.assign(places[event.key]);
    } else if (event.key === "?") {
      openDialog("keys");
    } else if (event.key === "/") {
      const filter = one("[data-filter]");
      if (filter) {
        event.preventDefault();
        filter.focus();
      }
    } else if (event.key === "n") {
      one("[data-new]")?.click();
    }
    after = event.key === "g" ? "g" : "";
  });

  // Lists are narrowed while typing, in the page itself: every row that holds the words stays.
  function fold(text) {
    return text.toLocaleLowerCase(document.documentElement.lang).normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replaceAll("ı", "i");
  }
  document.addEventListener("input", (event) => {
    const list = event.target.dataset.narrows && document.getElementById(event.target.dataset.narrows);
    if (!list) return;
    const words = fold(event.target.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of all("[data-row]", list)) {
      row.hidden = !words.every((word) => fold(row.textContent).includes(word));
      shown += row.hidden ? 0 : 1;
    }
    say(String(shown));
  });

  document.addEventListener("htmx:afterSwap", letToastsGo);
  // An error of a part is shown where the part is; the old content stays readable.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400 && event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) {
      event.detail.shouldSwap = event.detail.target.hasAttribute("data-shows-errors");
      if (!event.detail.shouldSwap) {
        const message = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector("p")?.textContent;
        const toast = document.createElement("div");
        toast.className = "toast bad";
        toast.textContent = message || String(event.detail.xhr.status);
        one(".toasts")?.append(toast);
      }
    }
  });

  window.vitrin = { one, all, say, openDialog, fold };
  letToastsGo();
})();
