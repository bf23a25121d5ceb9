"use strict";
/* Sorts and filters what the page shows without it; the address keeps what was chosen. */
(() => {
  const form = document.querySelector("#filters");
  if (!form) return;
  const body = document.querySelector("#runs tbody");
  const heads = [...document.querySelectorAll("#runs thead th")];
  const marks = [...document.querySelectorAll(".mark")];
  const groups = [...document.querySelectorAll(".group")];
  const shown = document.querySelector("#shown");
  const none = document.querySelector("#none");
  const fields = [...form.elements].filter((field) => field.name);
  const byDefault = { key: "started", descending: true };
  let order = byDefault;

  const rows = [...body.rows].map((tr) => ({
    tr,
    text: tr.textContent.toLowerCase(),
    keys: [...tr.cells].map((cell) => cell.dataset.sort ?? cell.textContent.trim()),
  }));
  const texts = new Intl.Collator("en").compare;

  /* Cells with nothing to sort by come last, whichever way the others go. */
  const compare = (column, numbers, descending) => (a, b) => {
    const [x, y] = [a.keys[column], b.keys[column]];
    if (x === "" || y === "") return (x === "") - (y === "");
    const found = numbers ? x - y : texts(x, y);
    return descending ? -found : found;
  };

  const sort = () => {
    const column = heads.findIndex((head) => head.dataset.key === order.key);
    const numbers = heads[column].hasAttribute("data-numbers");
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.append(...[...rows].sort(compare(column, numbers, order.descending)).map((row) => row.tr));
  };

  const filter = () => {
    const wanted = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    const hidden = new Set();
    for (const { tr, text } of rows) {
      tr.hidden = !(
        ["experiment", "verdict", "machine"].every((name) => !wanted[name] || tr.dataset[name] === wanted[name]) &&
        words.every((word) => text.includes(word))
      );
      if (tr.hidden) hidden.add(tr.id);
    }
    for (const mark of marks) mark.classList.toggle("out", hidden.has(mark.dataset.run));
    for (const group of groups) {
      group.hidden = !rows.some(
        ({ tr }) => !tr.hidden && tr.dataset.experiment === group.dataset.experiment && tr.dataset.machine === group.dataset.machine,
      );
    }
    const count = rows.length - hidden.size;
    shown.textContent = hidden.size ? `${count} of ${rows.length} runs` : `all ${rows.length} runs`;
    none.hidden = count > 0;
  };

  const keep = () => {
    const state = new URLSearchParams();
    for (const field of fields) if (field.value) state.set(field.name, field.value);
    if (order.key !== byDefault.key || order.descending !== byDefault.descending) {
      state.set("sort", (order.descending ? "-" : "") + order.key);
    }
    const text = state.toString();
    history.replaceState(null, "", location.href.split("#")[0] + (text && `#${text}`));
  };

  /* A fragment without "=" is a place on the page: a run's line is shown, whatever the filters say. */
  const restore = () => {
    const fragment = location.hash.slice(1);
    if (fragment && !fragment.includes("=")) {
      const target = document.querySelector(":target");
      if (target?.hidden) {
        for (const field of fields) field.value = "";
        filter();
        target.scrollIntoView();
      }
      return;
    }
    const state = new URLSearchParams(fragment);
    for (const field of fields) {
      const value = state.get(field.name) ?? "";
      if (field.options && ![...field.options].some((option) => option.value === value)) {
        field.add(new Option(`${value} (no run)`, value));
      }
      field.value = value;
    }
    const [, minus, key] = (state.get("sort") ?? "").match(/^(-?)(.*)$/);
    const known = heads.some((head) => head.dataset.key === key);
    order = known ? { key, descending: minus === "-" } : byDefault;
    sort();
    filter();
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const { key, first } = head.dataset;
      const descending = order.key === key ? !order.descending : first === "descending";
      order = { key, descending };
      sort();
      keep();
    });
  }

  const change = () => {
    filter();
    keep();
  };
  const showAll = () => {
    for (const field of fields) field.value = "";
    change();
  };
  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    showAll();
  });
  none.querySelector("button").addEventListener("click", () => {
    showAll();
    fields[0].focus();
  });
  window.addEventListener("hashchange", restore);

  /* The skip link leaves the address alone, which may hold what was chosen. */
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    const target = document.querySelector("#runs");
    target.focus();
    target.scrollIntoView();
  });

  /* A plot is one stop of the tab key; the arrow keys go from mark to mark. */
  for (const svg of document.querySelectorAll(".plot svg")) {
    const own = [...svg.querySelectorAll(".mark")];
    const readout = svg.parentElement.querySelector(".readout");
    const usual = readout.textContent;
    let current = own.at(-1);
    const tell = (mark) => {
      for (const each of own) each.classList.toggle("near", each === mark);
      readout.textContent = mark ? mark.getAttribute("aria-label") : usual;
    };
    const make = (mark) => {
      current.setAttribute("tabindex", "-1");
      mark.setAttribute("tabindex", "0");
      current = mark;
    };
    for (const mark of own) {
      mark.setAttribute("tabindex", "-1");
      mark.addEventListener("focus", () => {
        make(mark);
        tell(mark);
      });
      mark.addEventListener("blur", () => tell(null));
    }
    make(current);
    svg.addEventListener("keydown", (event) => {
      const at = own.indexOf(current);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: own.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      own[Math.min(Math.max(to, 0), own.length - 1)].focus();
    });
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const distance = (mark) => Math.abs(mark.dataset.x - x);
      tell(own.reduce((best, mark) => (distance(mark) < distance(best) ? mark : best)));
    });
    svg.addEventListener("pointerleave", () => tell(null));
  }

  form.hidden = false;
  filter();
  restore();
})();
