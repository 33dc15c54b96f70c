"use strict";
// Hides the rows that are filtered out, everywhere on the page, draws the Pareto fronts of those that remain, and sorts.
// The address keeps the choice: #target=intel,microscope&precision=int8. A choice that is not named there is open.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const boxes = [...form.querySelectorAll("fieldset input")];
  const [sort, downwards] = [form.elements.sort, form.elements.downwards];
  const body = document.querySelector("table.key tbody");
  const order = [...body.children];
  const names = [...new Set(boxes.map((box) => box.name))];
  const rows = [...document.querySelectorAll("[data-device], .absent")]; // and the devices, measured or not
  const total = new Set(rows.map((row) => row.dataset.row).filter(Boolean)).size;

  function show() {
    const shown = new Set();
    const off = new Map(names.map((name) => [name, new Set(boxes.filter((box) => box.name === name && !box.checked).map((box) => box.value))]));
    for (const row of rows) {
      const visible = names.every((name) => !off.get(name).has(row.dataset[name]));
      row.toggleAttribute("hidden", !visible);
      row.style.display = visible ? "" : "none"; // SVG elements know no hidden attribute
      if (visible && row.dataset.row) shown.add(row.dataset.row);
    }
    for (const figure of document.querySelectorAll("[data-rows]")) {
      figure.toggleAttribute("hidden", !figure.dataset.rows.trim().split(" ").some((row) => shown.has(row)));
    }
    for (const chart of document.querySelectorAll(".scatter")) drawFronts(chart);
    form.querySelector("output").textContent = shown.size === total ? `${total} rows` : `${shown.size} of ${total} rows`;
    form.querySelector("button").hidden = shown.size === total && boxes.every((box) => box.checked);
  }

  function drawFronts(chart) {
    const points = [...chart.querySelectorAll(".point")].filter((point) => !point.hasAttribute("hidden"));
    const all = [];
    for (const line of chart.querySelectorAll(".front")) {
      const best = front(points.filter((point) => point.dataset.group === line.dataset.group));
      line.setAttribute("points", staircase(best));
      all.push(...best);
    }
    const told = chart.parentElement.querySelector(".on-front");
    for (const point of points) point.classList.toggle("best", all.includes(point));
    told.textContent = all.map((point) => point.dataset.row).join(", ") || "none";
  }

  // Rows without the figure are last, whichever way.
  function arrange() {
    const column = sort.value;
    const value = (row) => row.querySelectorAll("td.figure")[column]?.dataset.value ?? "";
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (Number(x) - Number(y)) * (downwards.checked ? -1 : 1);
    };
    body.append(...(column === "" ? order : [...order].sort(compare)));
    for (const button of document.querySelectorAll("[data-sort]")) {
      const ours = button.dataset.sort === column;
      button.closest("th").setAttribute("aria-sort", ours ? (downwards.checked ? "descending" : "ascending") : "none");
    }
  }

  // As benchmarks/page/charts.py: cheapest first, kept where nothing cheaper is worth as much.
  function front(points) {
    const value = (point) => [Number(point.dataset.cost), Number(point.dataset.worth)];
    const sorted = points.map((point) => [...value(point), point]).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    const kept = [];
    for (const [cost, worth, point] of sorted) {
      const last = kept[kept.length - 1];
      if (!last || worth > last[1] || (cost === last[0] && worth === last[1])) kept.push([cost, worth, point]);
    }
    return kept.map((entry) => entry[2]);
  }

  function staircase(best) {
    const corners = [];
    for (const point of best) {
      const [x, y] = [point.dataset.x, point.dataset.y];
      if (corners.length) corners.push([x, corners[corners.length - 1][1]]);
      corners.push([x, y]);
    }
    if (corners.length) corners.push(["100.00", corners[corners.length - 1][1]]);
    return corners.map((corner) => corner.join(",")).join(" ");
  }

  function read() {
    const wanted = new Map(location.hash.slice(1).split("&").map((part) => {
      const [name, values = ""] = part.split("=");
      return [name, new Set(values.split(",").map(decoded))];
    }));
    for (const name of names) {
      const mine = boxes.filter((box) => box.name === name);
      const values = wanted.get(name) ?? new Set();
      const known = mine.some((box) => values.has(box.value));
      for (const box of mine) box.checked = !known || values.has(box.value);
    }
    show();
  }

  function decoded(text) {
    try { return decodeURIComponent(text); } catch { return text; }
  }

  function write() {
    const parts = names.flatMap((name) => {
      const mine = boxes.filter((box) => box.name === name);
      const on = mine.filter((box) => box.checked).map((box) => encodeURIComponent(box.value));
      return on.length && on.length < mine.length ? [`${name}=${on.join(",")}`] : [];
    });
    show();
    history.replaceState(null, "", `#${parts.join("&")}`);
  }

  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); button.click(); } });
    button.addEventListener("click", () => {
      downwards.checked = sort.value === button.dataset.sort && !downwards.checked;
      sort.value = button.dataset.sort;
      arrange();
    });
  }

  form.hidden = false;
  form.addEventListener("change", (event) => (event.target === sort || event.target === downwards ? arrange() : write()));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("button[type=button]").addEventListener("click", () => { boxes.forEach((box) => { box.checked = true; }); write(); });
  window.addEventListener("hashchange", read);
  read();
})();
